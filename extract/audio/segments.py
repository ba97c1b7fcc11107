"""Which stretch of sound a network hears for which frames, and cutting it out of a stream in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extract.media.sound import Block


@dataclass(frozen=True)
class Segment:
    """Samples first .. first + length - 1 of the grid, heard for the frames at `rows`."""

    first: int
    rows: slice


def plan_single(times: NDArray[np.float64], rate: int, length: int, stride: int) -> Iterator[Segment]:
    """A segment centred on each frame's own time; of `stride` frames, on that of the middle one."""
    for start in range(0, len(times), stride):
        stop = min(start + stride, len(times))
        yield Segment(_first(float(times[(start + stop - 1) // 2]), rate, length), slice(start, stop))


def plan_overlaps(times: NDArray[np.float64], rate: int, length: int) -> Iterator[Segment]:
    """Segments that overlap by half; a frame belongs to the one whose middle is nearest."""
    if not len(times):
        return
    step = length / rate / 2
    number = np.floor((times - times[0]) / step).astype(np.int64)
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(times)], strict=True):
        centre = times[0] + (number[start] + 0.5) * step
        yield Segment(_first(float(centre), rate, length), slice(int(start), int(stop)))


def _first(centre: float, rate: int, length: int) -> int:
    return round(centre * rate - (length - 1) / 2)


def cut_segments(
    blocks: Iterable[Block], segments: Iterable[Segment], length: int
) -> Iterator[tuple[Segment, NDArray[np.float32]]]:
    """Each segment in order, none before the one before, with its float32 [length] samples, silence where the sound has
    none. Keeps the blocks that a segment reaches into.
    """
    stream = iter(blocks)
    kept: deque[Block] = deque()
    end = -(2**62)
    for segment in segments:
        while end < segment.first + length and (block := next(stream, None)) is not None:
            kept.append(block)
            end = block[0] + len(block[1])
        while kept and kept[0][0] + len(kept[0][1]) <= segment.first:
            kept.popleft()
        out = np.zeros(length, np.float32)
        for place, samples in kept:
            low, high = max(segment.first, place), min(segment.first + length, place + len(samples))
            if low < high:
                out[low - segment.first : high - segment.first] = samples[low - place : high - place]
        yield segment, out
