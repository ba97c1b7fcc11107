"""Times of frames from packets, against what a decoder says."""

from fractions import Fraction

import av
import numpy as np
import pytest

from extract.media import timestamps


def encode(path, ticks, base, **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(options.pop("codec", "libx264"), rate=25, options={"bf": "2"} | options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = base
        for k, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 7 * k % 255, np.uint8), format="rgb24")
            frame.pts, frame.time_base = tick, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decoded(path):
    with av.open(str(path)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    return np.array(times) - times[0]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_uneven_frames_that_were_reordered_have_the_decoders_times(tmp_path, name):
    ticks = [0, 40, 80, 95, 200, 240, 500, 501, 640, 700]
    path = encode(tmp_path / name, ticks, Fraction(1, 1000))
    _, seconds = timestamps.read_frame_times(path, 10)
    np.testing.assert_allclose(seconds, decoded(path), atol=1e-9)
    np.testing.assert_allclose(seconds, np.array(ticks) / 1000, atol=1e-3)


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30), Fraction(12)])
def test_even_frames_have_the_exact_rate(tmp_path, rate):
    path = encode(tmp_path / "a.mp4", range(8), 1 / rate)
    found, seconds = timestamps.read_frame_times(path, 8)
    assert found == rate
    np.testing.assert_allclose(seconds, np.arange(8) / float(rate), atol=1e-9)


def test_where_packets_and_frames_do_not_match_the_stated_rate_counts(tmp_path):
    path = encode(tmp_path / "a.mp4", range(8), Fraction(1, 25))
    for frames in (5, 12):
        rate, seconds = timestamps.read_frame_times(path, frames)
        assert rate == 25
        np.testing.assert_allclose(seconds, np.arange(frames) / 25)


def test_one_frame_and_no_video_at_all(tmp_path):
    path = encode(tmp_path / "a.mp4", [0], Fraction(1, 25))
    assert timestamps.read_frame_times(path, 1)[1].tolist() == [0]
    (tmp_path / "text.mp4").write_text("no video")
    assert timestamps.read_frame_times(tmp_path / "text.mp4", 2)[1].tolist() == [0, 1 / 25]
