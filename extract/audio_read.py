"""A file's sound as mono samples on its own clock, and the times of its pictures, both in bounded memory.

Sample i of the grid is at i / rate seconds of the file's clock, on which its pictures have their times, too: sound that
begins later than the pictures, pauses or drifts stays where it belongs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRIFT = 0.008
"""Seconds by which decoded sound may lie off its stated time before it is moved there: half a frame at 60 a second."""
Block = tuple[int, NDArray[np.float32]]
"""The first sample's place on the grid, and the samples, in [-1, 1]."""


class Unreadable(Exception):
    """The file has no sound that can be read: the text says why."""


@dataclass
class Heard:
    """What came out of a file: `samples` on the grid, the loudest of them, and pieces that could not be decoded."""

    samples: int = 0
    peak: float = 0.0
    damaged: int = 0


def blocks(path: Path, rate: int, heard: Heard) -> Iterator[Block]:
    """Decode a file's first sound stream at `rate` Hz, the mean of its channels.

    Blocks come in order, do not overlap, and may leave gaps; one is about a second long where there is none. Packets
    that cannot be decoded leave gaps and are counted in `heard`. Raises Unreadable before the first block.
    """
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Unreadable(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    with container:
        if not container.streams.audio:
            raise Unreadable("no sound in it")
        yield from _counted(_larger(_resampled(container, rate, heard), rate), heard)


def _resampled(container: Any, rate: int, heard: Heard) -> Iterator[Block]:
    import av

    placed = _Placed(rate)
    for frame in _decoded(container, container.streams.audio[0], heard):
        try:
            yield from placed.take(frame)
        except av.FFmpegError:  # damage that was decoded as a form of sound that there is not
            heard.damaged += 1
            placed.forget()
    yield from placed.rest()


def _larger(blocks: Iterator[Block], size: int) -> Iterator[Block]:
    """Neighbouring blocks as one of at least `size` samples."""
    first, count = 0, 0
    kept: list[NDArray[np.float32]] = []
    for start, samples in blocks:
        if kept and (start != first + count or count >= size):
            yield first, np.concatenate(kept)
            kept, count = [], 0
        first = start if not kept else first
        kept.append(samples)
        count += len(samples)
    if kept:
        yield first, np.concatenate(kept)


def _decoded(container: Any, stream: Any, heard: Heard) -> Iterator[Any]:
    import av

    packets = container.demux(stream)
    while True:
        try:
            if (packet := next(packets, None)) is None:
                return
            yield from packet.decode()
        except (av.FFmpegError, OSError):
            heard.damaged += 1  # where reading itself fails, there are no packets behind


def _counted(some: Iterator[Block], heard: Heard) -> Iterator[Block]:
    for start, samples in some:
        if len(samples):
            samples = samples if np.isfinite(samples).all() else np.nan_to_num(samples, posinf=0, neginf=0)
            heard.samples += len(samples)
            heard.peak = max(heard.peak, float(np.abs(samples).max()))
            yield start, samples


class _Placed:
    """Resamples decoded frames and says where on the grid they belong."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._resampler: Any = None
        self._form: tuple[Any, ...] | None = None
        self._expected: float | None = None
        """Where the next frame should begin, in seconds."""
        self._next = 0
        """Where the resampler's next sample belongs."""
        self._behind: int | None = None
        """The end of what has been given."""

    def take(self, frame: Any) -> Iterator[Block]:
        """Blocks that are ready after one more decoded frame."""
        time = float(frame.time) if frame.time is not None else self._expected or 0.0
        form = frame.format.name, frame.layout.name, frame.sample_rate
        if self._expected is None or form != self._form or abs(time - self._expected) > DRIFT:
            yield from self.rest()
            self._restart(form, time)
        else:
            time = self._expected
        self._expected = time + frame.samples / frame.sample_rate
        frame.pts = None
        yield from self._give(self._resampler.resample(frame))

    def rest(self) -> Iterator[Block]:
        """What the resampler still holds."""
        if self._resampler is not None:
            yield from self._give(self._resampler.resample(None))
        self._resampler = None

    def forget(self) -> None:
        """Drop the frame that cannot be resampled; the next begins at its own time."""
        self._resampler, self._form = None, None

    def _restart(self, form: tuple[Any, ...], time: float) -> None:
        import av

        self._form, self._next = form, round(time * self._rate)
        self._resampler = av.AudioResampler(format="flt", layout=form[1], rate=self._rate)

    def _give(self, frames: list[Any]) -> Iterator[Block]:
        for frame in frames:
            # interleaved: of 8 and more planes, PyAV's to_ndarray ends the process
            samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels).mean(1, dtype=np.float32)
            start, self._next = self._next, self._next + len(samples)
            if self._behind is not None and start < self._behind:  # said twice: the first stays
                samples, start = samples[self._behind - start :], self._behind
            self._behind = max(self._next, self._behind if self._behind is not None else self._next)
            yield start, samples


def picture_times(path: Path) -> NDArray[np.float64]:
    """Seconds of every picture of a video file, rising; empty where there are none. Decodes only where it must.

    A picture's number is its place in what the decoder gives (see extract.video), which is the order of the times.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return np.empty(0)
            stream = container.streams.video[0]
            if stream.disposition & av.stream.Disposition.attached_pic:  # a cover of a sound file
                return np.empty(0)
            times = _stated_times(container, stream)
    except (av.FFmpegError, OSError, ValueError):
        return np.empty(0)
    return times if times is not None else _decoded_times(path)


def _stated_times(container: Any, stream: Any) -> NDArray[np.float64] | None:
    """The times that the packets state; None where they do not state one for every picture."""
    import av

    shown: list[int | None] = []
    decoding: list[int | None] = []
    began = False
    try:
        for packet in container.demux(stream):
            began = began or packet.is_keyframe
            if packet.size and began and not packet.is_discard:
                shown.append(packet.pts)
                decoding.append(packet.dts)
    except (av.FFmpegError, OSError):
        pass  # a file that breaks off has the pictures before
    for stamps in (shown, decoding):  # AVI states only the latter: one picture after the other at a constant rate
        known = [stamp for stamp in stamps if stamp is not None]
        if len(known) == len(stamps) and len(set(known)) == len(known):
            return np.asarray(np.sort(np.array(known, np.int64)) * float(stream.time_base), np.float64)
    return None


def _decoded_times(path: Path) -> NDArray[np.float64]:
    """The times that the decoder gives; pictures without one follow the one before at the usual rate."""
    import av

    times: list[float] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        step = 1 / float(stream.average_rate or 25)
        try:
            for frame in container.decode(stream):
                time = frame.time if frame.time_base else None
                times.append(time if time is not None else times[-1] + step if times else 0.0)
        except (av.FFmpegError, OSError):
            pass
    return np.maximum.accumulate(np.array(times, np.float64)) if times else np.empty(0)
