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
from numba import njit, prange
from numpy.typing import NDArray

from blend.tasks.multilabel import DEFAULT_THRESHOLD

BITS = 10
BINS = 1 << BITS
FINE = 1 << 2 * BITS
"""Multiplying a float32 by a power of two is exact, so `_code` keeps the order of the scores."""
SORTED = 4096
"""So few scores are sorted at once: faster than counting them again."""
ABSENT = 2
LABELS = 3
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
    count(scores, labels, counts[0])
    return find_cuts(scores, labels, counts, whole, np.zeros(1, np.int64), np.array([0, 1]))


def make_counts(lots: int, channels: int) -> NDArray[np.int32]:
    """What `count` counts in, for lots of videos that are counted apart: [L, C x LABELS x BINS]."""
    return np.zeros((lots, channels * LABELS * BINS), np.int32)


def find_cuts(
    scores: NDArray[np.float32],
    labels: NDArray[np.uint8],
    counts: NDArray[np.int32],
    offsets: NDArray[np.int64],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float32]]:
    """-> (F1, code, lowest) [C]: the best cut takes scores >= `lowest` where that is finite, else those whose code is
    >= `code`. `counts` are of lots of videos: those of order[starts[lot] : starts[lot + 1]], each of which is frames
    offsets[v] to offsets[v + 1].
    """
    channels = scores.shape[1]
    reached, code = np.zeros(channels), np.zeros(channels, np.int64)
    lowest = np.full(channels, np.inf, np.float32)
    split = counts.reshape(len(counts), channels, LABELS, BINS)
    _find_cuts(scores, labels, split, offsets, order, starts, reached, code, lowest)
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
def count(scores, labels, counts):  # type: ignore[no-untyped-def]
    """Add the frames of each unit, label and bin to counts [C x LABELS x BINS].

    Frame by frame: one unit after the other would often add to a number that was just written.
    """
    channels = scores.shape[1]
    first, places = np.empty(TILE * channels, np.int32), np.empty(TILE * channels, np.int32)
    for t in range(TILE):
        for c in range(channels):
            first[t * channels + c] = c * LABELS * BINS
    flat, known = scores.reshape(-1), labels.reshape(-1)
    for a in range(0, len(flat), len(first)):
        b = min(a + len(first), len(flat))
        _find_places(flat[a:b], known[a:b], first, places)
        for i in range(b - a):
            counts[places[i]] += 1


@njit(cache=True)
def _find_places(scores, labels, first, places):  # type: ignore[no-untyped-def]
    for i in range(len(scores)):
        b = min(max(np.int32(scores[i] * np.float32(BINS)), np.int32(0)), np.int32(BINS - 1))
        places[i] = first[i] + (np.int32(labels[i]) << BITS) + b


@njit(cache=True, parallel=True)
def _find_cuts(scores, labels, counts, offsets, order, starts, reached, code, lowest):  # type: ignore[no-untyped-def]
    lots, channels = len(counts), len(reached)
    spans, above = np.zeros((channels, 2), np.int64), np.zeros((channels, 3), np.int64)
    at = np.zeros((lots, channels), np.int64)
    total = _find_spans(counts, reached, code, spans, above, at)
    begin = at[0].copy()
    values, known = np.empty(total, np.float32), np.empty(total, np.uint8)
    for lot in prange(lots):
        for j in range(starts[lot], starts[lot + 1]):
            a, b = offsets[order[j]], offsets[order[j] + 1]
            _gather(scores[a:b], labels[a:b], spans, values, known, at[lot])
    for c in prange(channels):
        _inside(values, known, begin[c], at[lots - 1, c], spans, above, reached, code, lowest, c)


@njit(cache=True)
def _find_spans(counts, reached, code, spans, above, at):  # type: ignore[no-untyped-def]
    """Of each unit the best edge and the open span of bins [first, last); (hits, taken) above it and how often the unit
    occurs. `at` gets where each lot's scores in a span begin; returns how many they are.
    """
    total, lots = 0, len(counts)
    off, on = np.empty(BINS, np.int64), np.empty(BINS, np.int64)
    for c in range(len(reached)):
        off[:] = 0
        on[:] = 0
        for lot in range(lots):
            for b in range(BINS):
                off[b] += counts[lot, c, 0, b]
                on[b] += counts[lot, c, 1, b]
        for b in range(BINS):
            above[c, 2] += on[b]
        reached[c], best, spans[c, 0], spans[c, 1] = _open_span(off, on, above[c], 0.0)
        code[c] = best << BITS
        for lot in range(lots):
            at[lot, c] = total
            for b in range(spans[c, 0], spans[c, 1]):
                total += counts[lot, c, 0, b] + counts[lot, c, 1, b]
    return total


@njit(cache=True)
def _open_span(off, on, above, reached):  # type: ignore[no-untyped-def]
    """-> (F1, edge, first, last): the best of `reached` and of the cuts at lower edges of bins, the higher of equals
    (-1: none beats it), and the bins in which a cut might beat that. `off` and `on` count in bins; `above` holds the
    (hits, taken) above them, which become those above the span, and how often the unit occurs.
    """
    edge, first, last = -1, 0, 0
    hits, taken, occurs = above
    for b in range(len(on) - 1, -1, -1):
        if off[b] + on[b] > 0:
            hits += on[b]
            taken += off[b] + on[b]
            f1 = 2.0 * hits / (taken + occurs)
            if f1 > reached:
                reached, edge = f1, b
    hits, taken, occurs = above
    for b in range(len(on) - 1, -1, -1):
        if on[b] > 0 and 2.0 * (hits + on[b]) / (taken + on[b] + occurs) > reached:
            if last == 0:
                last, above[0], above[1] = b + 1, hits, taken
            first = b
        hits += on[b]
        taken += off[b] + on[b]
    return reached, edge, first, last


@njit(cache=True)
def _gather(scores, labels, spans, values, known, at):  # type: ignore[no-untyped-def]
    """Scores and labels in the open spans, each unit's from its place `at` on. Eight flags are looked at at once."""
    channels = scores.shape[1]
    size = TILE * channels
    low, high = np.empty(size, np.float32), np.empty(size, np.float32)
    for t in range(TILE):
        for c in range(channels):
            first, last = spans[c]
            low[t * channels + c] = first / BINS if first > 0 else -np.inf
            high[t * channels + c] = last / BINS if last < BINS else np.inf
            if first == last:
                low[t * channels + c] = np.inf
    flags = np.zeros(size, np.uint8)
    eights, flat, all_labels = flags.view(np.uint64), scores.reshape(-1), labels.reshape(-1)
    for a in range(0, len(flat), size):
        b = min(a + size, len(flat))
        flags[b - a :] = 0
        _flag(flat[a:b], low, high, flags)
        for j in range(len(eights)):
            if eights[j] == 0:
                continue
            for i in range(8 * j, 8 * j + 8):
                if flags[i] and all_labels[a + i] != ABSENT:
                    c = i % channels
                    values[at[c]], known[at[c]] = flat[a + i], all_labels[a + i]
                    at[c] += 1


@njit(cache=True)
def _flag(scores, low, high, flags):  # type: ignore[no-untyped-def]
    for i in range(len(scores)):
        flags[i] = (scores[i] >= low[i]) & (scores[i] < high[i])


@njit(cache=True)
def _inside(values, labels, begin, end, spans, above, reached, code, lowest, c):  # type: ignore[no-untyped-def]
    """Go on inside the open span of unit c: count its scores, values[begin:end], again where they are many, then sort
    what is still open.
    """
    first, last = spans[c, 0] << BITS, spans[c, 1] << BITS
    if end - begin > SORTED:
        shift = 0
        while (last - first) >> shift > BINS:
            shift += 1
        bins = ((last - first - 1) >> shift) + 1
        off, on = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
        for i in range(begin, end):
            b = (_code(values[i]) - first) >> shift
            on[b] += labels[i]
            off[b] += 1 - labels[i]
        reached[c], edge, low, high = _open_span(off, on, above[c], reached[c])
        if edge >= 0:
            code[c] = first + (edge << shift)
        n = begin
        for i in range(begin, end):  # what is still open moves to the front
            if low <= (_code(values[i]) - first) >> shift < high:
                values[n], labels[n] = values[i], labels[i]
                n += 1
        end = n
    _sort_down(values[begin:end], labels[begin:end])
    hits, taken, occurs = above[c]
    for i in range(begin, end):  # every cut between them, from the highest down
        hits += labels[i]
        taken += 1
        if i + 1 == end or values[i + 1] != values[i]:  # equal scores are taken together
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
        if labels[t, c] == ABSENT:
            continue
        taken = scores[t, c] >= lowest if lowest < np.inf else _code(scores[t, c]) >= code
        if taken:
            above = min(above, scores[t, c])
        else:
            below = max(below, scores[t, c])
    return 0.5 * (np.float64(above) + np.float64(below))
