"""The official scores as pure functions on arrays. No other dependency than numpy, no state.

F1 is the binary F1 of scikit-learn with `zero_division=0`: a unit or class that neither occurs nor is predicted scores
0, as the organisers' scikit-learn call gives. CCC uses population (n) variances, pooled over all frames of all videos.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
CLASSES = 8


def f1(true_positives: Array, predicted: Array, actual: Array) -> NDArray[np.float64]:
    """F1 = 2 TP / (predicted positives + actual positives), in [0, 1]; 0 where both counts are 0. Any shape."""
    total = np.asarray(predicted, np.float64) + np.asarray(actual, np.float64)
    return np.divide(2.0 * np.asarray(true_positives, np.float64), total, out=np.zeros_like(total), where=total > 0)


def f1_per_unit(truth: Array, decided: Array) -> NDArray[np.float64]:
    """F1 of each action unit: [N, 12] of 0/1, twice -> [12] in [0, 1]. Raises ValueError on unequal shapes."""
    truth, decided = _same_shape(truth, decided, 2)
    truth, decided = truth != 0, decided != 0
    return f1((truth & decided).sum(0), decided.sum(0), truth.sum(0))


def f1_per_class(truth: Array, decided: Array, classes: int = CLASSES) -> NDArray[np.float64]:
    """One-vs-rest F1 of each class: [N] of 0 .. classes - 1, twice -> [classes]. Raises ValueError as `f1_per_unit`."""
    truth, decided = _same_shape(truth, decided, 1)
    table = np.bincount(truth.astype(np.int64) * classes + decided.astype(np.int64), minlength=classes**2)
    table = table.reshape(classes, classes)
    return f1(np.diag(table), table.sum(0), table.sum(1))


def ccc(truth: Array, prediction: Array) -> float:
    """Concordance: 2 cov / (var_t + var_p + (mean_t - mean_p)^2), in [-1, 1], population (n) moments.

    NaN if both are constant and equal, or empty. Raises ValueError on unequal lengths.
    """
    truth, prediction = _same_shape(truth, prediction, 1)
    if not len(truth):
        return float("nan")
    t, p = truth.astype(np.float64), prediction.astype(np.float64)
    mean_t, mean_p = t.mean(), p.mean()
    below = t.var() + p.var() + (mean_t - mean_p) ** 2
    return float(2.0 * ((t - mean_t) * (p - mean_p)).mean() / below) if below > 0 else float("nan")


def ccc_per_dimension(truth: Array, prediction: Array) -> NDArray[np.float64]:
    """CCC of each column: [N, 2] and [N, 2] -> [2]."""
    truth, prediction = _same_shape(truth, prediction, 2)
    return np.array([ccc(truth[:, i], prediction[:, i]) for i in range(truth.shape[1])])


def _same_shape(truth: Array, other: Array, dimensions: int) -> tuple[Array, Array]:
    truth, other = np.asarray(truth), np.asarray(other)
    if truth.shape != other.shape or truth.ndim != dimensions:
        raise ValueError(
            f"truth {truth.shape} and prediction {other.shape} must have one shape of {dimensions} dimensions"
        )
    return truth, other
