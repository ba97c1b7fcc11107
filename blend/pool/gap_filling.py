"""Sparse predictions -> one dense timeline per video: every frame gets a value, gaps are interpolated the right way
round.

All videos of a split lie behind each other in one array; `offsets` [V + 1] says where each begins. Smoothing and
filling never look across an offset.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def find_offsets(lengths: ArrayLike) -> NDArray[np.int64]:
    """Where each video begins, and the total at the end: [V] lengths -> [V + 1]."""
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))])


def fill(frames: NDArray[np.int32], scores: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """One video's values at frames 1..length from those at `frames` (rising, 1-based, [n >= 1]); scores [n, C] ->
    [length, C].

    Between two neighbours the value is linear in time: (1 - w) left + w right with w = (i - left) / (right - left), so
    a frame next to the left one takes mostly the left one. Before the first and behind the last, that one is repeated.
    """
    at = np.arange(1, length + 1)
    right = np.searchsorted(frames, at)
    last = len(frames) - 1
    known = (right <= last) & (frames[np.minimum(right, last)] == at)
    left, right = np.maximum(np.where(known, right, right - 1), 0), np.minimum(right, last)
    span = (frames[right] - frames[left]).astype(np.float64)
    weight = np.divide(at - frames[left], span, out=np.zeros(length), where=span > 0)[:, None]
    return ((1 - weight) * scores[left] + weight * scores[right]).astype(np.float32)


def dense(
    videos: Sequence[str],
    lengths: Sequence[int],
    result: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]],
    prior: NDArray[np.float32],
    in_time: bool = True,
) -> NDArray[np.float32]:
    """Timelines of all videos behind each other, [T, C] with T = sum of lengths. No frame of `result` lies behind its
    length.

    A video without any value (no face in it) takes the training prior [C] on every frame; where frames have no
    neighbours `in_time`, so does every frame without a value.
    """
    offsets = find_offsets(lengths)
    out = np.empty((int(offsets[-1]), len(prior)), np.float32)
    for i, video in enumerate(videos):
        part = out[offsets[i] : offsets[i + 1]]
        if video in result and len(result[video][0]) and in_time:
            part[:] = fill(*result[video], len(part))
            continue
        part[:] = prior
        if video in result:
            part[result[video][0] - 1] = result[video][1]
    return out


def present(
    videos: Sequence[str], lengths: Sequence[int], result: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]]
) -> NDArray[np.bool_]:
    """Which frames of the dense timeline hold a prediction of their own, [T]; the others are filled."""
    offsets = find_offsets(lengths)
    out = np.zeros(int(offsets[-1]), bool)
    for i, video in enumerate(videos):
        if video in result:
            out[offsets[i] + result[video][0] - 1] = True
    return out
