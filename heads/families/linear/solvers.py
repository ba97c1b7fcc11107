"""One regression after the other, from the strongest penalty to the weakest, each begun at the one before.

A penalty p goes with the mean loss: mean over rows of weight * loss + p / 2 * sum of squared coefficients. It then
means the same for a fold and for all rows; scikit-learn's C is 1 / (p * rows), its ridge's alpha p * rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.abaw.tasks import Task
from heads.base.linear import Linear

FEWEST = 2
"""Positives (and negatives) that a unit needs to be learnt; others are predicted by their rate."""
TOLERANCE, ROUNDS = 1e-4, 1000
"""Of L-BFGS: the largest entry of the gradient of the mean loss at which it stops, and its most iterations."""
ABSENT = -1e4
"""Logit of a class that no row has."""
SURE = 1e-6
"""The rate of a unit that never, or always, occurs is taken to be so far from 0 or 1."""


def solve_path(
    x: NDArray[np.float32], truth: NDArray[np.generic], weights: NDArray[np.float64], task: Task, penalties: list[float]
) -> Iterator[Linear]:
    """The regression of each of `penalties`, which fall, on columns x [n, D] that are of one scale.

    truth and weights as heads.base.head has them (`row_weights`: expr [n], au [n, units], va unused). Of expr and au
    what comes out are logits.
    """
    if task.is_regression:
        yield from _ridge(x, truth.astype(np.float64), penalties)
    elif task.is_multiclass:
        yield from _multinomial(x, truth, weights, len(task.outputs), penalties)
    else:
        units = [_binary(x, truth[:, i], weights[:, i], penalties) for i in range(truth.shape[1])]
        for parts in zip(*units, strict=True):
            coefficients = np.stack([part.coefficients[:, 0] for part in parts], 1)
            yield Linear(coefficients, np.concatenate([part.intercept for part in parts]))


def _logistic(
    x: NDArray[np.float32], label: NDArray[np.generic], weight: NDArray[np.float64], penalties: list[float]
) -> Iterator[Any]:
    """scikit-learn's regression of each penalty, one object that goes on."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(tol=TOLERANCE, max_iter=ROUNDS, warm_start=True)
    for penalty in penalties:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=1 / (penalty * len(x))).fit(x, label, weight.astype(x.dtype))
        yield model


def _multinomial(
    x: NDArray[np.float32], label: NDArray[np.generic], weight: NDArray[np.float64], count: int, penalties: list[float]
) -> Iterator[Linear]:
    """Of all classes that occur; the logit of the others is ABSENT."""
    classes = np.unique(label).astype(np.int64)
    if len(classes) == 1:
        alone = np.where(np.arange(count) == classes[0], 0.0, ABSENT)
        yield from (Linear(np.zeros((x.shape[1], count)), alone) for _ in penalties)
        return
    for model in _logistic(x, label, weight, penalties):
        result = np.concatenate([model.coef_.T, model.intercept_[None]])
        if len(classes) == 2:  # scikit-learn has one logit, of the second class
            result = np.concatenate([np.zeros_like(result), result], 1)
        whole = np.zeros((x.shape[1] + 1, count))
        whole[-1] = ABSENT
        whole[:, classes] = result
        yield Linear(whole[:-1], whole[-1])


def _binary(
    x: NDArray[np.float32], label: NDArray[np.generic], weight: NDArray[np.float64], penalties: list[float]
) -> Iterator[Linear]:
    """Of one unit; one that (almost) never changes keeps its rate."""
    positives = int(label.sum(dtype=np.int64))
    if min(positives, len(label) - positives) < FEWEST:
        rate = np.clip(positives / len(label), SURE, 1 - SURE)
        constant = Linear(np.zeros((x.shape[1], 1)), np.log([rate / (1 - rate)]))
        yield from (constant for _ in penalties)
        return
    for model in _logistic(x, label, weight, penalties):
        yield Linear(model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64))


def _ridge(x: NDArray[np.float32], values: NDArray[np.float64], penalties: list[float]) -> Iterator[Linear]:
    """Least squares with a penalty on the coefficients, by the covariance, which all penalties share."""
    from scipy.linalg import solve

    mean, middle = x.mean(0, dtype=np.float64), values.mean(0)
    covariance = (x.T @ x).astype(np.float64) / len(x) - np.outer(mean, mean)
    cross = (x.T @ (values - middle).astype(x.dtype)).astype(np.float64) / len(x)
    for penalty in penalties:
        result = solve(covariance + penalty * np.eye(len(mean)), cross, assume_a="pos")
        yield Linear(result, middle - mean @ result)
