"""The choice of columns: by program, by pattern, and what is refused."""

from pathlib import Path

import pytest

from extract.media.tables import Table
from extract.runtime.errors import InputError
from extract.tabular.formats import Choice, plan


def table(*names, text=()):
    return Table(Path("t.csv"), {name: name for name in names}, frozenset(names) - set(text))


OPENFACE = table("frame", "face_id", "timestamp", "confidence", "success", "gaze_0_x", "AU01_r", "AU02_r", "AU45_c")
PYFEAT = table("input", "frame", "FaceScore", "Pitch", "AU01", "AU43", "Happy", "valence", text=("input",))


def test_openface_is_told_by_its_columns_and_gives_its_action_units():
    got = plan(OPENFACE, Choice())
    assert got.format.name == "openface" and got.kinds == {"embedding": ["AU01_r", "AU02_r", "AU45_c"]}
    assert (got.video, got.frame, got.first_frame, got.format.success) == (None, "frame", 1, "success")


def test_pyfeat_counts_from_0_and_names_the_video_in_its_input_column():
    got = plan(PYFEAT, Choice())
    assert got.format.name == "pyfeat" and got.kinds == {"embedding": ["AU01", "AU43"]}
    assert (got.video, got.first_frame) == ("input", 0)


def test_of_an_unknown_table_all_numbers_are_taken():
    got = plan(table("video", "frame", "a", "note", "b", text=("video", "note")), Choice())
    assert got.format.name == "table" and got.kinds == {"embedding": ["a", "b"]}
    assert got.numbers == ["a", "b"]


def test_patterns_keep_their_order_and_take_each_column_once():
    got = plan(OPENFACE, Choice(columns=("gaze*", "AU*_c", "*_r", "AU*")))
    assert got.kinds == {"embedding": ["gaze_0_x", "AU45_c", "AU01_r", "AU02_r"]}


def test_va_or_logits_alone_leave_the_embedding_out():
    whole = table("video", "frame", "v", "a", "p0", "p1")
    assert plan(whole, Choice(va=("v", "a"))).kinds == {"va": ["v", "a"]}
    got = plan(whole, Choice(columns=("p1",), logits=("p*",), va=("a", "v")))
    assert got.kinds == {"embedding": ["p1"], "logits": ["p0", "p1"], "va": ["a", "v"]}
    assert got.numbers == ["p1", "p0", "p1", "a", "v"]


def test_the_user_may_say_which_columns_hold_video_and_frame_and_where_counting_starts():
    got = plan(table("clip", "index", "x"), Choice(video="clip", frame="index", first_frame=7))
    assert (got.video, got.frame, got.first_frame, got.kinds) == ("clip", "index", 7, {"embedding": ["x"]})


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        (Choice(columns=("nope",)), "--columns nope: fits no column; its columns are video, frame, x, note"),
        (Choice(columns=("x", "no*")), r"--columns no\*: fit only columns that hold no numbers"),
        (Choice(logits=("frame",)), "--logits frame: fits no column"),
        (Choice(va=("x",)), "--va x: found 1 columns, expected valence,arousal"),
        (Choice(video="clip"), "no column 'clip'"),
        (Choice(frame="index"), "no column 'index'"),
        (Choice(format="openface"), "no column 'success'"),
        (Choice(format="opensmile"), "--format opensmile: expected openface, pyfeat, table"),
    ],
)
def test_what_cannot_be_is_refused(choice, text):
    with pytest.raises(InputError, match=text):
        plan(table("video", "frame", "x", "note", text=("video", "note")), choice)


def test_clocks_and_counters_are_no_features_unless_they_are_named(capsys):
    libreface = table("frame_time_in_ms", "frame_idx", "pitch", "au_1", "au_12", "facial_expression",
                      text=("facial_expression",))  # fmt: skip
    assert plan(libreface, Choice(frame="frame_idx")).numbers == ["pitch", "au_1", "au_12"]
    assert "text are left out: facial_expression" in capsys.readouterr().err
    named = Choice(frame="frame_idx", columns=("frame_time_in_ms", "au_1"))
    assert plan(libreface, named).numbers == ["frame_time_in_ms", "au_1"]
    assert plan(table("frame", "Timestamp", "a"), Choice()).numbers == ["a"]


def test_openface_without_action_units_is_openface_too_and_success_no_feature():
    gaze = table("frame", "face_id", "timestamp", "success", "gaze_0_x", "gaze_0_y")
    got = plan(gaze, Choice(columns=("*",)))
    assert (got.format.name, got.numbers, got.format.success) == ("openface", ["gaze_0_x", "gaze_0_y"], "success")
    with pytest.raises(InputError, match=r"--columns AU\*: fits no column; its columns are .*gaze_0_x"):
        plan(gaze, Choice())
    assert plan(table("frame", "success", "x"), Choice()).numbers == ["x"], "of whichever program"


def test_openface_without_confidence_is_openface_and_success_no_feature():
    got = plan(table("frame", "face_id", "timestamp", "success", "AU01_r"), Choice())
    assert (got.format.name, got.numbers, got.format.success) == ("openface", ["AU01_r"], "success")


def test_a_column_of_numbers_with_an_odd_cell_is_refused_with_its_place_if_it_is_wanted():
    from dataclasses import replace

    odd = replace(table("frame", "a", "b", text=("b",)), odd={"b": "line 7: '50%'"})
    with pytest.raises(InputError, match=r"t\.csv: line 7: '50%' in column 'b', whose other cells are numbers"):
        plan(odd, Choice())
    assert plan(odd, Choice(columns=("a",))).numbers == ["a"]
