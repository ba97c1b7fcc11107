"""Stacking: the regression of a naive loop, folds that are not looked at, the best head found."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import nnls

from blend.pool.pool import Truth
from blend.studies.simulation import population, stacking


def small(task, videos, seed):
    """Made videos of which every twentieth frame is annotated."""
    pool = population.draw(task, videos, np.random.default_rng(seed))
    return replace(pool, truth=Truth(pool.truth.rows[::20], pool.truth.values[::20]))


@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_it_is_the_ridge_that_least_squares_without_negative_weights_gives(task):
    pool = small(task, 2, 0)
    classes, rows, targets, weights = pool.scores.shape[2], [], [], []
    count = np.bincount(pool.known_truth.values, minlength=8) if task == "expr" else None
    for row, truth in zip(pool.known_truth.rows, pool.known_truth.values, strict=True):
        for c in range(classes):
            p = pool.scores[:, row, c].astype(np.float64)
            clipped = np.clip(p, stacking.FLOOR, 1 - stacking.FLOOR)
            rows.append({"au": np.log(clipped / (1 - clipped)), "expr": np.log(clipped), "va": p}[task])
            targets.append(float(truth == c) if task == "expr" else float(truth[c]))
            if task == "expr":
                weights.append(len(pool.known_truth.rows) / ((count > 0).sum() * count[truth]))
    x, y, w = np.array(rows), np.array(targets), np.array(weights) if weights else np.ones(len(rows))
    x_mean, y_mean = np.average(x, axis=0, weights=w), np.average(y, weights=w)
    root = np.sqrt(w)[:, None]
    penalty = np.sqrt(stacking.PENALTY) * np.eye(x.shape[1])
    expected, _ = nnls(
        np.vstack([root * (x - x_mean), penalty]), np.r_[root[:, 0] * (y - y_mean), np.zeros(len(penalty))]
    )
    found = stacking.fit(pool)
    np.testing.assert_allclose(found.weights, expected, atol=1e-5)
    assert found.intercept == pytest.approx(y_mean - x_mean @ expected, abs=1e-4)
    assert (found.weights >= 0).all() and found.weights.max() > 0


@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_a_videos_scores_come_from_other_folds_alone(task):
    pool = small(task, 8, 1)
    folds = [[5, 0], [1, 2], [3, 4], [6, 7]]
    stacked, whole = stacking.stack(pool, folds)
    assert stacked.scores.shape == (1, *pool.scores.shape[1:]) and stacked.heads == ("stacked",)
    own = pool.rows_of([0, 5])
    lies = pool.known_truth.values.copy()
    inside = np.isin(pool.known_truth.rows, own)
    lies[inside] = np.random.default_rng(0).permutation(lies[inside])
    again, other = stacking.stack(replace(pool, truth=replace(pool.truth, values=lies)), folds)
    np.testing.assert_array_equal(again.scores[:, own], stacked.scores[:, own])
    assert not np.array_equal(other.weights, whole.weights), "the whole's regression has read them"


@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_a_head_that_says_the_truth_gets_the_weight_and_copies_none(task):
    pool = small(task, 6, 2)
    scores = pool.scores.copy()
    truth = np.eye(8)[pool.known_truth.values] if task == "expr" else pool.known_truth.values
    scores[2, pool.known_truth.rows] = truth if task == "va" else 0.9 * truth + 0.1 / (8 if task == "expr" else 2)
    scores[4] = scores[1]
    _, regression = stacking.stack(replace(pool, scores=scores), [range(3), range(3, 6)])
    assert regression.heads == tuple(head for h, head in enumerate(pool.heads) if h != 4)
    assert np.argmax(regression.weights) == 2 and regression.weights[2] > 0.9 * regression.weights.sum()


def test_scores_stay_in_the_range_and_heads_are_found_by_name():
    pool = small("au", 4, 3)
    regression = stacking.Stack((pool.heads[3], pool.heads[0]), np.array([5.0, 0.0]), 2.0)
    found = regression.predict(pool).scores[0]
    p = np.clip(pool.scores[3].astype(np.float64), stacking.FLOOR, 1 - stacking.FLOOR)
    np.testing.assert_allclose(found, np.clip(2 + 5 * np.log(p / (1 - p)), 0, 1).astype(np.float32), rtol=1e-6)
    assert found.min() == 0 and found.max() == 1
