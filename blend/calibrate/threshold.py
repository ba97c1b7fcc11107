"""The best F1 threshold of each action unit, found exactly by counting.

F1 only changes where the cut passes a score. Counts per 1/1024 of probability give F1 at the bins' edges and, for each
bin, a bound on what a cut inside it can reach (all of its positives taken, none of its negatives). The span of the bins
whose bound beats the best edge, a fiftieth of the scores, is counted again in finer bins where it holds many, and what
is still open after that is sorted.

Scores are float32 [T, C] in [0, 1], a frame after the other, as they are blended; labels uint8 [T, C]: 0, 1, or ABSENT
for frames without annotation.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blend.decision import kernels, smooth
from blend.decision.kernels import ABSENT, BINS, LABELS
from blend.tasks.multilabel import DEFAULT_THRESHOLD

FINE = 1 << 20
"""Multiplying a float32 by a power of two is exact, so `_code` keeps the order of the scores."""
FINER = 1 << 10
"""Bins in which an open span is counted again."""
SORT_LIMIT = 256
"""So few scores are sorted at once: faster than counting them again."""
BIT, BITS, TOP_SHIFT = np.uint64(1), np.uint64(0x0101010101010101), np.uint64(56)
TILE = 64
"""Frames whose bins are found at a time."""


def make_labels(rows: NDArray[np.int64], truth: NDArray[np.generic], frames: int) -> NDArray[np.uint8]:
    """Labels [T, C] of all frames: truth [N, C] in its rows [N], ABSENT elsewhere."""
    labels = np.full((frames, truth.shape[1]), ABSENT, np.uint8)
    labels[rows] = truth
    return labels


def best(scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The thresholds [C], and the best F1 [C] that any threshold reaches.

    A threshold lies halfway between the lowest score that is taken and the highest that is not (halfway to 0 where all
    are taken). A unit that never occurs scores 0 with any threshold and gets 0.5.
    """
    thresholds, (reached, code, lowest) = np.full(scores.shape[1], DEFAULT_THRESHOLD), _best_cuts(scores, labels)
    for c in np.flatnonzero(reached > 0):
        thresholds[c] = _halfway(scores, labels, c, code[c], lowest[c])
    return thresholds, reached


def best_f1(scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Only the F1 of `best`, for the search: it needs no thresholds until the end."""
    return _best_cuts(scores, labels)[0]


def _best_cuts(
    scores: NDArray[np.float32], labels: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float32]]:
    counts, whole = make_counts(1, scores.shape[1]), np.array([0, len(scores)])
    kernels.count(scores.reshape(-1), labels.reshape(-1), scores.shape[1], counts[0])
    return find_cuts(scores, labels, counts, whole, [np.zeros(1, np.int64)])


def make_counts(lots: int, channels: int) -> NDArray[np.int32]:
    """What `count` counts in, for lots of videos that are counted apart: [L, C x LABELS x BINS]."""
    return np.zeros((lots, channels * LABELS * BINS), np.int32)


def find_cuts(
    scores: NDArray[np.float32],
    labels: NDArray[np.uint8],
    counts: NDArray[np.int32],
    offsets: NDArray[np.int64],
    lots: list[NDArray[np.int64]],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float32]]:
    """-> (F1, code, lowest) [C]: the best cut takes scores >= `lowest` where that is finite, else those whose code is
    >= `code`. `counts` are of lots of videos, a thread each; video v is frames offsets[v] to offsets[v + 1].
    """
    channels = scores.shape[1]
    reached, code = np.zeros(channels), np.zeros(channels, np.int64)
    lowest = np.full(channels, np.inf, np.float32)
    spans, above = np.zeros((channels, 2), np.int64), np.zeros((channels, 3), np.int64)
    at = np.zeros((len(lots), channels), np.int64)
    split = counts.reshape(len(lots), channels, LABELS, BINS)
    total = _find_spans(split, reached, code, spans, above, at)
    begin, values, known = at[0].copy(), np.empty(total, np.float32), np.empty(total, np.uint8)
    flat = scores.reshape(-1), labels.reshape(-1)
    smooth.run(lambda lot: _gather(*flat, offsets, lots[lot], spans, values, known, at[lot]), len(lots))

    def look_inside(lot: int) -> None:
        _look_inside(values, known, begin, at[-1], spans, above, reached, lowest, lot, len(lots))

    smooth.run(look_inside, len(lots))
    return reached, code, lowest


def f1_at(
    scores: NDArray[np.float32], labels: NDArray[np.uint8], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """F1 [C] of given thresholds [C]."""
    counted = np.zeros((LABELS, scores.shape[1], 2), np.int64)
    _count_at(scores, labels, thresholds, counted)
    hits, below = counted[1, :, 1], counted[1].sum(1) + counted[:ABSENT, :, 1].sum(0)
    return np.divide(2.0 * hits, below, out=np.zeros(len(hits)), where=below > 0)


@njit(cache=True)
def _count_at(scores, labels, thresholds, counted):  # type: ignore[no-untyped-def]
    for t in range(len(scores)):
        for c in range(len(thresholds)):
            counted[labels[t, c], c, int(scores[t, c] >= thresholds[c])] += 1


@njit(cache=True)
def _find_spans(counts, reached, code, spans, above, at):  # type: ignore[no-untyped-def]
    """Of each unit the best edge and the open span of codes [first, last), (hits, taken) above it and how often it
    occurs. `at` gets where each lot's scores in a span begin; returns how many they are.
    """
    total, lots = 0, len(counts)
    bins, width = counts.shape[3], FINE // counts.shape[3]
    off, on = np.empty(bins, np.int64), np.empty(bins, np.int64)
    for c in range(len(reached)):
        for b in range(bins):
            off[b], on[b] = 0, 0
            for lot in range(lots):
                off[b] += counts[lot, c, 0, b]
                on[b] += counts[lot, c, 1, b]
            above[c, 2] += on[b]
        reached[c], edge, first, last = _open_span(off, on, above[c], 0.0, False)
        code[c], spans[c, 0], spans[c, 1] = edge * width, first * width, last * width
        for lot in range(lots):
            at[lot, c] = total
            for b in range(first, last):
                total += counts[lot, c, 0, b] + counts[lot, c, 1, b]
    return total


@njit(cache=True)
def _open_span(off, on, above, reached, ties):  # type: ignore[no-untyped-def]
    """-> (F1, edge, first, last): the best of `reached` and of the cuts at lower edges of bins, the higher of equals
    (-1: none beats it), and the bins in which a cut might beat that, or with `ties` equal it. `off` and `on` count in
    bins; `above` holds the (hits, taken) above them, which become those above the span, and how often the unit occurs.
    """
    edge, first, last = -1, 0, 0
    hits, taken, occurs = above[0], above[1], above[2]
    for b in range(len(on) - 1, -1, -1):
        if off[b] + on[b] > 0:
            hits += on[b]
            taken += off[b] + on[b]
            f1 = 2.0 * hits / (taken + occurs)
            if f1 > reached:
                reached, edge = f1, b
    hits, taken, occurs = above[0], above[1], above[2]
    for b in range(len(on) - 1, -1, -1):
        bound = 2.0 * (hits + on[b]) / (taken + on[b] + occurs) if on[b] > 0 else 0.0
        if bound > reached or (ties and bound == reached):
            if last == 0:
                last, above[0], above[1] = b + 1, hits, taken
            first = b
        hits += on[b]
        taken += off[b] + on[b]
    return reached, edge, first, last


@njit(cache=True, nogil=True)
def _gather(scores, labels, offsets, videos, spans, values, known, at):  # type: ignore[no-untyped-def]
    """Scores and labels in the open spans, each unit's from its place `at` on. Eight flags are looked at at once."""
    channels = len(spans)
    size = TILE * channels
    low, high, unit = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.int64)
    for i in range(size):
        unit[i] = i % channels
        first, last = spans[unit[i], 0], spans[unit[i], 1]
        low[i] = first / FINE if first > 0 else -np.inf
        high[i] = last / FINE if last < FINE else np.inf
        if first == last:
            low[i] = np.inf
    flags = np.zeros(size, np.uint8)
    eights, places = flags.view(np.uint64), np.empty(size // 8 + 1, np.int64)
    for v in videos:
        for a in range(offsets[v] * channels, offsets[v + 1] * channels, size):
            b = min(a + size, offsets[v + 1] * channels)
            for i in range(b - a, size):
                flags[i] = 0
            _flag(scores[a:b], labels[a:b], low, high, flags)
            groups = 0
            for j in range(len(eights)):  # listed before they are looked at: a branch here is foreseen badly
                places[groups] = j
                groups += eights[j] != 0
            for j in places[:groups]:
                left = eights[j]
                while left:
                    below = (left & (~left + BIT)) - BIT  # all bits below the lowest that is set: the first flag of
                    # those that are left, where numbers begin with their lowest byte, as on x86 and ARM
                    i = 8 * j + np.int64(((below & BITS) * BITS) >> TOP_SHIFT)
                    left &= left - BIT
                    c = unit[i]
                    values[at[c]], known[at[c]] = scores[a + i], labels[a + i]
                    at[c] += 1


@njit(cache=True)
def _flag(scores, labels, low, high, flags):  # type: ignore[no-untyped-def]
    for i in range(len(scores)):
        flags[i] = (scores[i] >= low[i]) & (scores[i] < high[i]) & (labels[i] < ABSENT)


@njit(cache=True, nogil=True)
def _look_inside(values, labels, begin, end, spans, above, reached, lowest, start, step):  # type: ignore[no-untyped-def]
    for c in range(start, len(reached), step):
        _inside(values, labels, begin[c], end[c], spans, above, reached, lowest, c)


@njit(cache=True)
def _inside(values, labels, begin, end, spans, above, reached, lowest, c):  # type: ignore[no-untyped-def]
    """Go on inside the open span of unit c: count its scores, values[begin:end], again where they are many, then sort
    what is still open.
    """
    first, last = spans[c, 0], spans[c, 1]
    values, labels = values[begin:end], labels[begin:end]
    if len(values) > SORT_LIMIT:
        shift = 0
        while (last - first) >> shift > FINER:
            shift += 1
        bins = ((last - first - 1) >> shift) + 1
        counts, at = np.zeros((2, bins), np.int64), np.empty(len(values), np.uint32)
        for i in range(len(values)):  # a loop of its own is one that the compiler makes wide
            at[i] = (_code(values[i]) - first) >> shift
        for i in range(len(values)):
            counts[labels[i], at[i]] += 1
        low, high = _open_span(counts[0], counts[1], above[c], reached[c], True)[2:]
        n = 0
        for i in range(len(values)):  # what is still open moves to the front
            values[n], labels[n] = values[i], labels[i]
            n += (low <= at[i]) & (at[i] < high)
        values, labels = values[:n], labels[:n]
    _sort_down(values, labels)
    hits, taken, occurs = above[c, 0], above[c, 1], above[c, 2]
    for i in range(len(values)):  # every cut between them, from the highest down
        hits += labels[i]
        taken += 1
        if i + 1 == len(values) or values[i + 1] != values[i]:  # equal scores are taken together
            f1 = 2.0 * hits / (taken + occurs)
            if f1 > reached[c]:
                reached[c], lowest[c] = f1, values[i]


@njit(cache=True, inline="always")
def _code(score):  # type: ignore[no-untyped-def]
    """20 bits that rise with the score: the upper ten are its bin, the lower ten its place in the bin."""
    return min(max(int(score * np.float32(FINE)), 0), FINE - 1)


@njit(cache=True)
def _sort_down(values, labels):  # type: ignore[no-untyped-def]
    """Sort scores from the highest down, each with its label: Shell's sort, as numpy's own takes two seconds to
    compile. Gaps as of Knuth, The Art of Computer Programming 3, 5.2.1.
    """
    gap = 1
    while gap < len(values) // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, len(values)):
            value, label, j = values[i], labels[i], i
            while j >= gap and values[j - gap] < value:
                values[j], labels[j] = values[j - gap], labels[j - gap]
                j -= gap
            values[j], labels[j] = value, label
        gap //= 3


@njit(cache=True)
def _halfway(scores, labels, c, code, lowest):  # type: ignore[no-untyped-def]
    above, below = np.float32(np.inf), np.float32(0.0)
    for t in range(len(scores)):
        if labels[t, c] > 1:
            continue
        taken = scores[t, c] >= lowest if lowest < np.inf else _code(scores[t, c]) >= code
        if taken:
            above = min(above, scores[t, c])
        else:
            below = max(below, scores[t, c])
    return 0.5 * (np.float64(above) + np.float64(below))
