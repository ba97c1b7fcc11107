"""What a trial costs: the official score on validation of given weights, kernel and k, as fast as arrays allow.

au: the F1 of each unit at its exactly best threshold. expr: one pass over the frames. va: the CCC of a blend depends
only on the heads' means, their Gram matrix and their covariances with the truth; these are kept per kernel and k, so
that a trial costs microseconds (the median is not linear and takes the long way). Sums run in an order that does not
depend on the number of threads: equal input gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from blend import combine, smooth, threshold
from blend.pool import Pool
from heads.metrics import CLASSES, f1

Objective = Callable[[Sequence[float], str, int], float]
"""(weights [H] on the simplex, kernel, k) -> score, larger is better; a CCC that is not defined counts as 0."""

BLOCK = 4096


def make(pool: Pool) -> Objective:
    """The objective of a pool with truth."""
    kinds: dict[str, Callable[[Pool], Objective]] = {"au": _au, "expr": _expr, "va": _Va}
    return kinds[pool.task.name](pool)


def _au(pool: Pool) -> Objective:
    truth = np.ascontiguousarray(pool.known.values.T)

    def objective(weights: Sequence[float], kernel: str, k: int) -> float:
        blended = combine.scores(pool, weights, kernel, k)
        return float(threshold.best_f1(threshold.columns(blended, pool.known.rows), truth).mean())

    return objective


def _expr(pool: Pool) -> Objective:
    def objective(weights: Sequence[float], kernel: str, k: int) -> float:
        table = _confusion(combine.scores(pool, weights, kernel, k), pool.known.rows, pool.known.values)
        return float(f1(np.diag(table), table.sum(0), table.sum(1)).mean())

    return objective


@njit(cache=True)
def _confusion(scores, rows, truth):  # type: ignore[no-untyped-def]
    """Truth x argmax, [8, 8]; the first of equal scores wins."""
    table = np.zeros((CLASSES, CLASSES), np.int64)
    for i in range(len(rows)):
        best = 0
        for c in range(1, CLASSES):
            if scores[rows[i], c] > scores[rows[i], best]:
                best = c
        table[truth[i], best] += 1
    return table


class _Va:
    """Moments per (kernel, k), made when first asked for."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        heads, frames, channels = pool.scores.shape
        self.shape = (heads, channels)
        self.side_by_side = np.ascontiguousarray(pool.scores.transpose(1, 0, 2)).reshape(frames, heads * channels)
        truth = pool.known.values.astype(np.float64)
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
                for part in _moments(smoothed, self.pool.known.rows, self.centred, self.mean, heads)
            )
            gram = gram - sums[:, :, None] * sums[:, None, :]
            self.kept[kernel, k] = sums, gram, cross
        return self.kept[kernel, k]

    def __call__(self, weights: Sequence[float], kernel: str, k: int) -> float:
        if kernel == "median":
            decided = np.clip(combine.scores(self.pool, weights, kernel, k), -1, 1)
            return float(
                np.nan_to_num(self.pool.task.per_output(self.pool.known.values, decided[self.pool.known.rows])).mean()
            )
        apart, gram, cross = self.moments(kernel, k)
        w = np.asarray(weights, np.float64)
        below = (gram @ w) @ w + self.variance + (apart @ w) ** 2
        return float(np.divide(2 * (cross @ w), below, out=np.zeros(len(below)), where=below > 0).mean())


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
