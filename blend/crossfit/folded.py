"""A pool with truth, smoothed once per kernel and k, and counted per fold: what cross-fitted selection tries things on.

A subset is named by the folds that are left out: () is all videos, (f,) all but fold f, (f, g) all but two. One pass
over the frames scores a blend on all of them. At most ROWS annotated frames are looked at (every n-th, after
smoothing): neighbours are alike, and it is the number of videos that limits what can be told.

Where something is found (weights, thresholds, biases, moments), a video of n frames counts as n^(1 - POWER): its frames
are alike, so a long one says less per frame. Scores are the official ones, all frames alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blend.calibrate import affine
from blend.calibrate.threshold_rules import curve
from blend.decision import combine, smooth
from blend.pool.pool import Pool
from heads.abaw.tasks import Labels

ROWS = 20_000
BINS = 256
ROUNDS = 10
POWER = 0.5
TYPICAL = 300
"""Annotated frames of a video that weighs 1; what other videos have must not matter, not even to a rounding."""

LeftOut = tuple[int, ...]
"""Folds that a subset lacks, rising; at most two."""


class FoldedPool(ABC):
    """One pool and its folds (lists of videos that hold every video once). Its subclasses are the kinds of labels."""

    rows_taken: ClassVar[int] = ROWS
    """Annotated frames that are looked at."""

    def __init__(
        self, pool: Pool, folds: Sequence[Sequence[int]], rows: int | None = None, power: float = POWER
    ) -> None:
        """`rows`: how many rows are looked at, if not as many as usual."""
        self.pool, self.folds = pool, [list(fold) for fold in folds]
        self.step = max(1, -(-int(pool.offsets[-1]) // (rows or self.rows_taken)))
        taken = _every(pool.video_of, self.step)
        self.rows, self.truth = pool.known.rows[taken], np.ascontiguousarray(pool.known.values[taken])
        self.video_of = pool.video_of[taken]
        fold_of = np.empty(len(pool.videos), np.int64)
        for f, fold in enumerate(self.folds):
            fold_of[fold] = f
        self.fold_of, self.groups = fold_of[self.video_of], pool.groups
        frames = np.maximum(np.bincount(pool.video_of, minlength=len(pool.videos)), 1)
        self.video_weight = (frames / TYPICAL) ** -power
        self.weight = self.video_weight[self.video_of].astype(np.float32)
        numbers = range(len(self.folds))
        self.subsets: list[LeftOut] = [
            left for n in range(3) for left in combinations(numbers, n) if n < len(self.folds)
        ]
        self._keep = np.array([[f not in left for f in numbers] for left in self.subsets], np.float64)
        self._smoothed: dict[tuple[str, int], NDArray[np.float32]] = {}
        self._parts: dict[tuple[str, int, bytes], NDArray[np.float64]] = {}
        self._weights: dict[tuple[str, int, LeftOut, bool, tuple[int, ...]], NDArray[np.float64]] = {}

    def videos(self, left_out: LeftOut) -> list[int]:
        """The videos of a subset, rising."""
        return sorted(v for f, fold in enumerate(self.folds) if f not in left_out for v in fold)

    def inside(self, left_out: LeftOut) -> NDArray[np.bool_]:
        """Which of the rows looked at are of a subset, [N]."""
        return ~np.isin(self.fold_of, left_out)

    def smooth(self, kernel: str, k: int | tuple[int, ...]) -> NDArray[np.float32]:
        """Scores of each head at the rows looked at, [H, N, C]; k may be one per output."""
        if isinstance(k, tuple):
            return np.stack([self.smooth(kernel, item)[:, :, c] for c, item in enumerate(k)], axis=2)
        if (kernel, k) not in self._smoothed:
            scores, offsets = self.pool.scores, self.pool.offsets
            seen = self.pool.seen if kernel == "median" else None
            self._smoothed[kernel, k] = np.stack(
                [smooth.smooth(own, offsets, kernel, k, seen)[self.rows] for own in scores]
            )
        return self._smoothed[kernel, k]

    def blend(self, kernel: str, k: int | tuple[int, ...], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """The smoothed blend at the rows looked at, [N, C]; weights [H, C]."""
        if self.step == 1:
            return combine.scores(self.pool, weights, kernel, k)[self.rows]  # type: ignore[arg-type]
        return np.einsum("hnc,hc->nc", self.smooth(kernel, k), weights.astype(np.float32))

    def parts(self, kernel: str, k: int, weights: NDArray[np.float64]) -> dict[LeftOut, NDArray[np.float64]]:
        """Score of each output [C] on each subset; weights [H] sum to 1. An undefined CCC counts as 0."""
        key = kernel, k, np.round(weights, 9).tobytes()
        if key not in self._parts:
            self._parts[key] = self._measure(kernel, k, np.asarray(weights, np.float64))
        return dict(zip(self.subsets, self._parts[key], strict=True))

    @abstractmethod
    def _measure(self, kernel: str, k: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score of each output on each subset, [subsets, C]."""

    def _scores(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same from the tables of the folds (`BlendTask.count`)."""
        return self.pool.blend_task.per_output(np.einsum("sf,fij->sij", self._keep, table))

    def weights(
        self, kernel: str, k: int, left_out: LeftOut, heads: tuple[int, ...], each: bool = False
    ) -> NDArray[np.float64]:
        """Weights of some heads, found on a subset by greedy selection, [H, C]; `each`: for every output on its own."""
        key = kernel, k, left_out, each, heads
        if key not in self._weights:
            outputs = len(self.pool.task.outputs)
            if each:
                result = np.stack([self._greedy(kernel, k, left_out, heads, c) for c in range(outputs)], axis=1)
            else:
                result = np.repeat(self._greedy(kernel, k, left_out, heads)[:, None], outputs, axis=1)
            self._weights[key] = result
        return self._weights[key]

    def _greedy(
        self, kernel: str, k: int, left_out: LeftOut, heads: tuple[int, ...], output: int | None = None
    ) -> NDArray[np.float64]:
        """Ensemble selection with replacement (Caruana et al., ICML 2004) from the best head on, [H]."""
        item = np.eye(len(self.pool.heads))
        chosen, reached = np.zeros(len(item)), -np.inf
        for n in range(ROUNDS):
            tried = [self.parts(kernel, k, (chosen + item[h]) / (n + 1))[left_out] for h in heads]
            values = [float(part.mean() if output is None else part[output]) for part in tried]
            best = int(np.argmax(values))
            if values[best] <= reached:
                break
            reached = values[best]
            chosen[heads[best]] += 1
        return chosen / chosen.sum()


class FoldedMultilabel(FoldedPool):
    """Scores with the best threshold of each output, to within 1/BINS."""

    def _measure(self, kernel: str, k: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        w, whole, folds = weights.astype(np.float32), self.smooth(kernel, k), len(self.folds)
        table = _count_bins(whole, w, self.truth, self.fold_of, self.weight, folds, BINS)
        return curve(np.einsum("sf,ifcb->iscb", self._keep, table)).max(-1)


class FoldedMulticlass(FoldedPool):
    """Scores of the largest."""

    def _measure(self, kernel: str, k: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        w, whole, folds = weights.astype(np.float32), self.smooth(kernel, k), len(self.folds)
        return self._scores(_count_classes(whole, w, self.truth, self.fold_of, self.weight, folds))


class FoldedRegression(FoldedPool):
    """Everything follows from moments per video."""

    rows_taken = 3 * ROWS

    def __init__(
        self, pool: Pool, folds: Sequence[Sequence[int]], rows: int | None = None, power: float = POWER
    ) -> None:
        super().__init__(pool, folds, rows, power)
        self._tables: dict[tuple[str, int], NDArray[np.float64]] = {}

    def moments(self, kernel: str, k: int | tuple[int, ...]) -> NDArray[np.float64]:
        """Sums per video, [V, C, H + 2, H + 2]: products of the heads' scores, the truth and 1, in this order."""
        if isinstance(k, tuple):
            return np.stack([self.moments(kernel, item)[:, c] for c, item in enumerate(k)], axis=1)
        if (kernel, k) not in self._tables:
            whole = self.smooth(kernel, k)
            self._tables[kernel, k] = affine.moments_per_group(whole, self.truth, self.video_of, len(self.pool.videos))
        return self._tables[kernel, k]

    def sums(self, kernel: str, k: int | tuple[int, ...], left_out: LeftOut) -> NDArray[np.float64]:
        """The weighted sum of the moments of a subset's videos, [C, H + 2, H + 2]."""
        videos = self.videos(left_out)
        return np.einsum("v,vcij->cij", self.video_weight[videos], self.moments(kernel, k)[videos])

    def _measure(self, kernel: str, k: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        outputs = len(self.pool.task.outputs)
        each = np.broadcast_to(weights[:, None], (len(weights), outputs))
        table = tables_of_moments(self.moments(kernel, k), each, np.ones(outputs), np.zeros(outputs))
        table = table * self.video_weight[:, None, None]
        return np.nan_to_num(self._scores(np.stack([table[fold].sum(0) for fold in self.folds])))


def tables_of_moments(
    sums: NDArray[np.float64], weights: NDArray[np.float64], scale: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Tables [V, 6, C] of scale * blend + shift (not clipped): moments per video, weights [H, C]."""
    heads = len(weights)
    blend = np.concatenate([weights * scale, np.zeros((1, len(scale))), shift[None]])  # [H + 2, C]
    p = np.einsum("vcij,jc->vci", sums, blend)
    pp = np.einsum("vci,ic->vc", p, blend)
    item, t = sums[:, :, heads + 1], sums[:, :, heads]
    return np.stack([item[..., -1], t[..., -1], p[..., -1], t[..., heads], pp, p[..., heads]], axis=1)


def _every(video_of: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """Places of every `step`th frame of each video, from its first on; video_of [N] rises."""
    places = np.arange(len(video_of))
    first = np.searchsorted(video_of, video_of)
    return places[(places - first) % step == 0]


FOLDED: dict[Labels, type[FoldedPool]] = {
    "multilabel": FoldedMultilabel,
    "multiclass": FoldedMulticlass,
    "regression": FoldedRegression,
}


def fold_pool(pool: Pool, folds: Sequence[Sequence[int]], rows: int | None = None, power: float = POWER) -> FoldedPool:
    """The folded pool of a pool's kind of labels; `rows`: how many rows are looked at."""
    return FOLDED[pool.task.labels](pool, folds, rows, power)


@njit(cache=True)
def _count_bins(scores, weights, truth, fold_of, weight, folds, bins):  # type: ignore[no-untyped-def]
    """Weighted positives and all frames per bin of the blend, [2, F, C, bins]."""
    _, frames, units = scores.shape
    out, blended = np.zeros((2, folds, units, bins)), np.empty(units, np.float32)
    used = np.flatnonzero(weights)
    for i in range(frames):
        blended[:] = 0.0
        for h in used:
            for c in range(units):
                blended[c] += weights[h] * scores[h, i, c]
        for c in range(units):
            b = min(max(int(blended[c] * np.float32(bins)), 0), bins - 1)
            out[0, fold_of[i], c, b] += truth[i, c] * weight[i]
            out[1, fold_of[i], c, b] += weight[i]
    return out


@njit(cache=True)
def _count_classes(scores, weights, truth, fold_of, weight, folds):  # type: ignore[no-untyped-def]
    """Truth x argmax of the blend, weighted, [F, C, C]."""
    _, frames, classes = scores.shape
    out, blended = np.zeros((folds, classes, classes)), np.empty(classes, np.float32)
    used = np.flatnonzero(weights)
    for i in range(frames):
        blended[:] = 0.0
        for h in used:
            for c in range(classes):
                blended[c] += weights[h] * scores[h, i, c]
        out[fold_of[i], truth[i], np.argmax(blended)] += weight[i]
    return out
