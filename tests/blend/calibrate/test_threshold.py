"""The exact threshold search against brute force with scikit-learn's F1, on random small problems and on large ones."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from blend.calibrate import threshold


def brute(scores, truth):
    """The best F1 over every cut that can matter, the one above all scores included."""
    cuts = np.concatenate([np.unique(scores.astype(np.float64)), [2.0]])
    return max(f1_score(truth, scores >= cut, zero_division=0) for cut in cuts)


def problem(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    kind = seed % 8
    scores = rng.random(n)
    if kind == 1:
        scores = np.round(scores, 1)  # ties
    elif kind == 2:
        scores[:] = rng.random()  # a constant head
    elif kind == 3:
        scores = 0.5 + rng.integers(0, 4, n) * 2.0**-24 + 0 * scores  # closer than any bin
    elif kind == 4:
        scores = rng.choice([0.0, 1.0], n)
    elif kind == 5:
        scores = rng.choice([0.0, 1 / 1024, 0.5, 1.0], n)  # on the bins' edges
    truth = rng.random(n) < rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    return scores.astype(np.float32), truth.astype(np.uint8)


@pytest.mark.parametrize("block", range(10))
def test_it_equals_brute_force_on_small_problems(block):
    for seed in range(block * 24, block * 24 + 24):
        scores, truth = problem(seed)
        found, f1 = threshold.best(scores[None], truth[None])
        assert f1[0] == pytest.approx(brute(scores, truth), abs=1e-9), seed
        assert f1_score(truth, scores >= found[0], zero_division=0) == pytest.approx(f1[0], abs=1e-9), seed
        assert threshold.best_f1(scores[None], truth[None])[0] == f1[0]


@pytest.mark.parametrize("seed", range(6))
def test_it_equals_a_sorted_sweep_on_large_problems(seed):
    """Large enough that bins are counted again at 1/1024 of their width; crowded scores leave some to be sorted."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(60_000) < 0.2).astype(np.uint8)
    scores = (
        (0.5 + (0.003 if seed % 2 else 0.3) * (rng.standard_normal(60_000) + truth) / 4).clip(0, 1).astype(np.float32)
    )
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    last = np.append(np.diff(scores[order]) != 0, True)
    sweep = (2 * hits / (np.arange(1, len(truth) + 1) + truth.sum()))[last].max()
    found, f1 = threshold.best(scores[None], truth[None])
    assert f1[0] == pytest.approx(sweep, abs=1e-12)
    assert f1_score(truth, scores >= found[0]) == pytest.approx(sweep, abs=1e-12)


def test_the_threshold_lies_halfway_between_neighbours():
    scores = np.array([[0.1, 0.2, 0.6, 0.9]], np.float32)
    found, f1 = threshold.best(scores, np.array([[0, 0, 1, 1]], np.uint8))
    assert f1[0] == 1
    assert found[0] == pytest.approx(0.4, abs=1e-7)
    found, _ = threshold.best(scores, np.ones((1, 4), np.uint8))
    assert found[0] == pytest.approx(0.05, abs=1e-7)  # all are taken: halfway to 0


def test_neighbouring_floats_are_told_apart():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    found, f1 = threshold.best(np.array([[low, high]]), np.array([[0, 1]], np.uint8))
    assert f1[0] == 1 and float(low) < found[0] < float(high)


def test_a_unit_that_never_occurs_keeps_one_half():
    found, f1 = threshold.best(np.random.default_rng(0).random((2, 30)).astype(np.float32), np.zeros((2, 30), np.uint8))
    assert found.tolist() == [0.5, 0.5] and f1.tolist() == [0, 0]


def test_columns_gathers_and_transposes():
    x = np.random.default_rng(0).random((5_000, 3)).astype(np.float32)
    rows = np.arange(0, 5_000, 3)
    np.testing.assert_array_equal(threshold.columns(x, rows), x[rows].T)
