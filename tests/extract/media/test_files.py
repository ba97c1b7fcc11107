import re

import pytest

from extract.media import files as media_files
from extract.runtime.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.avi", "b.wav", "c_left.flac", "c.mp4", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "crops.mp4").mkdir()
    return tmp_path


def test_every_name_has_its_files_and_the_rest_is_left_out(folder):
    found = media_files.list_files([folder])
    assert {name: [path and path.name for path in (files.video, files.sound)] for name, files in found.items()} == {
        "a": ["a.mp4", None],
        "b": ["b.avi", "b.wav"],
        "c": ["c.mp4", None],
        "c_left": [None, "c_left.flac"],
    }


@pytest.mark.parametrize(
    ("video", "pictures", "sound"),
    [
        ("a", "a.mp4", "a.mp4"),
        ("a_left", "a.mp4", "a.mp4"),
        ("a_right", "a.mp4", "a.mp4"),
        ("b", "b.avi", "b.wav"),
        ("b_left", "b.avi", "b.wav"),
        ("c_left", "c.mp4", "c_left.flac"),
        ("c_right", "c.mp4", "c.mp4"),
    ],
)
def test_a_sound_file_has_the_sound_and_the_video_the_pictures_of_both_people(folder, video, pictures, sound):
    found = media_files.find(video, media_files.list_files([folder]))
    assert found == media_files.Files(folder / pictures, folder / sound)


@pytest.mark.parametrize("video", ["d", "d_left", "a_up"])
def test_no_file(folder, video):
    assert media_files.find(video, media_files.list_files([folder])) == media_files.Files()


def test_several_folders_and_two_files_of_one_video(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "d.mkv").touch()
    assert set(media_files.list_files([folder, other])) == {"a", "b", "c", "c_left", "d"}
    (other / "a.mov").touch()
    with pytest.raises(InputError, match=rf"{re.escape(str(other))}/a\.mov: the video of 'a' is also in .*a\.mp4"):
        media_files.list_files([folder, other])


def test_folders_without_any(tmp_path):
    with pytest.raises(InputError, match=r"none: folder of videos cannot be read .*corpus\.videos"):
        media_files.list_files([tmp_path / "none"])
    with pytest.raises(InputError, match="no videos or sound files here"):
        media_files.list_files([tmp_path])
