"""The official scores against scikit-learn and against CCC's other form, rho * 2 s_t s_p / (...)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from heads.abaw import metrics
from heads.abaw.tasks import TASKS

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 200), st.floats(0, 1))
def test_unit_f1_is_scikit_learns(seed: int, n: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    truth, decided = (rng.random((2, n, 12)) < rate * rng.random(12)).astype(np.uint8)
    expected = f1_score(truth, decided, average=None, zero_division=0)
    np.testing.assert_allclose(metrics.f1_per_unit(truth, decided), expected, atol=1e-9, rtol=0)
    assert TASKS["au"].score(truth, decided) == pytest.approx(np.mean(expected), abs=1e-9)


@given(seeds, st.integers(1, 200), st.integers(1, 8))
def test_class_f1_is_scikit_learns_also_where_classes_are_absent(seed: int, n: int, classes: int) -> None:
    truth, decided = np.random.default_rng(seed).integers(0, classes, (2, n)).astype(np.int8)
    expected = f1_score(truth, decided, average=None, labels=range(8), zero_division=0)
    np.testing.assert_allclose(metrics.f1_per_class(truth, decided), expected, atol=1e-9, rtol=0)
    assert TASKS["expr"].score(truth, decided) == pytest.approx(np.mean(expected), abs=1e-9)


@given(seeds, st.integers(2, 200))
def test_ccc_by_the_correlation_coefficient(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, (n, 2))
    prediction = 0.5 * truth + rng.normal(size=(n, 2)) * 0.3 + 0.1
    expected = [
        2 * np.corrcoef(t, p)[0, 1] * np.std(t) * np.std(p) / (np.var(t) + np.var(p) + (t.mean() - p.mean()) ** 2)
        for t, p in zip(truth.T, prediction.T, strict=True)
    ]
    np.testing.assert_allclose(metrics.ccc_per_dimension(truth, prediction), expected, atol=1e-9, rtol=0)
    assert TASKS["va"].score(truth, prediction) == pytest.approx(np.mean(expected), abs=1e-9)


def test_ccc_of_degenerate_inputs() -> None:
    constant = np.full(5, 0.25)
    assert np.isnan(metrics.ccc(constant, constant)) and np.isnan(metrics.ccc(np.empty(0), np.empty(0)))
    assert metrics.ccc(constant, constant + 0.5) == 0
    rising = np.arange(5.0)
    assert metrics.ccc(rising, constant) == 0
    assert metrics.ccc(rising, rising) == pytest.approx(1)
    assert metrics.ccc(rising, 4 - rising) == pytest.approx(-1)


def test_ccc_of_float32_does_not_lose_digits() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, 100_000).astype(np.float32)
    prediction = (truth + rng.normal(size=truth.size) * 0.4).astype(np.float32)
    exact = metrics.ccc(truth.astype(np.float64), prediction.astype(np.float64))
    assert metrics.ccc(truth, prediction) == pytest.approx(exact, abs=1e-12)


def test_a_unit_that_neither_occurs_nor_is_predicted_scores_zero() -> None:
    assert metrics.f1(np.array([0]), np.array([0]), np.array([0]))[0] == 0


@pytest.mark.parametrize(
    "function", [metrics.f1_per_unit, metrics.f1_per_class, metrics.ccc_per_dimension, metrics.ccc]
)
def test_unequal_shapes_are_refused(function: object) -> None:
    with pytest.raises(ValueError, match="must have one shape"):
        function(np.zeros((3, 2)), np.zeros((4, 2)))  # type: ignore[operator]
