"""How a video file is opened, which of its streams is the film, and where its clock begins anew."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from extract.runtime import inputs

JUMP_SECONDS = 10.0
"""By so much the clock of a recording that was joined from several must jump ahead; as FFmpeg's dts_delta_threshold."""
CONCATENATED_FORMATS = ("mpegts", "mpeg")
"""FFmpeg's names of formats whose clock may begin anew in the middle (its AVFMT_TS_DISCONT): files put end to end."""
PICTURES = ("mjpeg", "png", "bmp", "gif", "webp", "tiff", "jpeg2000")
"""Codecs of still pictures; a film may be in them, but not beside a stream of another."""


def location(path: Path) -> str:
    """What FFmpeg and OpenCV open: the full path, for a name like `10:30.mp4` would be taken for a protocol."""
    return str(path.absolute())


def open_container(path: Path) -> Any:
    """A file as an open PyAV container. Raises OSError for what is no file, and what av.open raises."""
    import av

    if why := inputs.problem(path):
        raise OSError(why)
    return av.open(location(path))


def film(container: Any) -> Any:
    """The picture stream of an open PyAV container that is the film; None where there is none.

    The first that is no cover or thumbnail: neither marked so, nor one picture beside a stream of more, nor in a still
    picture's codec beside a film's.
    """
    import av

    marked = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & marked]
    return min(streams, key=lambda item: (item.frames == 1, codec(item) in PICTURES), default=None)


def codec(stream: Any) -> str:
    """FFmpeg's name of a stream's codec; empty where it has no decoder for it."""
    return stream.codec_context.name if stream.codec_context is not None else ""


def continue_clock(shown: list[int], decoded: list[int], base: Fraction, rate: Fraction) -> list[int]:
    """When pictures are shown, in ticks of `base` seconds, where the clock of a file in CONCATENATED_FORMATS may begin
    anew: then they go on a picture's time behind the others. `decoded` are the times by which they are decoded, as they
    lie in the file: those only rise, by JUMP_SECONDS at most.
    """
    result, shift = [], 0
    for i, (time, at) in enumerate(zip(shown, decoded, strict=True)):
        if i and not 0 <= at - decoded[i - 1] <= JUMP_SECONDS / base:
            shift += decoded[i - 1] + round(1 / (rate * base)) - at
        result.append(time + shift)
    return result
