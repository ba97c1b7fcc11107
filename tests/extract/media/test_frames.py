import numpy as np
import pytest

from extract.media import frames
from extract.runtime.errors import InputError


def test_frames_are_in_the_order_of_their_numbers_not_their_names(tmp_path):
    for name in ("00002.jpg", "10000.jpg", "00010.jpg", "9.jpg", "100000.JPG"):
        (tmp_path / name).touch()
    listed = frames.list_frames(tmp_path)
    assert listed.numbers.tolist() == [2, 9, 10, 10000, 100000]
    assert listed.names == ("00002.jpg", "9.jpg", "00010.jpg", "10000.jpg", "100000.JPG")
    assert listed.numbers.dtype == np.int32


def test_pictures_whose_name_is_no_number_are_set_aside_and_other_files_ignored(tmp_path):
    for name in ("00001.jpg", "cover.jpg", ".DS_Store", "notes.txt", ".00002.jpg"):
        (tmp_path / name).touch()
    listed = frames.list_frames(tmp_path)
    assert (listed.names, listed.odd) == (("00001.jpg",), ("cover.jpg",))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("1.jpg", "00001.jpg"), "frame 1 is also"),
        (("00000.jpg",), "frame 0 is out of range"),
        (("99999999999.jpg",), "out of range"),
    ],
)
def test_frames_that_clash_are_named(tmp_path, names, said):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=said):
        frames.list_frames(tmp_path)


def test_videos_of_several_folders_are_one_sorted_corpus(tmp_path):
    for name in ("x/b", "x/a", "y/c", "x/.hidden"):
        (tmp_path / name).mkdir(parents=True)
    assert list(frames.list_videos([tmp_path / "x", tmp_path / "y"])) == ["a", "b", "c"]


def test_a_video_in_two_folders_a_missing_and_an_empty_folder_are_named(tmp_path):
    for name in ("x/a", "y/a", "z"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(InputError, match=r"y/a: video 'a' is also in .*x"):
        frames.list_videos([tmp_path / "x", tmp_path / "y"])
    with pytest.raises(InputError, match=r"none: frames folder cannot be read"):
        frames.list_videos([tmp_path / "none"])
    with pytest.raises(InputError, match=r"z: no video folders"):
        frames.list_videos([tmp_path / "z"])


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone: folder of frames cannot be read \(No such file"):
        frames.list_frames(tmp_path / "gone")


def test_pictures_not_called_like_frames_are_told_from_other_files(tmp_path):
    for name in ("00001.jpg", "face.jpg", "00002.webp", "00003.TIF", "Thumbs.db", "notes.txt", "._00004.jpg"):
        (tmp_path / name).touch()
    found = frames.list_frames(tmp_path)
    assert found.names == ("00001.jpg",) and found.odd == ("00002.webp", "00003.TIF", "face.jpg")


def test_a_video_that_is_a_link_to_nothing_is_not_passed_over(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    assert list(frames.list_videos([tmp_path])) == ["a", "b"]
    (tmp_path / "c").symlink_to("unmounted")
    with pytest.raises(InputError, match="c: a link to nothing"):
        frames.list_videos([tmp_path])
