"""What a trial costs: the official score on validation of given weights, kernel and k, as fast as arrays allow.

au: the F1 of each unit at its exactly best threshold (or at given ones). expr: one pass over the frames. va: the CCC of
a blend depends only on the heads' means, their Gram matrix and their covariances with the truth; these are kept per
kernel and k, so that a trial costs microseconds (the median is not linear and takes the long way). Sums run in an order
that does not depend on the number of threads: equal input gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from blend.calibrate import affine, class_bias, threshold
from blend.decision import combine, kernels, smooth
from blend.pool.pool import Pool
from blend.tasks.multiclass import factors
from heads.abaw.tasks import Labels

BLOCK = 4096


@dataclass(frozen=True)
class Point:
    """What a trial tries. Weights and k as in `params.Params`; parts that a search does not have are None."""

    weights: tuple[float | tuple[float, ...], ...]
    kernel: str
    k: int | tuple[int, ...]
    thresholds: tuple[float, ...] | None = None
    """au, where thresholds are searched."""
    tau: float | None = None
    """expr: strength of the logit adjustment."""
    bias: tuple[float, ...] | None = None
    """expr: free biases."""
    sure: float | None = None
    """expr: certainty from which the filter's head decides."""


@dataclass(frozen=True)
class Extras:
    """Optional parts of the space that a trial's score takes into account."""

    thresholds: tuple[float, ...] | None = None
    """au: these where a point has none, instead of the best ones."""
    bias: tuple[float, ...] | None = None
    """expr: these where a point has none."""
    filter: str | None = None
    """expr: the head whose sure decisions win, for points with `sure`."""
    scale: bool | tuple[float, ...] = False
    shift: bool | tuple[float, ...] = False
    """va: matched to the truth's moments, or given; what is given is as in `blend.calibrate.affine.match_moments`."""


class Objective:
    """Calling it with weights, kernel and k gives a score, larger is better; a CCC that is not defined counts as 0."""

    def __init__(self, parts: Callable[[Point], NDArray[np.float64]]) -> None:
        self.parts = parts
        """Score of each output, [C]."""

    def __call__(self, weights: Sequence[float | tuple[float, ...]], kernel: str, k: int | tuple[int, ...]) -> float:
        return self.score(Point(tuple(weights), kernel, k))

    def score(self, point: Point) -> float:
        """The mean over outputs."""
        return float(self.parts(point).mean())


def make(pool: Pool, extras: Extras | None = None) -> Objective:
    """The objective of a pool with truth."""
    return Objective(PARTS[pool.task.labels](pool, extras or Extras()))


class _Frames:
    """Blended and smoothed scores of a pool whose trials count them video by video, while they are in the cache."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.out = np.empty(pool.scores.shape[1:], np.float32)
        """[T, C], of one trial after the other: new memory costs a third as much as reading the pool."""
        self._lots: dict[int, list[NDArray[np.int64]]] = {}

    @property
    def lots(self) -> list[NDArray[np.int64]]:
        """The videos of each thread."""
        threads = numba.get_num_threads()
        if threads not in self._lots:
            self._lots[threads] = smooth.share(self.pool.offsets)
        return self._lots[threads]

    def arguments(self, point: Point) -> tuple[Any, ...]:
        """What the kernels take for a point whose outputs share k."""
        pool, seen = self.pool, self.pool.covered_frames if point.kernel == "median" else None
        table = combine.table(point.weights, pool.scores.shape[2])
        return smooth.arguments(pool.scores, table, pool.offsets, point.kernel, cast(int, point.k), seen)


def _multilabel(pool: Pool, extras: Extras) -> Callable[[Point], NDArray[np.float64]]:
    frames, channels = _Frames(pool), pool.scores.shape[2]
    labels = threshold.make_labels(pool.known_truth.rows, pool.known_truth.values, pool.scores.shape[1])
    flat = labels.reshape(-1)

    def parts(point: Point) -> NDArray[np.float64]:
        cut = extras.thresholds if point.thresholds is None else point.thresholds
        if cut is None and not isinstance(point.k, tuple):
            lots, known = frames.lots, frames.arguments(point)
            counts = threshold.make_counts(len(lots), channels)

            def count(lot: int) -> None:
                kernels.smooth_and_count(*known, lots[lot], frames.out, flat, counts[lot])

            smooth.run(count, len(lots))
            return threshold.find_cuts(frames.out, labels, counts, pool.offsets, lots)[0]
        blended = combine.scores(pool, point.weights, point.kernel, point.k)
        return threshold.best_f1(blended, labels) if cut is None else threshold.f1_at(blended, labels, np.array(cut))

    return parts


def _multiclass(pool: Pool, extras: Extras) -> Callable[[Point], NDArray[np.float64]]:
    rows, truth, kind, classes = pool.known_truth.rows, pool.known_truth.values, pool.blend_task, len(pool.task.outputs)
    frames, labels = _Frames(pool), np.full(pool.scores.shape[1], -1, np.int8)
    labels[rows] = truth

    def parts(point: Point) -> NDArray[np.float64]:
        added = point.bias or extras.bias
        if point.tau is not None:
            added = class_bias.logit_adjustment(truth, point.tau, classes=classes)
        factor = np.ones(classes, np.float32) if added is None else factors(added)
        if extras.filter is not None and point.sure is not None:
            blended = combine.scores(pool, point.weights, point.kernel, point.k)
            sure = combine.scores(pool, [float(h == extras.filter) for h in pool.heads], point.kernel, point.k)[rows]
            decided = kind.decide(blended[rows] * factor, sure=(sure, point.sure))
            return kind.per_output(kind.count(truth, decided, np.zeros(len(rows), np.int64), 1)[0])
        if isinstance(point.k, tuple):
            table = np.zeros((classes, classes), np.int64)
            kernels.decide(combine.scores(pool, point.weights, point.kernel, point.k), labels, factor, table)
            return kind.per_output(table)
        lots, known = frames.lots, frames.arguments(point)
        tables = np.zeros((len(lots), classes, classes), np.int64)

        def decide(lot: int) -> None:
            kernels.smooth_and_decide(*known, lots[lot], frames.out, labels, factor, tables[lot])

        smooth.run(decide, len(lots))
        return kind.per_output(tables.sum(0))

    return parts


class _Regression:
    """Moments per (kernel, k), made when first asked for."""

    def __init__(self, pool: Pool, extras: Extras) -> None:
        self.pool, self.extras = pool, extras
        heads, frames, channels = pool.scores.shape
        self.shape = (heads, channels)
        self.side_by_side = np.ascontiguousarray(pool.scores.transpose(1, 0, 2)).reshape(frames, heads * channels)
        truth = pool.known_truth.values.astype(np.float64)
        self.mean, self.variance = truth.mean(0), truth.var(0)
        self.centred = truth - self.mean
        self.kept: dict[tuple[str, int], tuple[NDArray[np.float64], ...]] = {}

    def moments(self, kernel: str, k: int) -> tuple[NDArray[np.float64], ...]:
        """Means [C, H] less the truth's, covariances of heads [C, H, H] and of heads with the truth [C, H]."""
        if (kernel, k) not in self.kept:
            heads, _ = self.shape
            smoothed = smooth.smooth(self.side_by_side, self.pool.offsets, kernel, k)
            sums, cross, gram = (
                part.sum(0) / len(self.centred)
                for part in _moments(smoothed, self.pool.known_truth.rows, self.centred, self.mean, heads)
            )
            gram = gram - sums[:, :, None] * sums[:, None, :]
            self.kept[kernel, k] = sums, gram, cross
        return self.kept[kernel, k]

    def __call__(self, point: Point) -> NDArray[np.float64]:
        if point.kernel == "median":
            return self._long_way(point)
        channels = self.shape[1]
        w = np.stack([np.broadcast_to(np.asarray(weight, np.float64), channels) for weight in point.weights], axis=1)
        if isinstance(point.k, tuple):
            results = [self.moments(point.kernel, k) for k in point.k]
            apart, gram, cross = (np.stack([item[i][c] for c, item in enumerate(results)]) for i in range(3))
        else:
            apart, gram, cross = self.moments(point.kernel, point.k)
        mean, above = (apart * w).sum(1), (cross * w).sum(1)
        spread = np.maximum((np.matmul(gram, w[:, :, None])[..., 0] * w).sum(1), 0)
        return self._ccc(mean, spread, above)

    def _ccc(
        self, mean: NDArray[np.float64], spread: NDArray[np.float64], covariance: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """CCC [C] from the blend's mean less the truth's, its variance and its covariance with the truth."""
        scale, moved = self.extras.scale, self.extras.shift
        factor = np.ones(len(spread))
        if isinstance(scale, tuple):
            factor = np.array(scale)
        elif scale:
            factor = affine.stretch(spread, self.variance)
        if isinstance(moved, tuple):
            mean = factor * (mean + self.mean) + np.array(moved) - self.mean
        elif moved:
            mean = np.zeros(len(spread))
        elif isinstance(scale, tuple):
            mean = factor * (mean + self.mean) - self.mean
        spread, covariance = spread * factor**2, covariance * factor
        below = spread + self.variance + mean**2
        return np.divide(2 * covariance, below, out=np.zeros(len(below)), where=below > 0)

    def _long_way(self, point: Point) -> NDArray[np.float64]:
        rows, truth = self.pool.known_truth.rows, self.pool.known_truth.values
        blended = combine.scores(self.pool, point.weights, point.kernel, point.k)[rows].astype(np.float64)
        if not (self.extras.scale or self.extras.shift):
            return np.nan_to_num(self.pool.task.per_output(truth, np.clip(blended, -1, 1)))
        apart = blended - blended.mean(0)
        return self._ccc(blended.mean(0) - self.mean, apart.var(0), (apart * self.centred).mean(0))


PARTS: dict[Labels, Callable[[Pool, Extras], Callable[[Point], NDArray[np.float64]]]] = {
    "multilabel": _multilabel,
    "multiclass": _multiclass,
    "regression": _Regression,
}
"""The score of each output of a point, by kind of labels."""


@njit(cache=True, parallel=True)
def _moments(smoothed, rows, truth, mean, heads):  # type: ignore[no-untyped-def]
    """Sums per block of frames: of heads [B, C, H], heads x truth [B, C, H], heads x heads [B, C, H, H]; all less the
    truth's mean.
    """
    blocks, channels = (len(rows) + BLOCK - 1) // BLOCK, truth.shape[1]
    sums = np.zeros((blocks, channels, heads))
    cross = np.zeros((blocks, channels, heads))
    gram = np.zeros((blocks, channels, heads, heads))
    for b in prange(blocks):
        x = np.empty(heads)
        for i in range(b * BLOCK, min((b + 1) * BLOCK, len(rows))):
            for c in range(channels):
                for h in range(heads):
                    x[h] = smoothed[rows[i], h * channels + c] - mean[c]
                    sums[b, c, h] += x[h]
                    cross[b, c, h] += x[h] * truth[i, c]
                    for g in range(h + 1):
                        gram[b, c, h, g] += x[h] * x[g]
    for h in range(heads):
        for g in range(h):
            gram[:, :, g, h] = gram[:, :, h, g]
    return sums, cross, gram
