"""ABAW-3's folders of a text per video: complete ones pass, damage is named with file and line."""

import pytest

from blend.submission import folder as submission_folder
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS

LENGTHS = {"10": 3, "a_left": 2, "a_right": 2}
GOOD = {"au": "0,1,0,0,0,0,0,0,0,0,1,0", "expr": "3", "va": "0.5,-0.25"}


def write(tmp_path, name, lengths=LENGTHS):
    folder = tmp_path / "texts"
    folder.mkdir()
    for video, frames in lengths.items():
        (folder / f"{video}.txt").write_text("\n".join([TASKS[name].header, *[GOOD[name]] * frames]) + "\n")
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{video}\n" for video in lengths))
    counts = tmp_path / "lengths.csv"
    counts.write_text("video,frames\n" + "".join(f"{video},{n}\n" for video, n in lengths.items()))
    return folder, listed, counts


@pytest.mark.parametrize("name", TASKS)
def test_a_complete_folder_is_accepted(tmp_path, name):
    folder, listed, counts = write(tmp_path, name)
    problems, what = submission_folder.check(folder, listed, counts, None)
    assert problems == [] and what == f"a submission for {name} (ABAW-3), 3 videos, 7 frames"
    assert submission_folder.check(folder, counts, None, name)[0] == []


DAMAGE = [
    ("10", lambda t: t.replace("0.5,-0.25\n", "", 1), "10.txt: line 4: 3 lines of frames expected, 2 are there"),
    ("10", lambda t: t + "0,0\n", "10.txt: line 5: 3 lines of frames expected, 4 are there"),
    ("10", lambda t: t.replace("valence,arousal\n", ""), "10.txt: line 1: the header is missing"),
    ("10", lambda t: t.replace("valence", "Valence"), "10.txt: line 1: header 'Valence,arousal', expected"),
    ("a_left", lambda t: t[:-1], "a_left.txt: line 3: the file does not end with a line end"),
    ("a_left", lambda t: t.replace("-0.25", "nan", 1), "a_left.txt: line 2: nan is not finite"),
    ("a_left", lambda t: t + "\n", "a_left.txt: line 4: a blank line"),
    ("a_left", lambda t: "", "a_left.txt: line 1: the file is empty"),
    ("a_left", None, "a_left.txt: line 1: the file is missing; the list names the video 'a_left'"),
]


@pytest.mark.parametrize(("video", "change", "said"), DAMAGE)
def test_damage_is_named_with_file_and_line(tmp_path, video, change, said):
    folder, listed, counts = write(tmp_path, "va")
    path = folder / f"{video}.txt"
    if change is None:
        path.unlink()
    else:
        path.write_text(change(path.read_text()))
    problems, _ = submission_folder.check(folder, listed, counts, None)
    assert len(problems) == 1 and problems[0].startswith(said), problems


def test_a_file_of_no_listed_video(tmp_path):
    folder, listed, counts = write(tmp_path, "expr")
    (folder / "other.txt").write_text("Neutral\n")
    (folder / ".hidden").write_text("")
    assert submission_folder.check(folder, listed, counts, None)[0] == [
        "other.txt: line 1: no video of the list belongs to this file"
    ]


def test_lengths_must_be_said(tmp_path):
    folder, listed, counts = write(tmp_path, "expr")
    with pytest.raises(InputError, match=r"does not say how many frames the video '10' has \(3 of 3\); give --lengths"):
        submission_folder.check(folder, listed, None, None)
    counts.write_text("10,3\na_left,two\n")
    with pytest.raises(InputError, match="line 2: 'two' is no number of frames"):
        submission_folder.check(folder, listed, counts, None)
    listed.write_text("10\n10\n")
    with pytest.raises(InputError, match="line 2: the video '10' is listed twice"):
        submission_folder.check(folder, listed, counts, None)
    listed.write_text("\n")
    with pytest.raises(InputError, match="names no video"):
        submission_folder.check(folder, listed, counts, None)


def test_lengths_from_raw_videos(tmp_path):
    import cv2
    import numpy as np

    raw = tmp_path / "raw"
    raw.mkdir()
    for name, frames in (("10", 2), ("a", 1)):  # one less than the organisers counted
        writer = cv2.VideoWriter(str(raw / f"{name}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
        for _ in range(frames):
            writer.write(np.zeros((32, 32, 3), np.uint8))
        writer.release()
    folder, listed, _ = write(tmp_path, "au")
    assert submission_folder.check(folder, listed, raw, None)[0] == []
    (raw / "a.avi").unlink()
    with pytest.raises(InputError, match="does not say how many frames the video 'a_left' has"):
        submission_folder.check(folder, listed, raw, None)


def test_the_task_must_be_known(tmp_path):
    folder, listed, counts = write(tmp_path, "au")
    for path in folder.iterdir():
        path.write_text("no header\n")
    with pytest.raises(InputError, match="say which it is with --task"):
        submission_folder.check(folder, listed, counts, None)
    with pytest.raises(InputError, match="--task age: no such task"):
        submission_folder.check(folder, listed, counts, "age")
    assert all(": line " in text for text in submission_folder.check(folder, listed, counts, "au")[0])
