"""Recordings put end to end, names that look like a protocol, and which stream is the film."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from extract.media import streams, timestamps, video


def record(path, shades, codec="libx264", rate=25, options=None, **muxer):
    """A frame of each shade of grey."""
    with av.open(str(path), "w", options=muxer) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for shade in shades:
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), shade, np.uint8), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


def read(path):
    """The mean of every frame, and the text of BrokenVideo or None."""
    shades = []
    try:
        shades.extend(pixels.mean() for pixels in video.read(Path(path)))
    except video.BrokenVideo as error:
        return np.array(shades), str(error)
    return np.array(shades), None


def count_of_opencv(path):
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_recordings_put_end_to_end_are_read_to_the_end_whatever_their_clocks_say(tmp_path, codec):
    # broadcast (.ts) and AVCHD (.m2ts) pieces of 21, 30 and 17 frames: clocks begin anew, jump back, and an hour ahead
    shades = np.linspace(20, 230, 68).round().astype(int)
    for name, muxer in (("joined.ts", {}), ("joined.m2ts", {"mpegts_m2ts_mode": "1"})):
        for starts in ((0, 0, 0), (50, 0, 30), (0, 3600, 10), (7, 6, 5)):
            pieces = [
                record(tmp_path / f"{i}.ts", part, codec, output_ts_offset=str(start), **muxer)
                for i, (start, part) in enumerate(zip(starts, np.split(shades, [21, 51]), strict=True))
            ]
            path = tmp_path / name
            path.write_bytes(b"".join(pieces))
            means, broken = read(path)
            assert (len(means), broken) == (68, None), (name, starts, broken)
            assert count_of_opencv(path) == 68
            np.testing.assert_allclose(means, shades, atol=4)  # in order, none twice
            rate, seconds = timestamps.read_frame_times(path, 68)
            assert rate == 25
            np.testing.assert_allclose(
                seconds, np.arange(68) / 25, atol=0.09
            )  # they follow, without a pause of an hour
            assert len(timestamps.picture_times(path)) == 68


def test_pieces_of_a_stream_for_the_web_are_one_recording(tmp_path):
    shades = np.linspace(20, 230, 60).round().astype(int)
    record(tmp_path / "a.m3u8", shades, options={"g": "15"}, hls_time="0.6", hls_list_size="0")
    pieces = sorted(tmp_path.glob("a*.ts"), key=lambda path: (len(path.name), path.name))
    assert len(pieces) >= 3
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    means, broken = read(whole)
    assert (len(means), broken) == (60, None)
    np.testing.assert_allclose(means, shades, atol=4)


def test_a_loss_in_a_recording_is_said_and_what_is_behind_it_is_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 96, 3), np.uint8)
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "100", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for pixels in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert read(path)[1] is None
    middle = len(data) // 188 // 2 * 188
    path.write_bytes(data[:middle] + data[middle + 3 * 188 :])
    means, broken = read(path)
    assert len(means) == count_of_opencv(path) == len(timestamps.picture_times(path)) >= 47
    assert "lacks a piece behind frame 2" in broken and "numbered as they come" in broken


def test_the_clock_goes_on_behind_a_joint_for_pictures_in_any_order():
    base, rate = Fraction(1, 90_000), Fraction(25)  # 3,600 ticks a picture
    shown, decoded = [0, 7200, 3600], [-3600, 0, 3600]
    for start, goes_on in ((0, 10_800), (-5_000_000, 10_800), (904_000 + 7200, 10_800), (903_000, 903_000)):
        later = [start + time for time in shown], [start + time for time in decoded]
        found = streams.continue_clock(shown + later[0], decoded + later[1], base, rate)
        assert found == shown + [goes_on + time for time in shown], start  # the last is a pause of under ten seconds


def test_a_name_like_a_protocol_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = record(tmp_path / "plain.mp4", [40, 90, 140, 190])
    for name in ("2023-11-05T09:15:59.mp4", "http:film.mp4", "concat:a|b.mp4", "C:film.mp4", "-i.mp4", "a%02d.mp4"):
        Path(name).write_bytes(data)
        means, broken = read(name)
        assert (len(means), broken) == (4, None), name
        assert video.read_frame_count(Path(name)) == 4
        assert timestamps.read_frame_times(Path(name), 4)[1][3] == pytest.approx(3 / 25)
        assert len(timestamps.picture_times(Path(name))) == 4


def test_thumbnails_and_covers_are_not_the_film(tmp_path):
    for name, first in (("thumbnail.mov", "mjpeg"), ("cover.mp4", "png")):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            small = container.add_stream(first, rate=25)
            small.width, small.height, small.pix_fmt = 32, 32, "yuvj420p" if first == "mjpeg" else "rgb24"
            film = container.add_stream("libx264", rate=25)
            film.width, film.height, film.pix_fmt = 96, 64, "yuv420p"
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 255, np.uint8), format="rgb24")
            container.mux(small.encode(picture.reformat(format=small.pix_fmt)))
            for shade in range(40, 100, 5):
                frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), shade, np.uint8), format="bgr24")
                container.mux(film.encode(frame))
            container.mux(small.encode())
            container.mux(film.encode())
        means, broken = read(path)
        assert (len(means), broken) == (12, None), name
        np.testing.assert_allclose(means, range(40, 100, 5), atol=4)
        assert video.read_frame_count(path) == len(timestamps.read_frame_times(path, 12)[1]) == 12
        assert len(timestamps.picture_times(path)) == 12


def test_a_picture_is_a_video_of_one_frame_upright_and_a_damaged_one_is_broken(tmp_path):
    from PIL import Image

    wide = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    for name, mode in (("a.png", "RGB"), ("a.bmp", "RGB"), ("a.tif", "RGB"), ("a.WebP", "RGB"), ("grey.png", "L")):
        picture = Image.fromarray(wide).convert(mode)
        picture.save(tmp_path / name, lossless=True)
        (frame,) = video.read(tmp_path / name)
        np.testing.assert_array_equal(frame[:, :, ::-1], np.asarray(picture.convert("RGB")))
    exif = Image.Exif()
    exif[0x0112] = 6  # a phone held upright: to be turned a quarter clockwise
    Image.fromarray(wide).save(tmp_path / "phone.jpg", quality=100, subsampling=0, exif=exif)
    (frame,) = video.read(tmp_path / "phone.jpg")
    assert np.abs(frame[:, :, ::-1].astype(int) - np.rot90(wide, -1)).mean() < 4
    assert len(timestamps.read_frame_times(tmp_path / "phone.jpg", 1)[1]) == 1
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "phone.jpg").read_bytes()[:300])
    assert "damaged picture" in read(tmp_path / "cut.jpg")[1]
    shades = [Image.new("RGB", (32, 32), (k, k, k)) for k in (40, 120, 200)]
    shades[0].save(tmp_path / "a.gif", save_all=True, append_images=shades[1:], duration=100)
    means, broken = read(tmp_path / "a.gif")  # a film
    assert broken is None
    np.testing.assert_allclose(means, [40, 120, 200], atol=2)
    assert video.list_files(tmp_path) == {"a": tmp_path / "a.gif"}


def test_the_face_in_a_video_of_one_frame_is_found(tmp_path):
    from extract.faces import crops

    for count in (1, 2):
        record(tmp_path / f"{count}.mp4", [90] * count)
        said, _ = crops.crop_video(
            tmp_path / f"{count}.mp4", [tmp_path / f"out{count}"], 16, lambda _: np.array([[9, 9, 30, 30, 0.9]]),
            lambda _: None,
        )  # fmt: skip
        assert (said["frames"], said["crops"], said["broken"]) == (count, count, None)
