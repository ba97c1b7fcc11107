"""Other people's predictions: every format gives the same arrays; every damage is one line with its place."""

import os

import numpy as np
import pandas as pd
import pytest

from blend.pool import external
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS
from heads.data import predictions
from heads.data.predictions import Predictions

VA, AU, EXPR = TASKS["va"], TASKS["au"], TASKS["expr"]


def made(task, seed=0):
    rng = np.random.default_rng(seed)
    return Predictions(
        task.outputs,
        {
            video: (np.array(frames, np.int32), rng.random((len(frames), len(task.outputs)), np.float32))
            for video, frames in (("101", [1, 2, 5]), ("NA", [3]), ("b_left", list(range(1, 40))))
        },
    )


def as_frame(found):
    parts = [
        pd.DataFrame(scores, columns=list(found.outputs)).assign(video=video, frame=frames)
        for video, (frames, scores) in found.videos.items()
    ]
    return pd.concat(parts, ignore_index=True)[["video", "frame", *found.outputs]]


def assert_same(found, expected):
    assert list(found.videos) == list(expected.videos) and found.outputs == expected.outputs
    for video, (frames, scores) in expected.videos.items():
        np.testing.assert_array_equal(found.videos[video][0], frames)
        np.testing.assert_array_equal(found.videos[video][1], scores)
        assert found.videos[video][1].dtype == np.float32 and found.videos[video][0].dtype == np.int32


@pytest.mark.parametrize("name", TASKS)
def test_every_format_gives_the_same_predictions(tmp_path, name):
    task = TASKS[name]
    expected = made(task)
    frame = as_frame(expected)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.sample(frac=1, random_state=1)[frame.columns[::-1]].to_csv(tmp_path / "b.csv")  # rows, columns, an index
    frame.to_csv(tmp_path / "c.csv", index=False, lineterminator="\r\n", encoding="utf-8-sig")
    lines = [
        f"{video}/{number:05d}.jpg," + ",".join(map(str, row))
        for video, (frames, scores) in expected.videos.items()
        for number, row in zip(frames, scores, strict=True)
    ]
    (tmp_path / "d.txt").write_text("\n".join([task.list_header, *lines]) + "\n")
    for path in sorted(tmp_path.iterdir()):
        assert_same(external.read_external(path, task), expected)


def test_hard_classes_become_ones_and_zeros(tmp_path):
    path = tmp_path / "test.txt"
    path.write_text(EXPR.list_header + "\nv/00001.jpg,3\nv/00003.jpg,0\nv/00002.jpg,7\n\n")
    frames, scores = external.read_external(path, EXPR).videos["v"]
    assert frames.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(scores, np.eye(8, dtype=np.float32)[[3, 7, 0]])


def test_hard_units_are_scores_as_they_are(tmp_path):
    path = tmp_path / "test.txt"
    path.write_text(AU.list_header + "\nv/00001.jpg,0,1,0,0,0,0,0,0,0,0,0,1\n")
    np.testing.assert_array_equal(np.flatnonzero(external.read_external(path, AU).videos["v"][1]), [1, 11])


HEADER = "video,frame,valence,arousal\n"
LIST = "image_location,valence,arousal\n"


@pytest.mark.parametrize(
    ("task", "content", "said"),
    [
        ("va", b"", "the file is empty"),
        ("va", b"\xff\xfe\x00x", "UTF-16 text; expected UTF-8"),
        ("va", b"\xe9,frame", "expected Parquet, or UTF-8 text"),
        ("va", "hello\nworld\n", "line 1 is 'hello', expected a header that begins with video,frame"),
        ("va", HEADER, "nothing behind the first line"),
        ("va", "video,frame,valence\nv,1,0\n", "column 'arousal' is missing"),
        ("va", "video,frame,valence,arousal,arousal\nv,1,0,0,0\n", "column 'arousal' is there twice"),
        ("va", "video,frame,valence,arousal,extra\nv,1,0,0,0\n", "column 'extra' is unknown"),
        ("va", HEADER + "v,1,0,0\nv,2,0\n", "line 3 has 3 values, expected 4"),
        ("va", HEADER + "v,1,0,0\n\nv,2,0,0\n", "line 3: column 'frame' is empty"),
        ("va", HEADER + "v,1,0,0\nv,2,0,x\n", "line 3: column 'arousal' holds 'x', which is no number"),
        ("va", HEADER + "v,1.5,0,0\n", "line 2: frame is 1.5, expected a whole number"),
        ("va", HEADER + "v,,0,0\n", "line 2: column 'frame' is empty"),
        ("va", HEADER + "v,1,0,0\nv,1,0,0\n", "video 'v' frame 1 occurs more than once"),
        ("va", HEADER + "v,0,0,0\n", "video 'v' frame 0: frames are numbered from 1"),
        ("va", HEADER + "v,1,nan,0\n", "video 'v' frame 1: a score is not finite"),
        ("va", HEADER + "v,1,,0\n", "video 'v' frame 1: a score is not finite"),
        ("va", HEADER + "v,1,0,1e300\n", "video 'v' frame 1: a score is not finite"),
        ("va", HEADER + "v,1,0,-1.25\n", r"video 'v' frame 1: a score is outside \[-1, 1\]: arousal is -1.25"),
        ("va", LIST + "v/00001.jpg,0\n", "line 2 has 2 values, expected 3"),
        ("va", LIST + "v/00001.jpg,0,0\nv/one.jpg,0,0\n", "line 3 names 'v/one.jpg'"),
        ("va", LIST + "v/00001.jpg,0,0\nv/00001.jpg,0,0\n", "video 'v' frame 1 occurs more than once"),
        ("au", LIST + "v/00001.jpg,0,0\n", "is this a submission of another task"),
        ("expr", "IMAGE", "line 3 video 'v' frame 2: 8 is no class, expected 0 to 7"),
        ("expr", "SWAPPED", "names the classes in another order"),
    ],
)
def test_damage_is_one_line_with_its_place(tmp_path, task, content, said):
    header = EXPR.list_header
    if content == "IMAGE":
        content = f"{header}\nv/00001.jpg,7\nv/00002.jpg,8\n"
    if content == "SWAPPED":
        content = header.replace("Anger,Disgust", "Disgust,Anger") + "\nv/00001.jpg,7\n"
    path = tmp_path / "val.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=said) as error:
        external.read_external(path, TASKS[task])
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_an_empty_table_and_a_text_called_parquet(tmp_path):
    predictions.write(tmp_path / "val.parquet", Predictions(VA.outputs, {}))
    with pytest.raises(InputError, match=r"val\.parquet: not one prediction in this file"):
        external.read_external(tmp_path / "val.parquet", VA)
    (tmp_path / "val.parquet").write_text(HEADER + "v,1,0,0\n")
    with pytest.raises(InputError, match=r"val\.parquet: not a readable Parquet file"):
        external.read_external(tmp_path / "val.parquet", VA)


def test_names_and_folders(tmp_path):
    (tmp_path / "b=c").mkdir()
    (tmp_path / "a").mkdir()
    assert external.parse([f"two={tmp_path}/b=c", f"one={tmp_path}/a"]) == {
        "one": tmp_path / "a",
        "two": tmp_path / "b=c",
    }
    for entry, said in (
        ("folder", "expected NAME=FOLDER"),
        ("=folder", "expected NAME=FOLDER"),
        ("x=", "expected NAME=FOLDER"),
        (f"x={tmp_path}/none", "does not exist"),
        (f"equal={tmp_path}", "no head may be called 'equal'"),
        (f"a,b={tmp_path}", "no head may be called 'a,b'"),
    ):
        with pytest.raises(InputError, match=said):
            external.parse([entry])
    with pytest.raises(InputError, match="'x' is given twice"):
        external.parse([f"x={tmp_path}", f"x={tmp_path}/a"])


def test_the_file_of_a_part(tmp_path):
    assert external.find_files(tmp_path, "val") is None
    with pytest.raises(InputError, match=r"no val predictions here; expected one of val\.parquet, val\.csv, val\.txt"):
        external.find_part(tmp_path, "val")
    (tmp_path / "val.txt").write_text("x")
    assert external.find_part(tmp_path, "val") == tmp_path / "val.txt"
    assert external.find_files(tmp_path / "val.txt", "test") == tmp_path / "val.txt"
    assert external.find_files(tmp_path / "val.txt", "test_trainval") is None
    (tmp_path / "val.csv").write_text("x")
    with pytest.raises(InputError, match=r"both val\.csv and val\.txt are there"):
        external.find_files(tmp_path, "val")


def test_only_some_videos():
    found = made(VA)
    assert list(external.select_videos(found, ["NA", "other"]).videos) == ["NA"]


def test_what_pandas_and_spreadsheets_add_says_nothing(tmp_path):
    for task in (VA, AU):
        expected = made(task)
        frame = as_frame(expected)
        frame["frame"] = frame["frame"].astype(float)  # as where rows were missing for a while
        for index, name in ((True, None), (True, "Unnamed: 0"), (False, None)):
            frame.to_csv(tmp_path / "val.csv", index=index, index_label=name)
            assert_same(external.read_external(tmp_path / "val.csv", task), expected)
        frame.insert(0, "Unnamed: 0", range(len(frame)))
        frame.to_parquet(tmp_path / "val.parquet")
        assert_same(external.read_external(tmp_path / "val.parquet", task), expected)


def test_true_and_false_are_one_and_zero(tmp_path):
    frame = as_frame(made(AU))
    hard = frame[list(AU.outputs)] > 0.5
    expected = {video: hard[frame["video"] == video].to_numpy(np.float32) for video in frame["video"].unique()}
    for words in (("TRUE", "FALSE"), ("True", "False"), ("true", "false")):
        cells = hard.replace({True: words[0], False: words[1]}) if words[0] != "True" else hard
        pd.concat([frame[["video", "frame"]], cells], axis=1).to_csv(tmp_path / "val.csv", index=False)
        found = external.read_external(tmp_path / "val.csv", AU)
        for video, scores in expected.items():
            np.testing.assert_array_equal(found.videos[video][1], scores)


def test_odd_cells_and_other_ways_to_write_text_are_named(tmp_path):
    path = tmp_path / "val.csv"
    head = "video,frame,valence,arousal\n"
    for text, said in (
        (f"{head}a,1.0,0,0\na,2.5,0,0\n", "line 3: frame is 2.5, expected a whole number"),
        (f"{head}a,1,0,0\na,2,,0\n", "video 'a' frame 2: a score is not finite .*leave out the rows"),
        (f"{head}a,1,nan,0\n", "leave out the rows of frames without a prediction"),
        (f"{head}a,1,50%,0\n", "line 2: column 'valence' holds '50%', which is no number"),
        (head.replace(",", ";") + "a;1;0,5;0\n", "separated by ';'; expected commas"),
        (head.replace(",", "\t") + "a\t1\t0\t0\n", "separated by tabs"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=f"val.csv: .*{said}"):
            external.read_external(path, VA)
    path.write_bytes(f"{head}a,1,0,0\n".encode("utf-16"))
    with pytest.raises(InputError, match="UTF-16 text; expected UTF-8"):
        external.read_external(path, VA)
    frame = as_frame(made(VA))
    frame["frame"] += 0.25
    frame.to_parquet(tmp_path / "val.parquet")
    with pytest.raises(InputError, match=r"row 1: frame is 1.25, expected a whole number"):
        external.read_external(tmp_path / "val.parquet", VA)


def test_lone_carriage_returns_pipes_and_broken_text_are_one_line_each(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    (tmp_path / "mac.csv").write_bytes(b"video,frame,valence,arousal\ra,1,.1,.2\ra,2,.1,.2\r")
    (tmp_path / "one.csv").write_bytes(b"video,frame,valence,arousal\r\na,1,.1,.2\r\na,2,.1\r,.2\r\n")
    assert external.read_external(tmp_path / "mac.csv", VA).videos["a"][0].tolist() == [1, 2]
    with pytest.raises(InputError, match=r"one\.csv: line 3 "):
        external.read_external(tmp_path / "one.csv", VA)
    os.mkfifo(tmp_path / "test.csv")
    assert external.find_files(tmp_path, "test") == tmp_path / "test.csv"
    with pytest.raises(InputError, match="a named pipe, expected a file"):
        external.read_external(tmp_path / "test.csv", VA)
    raw = pa.array([b"a", b"\xff"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    parquet.write_table(
        pa.table({"video": texts, "frame": [1, 2], "valence": [0.0, 0], "arousal": [0.0, 0]}), tmp_path / "p"
    )
    with pytest.raises(InputError, match=r"p: row 2: b'\\xff' is not UTF-8"):
        external.read_external(tmp_path / "p", VA)
