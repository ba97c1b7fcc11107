"""Stacking, the usual other way to a blend: a linear regression with weights that are not negative.

Breiman (Stacked Regressions, Machine Learning 24, 1996) keeps the weights from being negative; Ting and Witten (Issues
in Stacked Generalization, JAIR 10, 1999) regress each class on its own scores. Here every output shares one weight a
head: with one for each output, the demo's standard heads have .588 instead of .592 cross-fitted (au), .393 for .631
(expr), .716 for .728 (va; five seeds, tried once). Heads' logits stand for probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from blend.calibrate import mixture
from blend.pool import duplicates
from blend.pool.pool import Pool

FLOOR = 1e-4
"""The least probability, and the least that lacks to 1."""
PENALTY = 1.0


@dataclass(frozen=True)
class Stack:
    """A fitted regression: what is added up of the heads' inputs."""

    heads: tuple[str, ...]
    weights: NDArray[np.float64]
    """[H], none below 0."""
    intercept: float

    def predict(self, pool: Pool) -> Pool:
        """The pool with one head, the regression's scores within the task's range; other heads count for nothing."""
        inputs = _inputs(pool)[[pool.heads.index(head) for head in self.heads]]
        scores = np.tensordot(self.weights, inputs, axes=1) + self.intercept
        low = -1.0 if pool.task.labels == "regression" else 0.0
        return replace(pool, heads=("stacked",), scores=np.clip(scores, low, 1).astype(np.float32)[None], coverage=None)


def fit(pool: Pool) -> Stack:
    """The regression of all annotated frames; those of expressions are weighted so that classes count alike."""
    rows, truth = pool.known_truth.rows, pool.known_truth.values
    inputs = _inputs(pool)[:, rows]
    weight = np.ones(len(rows))
    if pool.task.labels == "multiclass":
        weight = len(rows) * mixture.balance_classes(truth, weight, inputs.shape[2])
        truth = np.eye(inputs.shape[2])[truth]
    ridge = Ridge(alpha=PENALTY, positive=True, tol=1e-10)
    ridge.fit(inputs.reshape(len(inputs), -1).T, truth.reshape(-1), np.repeat(weight, inputs.shape[2]))
    return Stack(pool.heads, ridge.coef_, float(ridge.intercept_))


def stack(pool: Pool, folds: Sequence[Sequence[int]]) -> tuple[Pool, Stack]:
    """A validation pool with the stack's scores as its one head, and the stack of all its videos.

    A fold's videos are predicted by the regression of the other folds, so that smoothing and thresholds may be found on
    what is returned.
    """
    distinct = duplicates.drop_duplicates(pool)
    scores = np.empty((1, *pool.scores.shape[1:]), np.float32)
    for fold in map(sorted, folds):
        rest = sorted(set(range(len(pool.videos))) - set(fold))
        scores[:, pool.rows_of(fold)] = fit(distinct.select(rest)).predict(distinct.select(fold)).scores
    return replace(pool, heads=("stacked",), scores=scores, coverage=None), fit(distinct)


def _inputs(pool: Pool) -> NDArray[np.float64]:
    """What the regression is of, [H, T, C]: scores, for probabilities their logits (of classes, their logarithms)."""
    scores = pool.scores.astype(np.float64)
    if pool.task.labels == "regression":
        return scores
    probability = np.clip(scores, FLOOR, 1 - FLOOR)
    if pool.task.labels == "multiclass":
        return np.log(probability)
    return np.log(probability / (1 - probability))
