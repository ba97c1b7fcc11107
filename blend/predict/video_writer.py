"""Drawn frames -> an MP4 that browsers play: H.264, the source's frame times, and its sound where MP4 takes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.predict.source import Timing
from extract.media import streams
from extract.runtime.run_folder import write_whole

CODECS = {"libx264": {"preset": "veryfast", "crf": "21"}, "libopenh264": {}, "mpeg4": {"qscale": "3"}}
"""Encoders, the best first, with their settings; the last one is everywhere, but browsers do not play it."""
SOUND = ("aac", "mp3", "mp3float", "ac3", "eac3", "opus", "flac", "alac")
"""Codecs of sound that MP4 can hold: copied as it is."""
TICKS = 90_000
"""Per second: the clock of frames that do not follow at a constant rate."""


def write(
    path: Path, frames: Iterator[NDArray[np.uint8]], size: tuple[int, int], timing: Timing, sound: Path | None = None
) -> str:
    """Encode RGB frames [height, width, 3] of `size` (width, height); one is in memory at a time.

    The sound of the file `sound` is copied, from the first frame's time on. Returns what became of it, in a word or
    two; empty: there was none.
    """
    import av

    with write_whole(path) as temporary, ExitStack() as stack:
        options = {"movflags": "faststart"}
        out = stack.enter_context(av.open(streams.location(temporary), "w", format="mp4", options=options))
        stream = _picture_stream(out, size, timing)
        said, packets = _open_sound(sound, out, stack) if sound is not None else ("", iter(()))
        heard, ticks = next(packets, None), _pts(timing)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = int(ticks[number]), stream.codec_context.time_base
            out.mux(stream.encode(frame))
            while heard is not None and heard[0] < float(timing.seconds[number] + 1 / timing.rate):
                out.mux(heard[1])
                heard = next(packets, None)
        out.mux(stream.encode())
    return said


def _picture_stream(out: Any, size: tuple[int, int], timing: Timing) -> Any:
    import av

    codec = next(name for name in CODECS if name in av.codecs_available)
    if codec == "mpeg4":
        print("warning: this PyAV has no H.264: browsers will not play the annotated video", file=sys.stderr)
    rate = timing.rate.limit_denominator(65_535)
    stream = out.add_stream(codec, rate=rate, options=CODECS[codec])
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = 1 / rate if timing.constant else Fraction(1, TICKS)
    return stream


def _pts(timing: Timing) -> NDArray[np.int64]:
    """When each frame is shown, in the stream's time base; rising."""
    if timing.constant:
        return np.arange(len(timing.seconds))
    ticks = np.round(timing.seconds * TICKS).astype(np.int64)
    return np.maximum.accumulate(ticks - np.arange(len(ticks))) + np.arange(len(ticks))


def _open_sound(path: Path, out: Any, stack: ExitStack) -> tuple[str, Iterator[tuple[float, Any]]]:
    """What becomes of a file's first sound, and its packets for `out`, where MP4 takes its codec."""
    import av

    try:
        container = stack.enter_context(streams.open_container(path))
    except (av.FFmpegError, OSError, ValueError):
        return "", iter(())
    if not container.streams.audio or not streams.film(container):
        return "", iter(())
    sound = container.streams.audio[0]
    if (codec := streams.codec(sound)) not in SOUND:
        return f"left out ({codec})", iter(())
    return "copied", _packets(container, sound, out.add_stream_from_template(sound))


def _packets(container: Any, sound: Any, stream: Any) -> Iterator[tuple[float, Any]]:
    """The packets of a sound for `stream`, each with the second of the picture at which it is heard; rising."""
    import av

    picture, latest = streams.film(container), None
    start = float((picture.start_time or 0) * picture.time_base)
    with suppress(av.FFmpegError, OSError):  # the sound breaks off: the picture goes on
        for packet in container.demux(sound):
            if packet.pts is None or not packet.size:
                continue
            if latest is not None and packet.pts <= latest:
                return  # the clock begins anew, as in joined recordings: what is behind belongs to no known time
            latest, at = packet.pts, float(packet.pts * packet.time_base) - start
            if at >= 0:
                packet.pts -= round(start / packet.time_base)
                packet.dts, packet.stream = packet.pts, stream
                yield at, packet
