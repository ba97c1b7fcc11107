from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LinearRegression, Ridge

from heads.base import linear
from heads.data.table import Block, LabelledRows, Rows


def data(n: int = 500) -> LabelledRows:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(n, 5)) * [1, 20, 0.1, 1, 1] + [3, 900, 0, -4, 0]).astype(np.float32)
    x[:, 3] = 7.25
    y = x[:, [0, 2]] * [0.1, 3.0] + 0.05 * rng.normal(size=(n, 2))
    rows = Rows(("v",), np.zeros(n, np.int32), np.arange(1, n + 1), (Block("n", "logits", x),), np.arange(n))
    return LabelledRows(rows, y.astype(np.float32))


def test_it_is_scikit_learns_ridge_on_standardised_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heads.data.table.CHUNK", 64)
    some = data()
    x = some.rows.batch().astype(np.float64)
    deviation = x.std(0)
    deviation[3] = 1
    oracle = Ridge(alpha=linear.RIDGE * len(x)).fit(x / deviation, some.truth.astype(np.float64))
    found = linear.fit_linear(some)
    np.testing.assert_allclose(found.of(x.astype(np.float32)), oracle.predict(x / deviation), atol=1e-6)
    assert (found.coefficients[3] == 0).all(), "a constant column"


def test_the_penalty_is_small_and_columns_that_are_one_do_not_hurt() -> None:
    some = data()
    x = some.rows.batch()
    oracle = LinearRegression().fit(x, some.truth).predict(x)
    np.testing.assert_allclose(linear.fit_linear(some).of(x), oracle, atol=1e-3)
    twice = Rows(some.rows.videos, some.rows.video, some.rows.frame, some.rows.blocks * 2, some.rows.pick)
    np.testing.assert_allclose(linear.fit_linear(LabelledRows(twice, some.truth)).of(twice.batch()), oracle, atol=1e-3)


def test_a_single_row_is_its_own_value() -> None:
    some = data().take(np.arange(1))
    np.testing.assert_allclose(linear.fit_linear(some).of(some.rows.batch()), some.truth)


def test_softmax_is_scipys_to_the_bit() -> None:
    values = np.random.default_rng(0).normal(size=(200, 8)) * 30
    np.testing.assert_array_equal(linear.softmax(values), softmax(values, axis=1))
