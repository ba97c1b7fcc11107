"""Clips: windows of a video, as matrices of row numbers, and the features in them.

A clip's columns are frame numbers, `step` apart, and not the frames that happen to be there: a frame without features
leaves a hole (-1), so that gaps are seen as gaps and a frame's place in a clip is its real place in time. No clip has
frames of two videos.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from heads.data.table import CHUNK, Rows, read_ahead

PADDING = -1
"""In a plan: no row."""

Plan = NDArray[np.int64]
"""[clips, length]: which row stands at each place of each clip, PADDING where none does."""


def plan_cover(rows: Rows, length: int, step: int, overlap: float) -> Plan:
    """Clips that hold every row: each video cut from its first frame on, neighbours sharing `overlap` of their length.

    With a step of 2 or more every window is there `step` times, each time with other frames of it.
    """
    hop = max(1, round(length * (1 - overlap))) * step
    return _stack((_covering(rows.frame[a:b], a, length, step, hop) for _, a, b in rows.spans if b > a), length)


def random(rows: Rows, length: int, step: int, rng: np.random.Generator) -> Plan:
    """Clips to learn from: each video cut without overlap from a random place on, so that clips differ by epoch.

    With a step of 2 or more a window is there once, with one of its `step` choices of frames.
    """
    return _stack((_random(rows.frame[a:b], a, length, step, rng) for _, a, b in rows.spans if b > a), length)


def weights(length: int) -> NDArray[np.float64]:
    """How much a prediction counts by its place in a clip, [length]: most in the middle, which sees both sides."""
    place = np.arange(length)
    return np.minimum(place + 1, length - place).astype(np.float64)


def at_a_time(length: int, batch: int) -> int:
    """How many clips are read at a time: `batch`, or as many as there are rows in a chunk."""
    return max(1, min(batch, CHUNK // length))


def gather_clips(rows: Rows, plan: Plan, batch: int) -> Iterator[tuple[Plan, NDArray[np.float32]]]:
    """The plan, `batch` clips at a time, with their features [n, length, width], 0 at holes; the next is read ahead."""

    def read(start: int) -> tuple[Plan, NDArray[np.float32]]:
        values = plan[start : start + batch]
        out = np.zeros((*values.shape, rows.width), np.float32)
        there = values != PADDING
        out[there] = rows.batch(values[there])
        return values, out

    return read_ahead(read, range(0, len(plan), batch))


def _covering(frame: NDArray[np.int32], first: int, length: int, step: int, hop: int) -> Plan:
    """`covering` of one video, whose rows begin with `first`. Windows without a frame cost nothing."""
    span, since = length * step, frame.astype(np.int64) - int(frame[0])
    last = max(0, -(-(int(since[-1]) + 1 - span) // hop))
    parts = []
    for back in range(-(-span // hop)):  # as many windows as a frame can be in
        window = since // hop - back
        inside = (window >= 0) & (window <= last) & (since - window * hop < span)
        row = np.flatnonzero(inside)
        at = since[row] - window[row] * hop
        parts.append((window[row] * step + at % step, at // step, row + first))
    clip, place, row = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _matrix(clip, place, row, length)


def _random(frame: NDArray[np.int32], first: int, length: int, step: int, rng: np.random.Generator) -> Plan:
    """`random` of one video, whose rows begin with `first`."""
    span = length * step
    since = frame.astype(np.int64) - int(frame[0]) + rng.integers(span)
    windows, window = np.unique(since // span, return_inverse=True)
    at = since % span
    row = np.flatnonzero(at % step == rng.integers(step, size=len(windows))[window])
    return _matrix(window[row], at[row] // step, row + first, length)


def _matrix(clip: NDArray[np.int64], place: NDArray[np.int64], row: NDArray[np.int64], length: int) -> Plan:
    clips, at = np.unique(clip, return_inverse=True)
    plan = np.full((len(clips), length), PADDING, np.int64)
    plan[at, place] = row
    return plan


def _stack(plans: Iterator[Plan], length: int) -> Plan:
    result = list(plans)
    return np.concatenate(result) if result else np.empty((0, length), np.int64)
