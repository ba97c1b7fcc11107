"""Drawn frames -> an MP4 that browsers play: H.264, the source's frame times, and its sound where MP4 takes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
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
        source = _Sound.of(sound, stack) if sound is not None else None
        said = source.open(out) if source is not None else ""
        rate, ticks = timing.rate, _pts(timing)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = int(ticks[number]), stream.codec_context.time_base
            out.mux(stream.encode(frame))
            if source is not None:
                source.copy_until(out, float(timing.seconds[number] + 1 / rate))
        out.mux(stream.encode())
    return said


def _picture_stream(out: Any, size: tuple[int, int], timing: Timing) -> Any:
    import av

    known = [name for name in CODECS if name in av.codecs_available]
    codec = known[0]
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


class _Sound:
    """The sound of a file, packet by packet."""

    def __init__(self, container: Any) -> None:
        self.container, self.stream = container, container.streams.audio[0]
        self.packets = container.demux(self.stream)
        picture = streams.film(container)
        self.start = float((picture.start_time or 0) * picture.time_base)
        self.out: Any = None
        self.next: Any = None
        self.latest: int | None = None
        """The time of the last packet that was copied, in its own ticks."""

    @staticmethod
    def of(path: Path, stack: ExitStack) -> _Sound | None:
        """The first sound stream of a file; None where there is none."""
        import av

        try:
            container = stack.enter_context(streams.open_container(path))
        except (av.FFmpegError, OSError, ValueError):
            return None
        return _Sound(container) if container.streams.audio and streams.film(container) else None

    def open(self, out: Any) -> str:
        """Add a stream for it, if MP4 takes the codec. Returns what becomes of it."""
        codec = streams.codec(self.stream)
        if codec not in SOUND:
            return f"left out ({codec})"
        self.out = out.add_stream_from_template(self.stream)
        self._step()
        return "copied"

    def copy_until(self, out: Any, seconds: float) -> None:
        """Copy what is heard before a time of the picture."""
        while self.out is not None and self.next is not None:
            at = float(self.next.pts * self.next.time_base) - self.start
            if at >= seconds:
                return
            if self.latest is not None and self.next.pts <= self.latest:
                # the clock begins anew, as in joined recordings: what is behind belongs to a time that is not known
                self.next = None
                return
            self.latest = self.next.pts
            if at >= 0:
                shift = round(self.start / self.next.time_base)
                self.next.pts -= shift
                self.next.dts = self.next.pts
                self.next.stream = self.out
                out.mux(self.next)
            self._step()

    def _step(self) -> None:
        import av

        try:
            self.next = next((packet for packet in self.packets if packet.pts is not None and packet.size), None)
        except (av.FFmpegError, OSError):
            self.next = None  # the sound breaks off: the picture goes on
