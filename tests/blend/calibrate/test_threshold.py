"""The exact threshold search against brute force with scikit-learn's F1, on random small problems and on large ones."""

import numpy as np
import pytest
from sklearn.metrics import f1_score
from support.sweeps import sweep

from blend.calibrate import threshold
from blend.decision import kernels


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


@pytest.mark.parametrize("block", sweep(range(10), range(3)))
def test_it_equals_brute_force_on_small_problems(block):
    for seed in range(block * 24, block * 24 + 24):
        scores, truth = problem(seed)
        found, f1 = threshold.best(scores[:, None], truth[:, None])
        assert f1[0] == pytest.approx(brute(scores, truth), abs=1e-9), seed
        assert f1_score(truth, scores >= found[0], zero_division=0) == pytest.approx(f1[0], abs=1e-9), seed
        assert threshold.best_f1(scores[:, None], truth[:, None])[0] == f1[0]


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
    found, f1 = threshold.best(scores[:, None], truth[:, None])
    assert f1[0] == pytest.approx(sweep, abs=1e-12)
    assert f1_score(truth, scores >= found[0]) == pytest.approx(sweep, abs=1e-12)


def test_the_threshold_lies_halfway_between_neighbours():
    scores = np.array([[0.1], [0.2], [0.6], [0.9]], np.float32)
    found, f1 = threshold.best(scores, np.array([[0], [0], [1], [1]], np.uint8))
    assert f1[0] == 1
    assert found[0] == pytest.approx(0.4, abs=1e-7)
    found, _ = threshold.best(scores, np.ones((4, 1), np.uint8))
    assert found[0] == pytest.approx(0.05, abs=1e-7)  # all are taken: halfway to 0


def test_neighbouring_floats_are_told_apart():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    found, f1 = threshold.best(np.array([[low], [high]]), np.array([[0], [1]], np.uint8))
    assert f1[0] == 1 and float(low) < found[0] < float(high)


def test_a_unit_that_never_occurs_keeps_one_half():
    found, f1 = threshold.best(np.random.default_rng(0).random((30, 2)).astype(np.float32), np.zeros((30, 2), np.uint8))
    assert found.tolist() == [0.5, 0.5] and f1.tolist() == [0, 0]


@pytest.mark.parametrize("size", [1, 63, 64, 65, 300])
def test_units_side_by_side_equal_each_alone_and_frames_without_annotation_do_not_count(size):
    """At lengths around a tile's; outputs that are no multiple of eight; scores on and beyond the ends of 0 to 1."""
    rng = np.random.default_rng(size)
    scores = rng.choice([-0.1, 0.0, 0.3, 0.5, 0.9999, 1.0, 1.1], (size, 5)).astype(np.float32)
    scores[:, ::2] = rng.random((size, 3))
    rows, truth = np.flatnonzero(rng.random(size) < 0.6), (rng.random((size, 5)) < 0.4).astype(np.uint8)
    labels = threshold.make_labels(rows, truth[rows], size)
    found, f1 = threshold.best(scores, labels)
    for c in range(5):
        alone = [np.ascontiguousarray(x[rows, c : c + 1]) for x in (scores, truth)]
        assert f1[c] == threshold.best(*alone)[1][0]
        assert found[c] == threshold.best(*alone)[0][0]
        if truth[rows, c].any():
            assert f1[c] == pytest.approx(brute(alone[0][:, 0], alone[1][:, 0]), abs=1e-9)
            expected = f1_score(truth[rows, c], scores[rows, c] >= found[c], zero_division=0)
            assert threshold.f1_at(scores, labels, found)[c] == pytest.approx(expected, abs=1e-12)


def test_lots_of_videos_give_what_all_at_once_give():
    rng = np.random.default_rng(3)
    scores, labels = rng.random((40_000, 3)).astype(np.float32), rng.integers(0, 3, (40_000, 3)).astype(np.uint8)
    offsets, lots = np.array([0, 1, 15_000, 15_000, 40_000]), [np.array([0, 3]), np.array([2, 1])]
    counts = threshold.make_counts(2, 3)
    for lot, videos in enumerate(lots):
        for v in videos:
            a, b = offsets[v], offsets[v + 1]
            kernels.count(scores[a:b].reshape(-1), labels[a:b].reshape(-1), 3, counts[lot])
    together = threshold.best_f1(scores, labels)
    np.testing.assert_array_equal(threshold.find_cuts(scores, labels, counts, offsets, lots)[0], together)
