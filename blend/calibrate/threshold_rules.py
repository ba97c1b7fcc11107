"""Thresholds of action units that do not chase noise, from counts of each video's scores.

The exact best threshold of a unit fits the few videos that show it. The rules here give a little on validation for more
on other videos: averaged over draws of the videos, pulled towards a common threshold where few videos show the unit, or
the plug-in rule (the F1-optimal cut of calibrated probabilities is half of the optimal F1; Lipton, Elkan and
Narayanaswamy, ECML 2014), for which the scores are calibrated first.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blend.tasks.multilabel import DEFAULT_THRESHOLD

BINS = 256
"""Counts are kept per 1/256 of the score."""
DRAWS = 24
"""Draws of the videos whose thresholds are averaged."""
PULL = 5.0
"""A unit shown by so many videos has its threshold pulled half way to the common one."""

Counts = NDArray[np.float32] | NDArray[np.float64]
"""Counts of one set of frames, or of one per video: positives and all frames per bin, [2, ..., C, BINS]."""


def per_video(
    scores: NDArray[np.float32], truth: NDArray[np.uint8], video_of: NDArray[np.int64], videos: int
) -> Counts:
    """Counts [2, V, C, BINS] from scores float32 [N, C] in [0, 1], truth [N, C] of 0/1, video_of [N] in 0 .. V - 1."""
    out = np.zeros((2, videos, scores.shape[1], BINS), np.float32)
    _count(np.ascontiguousarray(scores), np.ascontiguousarray(truth), video_of, out)
    return out


@njit(cache=True)
def _count(scores, truth, video_of, out):  # type: ignore[no-untyped-def]
    bins = out.shape[3]
    for i in range(scores.shape[0]):
        v = video_of[i]
        for c in range(scores.shape[1]):
            b = min(max(int(scores[i, c] * np.float32(bins)), 0), bins - 1)
            out[0, v, c, b] += truth[i, c]
            out[1, v, c, b] += 1.0


def fit(rule: str, counts: Counts, seed: int = 0) -> NDArray[np.float64]:
    """Thresholds [C] by a rule, from the counts [2, V, C, BINS] of the videos it may see. A unit that never occurs gets
    0.5 (or the common threshold).

    Rules: "fixed", "exact" (to within 1/256), "bootstrap", "pulled", "plug-in", "pulled-plug-in".
    """
    if rule == "fixed":
        return np.full(counts.shape[2], DEFAULT_THRESHOLD)
    if rule == "exact":
        return exact_thresholds(counts.sum(1))
    if rule == "plug-in":
        return plug_in_thresholds(counts.sum(1))
    if rule == "pulled-plug-in":
        return shrink(plug_in_thresholds(counts.sum(1)), counts)
    averaged = bootstrap_thresholds(counts, seed)
    return averaged if rule == "bootstrap" else shrink(averaged, counts)


def curve(counts: Counts) -> NDArray[np.float64]:
    """F1 of a cut at each bin's lower edge: counts [2, ..., C, bins] -> [..., C, bins]."""
    hits, taken = np.cumsum(counts[..., ::-1], -1)[..., ::-1]
    below = taken + hits[..., :1]
    return np.divide(2 * hits, below, out=np.zeros_like(below), where=below > 0)


def exact_thresholds(counts: Counts) -> NDArray[np.float64]:
    """The best cut of each unit, in the middle of the bins that nothing falls into: [2, C, bins] -> [C]."""
    return np.array([_best_cut(hits, all_of) for hits, all_of in zip(*counts, strict=True)])


@njit(cache=True)
def _best_cut(hits, all_of):  # type: ignore[no-untyped-def]
    """The highest of equally good cuts of one unit, from counts [bins]."""
    bins, actual = len(hits), hits.sum()
    got, taken, reached, at = 0.0, 0.0, 0.0, -1
    for b in range(bins - 1, -1, -1):
        got += hits[b]
        taken += all_of[b]
        if all_of[b] > 0 and 2.0 * got > reached * (taken + actual):
            reached, at = 2.0 * got / (taken + actual), b
    if at < 0:
        return DEFAULT_THRESHOLD
    below = at
    while below > 0 and all_of[below - 1] == 0:
        below -= 1
    return (at + below) / (2.0 * bins)


def bootstrap_thresholds(counts: Counts, seed: int, draws: int = DRAWS) -> NDArray[np.float64]:
    """The exact thresholds averaged over draws of the videos, with replacement; a draw without the unit does not
    count.
    """
    videos = counts.shape[1]
    times = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=draws)
    return _mean_cut(counts, times)  # type: ignore[no-any-return]


@njit(cache=True)
def _mean_cut(counts, times):  # type: ignore[no-untyped-def]
    _, videos, units, bins = counts.shape
    total, shown = np.zeros(units), np.zeros(units)
    for draw in range(len(times)):
        drawn = np.zeros((2, units, bins), np.float32)
        for v in range(videos):
            if times[draw, v] > 0:
                drawn += np.float32(times[draw, v]) * counts[:, v]
        for c in range(units):
            if drawn[0, c].sum() > 0:
                total[c] += _best_cut(drawn[0, c], drawn[1, c])
                shown[c] += 1
    for c in range(units):
        total[c] = total[c] / shown[c] if shown[c] > 0 else DEFAULT_THRESHOLD
    return total


def common_threshold(counts: Counts) -> float:
    """The one threshold for all units that has the best mean F1: [2, V, C, bins] -> number."""
    f1, bins = curve(counts.sum(1)).mean(0), counts.shape[-1]
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(best[len(best) // 2] / bins) if f1.max() > 0 else DEFAULT_THRESHOLD


def shrink(thresholds: NDArray[np.float64], counts: Counts) -> NDArray[np.float64]:
    """Each threshold and the common one, averaged with weights n and PULL; n is how many videos show the unit.

    Videos are counted, not frames: frames of one video are alike.
    """
    shown = (counts[0].sum(-1) > 0).sum(0)
    return (shown * thresholds + PULL * common_threshold(counts)) / (shown + PULL)


def plug_in_thresholds(counts: Counts) -> NDArray[np.float64]:
    """The cut where a unit's calibrated probability is half of the best F1 that such probabilities promise.

    Calibration is Platt's: a logistic regression of the truth on the score's logit, with a weak prior for a slope of 1.
    [2, C, bins] -> [C].
    """
    bins = counts.shape[-1]
    middle = (np.arange(bins) + 0.5) / bins
    logit = np.log(middle / (1 - middle))
    out = np.full(counts.shape[1], DEFAULT_THRESHOLD)
    for c, (hits, all_of) in enumerate(zip(*counts, strict=True)):
        if 0 < hits.sum() < all_of.sum():
            offset, slope = _platt(logit, hits, all_of)
            if slope > 0:
                probability = 1 / (1 + np.exp(-(offset + slope * logit)))
                out[c] = _best_cut(all_of * probability, all_of.astype(np.float64))
    return out


@njit(cache=True)
def _platt(logit, hits, all_of):  # type: ignore[no-untyped-def]
    """Newton's method on the penalised likelihood; steps are cut, so that it cannot run away."""
    offset, slope = 0.0, 1.0
    for _ in range(50):
        g0 = g1 = h00 = h01 = h11 = 0.0
        for b in range(len(logit)):
            if all_of[b] > 0:
                p = 1 / (1 + np.exp(-(offset + slope * logit[b])))
                w = all_of[b] * p * (1 - p)
                g0 += hits[b] - all_of[b] * p
                g1 += (hits[b] - all_of[b] * p) * logit[b]
                h00 += w
                h01 += w * logit[b]
                h11 += w * logit[b] ** 2
        g0, g1 = g0 - 1e-3 * offset, g1 - (slope - 1)
        h00, h11 = h00 + 1e-3, h11 + 1.0
        determinant = h00 * h11 - h01 * h01
        step0 = (h11 * g0 - h01 * g1) / determinant
        step1 = (h00 * g1 - h01 * g0) / determinant
        offset += min(max(step0, -2.0), 2.0)
        slope += min(max(step1, -1.0), 1.0)
        if abs(step0) < 1e-9 and abs(step1) < 1e-9:
            break
    return offset, slope
