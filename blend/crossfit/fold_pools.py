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
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blend.calibrate import affine, mixture
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

    sample_rows: ClassVar[int] = ROWS
    """Annotated frames that are looked at."""

    def __init__(
        self, pool: Pool, folds: Sequence[Sequence[int]], rows: int | None = None, power: float = POWER
    ) -> None:
        """`rows`: how many rows are looked at, if not as many as usual."""
        self.pool, self.folds = pool, [list(fold) for fold in folds]
        self.step = max(1, -(-int(pool.offsets[-1]) // (rows or self.sample_rows)))
        taken = _every(pool.video_of, self.step)
        self.rows, self.truth = pool.known_truth.rows[taken], np.ascontiguousarray(pool.known_truth.values[taken])
        self.video_of = pool.video_of[taken]
        fold_of = np.empty(len(pool.videos), np.int64)
        for f, fold in enumerate(self.folds):
            fold_of[fold] = f
        self.fold_of, self.groups = fold_of[self.video_of], pool.groups
        frames = np.maximum(np.bincount(pool.video_of, minlength=len(pool.videos)), 1)
        self.video_weight = (frames / TYPICAL) ** -power
        self.weight = self.video_weight[self.video_of].astype(np.float32)
        numbers = range(len(self.folds))
        sizes = range(min(3, len(self.folds)))
        self.subsets: list[LeftOut] = [left for n in sizes for left in combinations(numbers, n)]
        self._keep = np.array([[f not in left for f in numbers] for left in self.subsets], np.float64)
        self._kept: dict[tuple[Any, ...], NDArray[Any]] = {}
        """What is made once, by what it is and what it is of."""
        self._weights: dict[tuple[str, int, tuple[int, ...], bool], dict[LeftOut, NDArray[np.float64]]] = {}

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
        if (key := ("smoothed", kernel, k)) not in self._kept:
            scores, offsets = self.pool.scores, self.pool.offsets
            seen = self.pool.covered_frames if kernel == "median" else None
            self._kept[key] = np.stack([smooth.smooth(own, offsets, kernel, k, seen)[self.rows] for own in scores])
        return self._kept[key]

    def blend(self, kernel: str, k: int | tuple[int, ...], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """The smoothed blend at the rows looked at, [N, C]; weights [H, C]."""
        if self.step == 1:
            return combine.scores(self.pool, weights, kernel, k)[self.rows]  # type: ignore[arg-type]
        return np.einsum("hnc,hc->nc", self.smooth(kernel, k), weights.astype(np.float32))

    def parts(self, kernel: str, k: int, weights: NDArray[np.float64]) -> dict[LeftOut, NDArray[np.float64]]:
        """Score of each output [C] on each subset; weights [H] sum to 1. An undefined CCC counts as 0."""
        key = "parts", kernel, k, np.round(weights, 9).tobytes()
        if key not in self._kept:
            tables = self._count(kernel, k, np.asarray(weights, np.float64), (0,), 0.0)
            self._kept[key] = self._scores(tables, self._keep)[:, 0]
        return dict(zip(self.subsets, self._kept[key], strict=True))

    @abstractmethod
    def _count(
        self, kernel: str, k: int, weights: NDArray[np.float64], heads: tuple[int, ...], step: float
    ) -> NDArray[np.float64]:
        """What the score of each fold follows from, [heads, F, ...]: of the blends of `weights` [H], to which `step` is
        added for one of `heads` at a time.
        """

    @abstractmethod
    def _scores(self, tables: NDArray[np.float64], keep: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score of each output, [S, heads, C], of subsets that keep some of the folds, [S, F]."""

    def weights(
        self, kernel: str, k: int, left_out: LeftOut, heads: tuple[int, ...], per_output: bool = False
    ) -> NDArray[np.float64]:
        """Weights of some heads, found on a subset, [H, C]; `per_output`: for every output on its own."""
        known = self._weights.setdefault((kernel, k, heads, per_output), {})
        if left_out not in known:
            rest = [subset for subset in self.subsets if subset] if left_out else [left_out]
            known.update(zip(rest, self._find_weights(kernel, k, rest, heads, per_output), strict=True))
        return known[left_out]

    def _find_weights(
        self, kernel: str, k: int, subsets: Sequence[LeftOut], heads: tuple[int, ...], each: bool
    ) -> NDArray[np.float64]:
        """Weights on each subset, [S, H, C]: ensemble selection with replacement (Caruana et al., ICML 2004).

        Always ROUNDS rounds: to end at the first that does not gain leaves one or two heads where the score is jagged;
        for au that gave less on test, elsewhere neither is better (`blend/studies/README.md`). Subsets that chose the
        same heads so far share a pass over the frames.
        """
        outputs = len(self.pool.task.outputs)
        chosen = np.zeros((len(subsets), outputs if each else 1, len(self.pool.heads)))
        keep = self._keep[[self.subsets.index(subset) for subset in subsets]]
        for n in range(ROUNDS):
            same, group_of = np.unique(chosen.reshape(-1, chosen.shape[-1]), axis=0, return_inverse=True)
            group_of = group_of.reshape(chosen.shape[:2])
            for number, counts in enumerate(same):
                members, columns = np.nonzero(group_of == number)
                tables = self._count(kernel, k, counts / (n + 1), heads, 1 / (n + 1))
                mine = np.unique(members)
                scores = dict(zip(mine, self._scores(tables, keep[mine]), strict=True))
                for s, c in zip(members, columns, strict=True):
                    values = scores[s][:, c] if each else scores[s].mean(-1)
                    chosen[s, c, heads[int(np.argmax(values))]] += 1
        weights = np.moveaxis(chosen / ROUNDS, 1, 2)
        return weights if each else np.repeat(weights, outputs, axis=2)


class FoldedMultilabel(FoldedPool):
    """Scores with the best threshold of each output, to within 1/BINS."""

    def _count(
        self, kernel: str, k: int, weights: NDArray[np.float64], heads: tuple[int, ...], step: float
    ) -> NDArray[np.float64]:
        given = weights.astype(np.float32), np.array(heads), np.float32(step)
        out = np.zeros((len(heads), len(self.folds), 2, len(self.pool.task.outputs), BINS))
        _count_bins(self.smooth(kernel, k), *given, self.truth, self.fold_of, self.weight, out)
        out[:, :, 1] += out[:, :, 0]
        return out

    def _scores(self, tables: NDArray[np.float64], keep: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.empty((len(keep), len(tables), tables.shape[3]))
        _best_cuts(tables, keep, np.empty((2, BINS)), out)
        return out


class FoldedMulticlass(FoldedPool):
    """Scores of the largest."""

    def _find_weights(
        self, kernel: str, k: int, subsets: Sequence[LeftOut], heads: tuple[int, ...], each: bool
    ) -> NDArray[np.float64]:
        """By likelihood; for every class on its own, which no likelihood is made for, by greedy selection."""
        if each:
            return super()._find_weights(kernel, k, subsets, heads, each)
        weights = np.zeros((len(subsets), len(self.pool.heads), len(self.pool.task.outputs)))
        scores = self.smooth(kernel, k)[list(heads)]
        for s, subset in enumerate(subsets):
            inside = self.inside(subset)  # other frames must not matter, not even to a rounding
            found = mixture.fit(scores[:, inside], self.truth[inside], self.weight[inside])
            weights[s, list(heads)] = found[:, None]
        return weights

    def _count(
        self, kernel: str, k: int, weights: NDArray[np.float64], heads: tuple[int, ...], step: float
    ) -> NDArray[np.float64]:
        given = weights.astype(np.float32), np.array(heads), np.float32(step)
        classes = len(self.pool.task.outputs)
        out = np.zeros((len(heads), len(self.folds), classes, classes))
        _count_classes(self.smooth(kernel, k), *given, self.truth, self.fold_of, self.weight, out)
        return out

    def _scores(self, tables: NDArray[np.float64], keep: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.pool.blend_task.per_output(np.einsum("sf,hfij->shij", keep, tables))


class FoldedRegression(FoldedPool):
    """Everything follows from moments per video."""

    sample_rows = 3 * ROWS

    def moments(self, kernel: str, k: int | tuple[int, ...]) -> NDArray[np.float64]:
        """Sums per video, [V, C, H + 2, H + 2]: products of the heads' scores, the truth and 1, in this order."""
        if isinstance(k, tuple):
            return np.stack([self.moments(kernel, item)[:, c] for c, item in enumerate(k)], axis=1)
        if (key := ("moments", kernel, k)) not in self._kept:
            whole = self.smooth(kernel, k)
            self._kept[key] = affine.moments_per_group(whole, self.truth, self.video_of, len(self.pool.videos))
        return self._kept[key]

    def sums(self, kernel: str, k: int | tuple[int, ...], left_out: LeftOut) -> NDArray[np.float64]:
        """The weighted sum of the moments of a subset's videos, [C, H + 2, H + 2]."""
        videos = self.videos(left_out)
        return np.einsum("v,vcij->cij", self.video_weight[videos], self.moments(kernel, k)[videos])

    def _count(
        self, kernel: str, k: int, weights: NDArray[np.float64], heads: tuple[int, ...], step: float
    ) -> NDArray[np.float64]:
        outputs = len(self.pool.task.outputs)
        if (key := ("moments of folds", kernel, k)) not in self._kept:
            moments = self.moments(kernel, k) * self.video_weight[:, None, None, None]
            self._kept[key] = np.stack([moments[fold].sum(0) for fold in self.folds])
        tried = [weights + step * np.eye(len(weights))[head] for head in heads]
        each = [np.broadcast_to(row[:, None], (len(row), outputs)) for row in tried]
        sums, one, none = self._kept[key], np.ones(outputs), np.zeros(outputs)
        return np.stack([tables_of_moments(sums, row, one, none) for row in each])

    def _scores(self, tables: NDArray[np.float64], keep: NDArray[np.float64]) -> NDArray[np.float64]:
        """An undefined CCC counts as 0."""
        return np.nan_to_num(self.pool.blend_task.per_output(np.einsum("sf,hfij->shij", keep, tables)))


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


FOLDED_POOLS: dict[Labels, type[FoldedPool]] = {
    "multilabel": FoldedMultilabel,
    "multiclass": FoldedMulticlass,
    "regression": FoldedRegression,
}


def fold_pool(pool: Pool, folds: Sequence[Sequence[int]], rows: int | None = None, power: float = POWER) -> FoldedPool:
    """The folded pool of a pool's kind of labels; `rows`: how many rows are looked at."""
    return FOLDED_POOLS[pool.task.labels](pool, folds, rows, power)


@njit(cache=True)
def _blend_frame(scores, weights, i, blended):  # type: ignore[no-untyped-def]
    """Write the weighted sum of a frame's scores into `blended` [C]."""
    for c in range(len(blended)):
        blended[c] = 0.0
    for h in range(len(weights)):
        if weights[h] != 0:
            for c in range(len(blended)):
                blended[c] += weights[h] * scores[h, i, c]


@njit(cache=True)
def _count_bins(scores, weights, heads, step, truth, fold_of, weight, out):  # type: ignore[no-untyped-def]
    """Add weighted positives and negatives per bin of each blend to `out` [heads, F, 2, C, bins].

    Nothing but loops: arrays that are made, cut or added up here take seconds to compile.
    """
    bins, blended = out.shape[4], np.empty(scores.shape[2], np.float32)
    for i in range(scores.shape[1]):
        _blend_frame(scores, weights, i, blended)
        for n in range(len(heads)):
            for c in range(len(blended)):
                value = (blended[c] + step * scores[heads[n], i, c]) * np.float32(bins)
                b = min(max(int(value), 0), bins - 1)
                out[n, fold_of[i], 0 if truth[i, c] else 1, c, b] += weight[i]


@njit(cache=True)
def _best_cuts(tables, keep, counts, out):  # type: ignore[no-untyped-def]
    """Write the F1 of each output's best cut at a bin's lower edge into `out` [S, heads, C], from what subsets keep of
    the folds' counts (`_count`); `counts` [2, bins] is room to add them up.
    """
    for s in range(len(keep)):
        for h in range(len(tables)):
            for c in range(out.shape[2]):
                counts[:] = 0.0
                for f in range(keep.shape[1]):
                    if keep[s, f] != 0:
                        for side in range(2):
                            for b in range(counts.shape[1]):
                                counts[side, b] += tables[h, f, side, c, b]
                positives, hits, taken, best = 0.0, 0.0, 0.0, 0.0
                for b in range(counts.shape[1]):
                    positives += counts[0, b]
                for b in range(counts.shape[1] - 1, -1, -1):
                    hits += counts[0, b]
                    taken += counts[1, b]
                    if taken + positives > 0:
                        best = max(best, 2.0 * hits / (taken + positives))
                out[s, h, c] = best


@njit(cache=True)
def _count_classes(scores, weights, heads, step, truth, fold_of, weight, out):  # type: ignore[no-untyped-def]
    """Add weighted truth x argmax of each blend to `out` [heads, F, C, C]."""
    blended = np.empty(scores.shape[2], np.float32)
    for i in range(scores.shape[1]):
        _blend_frame(scores, weights, i, blended)
        for n in range(len(heads)):
            largest, at = -np.inf, 0
            for c in range(len(blended)):
                value = blended[c] + step * scores[heads[n], i, c]
                if value > largest:
                    largest, at = value, c
            out[n, fold_of[i], truth[i], at] += weight[i]
