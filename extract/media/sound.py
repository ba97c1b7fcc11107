"""A file's sound as mono samples on its own clock, in bounded memory.

Sample i of the grid is at i / rate seconds of the file's clock, on which its pictures have their times, too (see
extract.media.timestamps): sound that begins later than the pictures, pauses or drifts stays where it belongs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.media import streams

DRIFT = 0.008
"""Seconds by which decoded sound may lie off its stated time before it is moved there: half a frame at 60 a second."""
BACK = 1.0
"""Seconds by which the clock must run back to have begun anew; by less, something is said twice."""
Block = tuple[int, NDArray[np.float32]]
"""The first sample's place on the grid, and the samples, in [-1, 1]."""


class Unreadable(Exception):
    """The file has no sound that can be read: the text says why."""


@dataclass
class Tally:
    """What came out of a file: `samples` on the grid, the loudest of them, and pieces not to be decoded or placed."""

    samples: int = 0
    peak: float = 0.0
    damaged_pieces: int = 0


def blocks(path: Path, rate: int, heard: Tally) -> Iterator[Block]:
    """Decode a file's first sound stream at `rate` Hz, the mean of its channels.

    Raises Unreadable before the first block.

    Blocks, of about a second, come in order, do not overlap, and may leave gaps: for packets that cannot be decoded,
    and behind a place where the clock begins anew. These are counted in `heard`.
    """
    import av

    try:
        container = streams.open_container(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Unreadable(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    with container:
        if not container.streams.audio:
            raise Unreadable("no sound in it")
        if not streams.codec(container.streams.audio[0]):
            raise Unreadable("there is no decoder for its sound here: convert it, as to AAC")
        yield from _counted(_larger(_resampled(container, rate, heard), rate), heard)


def _resampled(container: Any, rate: int, heard: Tally) -> Iterator[Block]:
    import av

    placed = _Placed(rate, heard)
    for frame in _decoded(container, container.streams.audio[0], heard):
        try:
            yield from placed.take(frame)
        except av.FFmpegError:  # damage that was decoded as a form of sound that there is not
            heard.damaged_pieces += 1
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


def _decoded(container: Any, stream: Any, heard: Tally) -> Iterator[Any]:
    """The stream's frames. Damage may make AAC's decoder believe in other channels, in which it then finds nothing:
    where they change behind it, a new decoder takes over, and the change is believed if that says the same of the next
    packet.
    """
    import av

    packets, decoder = container.demux(stream), stream.codec_context
    form: tuple[Any, ...] | None = None
    doubtful: tuple[Any, ...] | None = None
    while True:
        try:
            if (packet := next(packets, None)) is None:
                return
            frames = decoder.decode(packet)
        except (av.FFmpegError, OSError):
            heard.damaged_pieces += 1  # where reading itself fails, there are no packets behind
            doubtful = None
            continue
        for frame in frames:
            now = _form(frame)
            if now not in (form, doubtful) and heard.damaged_pieces and form and decoder.name == "aac":
                heard.damaged_pieces += 1
                decoder, doubtful = av.CodecContext.create(stream.codec_context.name, "r"), now
                decoder.extradata = stream.codec_context.extradata
                break
            form, doubtful = now, None
            yield frame


def _form(frame: Any) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _counted(values: Iterator[Block], heard: Tally) -> Iterator[Block]:
    for start, samples in values:
        if len(samples):
            samples = samples if np.isfinite(samples).all() else np.nan_to_num(samples, posinf=0, neginf=0)
            heard.samples += len(samples)
            heard.peak = max(heard.peak, float(np.abs(samples).max()))
            yield start, samples


class _Placed:
    """Resamples decoded frames and says where on the grid they belong."""

    def __init__(self, rate: int, heard: Tally) -> None:
        self._rate, self._heard = rate, heard
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
        import av

        time = float(frame.time) if frame.time is not None else self._expected or 0.0
        form = _form(frame)
        if self._expected is None or form != self._form or abs(time - self._expected) > DRIFT:
            yield from self.rest()
            self._form, self._next = form, round(time * self._rate)
            self._resampler = av.AudioResampler(format="flt", layout=form[1], rate=self._rate)
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

    def _give(self, frames: list[Any]) -> Iterator[Block]:
        for frame in frames:
            # interleaved: of 8 and more planes, PyAV's to_ndarray ends the process
            samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels).mean(1, dtype=np.float32)
            start, self._next = self._next, self._next + len(samples)
            if self._behind is not None and start < self._behind:  # said twice: the first stays
                self._heard.damaged_pieces += self._behind - start > BACK * self._rate
                samples, start = samples[self._behind - start :], self._behind
            self._behind = max(self._next, self._behind if self._behind is not None else self._next)
            yield start, samples
