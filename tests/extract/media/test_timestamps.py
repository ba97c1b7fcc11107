"""Times of pictures where there are more packets than the decoder gives pictures, and where packets are trusted."""

from fractions import Fraction

import av
import numpy as np
import pytest

from extract.media import timestamps, video
from extract.media.timestamps import decode_times, picture_times

MPEGTS_PACKET = 188


def write(path, codec, count=100, gop=25, keep=lambda place, packet: True, **options):
    """A video of moving stripes at 25 pictures a second; of its packets those that `keep` says, by their place."""
    place = 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        if codec == "mpeg2video":
            stream.codec_context.max_b_frames = 2
        for number in [*range(count), None]:
            frame = None
            if number is not None:
                pixels = np.full((64, 64, 3), 2 * number % 256, np.uint8)
                pixels[number % 64] = 255
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in stream.encode(frame):
                if keep(place, packet):
                    container.mux(packet)
                place += 1
    return path


def opened(path):
    container = av.open(str(path))
    return container, container.streams.video[0]


def packets_of(path):
    container, stream = opened(path)
    with container:
        return sum(packet.size > 0 for packet in container.demux(stream))


def stated(path):
    container, stream = opened(path)
    with container:
        return timestamps.read_stated_times(container, stream)


OPEN = "open-gop=1:keyint=26:min-keyint=1:scenecut=0:b-adapt=0:bframes=3"
"""Of x264 and x265: the pictures shown just before a key picture may be predicted from it and from the group before."""
AVC = {"x264-params": OPEN}
HEVC = {"preset": "ultrafast", "x265-params": f"{OPEN}:log-level=0"}


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.mp4", "libx264", {}),
        ("v.mkv", "libx264", AVC),
        ("v.mp4", "libx265", HEVC),
    ],
)
def test_packets_of_whole_streams_are_trusted_and_right(tmp_path, name, codec, options):
    path = write(tmp_path / name, codec, **options)
    for found in (stated(path), decode_times(path), picture_times(path)):
        np.testing.assert_allclose(found, np.arange(100) / 25, atol=1e-6)


@pytest.mark.parametrize(("codec", "options"), [("mpeg2video", {}), ("libx264", {}), ("libx265", HEVC)])
def test_a_broadcast_cut_in_the_middle_has_the_pictures_that_the_decoder_gives(tmp_path, codec, options):
    whole = write(tmp_path / "whole.ts", codec, gop=12, **options)
    data, path = whole.read_bytes(), tmp_path / "v.ts"
    path.write_bytes(data[len(data) // 5 // MPEGTS_PACKET * MPEGTS_PACKET :])
    found = picture_times(path)
    assert len(found) == len(list(video.read(path))) < 100
    assert packets_of(path) > len(found) or codec == "libx264"
    np.testing.assert_allclose(found, picture_times(whole)[-len(found) :], atol=1e-6)


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
@pytest.mark.parametrize(("codec", "options"), [("libx264", AVC), ("libx265", HEVC)])
def test_pictures_that_lack_what_they_were_predicted_from_are_left_out(tmp_path, ending, codec, options):
    """A stream that begins at its second open group of pictures: those shown before its first one are not decoded."""
    keys = []

    def later(place, packet):
        keys.extend([place] if packet.is_keyframe else [])
        return len(keys) > 1

    path = write(tmp_path / f"v{ending}", codec, keep=later, **options)
    found = picture_times(path)
    assert stated(path) is None and packets_of(path) > len(found) == len(list(video.read(path)))
    np.testing.assert_allclose(np.diff(found), 1 / 25, atol=1e-6)


def test_hidden_pictures_are_not_counted(tmp_path):
    """Of VP8 only the bit in a packet's first byte says whether it is shown."""

    def hide(place, packet):
        if place in (10, 40, 41):
            data = bytearray(bytes(packet))
            data[0] &= ~0x10
            packet.update(bytes(data))
        return True

    path = write(tmp_path / "v.webm", "libvpx", keep=hide)
    assert packets_of(path) == 100 and len(list(video.read(path))) == 97
    shown = [k for k in range(100) if k not in (10, 40, 41)]
    np.testing.assert_allclose(picture_times(path), np.array(shown) / 25, atol=1e-6)


def test_pictures_of_two_fields_are_decoded(tmp_path):
    path = write(tmp_path / "v.mp4", "libx264", **{"x264-params": "tff=1"})
    assert stated(path) is None
    np.testing.assert_allclose(picture_times(path), np.arange(100) / 25, atol=1e-6)


def test_packets_that_the_decoder_contradicts_are_not_trusted(tmp_path, monkeypatch):
    path = write(tmp_path / "v.mp4", "libx264")
    monkeypatch.setattr(timestamps, "read_stated_times", lambda container, stream: np.arange(200) / 50)
    np.testing.assert_allclose(picture_times(path), np.arange(100) / 25, atol=1e-6)


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_a_clock_that_begins_anew_is_continued(tmp_path, codec):
    path = write(tmp_path / "v.ts", codec, gop=12)
    once = picture_times(path)
    path.write_bytes(2 * path.read_bytes())
    found = picture_times(path)
    assert 198 <= len(found) <= 200
    np.testing.assert_allclose(found[: len(once) - 2], once[:-2], atol=1e-6)
    np.testing.assert_allclose(np.diff(found), 1 / 25, atol=0.05)
    assert (np.diff(found) > 0).all()


def test_a_raw_stream_without_times_is_decoded(tmp_path):
    path = write(tmp_path / "v.h264", "libx264")
    assert len(picture_times(path)) == len(list(video.read(path))) == 100
