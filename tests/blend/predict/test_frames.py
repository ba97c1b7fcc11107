"""Frames in memory as a video: the same pixels at the same times, and what is none is refused in one line."""

from fractions import Fraction

import numpy as np
import pytest

from blend.predict import frames
from extract.media import timestamps
from extract.runtime.errors import InputError

FRAMES = np.random.default_rng(0).integers(0, 256, (7, 33, 45, 3), dtype=np.uint8)  # noise, and odd sizes


class Tensor:
    """What has its pixels as an array, as tensors and pictures of other libraries."""

    def __init__(self, pixels):
        self.pixels = pixels

    def __array__(self, dtype=None, copy=None):
        return self.pixels


@pytest.mark.parametrize("fps", [30, 12.5, 29.97, 1000, 0.5])
@pytest.mark.parametrize("kind", [np.asarray, iter, list, Tensor, lambda pixels: map(Tensor, pixels)])
def test_a_video_has_the_pixels_and_the_times_of_its_frames(tmp_path, kind, fps):
    clip = frames.as_video(kind(FRAMES), tmp_path, fps)
    np.testing.assert_array_equal([picture[..., ::-1] for picture in clip.pictures(7)], FRAMES)
    rate, seconds = timestamps.read_frame_times(clip.path, 7)
    assert rate == Fraction(str(fps))
    np.testing.assert_allclose(seconds, np.arange(7) / fps, rtol=1e-12)


def test_one_picture_is_a_video_of_one_frame(tmp_path):
    clip = frames.as_video(FRAMES[0], tmp_path, 30)
    [picture] = clip.pictures(1)
    np.testing.assert_array_equal(picture[..., ::-1], FRAMES[0])


def test_frames_that_are_cut_out_or_turned_are_taken_as_they_look(tmp_path):
    turned = FRAMES[::-1, 3:30:2, ::-1]
    clip = frames.as_video(turned, tmp_path, 30)
    np.testing.assert_array_equal([picture[..., ::-1] for picture in clip.pictures(7)], turned)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (FRAMES[:0], "frames: found none, expected one at least"),
        (iter([]), "frames: found none"),
        (FRAMES / 255, r"frame 1: found float64 \[33, 45, 3\], expected uint8 \[H, W, 3\] in RGB; .*\* 255"),
        (FRAMES[..., :2], r"frame 1: found uint8 \[33, 45, 2\], expected uint8"),
        (np.dstack([FRAMES[0], FRAMES[0][..., :1]]), r"picture: found uint8 \[33, 45, 4\].*leave out the fourth"),
        (FRAMES[0, ..., 0], r"array: found uint8 \[33, 45\], expected uint8 \[T, H, W, 3\], or one picture"),
        ([*FRAMES[:2], FRAMES[0, 1:]], r"frame 3: found \[32, 45, 3\], expected \[33, 45, 3\] as the first"),
        (["a.mp4", "b.mp4"], "frame 1: found <U5 .*each video by a call of its own"),
        (7, "source: found int, expected a path, an array of frames, or an iterator"),
        ("gone.mp4", "gone.mp4: no such video"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, source, said):
    with pytest.raises(InputError, match=said):
        frames.as_video(source, tmp_path, 30)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1001])
def test_a_rate_that_is_none_is_refused(tmp_path, fps):
    with pytest.raises(InputError, match=f"fps {fps}: expected frames per second"):
        frames.as_video(FRAMES, tmp_path, fps)


def test_what_the_frames_themselves_raise_comes_through(tmp_path):
    def broken():
        yield FRAMES[0]
        raise KeyError("a camera that is unplugged")

    with pytest.raises(KeyError, match="unplugged"):
        frames.as_video(broken(), tmp_path, 30)
