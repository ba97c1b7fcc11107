"""Smoothing of dense timelines, never across videos: box mean, Gaussian and median. numba kernels on float32 [T, C].

The box is the published one: the mean over the 2k + 1 frames around each frame, cut off at the video's ends. The
Gaussian has sigma = k frames, reaches 4 sigma, and is normalised over the frames that exist. The median takes the box's
window, and of it only frames that were seen: copies of a neighbour would vote twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

KERNELS = ("box", "gaussian", "median")
REACH = 4.0
"""Where the Gaussian is cut off, in sigmas."""
TILE = 2048
"""Frames that are blended at a time."""
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


def share(offsets: NDArray[np.int64], lots: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Videos divided into lots of about equal length, the longest first: their numbers [V], and where each lot begins
    among them [lots + 1].
    """
    lengths, lot_of = np.diff(offsets), np.zeros(len(offsets) - 1, np.int64)
    held = np.zeros(lots)
    for v in np.argsort(-lengths, kind="stable"):
        lot_of[v] = held.argmin()
        held[lot_of[v]] += lengths[v]
    return np.argsort(lot_of, kind="stable"), np.searchsorted(np.sort(lot_of), np.arange(lots + 1))


def smooth(
    values: NDArray[np.float32],
    offsets: NDArray[np.int64],
    kernel: str,
    k: int,
    seen: NDArray[np.bool_] | None = None,
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
    _all_videos(*arguments(scores, weights, offsets, kernel, k, seen), out)
    return out


def arguments(
    scores: NDArray[np.float32],
    weights: NDArray[np.float32],
    offsets: NDArray[np.int64],
    kernel: str,
    k: int,
    seen: NDArray[np.bool_] | None = None,
) -> tuple[Any, ...]:
    """What `one_video` takes, from what `blend_and_smooth` takes: all but the video's number and the output."""
    used = np.flatnonzero(weights.any(1))  # a head with weight 0 costs nothing
    seen = np.ones(0, bool) if seen is None else seen
    taps = gaussian_weights(k)
    return np.ascontiguousarray(scores), used, weights[used], offsets, KERNELS.index(kernel), k, taps, seen


def reach(kernel: str, k: int | Sequence[int]) -> int:
    """Frames on each side that a kernel looks at, the widest of several."""
    widest = int(max(k)) if isinstance(k, Sequence) else int(k)
    return len(gaussian_weights(widest)) - 1 if kernel == "gaussian" else widest


def gaussian_weights(sigma: float) -> NDArray[np.float64]:
    """exp(-d^2 / (2 sigma^2)) for distances d = 0..reach; [1.] for sigma = 0."""
    if sigma <= 0:
        return np.ones(1)
    return np.exp(-0.5 * (np.arange(math.ceil(REACH * sigma) + 1) / sigma) ** 2)


@njit(cache=True, parallel=True)
def _all_videos(scores, used, weights, offsets, kernel, k, taps, seen, out):  # type: ignore[no-untyped-def]
    for v in prange(len(offsets) - 1):
        one_video(scores, used, weights, offsets, kernel, k, taps, seen, v, out)


@njit(cache=True)
def one_video(scores, used, weights, offsets, kernel, k, taps, seen, v, out):  # type: ignore[no-untyped-def]
    """Video v of `out` [T, C]. A function of its own: numba compiles a long body of a parallel loop several times as
    slowly.
    """
    a, b = offsets[v], offsets[v + 1]
    if k == 0:
        _blend(scores, used, weights, a, out[a:b])
        return
    blended = np.empty((b - a, out.shape[1]), np.float32)
    _blend(scores, used, weights, a, blended)
    if kernel == 0:
        _box(blended, k, out[a:b])
    elif kernel == 1:
        _gaussian(blended, taps, out[a:b])
    else:
        _median(blended, k, seen[a:b], out[a:b])


@njit(cache=True)
def _blend(scores, used, weights, a, out):  # type: ignore[no-untyped-def]
    """Heads that weigh the same for every output go in long loops, three at a time: half the time of one by one."""
    alike = True
    for h in range(len(used)):
        for c in range(weights.shape[1]):
            alike = alike and weights[h, c] == weights[h, 0]
    if not alike:
        out[:] = 0.0
        for h in range(len(used)):
            _add_each(out, weights[h], scores[used[h], a : a + len(out)])
        return
    for s in range(a, a + len(out), TILE):
        e = min(s + TILE, a + len(out))
        total, h = out[s - a : e - a].reshape(-1), 0
        total[:] = 0.0
        while h + 3 <= len(used):
            x, y, z = scores[used[h], s:e], scores[used[h + 1], s:e], scores[used[h + 2], s:e]
            w, v, u = weights[h, 0], weights[h + 1, 0], weights[h + 2, 0]
            _add_three(total, w, x.reshape(-1), v, y.reshape(-1), u, z.reshape(-1))
            h += 3
        while h < len(used):
            _add(total, weights[h, 0], scores[used[h], s:e].reshape(-1))
            h += 1


@njit(cache=True)
def _add_each(total, weights, x):  # type: ignore[no-untyped-def]
    for t in range(len(total)):
        for c in range(len(weights)):
            total[t, c] += weights[c] * x[t, c]


@njit(cache=True)
def _add_three(total, w, x, v, y, u, z):  # type: ignore[no-untyped-def]
    for i in range(len(total)):
        total[i] = total[i] + w * x[i] + v * y[i] + u * z[i]


@njit(cache=True)
def _add(total, w, x):  # type: ignore[no-untyped-def]
    for i in range(len(total)):
        total[i] += w * x[i]


@njit(cache=True)
def _box(x, k, out):  # type: ignore[no-untyped-def]
    """Running sums in float64: their rounding stays far below float32's."""
    length, channels = x.shape
    total = np.zeros(channels, np.float64)
    for t in range(min(k, length)):
        for c in range(channels):
            total[c] += x[t, c]
    for t in range(length):
        enters, leaves = t + k, t - k - 1
        if enters < length:
            for c in range(channels):
                total[c] += x[enters, c]
        if leaves >= 0:
            for c in range(channels):
                total[c] -= x[leaves, c]
        scale = 1.0 / (min(enters, length - 1) - max(leaves + 1, 0) + 1)
        for c in range(channels):
            out[t, c] = total[c] * scale


@njit(cache=True)
def _gaussian(x, taps, out):  # type: ignore[no-untyped-def]
    length, channels = x.shape
    reach = len(taps) - 1
    total = np.empty(channels, np.float64)
    for t in range(length):
        total[:] = 0.0
        mass = 0.0
        for s in range(max(0, t - reach), min(length, t + reach + 1)):
            weight = taps[abs(s - t)]
            mass += weight
            for c in range(channels):
                total[c] += weight * x[s, c]
        for c in range(channels):
            out[t, c] = total[c] / mass


@njit(cache=True)
def _median(x, k, seen, out):  # type: ignore[no-untyped-def]
    """A sorted window per channel; each step takes one value in and one out. Even counts: mean of the middle two.

    An empty `seen` stands for frames that are all seen.
    """
    length, channels = x.shape
    window = np.empty(min(2 * k + 2, length), np.float32)  # one more than the window: in comes before out
    every = len(seen) == 0
    for c in range(channels):
        count = 0
        for t in range(-k, length):
            if t + k < length and (every or seen[t + k]):
                count = _insert(window, count, x[t + k, c])
            if t - k - 1 >= 0 and (every or seen[t - k - 1]):
                count = _remove(window, count, x[t - k - 1, c])
            if t >= 0 and count > 0:
                out[t, c] = _middle(window, count)
            elif t >= 0:  # nothing was seen: all frames count, in the window that is empty now
                held = 0
                for s in range(max(0, t - k), min(length, t + k + 1)):
                    held = _insert(window, held, x[s, c])
                out[t, c] = _middle(window, held)


@njit(cache=True)
def _middle(window, count):  # type: ignore[no-untyped-def]
    half = count // 2
    return window[half] if count % 2 else np.float32(0.5) * (window[half - 1] + window[half])


@njit(cache=True)
def _find(window, count, value):  # type: ignore[no-untyped-def]
    """The first place whose value is not below `value`. numpy's own takes a second to compile."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if window[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def _insert(window, count, value):  # type: ignore[no-untyped-def]
    at = _find(window, count, value)
    for i in range(count, at, -1):
        window[i] = window[i - 1]
    window[at] = value
    return count + 1


@njit(cache=True)
def _remove(window, count, value):  # type: ignore[no-untyped-def]
    for i in range(_find(window, count, value), count - 1):
        window[i] = window[i + 1]
    return count - 1
