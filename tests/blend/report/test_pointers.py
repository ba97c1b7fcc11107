"""Pointers, texts with numbers, and how numbers are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blend.report import pointers as values
from blend.report.html import sections

REPORT = {"a": {"b/c~d": [0.12345, None, 12345]}, "k": [1, 2], "neg": -0.00001, "whole": 7}
MACROS = sections.ENVIRONMENT.get_template("macros.html").make_module({"report": REPORT})


def test_a_text_says_the_same_on_the_terminal_and_on_the_page():
    text = f"one {values.ref('a', 'b/c~d', 0)}, <two> {values.ref('a', 'b/c~d', 2)}, {values.ref('a', 'b/c~d', 1)}"
    assert values.plain(text, REPORT) == "one 0.1235, <two> 12,345, undefined"
    assert MACROS.told(text) == (
        'one <span data-key="/a/b~1c~0d/0">0.123</span>, &lt;two&gt; <span data-key="/a/b~1c~0d/2">12,345</span>, '
        '<span data-key="/a/b~1c~0d/1">undefined</span>'
    )


@given(st.lists(st.text(st.characters(exclude_characters="\ue000\ue001"), min_size=1), min_size=1, max_size=4))
def test_a_pointer_finds_what_it_points_at_whatever_the_names(path):
    table: object = 0.5
    for name in reversed(path):
        table = {name: table}
    assert values.value(table, values.pointer(*path)) == 0.5
    assert values.plain(f"x {values.ref(*path)} y", table) == "x 0.5000 y"


def test_what_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        values.value(REPORT, "/a/none")
    with pytest.raises(IndexError):
        values.value(REPORT, "/k/2")


def test_numbers_as_people_read_them():
    assert values.format_number(REPORT["neg"], 3) == "0.000" and values.format_number(-0.25, 3) == "-0.250"
    assert values.format_number(REPORT["k"], 3) == "per output" and values.format_number(7, 3) == "7"
    assert MACROS.cell("whole") == '<td class="n" data-key="/whole">7</td>'
    assert MACROS.cell(("a", "b/c~d"), 0, digits=1) == '<td class="n" data-key="/a/b~1c~0d/0">0.1</td>'


def test_a_table_names_its_rows_and_marks_the_chosen_one():
    rows = [("a<", "whole"), ("b", "x>")]
    html = MACROS.table(
        ["", "score"], rows, chosen="b", caller=lambda name, word: MACROS.cell(word) if name == "a<" else word
    )
    assert '<th scope="row">a&lt;</th>' in html and '<tr class="chosen"><th scope="row">b<' in html and "x&gt;" in html


def test_a_text_of_a_part_finds_its_numbers_in_the_whole():
    text = values.move(f"at {values.ref('whole')} and {values.ref('k', 1)}", "parts", "a/b")
    assert values.plain(text, {"parts": {"a/b": REPORT}}) == "at 7 and 2"
