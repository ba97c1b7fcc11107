"""The first values of the new output layer: a regression on the embeddings of the frozen network.

multiclass: logistic regression with class weights; multilabel: one for each unit; regression: ridge, on the inverse
tanh of the labels where the outputs go through tanh. Published fine-tuning begins at such a layer, too.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from extract.learning.losses import Target

if TYPE_CHECKING:
    from extract.learning.network import FineTunedNetwork

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01)
"""On half the sum of squared coefficients of standardised columns, beside the mean loss; `hold_out` chooses."""
WITHIN = 0.95
"""Labels are cut off here before their inverse tanh is taken: that of 1 is infinite."""
ITERATIONS = 500


def hold_out(groups: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """The rows [N] of every third group, from the second largest on; none where there is one group."""
    names, counts = np.unique(groups, return_counts=True)
    return np.isin(groups, names[np.argsort(-counts, kind="stable")][1::3])


def fit(
    embeddings: NDArray[np.float32], truth: NDArray[np.generic], target: Target, bounded: bool, penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients [outputs, D] and intercepts [outputs] for embeddings [N, D] as they are, not standardised; 0 where
    the pictures show no difference that could be learnt.
    """
    from threadpoolctl import threadpool_limits

    if not len(embeddings):
        return np.zeros((len(target.outputs), embeddings.shape[1])), np.zeros(len(target.outputs))
    x = embeddings.astype(np.float64)
    mean, deviation = x.mean(0), x.std(0)
    scale = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, np.inf)  # constant columns get 0
    x = (x - mean) / scale
    with threadpool_limits(1), warnings.catch_warnings():  # sums are then the same whatever the number of cores
        warnings.simplefilter("ignore")  # a start need not be the optimum
        coefficients, intercepts = _fit_standardised(x, truth, target, bounded, penalty)
    coefficients = coefficients / scale
    return coefficients, intercepts - coefficients @ mean


def _fit_standardised(
    x: NDArray[np.float64], truth: NDArray[np.generic], target: Target, bounded: bool, penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.linear_model import Ridge

    if target.labels == "regression":
        y = np.arctanh(np.clip(truth, -WITHIN, WITHIN)) if bounded else truth
        model = Ridge(alpha=penalty * len(x)).fit(x, y.astype(np.float64))
        return model.coef_.reshape(len(target.outputs), -1), model.intercept_.reshape(-1)
    coefficients = np.zeros((len(target.outputs), x.shape[1]))
    intercepts = np.zeros(len(target.outputs))
    if target.labels == "multiclass":
        classes = truth.astype(np.int64)
        if len(there := np.unique(classes)) < 2:
            return coefficients, intercepts
        fitted = _fit_logistic(x, classes, target.weights[classes], penalty)
        if len(there) == 2:  # scikit-learn keeps one row for two classes
            fitted = np.vstack([-fitted[0] / 2, fitted[0] / 2]), np.array([-fitted[1][0] / 2, fitted[1][0] / 2])
        coefficients[there], intercepts[there] = fitted
        return coefficients, intercepts
    for unit in range(len(target.outputs)):
        shown = truth[:, unit].astype(np.int64)
        if shown.min() < shown.max():
            row, intercept = _fit_logistic(x, shown, target.weights[shown, unit], penalty)
            coefficients[unit], intercepts[unit] = row[0], intercept[0]
    return coefficients, intercepts


def _fit_logistic(
    x: NDArray[np.float64], truth: NDArray[np.int64], weights: NDArray[np.float32], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression

    weights = weights / weights.mean()
    model = LogisticRegression(C=1 / (penalty * len(x)), max_iter=ITERATIONS).fit(x, truth, weights)
    return model.coef_, model.intercept_


def set_head(network: FineTunedNetwork, coefficients: NDArray[np.float64], intercepts: NDArray[np.float64]) -> None:
    """Make them the output layer's."""
    import torch

    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(coefficients))
        network.head.bias.copy_(torch.from_numpy(intercepts))
