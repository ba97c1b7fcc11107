"""Folders of crops as videos: gaps, damaged and odd-sized pictures, names."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from blend.predict import source as video_source
from blend.predict.source import Timing, VideoSource
from extract.runtime.errors import InputError


def crops(folder, sizes):
    """Pictures whose brightness is their number; `sizes` by number, 0: a damaged one."""
    folder.mkdir()
    for number, size in sizes.items():
        path = folder / f"{number:05d}.png"
        if size:
            cv2.imwrite(str(path), np.full((size, size + 4, 3), number, np.uint8))
        else:
            path.write_bytes(b"no picture")
    return folder


def test_a_folder_is_as_long_as_its_last_frame_and_gaps_are_grey(tmp_path):
    clip = VideoSource(crops(tmp_path / "v.1", {2: 0, 3: 20, 5: 30}), 12.5)
    assert clip.name == "v.1"
    found = clip.find_faces(tmp_path / "work", 1, 112, None)
    assert found.frames == 5 and found.timing.rate == Fraction(25, 2) and found.timing.constant
    assert found.people[0][0].tolist() == [2, 3, 5]
    shown = list(clip.pictures(found.frames))
    assert {picture.shape for picture in shown} == {(20, 24, 3)}, "all of one size"
    assert [int(np.median(picture)) for picture in shown] == [40, 40, 3, 40, 5]
    again = clip.find_faces(tmp_path / "work", 1, 112, None)
    assert again.frames == 5, "what is linked already is taken"


def test_a_folder_is_another_one_when_pictures_come_or_go(tmp_path):
    clip = VideoSource(crops(tmp_path / "v", {1: 8, 2: 8}), 30)
    before = clip.facts()
    assert clip.facts() == before
    (clip.path / "00002.png").unlink()
    assert clip.facts() != before


@pytest.mark.parametrize("name", [".hidden", "a\nb"])
def test_names_that_cannot_be_a_folders_are_refused(tmp_path, name):
    crops(tmp_path / name, {1: 8})
    with pytest.raises(InputError, match=r"the video name .*; choose another name"):
        video_source.clips([tmp_path / name], 30)


def test_two_files_of_one_name_are_refused(tmp_path):
    for name in ("a.mp4", "a.mkv"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"a\.mkv: .*a\.mp4 is called 'a' too"):
        video_source.clips([tmp_path / "a.mp4", tmp_path / "a.mkv"], 30)


def test_times_are_constant_to_half_a_millisecond():
    times = np.arange(6) / 25
    assert Timing(Fraction(25), times + 4e-4).constant
    assert not Timing(Fraction(25), times + np.arange(6) * 2e-4).constant
