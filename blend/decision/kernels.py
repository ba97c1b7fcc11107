"""numba kernels that blend and smooth one video after the other, and count what a trial asks while it is in the cache.

All in one file: numba keeps compiled kernels until their own file changes, whatever they call in others. Threads of
Python's run them (`smooth.run`): numba's parallel loops take twice as long to compile. Scores are float32
[T, C], the heads' [H, T x C]; arguments up to `seen` are as `smooth.arguments` has them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

BINS = 1 << 10
"""Of probability, in which scores are counted."""
ABSENT = 2
"""The label of a frame without annotation, beside 0 and 1."""
LABELS = 3
LONG, SHORT = 2048, 64
"""Frames that are blended, and that are counted, at a time."""


@njit(cache=True, nogil=True)
def smooth(scores, used, weights, offsets, kernel, k, taps, seen, videos, out):  # type: ignore[no-untyped-def]
    """Blend and smooth some videos of `out` [T, C]."""
    room = _room(offsets, videos, out.shape[1])
    for v in videos:
        _one_video(scores, used, weights, offsets, kernel, k, taps, seen, v, room, out)


@njit(cache=True, nogil=True)
def smooth_and_count(scores, used, weights, offsets, kernel, k, taps, seen, videos, out, labels, counts):  # type: ignore[no-untyped-def]
    """The same, and count them as `count` does; labels are flat, too."""
    channels, flat = out.shape[1], out.reshape(-1)
    room = _room(offsets, videos, out.shape[1])
    for v in videos:
        a, b = offsets[v] * channels, offsets[v + 1] * channels
        _one_video(scores, used, weights, offsets, kernel, k, taps, seen, v, room, out)
        count(flat[a:b], labels[a:b], channels, counts)


@njit(cache=True, nogil=True)
def smooth_and_decide(scores, used, weights, offsets, kernel, k, taps, seen, videos, out, labels, factor, table):  # type: ignore[no-untyped-def]
    """The same, and add their decisions to table [C, C], truth x argmax of scores times `factor` [C]. labels [T]: -1
    without annotation.
    """
    room = _room(offsets, videos, out.shape[1])
    for v in videos:
        a, b = offsets[v], offsets[v + 1]
        _one_video(scores, used, weights, offsets, kernel, k, taps, seen, v, room, out)
        decide(out[a:b], labels[a:b], factor, table)


@njit(cache=True)
def _room(offsets, videos, channels):  # type: ignore[no-untyped-def]
    """An array for the blend of any of these videos: the same for all of them, so that it is in the cache already."""
    longest = 0
    for v in videos:
        longest = max(longest, offsets[v + 1] - offsets[v])
    return np.empty((longest, channels), np.float32)


@njit(cache=True)
def _one_video(scores, used, weights, offsets, kernel, k, taps, seen, v, room, out):  # type: ignore[no-untyped-def]
    """Video v of `out` [T, C]."""
    a, b = offsets[v], offsets[v + 1]
    if k == 0:
        _blend(scores, used, weights, a, out[a:b])
        return
    blended = room[: b - a]
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
    channels, alike = out.shape[1], True
    for h in range(len(used)):
        for c in range(channels):
            alike = alike and weights[h, c] == weights[h, 0]
    flat, begin = out.reshape(-1), a * channels
    for s in range(0, len(flat), LONG * channels):
        e = min(s + LONG * channels, len(flat))
        total, h = flat[s:e], 0
        for i in range(len(total)):
            total[i] = 0.0
        while alike and h + 3 <= len(used):
            x, y, z = scores[used[h]], scores[used[h + 1]], scores[used[h + 2]]
            w, v, u = weights[h, 0], weights[h + 1, 0], weights[h + 2, 0]
            _add_three(total, w, x[begin + s : begin + e], v, y[begin + s : begin + e], u, z[begin + s : begin + e])
            h += 3
        while h < len(used):
            _add(total, weights[h], scores[used[h], begin + s : begin + e], alike)
            h += 1


@njit(cache=True)
def _add_three(total, w, x, v, y, u, z):  # type: ignore[no-untyped-def]
    for i in range(len(total)):
        total[i] = total[i] + w * x[i] + v * y[i] + u * z[i]


@njit(cache=True)
def _add(total, weights, x, alike):  # type: ignore[no-untyped-def]
    if alike:
        for i in range(len(total)):
            total[i] += weights[0] * x[i]
    else:
        for i in range(0, len(total), len(weights)):
            for c in range(len(weights)):
                total[i + c] += weights[c] * x[i + c]


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


@njit(cache=True)
def count(scores, labels, channels, counts):  # type: ignore[no-untyped-def]
    """Add scores and labels, flat [T x C], to the counts [C x LABELS x BINS] of each unit, label and bin.

    Frame by frame: one unit after the other would often add to a number that was just written.
    """
    first, places = np.empty(SHORT * channels, np.int32), np.empty(SHORT * channels, np.int32)
    for t in range(SHORT):
        for c in range(channels):
            first[t * channels + c] = c * LABELS * BINS
    for a in range(0, len(scores), len(first)):
        b = min(a + len(first), len(scores))
        _find_places(scores[a:b], labels[a:b], first, places)
        for i in range(b - a):
            counts[places[i]] += 1


@njit(cache=True)
def _find_places(scores, labels, first, places):  # type: ignore[no-untyped-def]
    for i in range(len(scores)):
        b = min(max(np.int32(scores[i] * np.float32(BINS)), np.int32(0)), np.int32(BINS - 1))
        places[i] = first[i] + np.int32(labels[i]) * np.int32(BINS) + b


@njit(cache=True)
def decide(scores, labels, factor, table):  # type: ignore[no-untyped-def]
    """Add frames to truth x argmax [C, C]; the first of equal scores wins."""
    for t in range(len(labels)):
        if labels[t] >= 0:
            best, highest = 0, scores[t, 0] * factor[0]
            for c in range(1, len(factor)):
                value = scores[t, c] * factor[c]
                if value > highest:
                    best, highest = c, value
            table[labels[t], best] += 1
