from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from heads.abaw.tasks import TASKS
from heads.families.linear import solvers


def columns(n: int = 300, width: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def loss(flat: np.ndarray, x: np.ndarray, truth: np.ndarray, weights: np.ndarray, penalty: float) -> float:
    """What a multinomial regression is the least of, written down."""
    map_ = flat.reshape(x.shape[1] + 1, -1)
    logits = x @ map_[:-1] + map_[-1]
    likelihood = logits[np.arange(len(x)), truth] - np.log(np.exp(logits).sum(1))
    return float(-(weights * likelihood).mean() + penalty / 2 * (map_[:-1] ** 2).sum())


@pytest.mark.parametrize("classes", [(0, 3), (0, 3, 7)])
def test_expressions_are_the_least_weighted_loss_with_the_penalty(classes: tuple[int, ...]) -> None:
    x = columns()
    truth = np.array(classes)[np.digitize(x[:, 0] + 0.5 * columns(seed=1)[:, 0], [-0.5, 0.5]) % len(classes)]
    weights = np.random.default_rng(2).uniform(0.5, 2, len(x))
    for penalty, found in zip(
        (1.0, 0.01), solvers.solve_path(x, truth, weights, TASKS["expr"], (1.0, 0.01)), strict=True
    ):
        place = np.searchsorted(classes, truth)
        if len(classes) == 2:  # one map's square, not two halves' of it
            oracle = minimize(
                lambda w, p=penalty, y=place: float(
                    (weights * np.logaddexp(0, -(2 * y - 1) * (x @ w[:-1] + w[-1]))).mean()
                    + p / 2 * (w[:-1] ** 2).sum()
                ),
                np.zeros(7),
            ).x
            chances = 1 / (1 + np.exp(-(x @ oracle[:-1] + oracle[-1])))
            expected = np.stack([1 - chances, chances], 1)
        else:
            least = minimize(loss, np.zeros(7 * len(classes)), (x, place, weights, penalty)).x.reshape(7, -1)
            expected = np.exp(x @ least[:-1] + least[-1])
            expected /= expected.sum(1, keepdims=True)
        powers = np.exp(found.of(x))
        chances = powers / powers.sum(1, keepdims=True)
        np.testing.assert_allclose(chances[:, list(classes)], expected, atol=2e-3)
        assert (np.delete(chances, list(classes), 1) == 0).all(), "classes that no row has"


def test_units_are_learnt_one_by_one_and_one_that_hardly_changes_keeps_its_rate() -> None:
    x = columns()
    truth = (x[:, np.arange(12) % 6] > np.linspace(-0.5, 0.5, 12)).astype(np.uint8)
    truth[:, 3], truth[:, 5] = 0, 1
    truth[:, 7] = np.arange(len(x)) == 4
    weights = np.ones((len(x), 12))
    [found] = solvers.solve_path(x, truth, weights, TASKS["au"], [0.1])
    for unit in range(12):
        alone = np.zeros_like(truth)
        alone[:, 0] = truth[:, unit]
        [expected] = solvers.solve_path(x, alone, weights, TASKS["au"], [0.1])
        np.testing.assert_array_equal(found.of(x)[:, unit], expected.of(x)[:, 0])
    rates = 1 / (1 + np.exp(-found.of(x)))
    np.testing.assert_allclose(rates[:, [3, 5, 7]].mean(0), [1e-6, 1 - 1e-6, 1 / 300], rtol=1e-6)
    assert (found.coefficients[:, [3, 5, 7]] == 0).all() and (found.coefficients[:, 0] != 0).any()


@pytest.mark.parametrize("penalty", [10.0, 0.1, 1e-4])
def test_values_are_scikit_learns_ridge(penalty: float) -> None:
    x = columns() + np.float32(0.3)
    values = np.tanh(x[:, :2] - x[:, 2:4]).astype(np.float32)
    [found] = solvers.solve_path(x, values, np.ones(len(x)), TASKS["va"], [penalty])
    oracle = Ridge(alpha=penalty * len(x)).fit(x.astype(np.float64), values.astype(np.float64))
    np.testing.assert_allclose(found.of(x), oracle.predict(x), atol=1e-5)


def test_a_path_ends_where_the_last_penalty_alone_does() -> None:
    x = columns(width=3)
    truth: Any = np.digitize(x[:, 0], [-0.5, 0.5])
    weights = np.ones(len(x))
    *_, last = solvers.solve_path(x, truth, weights, TASKS["expr"], [10.0, 1.0, 0.1])
    [alone] = solvers.solve_path(x, truth, weights, TASKS["expr"], [0.1])
    np.testing.assert_allclose(last.of(x), alone.of(x), atol=5e-3)


def test_one_class_is_certain() -> None:
    x = columns(20)
    found = list(solvers.solve_path(x, np.full(20, 2), np.ones(20), TASKS["expr"], [1.0, 0.1]))
    assert len(found) == 2 and (found[1].of(x).argmax(1) == 2).all()
