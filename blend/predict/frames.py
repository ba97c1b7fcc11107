"""Frames in memory -> a file without loss, which is read as anybody's video is: their predictions are the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blend.predict import source as video_source
from blend.predict.source import VideoSource
from extract.media import streams
from extract.runtime.errors import InputError

Source = str | Path | NDArray[np.uint8] | Iterable[NDArray[np.uint8]]
"""What can be predicted: the path of a video, a picture or a folder; frames [T, H, W, 3] or one picture [H, W, 3],
uint8 in RGB; or whatever gives such pictures one by one, all of one size.
"""
CODEC = "qtrle"
"""Of QuickTime: RGB as it is, quick, and in every FFmpeg. On disk it is about half of the pixels."""
NAME = "frames"
"""What the file is called."""
FASTEST = 1000.0
"""Frames per second."""


def as_video(source: Source, work: Path, fps: float) -> VideoSource:
    """A source as a video; frames in memory become a file in the folder `work`, one frame at a time.

    Raises InputError for a path that is no video, for frames that are not uint8 [H, W, 3] or not all of one size, for
    none at all, and for a rate that is none.
    """
    if not 0 < fps <= FASTEST:
        raise InputError(f"fps {fps}: expected frames per second, above 0 and at most {FASTEST:g}")
    if isinstance(source, str | Path):
        [clip] = video_source.clips([Path(source)], fps)
        return clip
    if hasattr(source, "__array__") or hasattr(source, "__array_interface__"):
        source = np.asarray(source)
        if source.ndim == 3:
            Image.fromarray(_check(source, "picture")).save(work / f"{NAME}.png", compress_level=1)
            return VideoSource(work / f"{NAME}.png", fps)
        if source.ndim != 4:
            raise _refusal(source, "array", "[T, H, W, 3], or one picture [H, W, 3]")
    elif not isinstance(source, Iterable):
        raise InputError(f"source: found {type(source).__name__}, expected a path, an array of frames, or an iterator")
    return VideoSource(_write_video(source, work / f"{NAME}.mov", fps), fps)


def _refusal(pixels: NDArray[Any], what: str, expected: str) -> InputError:
    """What to say of an array that is no picture, and what to do."""
    advice = "predict each video by a call of its own" if pixels.dtype.kind in "US" else "convert it"
    if pixels.dtype.kind == "f":
        advice = "from 0 to 1 it would be (frames * 255).round().astype(numpy.uint8)"
    elif pixels.shape[-1:] == (4,):
        advice = "leave out the fourth channel: frames[..., :3]"
    return InputError(f"{what}: found {pixels.dtype} {list(pixels.shape)}, expected uint8 {expected} in RGB; {advice}")


def _check(picture: Any, what: str) -> NDArray[np.uint8]:
    """A picture that is one. Raises InputError for anything else."""
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise _refusal(pixels, what, "[H, W, 3]")
    return np.ascontiguousarray(pixels)


def _checked(frames: Iterable[Any]) -> Iterator[NDArray[np.uint8]]:
    """Frames, all of the size of the first. Raises InputError, with its number, for one that is not."""
    shape: tuple[int, ...] = ()
    for number, frame in enumerate(frames, 1):
        pixels = _check(frame, f"frame {number}")
        if pixels.shape != (shape := shape or pixels.shape):
            raise InputError(
                f"frame {number}: found {list(pixels.shape)}, expected {list(shape)} as the first; resize it, or "
                f"predict it by a call of its own"
            )
        yield pixels
    if not shape:
        raise InputError("frames: found none, expected one at least")


def _write_video(frames: Iterable[Any], path: Path, fps: float) -> Path:
    import av

    with av.open(streams.location(path), "w", format="mov") as out:
        stream = out.add_stream(CODEC, rate=Fraction(fps).limit_denominator(1001))
        stream.pix_fmt = "rgb24"
        for number, pixels in enumerate(_checked(frames)):
            if not number:
                stream.height, stream.width = pixels.shape[:2]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
    return path
