"""The best F1 threshold of each action unit, found exactly by counting.

F1 only changes where the cut passes a score. Counts per 1/1024 of probability give F1 at the bins' edges and, for each
bin, a bound on what a cut inside it can reach (all of its positives taken, none of its negatives). Bins whose bound
beats the best edge are counted again at 1/1024 of their width, and what is still open after that, usually nothing, is
sorted.
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


def best(scores: NDArray[np.float32], truth: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The thresholds [C], and the best F1 [C] that any threshold reaches: scores float32 [C, N] in [0, 1], truth [C,
    N] of 0/1.

    A threshold lies halfway between the lowest score that is taken and the highest that is not (halfway to 0 where all
    are taken). A unit that never occurs scores 0 with any threshold and gets 0.5.
    """
    return _measure(scores, truth, True)


def best_f1(scores: NDArray[np.float32], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Only the F1 of `best`, for the search: it needs no thresholds until the end."""
    return _measure(scores, truth, False)[1]


def _measure(
    scores: NDArray[np.float32], truth: NDArray[np.uint8], with_thresholds: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    thresholds, reached = np.full(len(scores), DEFAULT_THRESHOLD), np.zeros(len(scores))
    _all_units(np.ascontiguousarray(scores), np.ascontiguousarray(truth), with_thresholds, thresholds, reached)
    return thresholds, reached


def f1_at(
    scores: NDArray[np.float32], truth: NDArray[np.uint8], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """F1 [C] of given thresholds [C]; scores and truth [C, N] as in `best`."""
    return _f1_at(np.ascontiguousarray(scores), np.ascontiguousarray(truth), thresholds)  # type: ignore[no-any-return]


@njit(cache=True, parallel=True)
def _f1_at(scores, truth, thresholds):  # type: ignore[no-untyped-def]
    out = np.zeros(len(scores))
    for c in prange(len(scores)):
        hits, taken, actual = 0, 0, 0
        for i in range(scores.shape[1]):
            on = scores[c, i] >= thresholds[c]
            taken += on
            actual += truth[c, i]
            hits += on and truth[c, i] == 1
        if taken + actual > 0:
            out[c] = 2.0 * hits / (taken + actual)
    return out


def columns(scores: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """scores[rows].T, made in one pass: [T, C] and [N] -> [C, N]."""
    out = np.empty((scores.shape[1], len(rows)), np.float32)
    _columns(scores, rows, out)
    return out


@njit(cache=True, parallel=True)
def _columns(scores, rows, out):  # type: ignore[no-untyped-def]
    block = 1024
    for b in prange((len(rows) + block - 1) // block):
        for i in range(b * block, min((b + 1) * block, len(rows))):
            for c in range(scores.shape[1]):
                out[c, i] = scores[rows[i], c]


@njit(cache=True, parallel=True)
def _all_units(scores, truth, with_thresholds, thresholds, reached):  # type: ignore[no-untyped-def]
    for c in prange(len(reached)):
        _one_unit(scores, truth, c, with_thresholds, thresholds, reached)


@njit(cache=True)
def _one_unit(scores, truth, c, with_thresholds, thresholds, reached):  # type: ignore[no-untyped-def]
    reached[c], code, lowest = _best_cut(scores[c], truth[c])
    if with_thresholds and reached[c] > 0.0:
        thresholds[c] = _halfway(scores[c], code, lowest)


@njit(cache=True, inline="always")
def _code(score):  # type: ignore[no-untyped-def]
    """20 bits that rise with the score: the upper ten are its bin, the lower ten its place in the bin."""
    return min(max(int(score * np.float32(FINE)), 0), FINE - 1)


@njit(cache=True)
def _best_cut(scores, truth):  # type: ignore[no-untyped-def]
    """-> (F1, code, lowest): the cut takes scores >= `lowest` where that is finite, else those whose code is >=
    `code`.
    """
    hits, taken = np.zeros(BINS + 1, np.int64), np.zeros(BINS + 1, np.int64)
    for i in range(len(scores)):
        b = _code(scores[i]) >> BITS
        hits[b] += truth[i]
        taken[b] += 1
    for b in range(BINS - 1, -1, -1):  # from counts per bin to counts at and above its lower edge
        hits[b] += hits[b + 1]
        taken[b] += taken[b + 1]
    if hits[0] == 0:
        return 0.0, 0, np.float32(np.inf)
    reached, edge = _best_edge(hits, taken, 0.0, -1)
    slot, bins = _open_bins(hits, taken, reached)
    values, labels = _gather(scores, truth, slot, taken)
    return _inside(values, labels, slot, bins, hits, taken, reached, edge << BITS)


@njit(cache=True)
def _best_edge(hits, taken, reached, edge):  # type: ignore[no-untyped-def]
    """The best of the cuts at lower edges of bins; `hits` and `taken` count at and above them, one entry longer than
    bins.
    """
    for b in range(len(hits) - 2, -1, -1):
        if taken[b] > taken[b + 1]:
            f1 = 2.0 * hits[b] / (taken[b] + hits[0])
            if f1 > reached:
                reached, edge = f1, b
    return reached, edge


@njit(cache=True)
def _open_bins(hits, taken, reached):  # type: ignore[no-untyped-def]
    """Numbers 0, 1, ... for the bins in which a cut might beat `reached`, -1 for the others; and how many they are."""
    slot, count = np.empty(len(hits) - 1, np.int64), 0
    for b in range(len(slot)):
        slot[b] = -1
        gain = hits[b] - hits[b + 1]
        if gain > 0 and 2.0 * hits[b] / (taken[b + 1] + gain + hits[0]) > reached:
            slot[b] = count
            count += 1
    return slot, count


@njit(cache=True)
def _gather(scores, truth, slot, taken):  # type: ignore[no-untyped-def]
    """Scores and labels in the open bins."""
    count = 0
    for b in range(len(slot)):
        if slot[b] >= 0:
            count += taken[b] - taken[b + 1]
    values, labels, n = np.empty(count, np.float32), np.empty(count, np.uint8), 0
    if count > 0:
        for i in range(len(scores)):
            if slot[_code(scores[i]) >> BITS] >= 0:
                values[n], labels[n] = scores[i], truth[i]
                n += 1
    return values, labels


@njit(cache=True)
def _inside(values, labels, slot, bins, hits, taken, reached, code):  # type: ignore[no-untyped-def]
    """Go on inside the open bins, given the scores in them: count again where they are many, then sort what is still
    open.
    """
    fine_hits, fine_taken = np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64)
    count = len(values)
    if count > SORTED:
        fine_hits, fine_taken = _count_fine(values, labels, slot, hits, taken, bins)
        for b in range(len(slot)):
            if slot[b] >= 0:
                reached, code = _best_fine(fine_hits[slot[b]], fine_taken[slot[b]], hits[0], reached, code, b << BITS)
        count = 0
        for i in range(len(values)):  # what is still open moves to the front
            at = _code(values[i])
            s, f = slot[at >> BITS], at & (BINS - 1)
            gain = fine_hits[s, f] - fine_hits[s, f + 1]
            if gain > 0 and 2.0 * fine_hits[s, f] / (fine_taken[s, f + 1] + gain + hits[0]) > reached:
                values[count], labels[count] = values[i], labels[i]
                count += 1
    return _sorted(values[:count], labels[:count], slot, hits, taken, fine_hits, fine_taken, reached, code)


@njit(cache=True)
def _count_fine(values, labels, slot, hits, taken, bins):  # type: ignore[no-untyped-def]
    """Counts at and above the 1024ths of each open bin, [bins, 1025]; the last entry is what lies above the bin."""
    fine_hits, fine_taken = np.zeros((bins, BINS + 1), np.int64), np.zeros((bins, BINS + 1), np.int64)
    for i in range(len(values)):
        at = _code(values[i])
        fine_hits[slot[at >> BITS], at & (BINS - 1)] += labels[i]
        fine_taken[slot[at >> BITS], at & (BINS - 1)] += 1
    for b in range(len(slot)):
        s = slot[b]
        if s >= 0:
            fine_hits[s, BINS], fine_taken[s, BINS] = hits[b + 1], taken[b + 1]
            for f in range(BINS - 1, -1, -1):
                fine_hits[s, f] += fine_hits[s, f + 1]
                fine_taken[s, f] += fine_taken[s, f + 1]
    return fine_hits, fine_taken


@njit(cache=True)
def _best_fine(hits, taken, actual, reached, code, first):  # type: ignore[no-untyped-def]
    for f in range(BINS - 1, -1, -1):
        if taken[f] > taken[f + 1]:
            f1 = 2.0 * hits[f] / (taken[f] + actual)
            if f1 > reached:
                reached, code = f1, first + f
    return reached, code


@njit(cache=True)
def _sorted(values, labels, slot, hits, taken, fine_hits, fine_taken, reached, code):  # type: ignore[no-untyped-def]
    """Every cut between the given scores, from the highest down; counting begins anew in every (fine) bin."""
    lowest, before = np.float32(np.inf), -1
    got, n = np.int64(0), np.int64(0)
    _sort_down(values, labels)
    for j in range(len(values)):
        value = values[j]
        at = _code(value) if len(fine_hits) else _code(value) >> BITS
        if at != before:
            before = at
            if len(fine_hits):
                s, f = slot[at >> BITS], at & (BINS - 1)
                got, n = fine_hits[s, f + 1], fine_taken[s, f + 1]
            else:
                got, n = hits[at + 1], taken[at + 1]
        got += labels[j]
        n += 1
        if j + 1 == len(values) or values[j + 1] != value:  # equal scores are taken together
            f1 = 2.0 * got / (n + hits[0])
            if f1 > reached:
                reached, lowest = f1, value
    return reached, code, lowest


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
def _halfway(scores, code, lowest):  # type: ignore[no-untyped-def]
    above, below = np.float32(np.inf), np.float32(0.0)
    for i in range(len(scores)):
        taken = scores[i] >= lowest if lowest < np.inf else _code(scores[i]) >= code
        if taken:
            above = min(above, scores[i])
        else:
            below = max(below, scores[i])
    return 0.5 * (np.float64(above) + np.float64(below))
