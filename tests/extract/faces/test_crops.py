"""A video that changes while it is cropped is named as broken, and those behind it are done."""

import av
import numpy as np
import pytest

from extract.faces import crop_videos
from extract.media import frames, video

SQUARE = [20, 30, 24, 24, 0.95]


def encode(path, count=30):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        for k in range(count):
            pixels = np.full((96, 96, 3), 20 + 4 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def videos(tmp_path, monkeypatch):
    """Three videos with one face that never moves."""
    monkeypatch.setattr(crop_videos, "yunet", lambda path: lambda pixels: np.array([SQUARE]))
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mkv", "b.mkv", "c.mkv"):
        encode(folder / name)
    return folder


def test_a_file_that_is_still_being_copied_is_broken_and_done_once_it_is_complete(
    tmp_path, videos, monkeypatch, capsys
):
    path, whole, read = videos / "b.mkv", (videos / "b.mkv").read_bytes(), video.read
    path.write_bytes(whole[: len(whole) // 2])

    def copied(file):
        try:
            yield from read(file)
        except video.BrokenVideo:
            path.write_bytes(whole)
            raise

    monkeypatch.setattr(video, "read", copied)
    assert crop_videos.command(videos, tmp_path / "out") == 1
    assert sorted(frames.list_videos([tmp_path / "out"])) == ["a", "c"]
    assert "b.mkv: changed while it was read" in capsys.readouterr().err
    monkeypatch.setattr(video, "read", read)
    assert crop_videos.command(videos, tmp_path / "out") == 0
    assert len(frames.list_frames(tmp_path / "out" / "b").names) == 30


@pytest.mark.parametrize("change", ["shorter", "gone"])
def test_a_file_that_loses_frames_between_the_readings_does_not_stop_the_others(tmp_path, videos, monkeypatch, change):
    path, read = videos / "b.mkv", video.read

    def changing(file):
        yield from read(file)
        if file == path:
            path.unlink()
            if change == "shorter":
                encode(path, 10)

    monkeypatch.setattr(video, "read", changing)
    report = crop_videos.crop_files(video.list_files(videos), tmp_path / "out")
    assert report.broken == {"b": "b.mkv: changed while it was read"} and report.crops == 60
    assert sorted(frames.list_videos([tmp_path / "out"])) == ["a", "c"]
    assert list((tmp_path / "out" / ".crops").glob("*.part")) == []


def test_a_file_that_vanishes_while_it_is_read_is_broken(tmp_path):
    path = encode(tmp_path / "a.mkv")
    reading = video.read(path)
    next(reading)
    path.unlink()
    with pytest.raises(video.BrokenVideo, match=r"it cannot be read any more \(No such file or directory\)"):
        list(reading)
