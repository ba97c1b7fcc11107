import re

import pytest

from extract import audio_files
from extract.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.avi", "b.wav", "c_left.flac", "c.mp4", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "crops.mp4").mkdir()
    return tmp_path


def test_a_sound_file_beside_a_video_counts_and_the_rest_is_left_out(folder):
    found = audio_files.list_files([folder])
    assert {name: path.name for name, path in found.items()} == {
        "a": "a.mp4",
        "b": "b.wav",
        "c": "c.mp4",
        "c_left": "c_left.flac",
    }


def test_both_people_share_the_sound_of_their_video_unless_they_have_their_own(folder):
    files = audio_files.list_files([folder])
    for video, expected in {"a": "a.mp4", "a_left": "a.mp4", "a_right": "a.mp4", "c_left": "c_left.flac",
                            "c_right": "c.mp4", "b_left": "b.wav"}.items():  # fmt: skip
        assert audio_files.find(video, files) == folder / expected
    assert audio_files.find("d", files) is None and audio_files.find("d_left", files) is None
    assert audio_files.find("a_up", files) is None


def test_several_folders_and_two_files_of_one_video(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "d.mkv").touch()
    assert set(audio_files.list_files([folder, other])) == {"a", "b", "c", "c_left", "d"}
    (other / "a.mov").touch()
    with pytest.raises(InputError, match=rf"{re.escape(str(other))}/a\.mov: the sound of 'a' is also in .*a\.mp4"):
        audio_files.list_files([folder, other])


def test_folders_without_any(tmp_path):
    with pytest.raises(InputError, match=r"none: folder of videos cannot be read .*corpus\.videos"):
        audio_files.list_files([tmp_path / "none"])
    with pytest.raises(InputError, match="no videos or sound files here"):
        audio_files.list_files([tmp_path])
