"""A pool with truth, smoothed once per kernel and k, and counted per fold: what cross-fitted selection tries things on.

Subset s < F is every fold but s, subset F is all videos, so one pass over the frames scores a blend on all of them. At
most ROWS annotated frames are looked at (every n-th, after smoothing): neighbours are alike, and it is the number of
videos that limits what can be told.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blend import combine, counts, moments, smooth
from blend.pool import Pool
from blend.threshold_rules import curve

ROWS = 20_000
BINS = 256
ROUNDS = 10


class Folded:
    """One pool and its folds (lists of videos that hold every video once)."""

    def __init__(self, pool: Pool, folds: Sequence[Sequence[int]], rows: int = ROWS) -> None:
        self.pool, self.folds = pool, [list(fold) for fold in folds]
        self.step = step = max(1, -(-len(pool.known.rows) // rows))
        self.rows, self.truth = pool.known.rows[::step], np.ascontiguousarray(pool.known.values[::step])
        self.video_of = pool.video_of[::step]
        fold_of = np.empty(len(pool.videos), np.int64)
        for f, fold in enumerate(self.folds):
            fold_of[fold] = f
        self.fold_of = fold_of[self.video_of]
        self._smoothed: dict[tuple[str, int], NDArray[np.float32]] = {}
        self._parts: dict[tuple[str, int, bytes], NDArray[np.float64]] = {}
        self._weights: dict[tuple[str, int, int, bool], NDArray[np.float64]] = {}

    def smoothed(self, kernel: str, k: int | tuple[int, ...]) -> NDArray[np.float32]:
        """Scores of each head at the rows looked at, [H, N, C]; k may be one per output."""
        if isinstance(k, tuple):
            return np.stack([self.smoothed(kernel, one)[:, :, c] for c, one in enumerate(k)], axis=2)
        if (kernel, k) not in self._smoothed:
            scores, offsets = self.pool.scores, self.pool.offsets
            self._smoothed[kernel, k] = np.stack(
                [smooth.smooth(scores[h], offsets, kernel, k)[self.rows] for h in range(len(scores))]
            )
        return self._smoothed[kernel, k]

    def blend(self, kernel: str, k: int | tuple[int, ...], weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """The smoothed blend at the rows looked at, [N, C]; weights [H, C]."""
        if self.step == 1:
            return combine.scores(self.pool, weights, kernel, k)[self.rows]  # type: ignore[arg-type]
        return np.einsum("hnc,hc->nc", self.smoothed(kernel, k), weights.astype(np.float32))

    def parts(self, kernel: str, k: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score of each output on each subset, [F + 1, C]; weights [H] sum to 1. An undefined CCC counts as 0."""
        key = kernel, k, np.round(weights, 9).tobytes()
        if key not in self._parts:
            self._parts[key] = self._measure(kernel, k, np.asarray(weights, np.float64))
        return self._parts[key]

    def _measure(self, kernel: str, k: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        whole, folds, task = self.smoothed(kernel, k), len(self.folds), self.pool.task.name
        if task == "au":
            table = _au_counts(whole, weights.astype(np.float32), self.truth, self.fold_of, folds, BINS)
            return curve(_complements(table, 1).astype(np.float64)).max(-1)
        table = _expr_counts(whole, weights.astype(np.float32), self.truth, self.fold_of, folds)
        return counts.outputs(task, _complements(table, 0).astype(np.float64))

    def weights(self, kernel: str, k: int, subset: int, each: bool = False) -> NDArray[np.float64]:
        """Weights found on a subset by greedy selection, [H, C]; `each`: for every output on its own."""
        key = kernel, k, subset, each
        if key not in self._weights:
            heads, outputs = len(self.pool.heads), len(self.pool.task.outputs)
            if each:
                found = [self._greedy(kernel, k, subset, c) for c in range(outputs)]
                self._weights[key] = np.stack(found, axis=1)
            else:
                self._weights[key] = np.broadcast_to(self._greedy(kernel, k, subset)[:, None], (heads, outputs))
        return self._weights[key]

    def _greedy(self, kernel: str, k: int, subset: int, output: int | None = None) -> NDArray[np.float64]:
        """Ensemble selection with replacement (Caruana et al., ICML 2004) from the best head on, [H]."""
        heads = len(self.pool.heads)
        chosen, reached = np.zeros(heads), -np.inf
        for n in range(ROUNDS):
            tried = [self.parts(kernel, k, (chosen + np.eye(heads)[h]) / (n + 1))[subset] for h in range(heads)]
            values = [float(part.mean() if output is None else part[output]) for part in tried]
            best = int(np.argmax(values))
            if values[best] <= reached:
                break
            reached = values[best]
            chosen[best] += 1
        return chosen / chosen.sum()


class FoldedVa(Folded):
    """The same for va, where everything follows from moments per video."""

    def __init__(self, pool: Pool, folds: Sequence[Sequence[int]], rows: int = 3 * ROWS) -> None:
        super().__init__(pool, folds, rows)
        self._tables: dict[tuple[str, int], NDArray[np.float64]] = {}

    def moments(self, kernel: str, k: int | tuple[int, ...]) -> NDArray[np.float64]:
        """Sums per video, [V, C, H + 2, H + 2]: products of the heads' scores, the truth and 1, in this order."""
        if isinstance(k, tuple):
            return np.stack([self.moments(kernel, one)[:, c] for c, one in enumerate(k)], axis=1)
        if (kernel, k) not in self._tables:
            whole = self.smoothed(kernel, k)
            self._tables[kernel, k] = moments.per_group(whole, self.truth, self.video_of, len(self.pool.videos))
        return self._tables[kernel, k]

    def _measure(self, kernel: str, k: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        outputs = len(self.pool.task.outputs)
        each = np.broadcast_to(weights[:, None], (len(weights), outputs))
        table = va_table(self.moments(kernel, k), each, np.ones(outputs), np.zeros(outputs))
        per_fold = np.stack([table[fold].sum(0) for fold in self.folds])
        return np.nan_to_num(counts.outputs("va", _complements(per_fold, 0)))


def va_table(
    sums: NDArray[np.float64], weights: NDArray[np.float64], scale: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Tables of `counts` [V, 6, C] of scale * blend + shift (not clipped): moments per video, weights [H, C]."""
    heads = len(weights)
    blend = np.concatenate([weights * scale, np.zeros((1, len(scale))), shift[None]])  # [H + 2, C]
    p = np.einsum("vcij,jc->vci", sums, blend)
    pp = np.einsum("vci,ic->vc", p, blend)
    one, t = sums[:, :, heads + 1], sums[:, :, heads]
    return np.stack([one[..., -1], t[..., -1], p[..., -1], t[..., heads], pp, p[..., heads]], axis=1)


def of(pool: Pool, folds: Sequence[Sequence[int]], rows: int | None = None) -> Folded:
    """The folded pool of a task; `rows`: how many rows are looked at."""
    kind = FoldedVa if pool.task.name == "va" else Folded
    return kind(pool, folds) if rows is None else kind(pool, folds, rows)


def _complements(table: NDArray[np.generic], axis: int) -> NDArray[np.generic]:
    """Per fold -> per subset: all but each, then all."""
    total = table.sum(axis, keepdims=True)
    return np.concatenate([total - table, total], axis)


@njit(cache=True)
def _au_counts(scores, weights, truth, fold_of, folds, bins):  # type: ignore[no-untyped-def]
    """Positives and all frames per bin of the blend, [2, F, C, bins]."""
    _, frames, units = scores.shape
    out, blended = np.zeros((2, folds, units, bins), np.int32), np.empty(units, np.float32)
    used = np.flatnonzero(weights)
    for i in range(frames):
        blended[:] = 0.0
        for h in used:
            for c in range(units):
                blended[c] += weights[h] * scores[h, i, c]
        for c in range(units):
            b = min(max(int(blended[c] * np.float32(bins)), 0), bins - 1)
            out[0, fold_of[i], c, b] += truth[i, c]
            out[1, fold_of[i], c, b] += 1
    return out


@njit(cache=True)
def _expr_counts(scores, weights, truth, fold_of, folds):  # type: ignore[no-untyped-def]
    """Truth x argmax of the blend, [F, 8, 8]."""
    _, frames, classes = scores.shape
    out, blended = np.zeros((folds, classes, classes), np.int32), np.empty(classes, np.float32)
    used = np.flatnonzero(weights)
    for i in range(frames):
        blended[:] = 0.0
        for h in used:
            for c in range(classes):
                blended[c] += weights[h] * scores[h, i, c]
        out[fold_of[i], truth[i], np.argmax(blended)] += 1
    return out
