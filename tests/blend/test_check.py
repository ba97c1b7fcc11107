"""The checker: every planted damage is found on its line, in every task's format; a complete file is accepted."""

import sys

import numpy as np
import pytest
from support import command_server

from blend import check
from blend.submission import check as submission_check
from blend.submission.formats import KINDS
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS

IMAGES = ["a/00001.jpg", "a/00002.jpg", "a/00003.jpg", "b/00001.jpg", "b/00002.jpg"]
BITS = "0,1,0,0,0,0,0,0,0,0,1,0"
GOOD = {"au": BITS, "expr": "3", "va": "0.5,-0.25", "mtl": f"0.5,-0.25,3,{BITS}", "lsd": "5"}
HEADERS = {name: ",".join((("image" if name in ("mtl", "lsd") else "image_location"), *kind.header))
           for name, kind in KINDS.items()}  # fmt: skip


def template(folder, name, images=IMAGES, tail=","):
    path = folder / f"{name}_template.txt"
    path.write_text("\n".join([HEADERS[name], *(image + tail for image in images)]) + "\n")
    return submission_check.read_template(path)


def complete(name, images=IMAGES):
    return [HEADERS[name], *(f"{image},{GOOD[name]}" for image in images)]


def found(tmp_path, name, content, images=IMAGES):
    path = tmp_path / "submission.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return submission_check.list_problems(path, template(tmp_path, name, images))


def text(lines):
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("tail", ["", ",", ",0", " , "])
def test_a_complete_file_is_accepted_whatever_stands_behind_the_templates_pictures(tmp_path, name, tail):
    wanted = template(tmp_path, name, tail=tail)
    assert wanted.kind.name == name and wanted.images == IMAGES
    (tmp_path / "submission.txt").write_text(text(complete(name)))
    assert submission_check.list_problems(tmp_path / "submission.txt", wanted) == []


def line(number, new):
    return lambda lines: text([*lines[: number - 1], new, *lines[number:]])


def tail(number, new):
    return lambda lines: line(number, lines[number - 1].split(",")[0] + new)(lines)


def order(*numbers):
    return lambda lines: text([lines[n - 1] for n in numbers])


def whole(change):
    return lambda lines: change(text(lines))


BOM = "\ufeff"
FEW, MANY = BITS.rpartition(",")[0], BITS + ",0"
DAMAGE = {
    "a missing line": ("va", order(1, 2, 3, 5, 6), [4], "'a/00003.jpg' is missing; it belongs before this line"),
    "the first line missing": ("va", order(1, 3, 4, 5, 6), [2], "'a/00001.jpg' is missing"),
    "the last line missing": ("va", order(1, 2, 3, 4, 5), [6], "'b/00002.jpg' is missing"),
    "a whole video missing": ("va", order(1, 5, 6), [2], "3 pictures are missing, 'a/00001.jpg' to 'a/00003.jpg'"),
    "a doubled line": ("va", order(1, 2, 3, 4, 4, 5, 6), [5], "'a/00003.jpg' occurs again; it was on line 4"),
    "a line doubled far below": ("va", order(1, 2, 3, 4, 5, 6, 2), [7], "'a/00001.jpg' occurs again; it was on line 2"),
    "swapped lines": ("va", order(1, 2, 4, 3, 5, 6), [3], "'a/00003.jpg' comes too early; the template has it on"),
    "a line moved down": ("va", order(1, 2, 4, 5, 3, 6), [5], "'a/00002.jpg' comes too late; the template has it on"),
    "an unknown picture": ("va", line(3, "a/00009.jpg,0,0"), [3], "where the template has 'a/00002.jpg'"),
    "another video": ("va", line(3, "z/00002.jpg,0,0"), [3], "'z/00002.jpg', where the template has 'a/00002.jpg'"),
    "a line too many": ("va", lambda lines: text([*lines, "b/00003.jpg,0,0"]), [7], "is not in the template"),
    "no header": ("va", order(2, 3, 4, 5, 6), [1], "the header is missing"),
    "another header": ("va", line(1, "image,valence,arousal"), [1], "header 'image,valence,arousal', expected"),
    "blanks in the header": ("va", line(1, "image_location,valence, arousal"), [1], "header"),
    "another task's header": ("va", line(1, HEADERS["au"]), [1], "header"),
    "a byte order mark": ("va", whole(lambda t: BOM + t), [1], "byte order mark"),
    "carriage returns": ("va", whole(lambda t: t.replace("\n", "\r\n")), [1], "carriage return (6 lines do)"),
    "one carriage return": ("va", tail(5, ",0,1\r"), [5], "carriage return; expected"),
    "cut off in a value": ("va", whole(lambda t: t[:-3]), [6], "does not end with a line end; is it cut off?"),
    "cut off in a name": ("va", whole(lambda t: t[:-18]), [6, 6, 6], "where the template has 'b/00002.jpg'"),
    "cut off between lines": ("au", order(1, 2, 3), [4], "3 pictures are missing, 'a/00003.jpg' to 'b/00002.jpg'"),
    "an empty file": ("va", lambda lines: "", [1], "the file is empty"),
    "only a line end": ("va", lambda lines: "\n", [1, 2], "header ''"),
    "a blank line amid": ("va", lambda lines: text([*lines[:3], "", *lines[3:]]), [4], "a blank line"),
    "a blank line at the end": ("va", lambda lines: text([*lines, ""]), [7], "a blank line"),
    "a blank in front": ("va", line(3, "a/00002.jpg, 0.5,0"), [3], "blanks in ' 0.5'"),
    "a blank behind": ("va", tail(3, ",0.5,0 "), [3], "blanks in '0 '"),
    "a blank in the name": ("va", line(3, " a/00002.jpg,0,0"), [3], "blanks in the picture's name ' a/00002.jpg'"),
    "a tab": ("expr", tail(3, ",\t3"), [3], "blanks in '\\t3'"),
    "no value": ("va", tail(5, ""), [5], "0 values, expected 2"),
    "an empty value": ("va", tail(5, ",0,"), [5], "an empty value"),
    "too few values": ("au", tail(5, f",{FEW}"), [5], "11 values, expected 12"),
    "too many values": ("au", tail(5, f",{MANY}"), [5], "13 values, expected 12"),
    "probabilities of classes": ("expr", tail(5, ",.1,.2,.3,0,0,0,.4,0"), [5], "8 values, expected 1"),
    "too large": ("va", tail(5, ",0,1.0000001"), [5], "1.0000001 is not in [-1, 1]"),
    "not annotated": ("va", tail(5, ",0,-5"), [5], "-5 is not in [-1, 1]"),
    "no number": ("va", tail(5, ",0,x"), [5], "'x' is no number"),
    "NaN": ("va", tail(5, ",nan,0"), [5], "nan is not finite"),
    "infinity": ("va", tail(5, ",0,-inf"), [5], "-inf is not finite"),
    "NaN for a class": ("expr", tail(5, ",nan"), [5], "nan is not finite, expected 0 to 7"),
    "a float for a class": ("expr", tail(5, ",3.0"), [5], "3.0 is not written as a whole number, expected 0 to 7"),
    "a float for a unit": ("au", tail(5, f",{FEW},0.5"), [5], "0.5 is not written as a whole number, expected 0 or 1"),
    "classes from 1": ("expr", tail(5, ",8"), [5], "8 is out of range, expected 0 to 7; are the classes"),
    "a negative class": ("expr", tail(5, ",-1"), [5], "-1 is out of range, expected 0 to 7"),
    "a class by name": ("expr", tail(5, ",Anger"), [5], "'Anger' is no number, expected 0 to 7"),
    "a sign": ("expr", tail(5, ",+3"), [5], "+3 is not written as a whole number"),
    "a leading nought": ("expr", tail(5, ",03"), [5], "03 is not written as a whole number"),
    "a unit of 2": ("au", tail(5, f",{FEW},2"), [5], "2 is out of range, expected 0 or 1"),
    "a negative unit": ("au", tail(5, f",{FEW},-1"), [5], "-1 is out of range, expected 0 or 1"),
    "true and false": ("au", tail(5, f",{FEW},True"), [5], "'True' is no number, expected 0 or 1"),
    "a decimal comma": ("va", tail(5, ",0,5,-0,25"), [5], "4 values, expected 2; is a decimal point"),
    "a comma at the end": ("va", tail(5, ",0.5,0,"), [5], "a comma too many at the end of the line"),
    "semicolons": ("va", tail(5, ",0.5;0"), [5], "divided by ';'"),
    "quotes": ("va", tail(5, ',"0.5",0'), [5], "quotes around"),
    "a quoted name": ("va", line(5, '"b/00001.jpg",0,0'), [5], "quotes in the picture's name"),
    "digits of another script": ("expr", tail(5, ",٣"), [5], "is no number"),
    "underscores": ("va", tail(5, ",0_0,0"), [5], "'0_0' is no number"),
    "Latin-1": ("va", lambda lines: text(lines).encode().replace(b"b/00001", b"b\xfc/00001"), [5, 5], "byte 0xfc"),
    "UTF-16": ("va", lambda lines: text(lines).encode("utf-16"), [1], "is it UTF-16?"),
    "an MTL class": ("mtl", tail(5, f",0,0,8,{BITS}"), [5], "8 is out of range, expected 0 to 7"),
    "an MTL value": ("mtl", tail(5, f",-5,0,3,{BITS}"), [5], "-5 is not in [-1, 1]"),
    "an MTL unit": ("mtl", tail(5, f",0,0,3,{FEW},-1"), [5], "-1 is out of range"),
    "an MTL line without units": ("mtl", tail(5, ",0,0,3"), [5], "3 values, expected 15"),
    "a class that LSD lacks": ("lsd", tail(5, ",6"), [5], "6 is out of range, expected 0 to 5"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_with_its_line(tmp_path, damage):
    name, change, where, what = DAMAGE[damage]
    problems = found(tmp_path, name, change(complete(name)))
    assert any(what in said for _, said in problems), problems
    assert [at for at, _ in problems] == where, problems


def test_several_damages_are_all_found_in_order_of_lines(tmp_path):
    lines = complete("expr", [f"v/{i:05d}.jpg" for i in range(1, 101)])
    lines[9], lines[49] = "v/00009.jpg,9", "v/00049.jpg,x"
    del lines[79:89]
    problems = found(tmp_path, "expr", text(lines), [f"v/{i:05d}.jpg" for i in range(1, 101)])
    assert [at for at, _ in problems] == [10, 50, 80]
    assert "10 pictures are missing, 'v/00079.jpg' to 'v/00088.jpg'" in problems[2][1]


def test_a_list_with_doubled_pictures_as_in_abaw4(tmp_path):
    images = [*IMAGES, "a/00002.jpg", "b/00001.jpg", "b/00001.jpg"]
    lines = complete("mtl", images)
    assert found(tmp_path, "mtl", text(lines), images) == []
    assert found(tmp_path, "mtl", text(lines[:6]), images) == [
        (7, "3 pictures are missing, 'a/00002.jpg' to 'b/00001.jpg'; they belong before this line")
    ]
    ((at, said),) = found(tmp_path, "mtl", text([*lines[:6], *lines[7:]]), images)
    assert at == 7 and "'a/00002.jpg' is missing" in said
    ((at, said),) = found(tmp_path, "mtl", text([*lines, lines[1]]), images)
    assert at == 10 and "'a/00001.jpg' occurs again" in said
    ((at, said),) = found(tmp_path, "mtl", text([*lines, lines[3]]), images)
    assert at == 10 and "'a/00003.jpg' occurs again" in said


@pytest.mark.parametrize("seed", range(60))
def test_random_edits_never_pass_and_never_name_a_line_before_the_first_one(tmp_path, seed):
    """Against a naive comparison, line by line."""
    rng = np.random.default_rng(seed)
    images = [f"v{v}/{i:05d}.jpg" for v in range(3) for i in range(1, 9)]
    if seed % 3 == 0:
        images += images[4:7]
    lines = complete("expr", images)
    for _ in range(rng.integers(1, 4)):
        at, other = rng.integers(1, len(lines), 2)
        kind = rng.integers(4)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[other])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = f"w/{other:05d}.jpg,3"
    expected = complete("expr", images)
    problems = found(tmp_path, "expr", text(lines), images)
    assert (problems == []) == (lines == expected)
    if problems:
        first = next(i for i in range(len(expected) + 1) if lines[i : i + 1] != expected[i : i + 1]) + 1
        assert first <= problems[0][0]
        assert problems[-1][0] <= len(lines) + 1
        left = [image for image in images if image not in {line.split(",")[0] for line in lines}]
        for image in left:  # what is nowhere in the file is said, alone, in a run, or as what stood there
            told = [said for _, said in problems if image in said or "pictures are missing" in said]
            assert told, (image, problems)


def test_a_template_is_refused_with_what_is_wrong(tmp_path):
    path = tmp_path / "template.txt"
    for content, said in (
        ("image,age\nx.jpg,\n", "line 1 is 'image,age', the header of no known task"),
        (HEADERS["va"] + "\n\n", "no pictures behind the header"),
        (HEADERS["va"] + "\na/00001.jpg\n,\na/00002.jpg\n", "line 3 names no picture"),
        (b"\xff\xfe", "cannot be read as text"),
    ):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InputError, match=said):
            submission_check.read_template(path)
    with pytest.raises(InputError, match="no such template"):
        submission_check.read_template(tmp_path / "other.txt")


def test_templates_with_windows_line_ends_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "template.txt"
    path.write_bytes((BOM + HEADERS["au"] + "\r\na/00001.jpg,\r\n").encode())
    wanted = submission_check.read_template(path)
    assert wanted.header == HEADERS["au"] and wanted.images == ["a/00001.jpg"]


def run(*arguments):
    command = [sys.executable, "-m", "blend.check", *map(str, arguments)]
    return command_server.run(command)


def test_the_command_its_exit_codes_and_its_limited_listing(tmp_path):
    images = [f"v/{i:05d}.jpg" for i in range(1, 31)]
    wanted = template(tmp_path, "expr", images).path
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text(text(complete("expr", images)))
    bad.write_text(text(complete("expr", images)).replace(",3", ",9"))
    done = run(good, wanted)
    assert done.returncode == 0 and "complete; a submission for expr, 30 pictures" in done.stdout
    done = run(bad, wanted)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "line 2: 9 is out of range, expected 0 to 7"
    assert "... and 10 more; --all lists them" in done.stdout and "30 problems" in done.stdout
    assert len(done.stdout.splitlines()) == check.MAX_PROBLEMS + 2
    done = run(bad, wanted, "--all")
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 31
    done = run(good, tmp_path / "none.txt")
    assert done.returncode == 2 and done.stderr == f"error: {tmp_path / 'none.txt'}: no such template\n"
    assert run(tmp_path / "none.txt", wanted).returncode == 2
    assert run(good, wanted, "--task", "va").returncode == 2
    shown = run("--help")
    assert "CVPR_5th_ABAW_AU_test_set_sample.txt" in shown.stdout


def test_kinds_have_the_tasks_outputs():
    for name in TASKS:
        assert KINDS[name].header == TASKS[name].outputs
    assert [len(KINDS[name].values) for name in ("au", "expr", "va", "mtl", "lsd")] == [12, 1, 2, 15, 1]
