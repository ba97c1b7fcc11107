"""The test list: both line styles, order and header kept, every damage named with its line."""

from pathlib import Path

import numpy as np
import pytest

from extract.runtime.errors import InputError
from heads.abaw import test_list
from heads.abaw.tasks import TASKS

AU = TASKS["au"]
HEADER = AU.list_header


def write(folder: Path, *lines: str, end: str = "\n") -> Path:
    path = folder / "list.txt"
    path.write_bytes((end.join(lines) + end).encode())
    return path


@pytest.mark.parametrize("tail", ["", ",", ",0,1,0,0,0,0,0,0,0,0,0,0"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_line_style_gives_the_same_list(tmp_path, tail, end):
    images = ["b/00002.jpg", "b/00001.jpg", "a_left/12345.jpg", "a_left/123456.jpg"]
    found = test_list.read(write(tmp_path, HEADER, *(image + tail for image in images), end=end), AU)
    assert found.images == images
    assert found.header == HEADER
    assert [found.names[i] for i in found.video_of] == ["b", "b", "a_left", "a_left"]
    assert found.frame_of.tolist() == [2, 1, 12345, 123456]
    assert {video: frames.tolist() for video, frames in found.videos.items()} == {
        "a_left": [12345, 123456],
        "b": [1, 2],
    }
    assert found.line("a_left") == 4


def test_videos_may_be_interleaved_and_pictures_listed_twice(tmp_path):
    found = test_list.read(write(tmp_path, HEADER, "a/00001.jpg,", "b/00001.jpg,", "a/00003.jpg,", "a/00001.jpg,"), AU)
    assert found.images == ["a/00001.jpg", "b/00001.jpg", "a/00003.jpg", "a/00001.jpg"]
    assert found.videos["a"].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        ("00001.jpg,", 3),
        ("a/x.jpg,", 3),
        ("a/00000.jpg,", 3),
        ("a/-0001.jpg,", 3),
        ("", 3),
        ("a/00001,", 3),
        ("a/99999999999.jpg,", 3),
        ("a/1_0.jpg,", 3),
    ],
)
def test_a_line_that_names_no_picture_is_named(tmp_path, bad, line):
    with pytest.raises(InputError, match=rf"list.txt: line {line} is .* expected <video>"):
        test_list.read(write(tmp_path, HEADER, "a/00001.jpg,", bad, "a/00002.jpg,"), AU)


def test_a_header_of_another_task_is_refused(tmp_path):
    path = write(tmp_path, TASKS["va"].list_header, "a/00001.jpg,")
    with pytest.raises(InputError, match=r"line 1 is 'image_location,valence.*expected the header 'image_location,AU1"):
        test_list.read(path, AU)


@pytest.mark.parametrize("text", [b"", HEADER.encode(), HEADER.encode() + b"\n\n", b"\xff\xfe\x00"])
def test_a_file_without_pictures_is_refused(tmp_path, text):
    (tmp_path / "list.txt").write_bytes(text)
    with pytest.raises(InputError, match=r"list\.txt"):
        test_list.read(tmp_path / "list.txt", AU)
    with pytest.raises(InputError, match="no such test list"):
        test_list.read(tmp_path / "other.txt", AU)


def test_from_lengths_reads_back_as_written(tmp_path):
    made = test_list.from_lengths({"b": 2, "a": 3}, AU, tmp_path)
    assert made.images == ["a/00001.jpg", "a/00002.jpg", "a/00003.jpg", "b/00001.jpg", "b/00002.jpg"]
    found = test_list.read(write(tmp_path, made.header, *made.images), AU)
    assert found.images == made.images and found.names == made.names
    np.testing.assert_array_equal(found.video_of, made.video_of)
    np.testing.assert_array_equal(found.frame_of, made.frame_of)


def test_a_list_of_the_official_size_is_read(tmp_path):
    made = test_list.from_lengths({f"video{i}": 5_000 for i in range(40)}, AU, tmp_path)
    path = write(tmp_path, made.header, *(image + "," for image in made.images))
    assert len(test_list.read(path, AU).images) == 200_000


def test_a_listed_video_that_nobody_knows_is_named_with_its_line(tmp_path):
    listed = test_list.from_lengths({"a": 3, "b": 2, "c": 1}, TASKS["va"], tmp_path / "list.txt")
    with pytest.raises(InputError, match=r"list\.txt: line 7 names the video 'c'.*1 of 3.*corpus\.missing_videos"):
        test_list.check_videos(listed, {"a", "b"}, missing=0.3)
    assert test_list.check_videos(listed, {"a", "b"}, missing=0.34) == ["c"]
    assert test_list.check_videos(listed, {"a", "b", "c", "d"}, missing=0.0) == []
