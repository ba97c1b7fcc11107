"""Smoothing of dense timelines, never across videos: box mean, Gaussian and median. float32 [T, C]; the loops are in
`kernels`.

The box is the published one: the mean over the 2k + 1 frames around each frame, cut off at the video's ends. The
Gaussian has sigma = k frames, reaches 4 sigma, and is normalised over the frames that exist. The median takes the box's
window, and of it only frames that were seen: copies of a neighbour would vote twice.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from blend.decision import kernels

KERNELS = ("box", "gaussian", "median")
REACH = 4.0
"""Where the Gaussian is cut off, in sigmas."""
SMALL = 2_000_000
"""Scores; up to here waiting for a second thread costs more than it brings."""


@contextmanager
def threads(size: int) -> Iterator[None]:
    """Let numba kernels on `size` scores use one thread if that is few, else all. Results do not depend on it."""
    before = numba.get_num_threads()
    numba.set_num_threads(1 if size <= SMALL else before)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def share(offsets: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Numbers of videos in lots of about equal length, one for each thread that may run."""
    lots = numba.get_num_threads()
    if lots == 1:
        return [np.arange(len(offsets) - 1)]
    lengths, lot_of, held = np.diff(offsets), np.zeros(len(offsets) - 1, np.int64), np.zeros(lots)
    for v in np.argsort(-lengths, kind="stable"):
        lot_of[v] = held.argmin()
        held[lot_of[v]] += lengths[v]
    return [np.flatnonzero(lot_of == lot) for lot in range(lots)]


def run(call: Callable[[int], None], lots: int) -> None:
    """Call with 0 .. lots - 1, the first here and each other in a thread: for kernels that need no GIL."""
    others = [_executor(os.getpid(), lots).submit(call, lot) for lot in range(1, lots)]
    call(0)
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _executor(process: int, count: int) -> ThreadPoolExecutor:
    """Waiting threads; those of a process that was forked are no threads of its child."""
    return ThreadPoolExecutor(count, "smooth")


def smooth(
    values: NDArray[np.float32], offsets: NDArray[np.int64], kernel: str, k: int, seen: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Smooth every video of [T, C] with `kernel` of KERNELS and k >= 0 (frames); k = 0 changes nothing. `seen` as in
    `blend_and_smooth`.
    """
    return blend_and_smooth(values[None], np.ones((1, values.shape[1]), np.float32), offsets, kernel, k, seen)


def blend_and_smooth(
    scores: NDArray[np.float32],
    weights: NDArray[np.float32],
    offsets: NDArray[np.int64],
    kernel: str,
    k: int,
    seen: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """sum_h weights[h, c] scores[h, t, c], smoothed: [H, T, C] and [H, C] -> [T, C].

    `seen` [T] tells frames with a prediction of their own from filled ones, which the median leaves out; a window
    without a seen frame takes all of its frames. None: all are seen.

    One video at a time, so that its blend stays in the cache while it is smoothed. The result does not depend on the
    number of threads nor on the other videos: every sum runs within one video, in the same order.
    """
    out = np.empty(scores.shape[1:], np.float32)
    known, lots = arguments(scores, weights, offsets, kernel, k, seen), share(offsets)
    run(lambda lot: kernels.smooth(*known, lots[lot], out), len(lots))
    return out


def arguments(
    scores: NDArray[np.float32],
    weights: NDArray[np.float32],
    offsets: NDArray[np.int64],
    kernel: str,
    k: int,
    seen: NDArray[np.bool_] | None = None,
) -> tuple[Any, ...]:
    """What the kernels take, from what `blend_and_smooth` takes: all but the numbers of the videos and the output."""
    used = np.flatnonzero(weights.any(1))  # a head with weight 0 costs nothing
    seen = np.ones(0, bool) if seen is None else seen
    taps = gaussian_weights(k if kernel == "gaussian" else 0)
    flat = np.ascontiguousarray(scores).reshape(len(scores), -1)
    return flat, used, weights[used], offsets, KERNELS.index(kernel), k, taps, seen


def reach(kernel: str, k: int | Sequence[int]) -> int:
    """Frames on each side that a kernel looks at, the widest of several."""
    widest = int(max(k)) if isinstance(k, Sequence) else int(k)
    return len(gaussian_weights(widest)) - 1 if kernel == "gaussian" else widest


def gaussian_weights(sigma: float) -> NDArray[np.float64]:
    """exp(-d^2 / (2 sigma^2)) for distances d = 0..reach; [1.] for sigma = 0."""
    if sigma <= 0:
        return np.ones(1)
    return np.exp(-0.5 * (np.arange(math.ceil(REACH * sigma) + 1) / sigma) ** 2)
