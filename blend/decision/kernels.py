"""numba kernels that blend and smooth one video after the other, and count what a trial asks while it is in the cache.

All in one file: numba keeps compiled kernels until their own file changes, whatever they call in others. Threads of
Python's run them (`smooth.run`): numba's parallel loops take twice as long to compile. Scores are float32
[T, C], the heads' [H, T x C]; arguments up to `seen` are as `smooth.arguments` has them.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

BINS = 1 << 10
"""Of probability, in which scores are counted."""
ABSENT = 2
"""The label of a frame without annotation, beside 0 and 1."""
LABELS = 3
LONG, SHORT = 4096, 64
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
    """Heads that weigh the same for every output go in long loops, six at a time: most blends are one pass."""
    channels, alike = out.shape[1], True
    for h in range(len(used)):
        for c in range(channels):
            alike = alike and weights[h, c] == weights[h, 0]
    flat, begin = out.reshape(-1), a * channels
    for s in range(0, len(flat), LONG * channels):
        e = min(s + LONG * channels, len(flat))
        total = flat[s:e]
        for i in range(len(total)):
            total[i] = 0.0
        if alike:
            for h in range(0, len(used), 6):
                _add_six(total, scores, used[h:], weights[h:], begin + s)
        else:
            for h in range(len(used)):
                _add(total, weights[h], scores[used[h], begin + s : begin + e])


@njit(cache=True)
def _add_six(total, scores, used, weights, a):  # type: ignore[no-untyped-def]
    """Where fewer heads are left, the first of them with weight 0 takes the places of the others: that changes no bit,
    as the sums begin with 0 and so are never -0.
    """
    head, w = np.full(6, used[0]), np.zeros(6, np.float32)
    for h in range(min(6, len(used))):
        head[h], w[h] = used[h], weights[h, 0]
    b = a + len(total)
    x0, x1, x2 = scores[head[0], a:b], scores[head[1], a:b], scores[head[2], a:b]
    x3, x4, x5 = scores[head[3], a:b], scores[head[4], a:b], scores[head[5], a:b]
    w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
    for i in range(len(total)):
        total[i] = total[i] + w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i] + w4 * x4[i] + w5 * x5[i]


@njit(cache=True)
def _add(total, weights, x):  # type: ignore[no-untyped-def]
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
    t = 0
    while t < length:
        enters, leaves = t + k, t - k - 1
        if leaves == 0 and enters < length:  # as long as windows are whole
            c, scale = 0, 1.0 / (2 * k + 1)
            while c < channels:
                if c + 12 <= channels:
                    _slide(12, x, k, t, length - k, c, total, scale, out)
                    c += 12
                elif c + 8 <= channels:
                    _slide(8, x, k, t, length - k, c, total, scale, out)
                    c += 8
                else:
                    _slide(1, x, k, t, length - k, c, total, scale, out)
                    c += 1
            t = length - k
            continue
        if enters < length:
            for c in range(channels):
                total[c] += x[enters, c]
        if leaves >= 0:
            for c in range(channels):
                total[c] -= x[leaves, c]
        scale = 1.0 / (min(enters, length - 1) - max(leaves + 1, 0) + 1)
        for c in range(channels):
            out[t, c] = total[c] * scale
        t += 1


@intrinsic(prefer_literal=True)
def _slide(typing, width, x, k, first, last, c, total, scale, out):  # type: ignore[no-untyped-def]
    """Frames `first` to `last` of `width` channels from c on, whose windows are whole, as `_box` does others.
    The sums stay in vector registers, which numba's compiler does for no loop: a third of the time.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        _, x, k, first, last, c, total, scale, out = arguments
        x, total, out = (context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (1, 6, 8))
        channels = builder.extract_value(x.shape, 1)

        def place(array, kind, lanes, t, lane):  # type: ignore[no-untyped-def]
            at = builder.add(builder.mul(t, channels), builder.add(c, k.type(lane)))
            return builder.bitcast(builder.gep(array.data, [at]), ir.VectorType(kind, lanes).as_pointer())

        def load(t, lane, lanes):  # type: ignore[no-untyped-def]
            values = builder.load(place(x, ir.FloatType(), lanes, t, lane), align=4)
            return builder.fpext(values, ir.VectorType(ir.DoubleType(), lanes))

        parts = []
        for lane in range(0, width.literal_value, 8):
            lanes = min(8, width.literal_value - lane)
            factor = ir.VectorType(ir.DoubleType(), lanes)(ir.Undefined)
            for i in range(lanes):
                factor = builder.insert_element(factor, scale, ir.IntType(32)(i))
            kept = place(total, ir.DoubleType(), lanes, k.type(0), lane)
            parts.append((lane, lanes, factor, kept, cgutils.alloca_once_value(builder, builder.load(kept, align=8))))
        with cgutils.for_range(builder, builder.sub(last, first)) as loop:
            t = builder.add(first, loop.index)
            enters, leaves = builder.add(t, k), builder.sub(builder.sub(t, k), k.type(1))
            for lane, lanes, factor, _, sums in parts:
                more = builder.fadd(builder.load(sums), load(enters, lane, lanes))
                left = builder.fsub(more, load(leaves, lane, lanes))
                builder.store(left, sums)
                mean = builder.fptrunc(builder.fmul(left, factor), ir.VectorType(ir.FloatType(), lanes))
                builder.store(mean, place(out, ir.FloatType(), lanes, t, lane), align=4)
        for *_, kept, sums in parts:
            builder.store(builder.load(sums), kept, align=8)
        return context.get_dummy_value()

    return types.void(width, x, k, first, last, c, total, scale, out), generate


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

    Frame by frame: one unit after the other would often add to a number that was just written. Places are unsigned:
    numba asks of others whether they count from the end, which takes twice the time.
    """
    first, places = np.empty(SHORT * channels, np.uint32), np.empty(SHORT * channels, np.uint32)
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
