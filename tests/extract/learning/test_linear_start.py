"""The first output layer with labels that weigh differently, against the same sums minimised by SciPy."""

import functools

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_expit, log_softmax

from extract.learning import linear_start
from extract.learning.losses import Target

ROWS, WIDTH, PENALTY = 240, 5, 0.03
RNG = np.random.default_rng(2)
X = (RNG.normal(size=(ROWS, WIDTH)) * [1, 3, 0.2, 1, 1] + [0, 5, 0, 0, -1]).astype(np.float32)
STANDARDISED = (X.astype(np.float64) - X.mean(0, np.float64)) / X.std(0, dtype=np.float64)


def solve(loss, shape):
    """Outputs [N, C] of the linear layer whose weighted mean loss and penalty are least."""

    def split(values):
        return values[: WIDTH * shape].reshape(WIDTH, shape), values[WIDTH * shape :]

    def objective(values):
        coefficients, intercepts = split(values)
        return loss(STANDARDISED @ coefficients + intercepts) + PENALTY / 2 * (coefficients**2).sum()

    found = minimize(objective, np.zeros((WIDTH + 1) * shape), method="BFGS", options={"gtol": 1e-7})
    coefficients, intercepts = split(found.x)
    return STANDARDISED @ coefficients + intercepts


def fit(labels, truth, weights):
    outputs = tuple("abcdefghijkl")[: weights.shape[-1]]
    target = Target("t", labels, outputs, weights.astype(np.float32))
    coefficients, intercepts = linear_start.fit(X, truth, target, True, PENALTY)
    return X @ coefficients.T + intercepts


def test_classes_of_the_start_weigh_what_the_target_says():
    truth = (STANDARDISED[:, :4] + RNG.gumbel(size=(ROWS, 4))).argmax(1)
    weights = np.array([1.0, 8.0, 0.3, 2.5])

    def loss(outputs, weighted=weights):
        own = weighted[truth]
        return -(own * log_softmax(outputs, 1)[np.arange(ROWS), truth]).sum() / own.sum()

    found = fit("multiclass", truth, weights)
    np.testing.assert_allclose(centre(found), centre(solve(loss, 4)), atol=2e-2)
    plain = centre(solve(lambda outputs: loss(outputs, np.ones(4)), 4))
    assert np.abs(centre(found) - plain).max() > 0.5


def centre(logits):
    """Logits less their mean, which no softmax sees."""
    return logits - logits.mean(1, keepdims=True)


def test_absence_and_presence_of_each_unit_of_the_start_weigh_what_the_target_says():
    rng = np.random.default_rng(7)
    truth = (STANDARDISED @ rng.normal(size=(WIDTH, 12)) + rng.logistic(size=(ROWS, 12)) > 1).astype(np.uint8)
    weights = np.stack([rng.uniform(0.3, 1, 12), rng.uniform(2, 9, 12)])
    found = fit("multilabel", truth, weights)
    for unit in range(12):
        signs = 2.0 * truth[:, [unit]] - 1

        def loss(outputs, own, signs=signs):
            return -(own * log_expit(signs * outputs)[:, 0]).sum() / own.sum()

        own = weights[truth[:, unit], unit]
        wanted, plain = (solve(functools.partial(loss, own=weight), 1)[:, 0] for weight in (own, np.ones(ROWS)))
        np.testing.assert_allclose(found[:, unit], wanted, atol=2e-2)
        assert np.abs(found[:, unit] - plain).max() > 0.5, unit
