"""Biases of expressions against the long way round."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from blend.calibrate import class_bias
from blend.tasks.lookup import BLEND_TASKS


def problem(seed, n=400):
    """Scores of a head that names rare classes too seldom."""
    rng = np.random.default_rng(seed)
    prior = np.array([0.4, 0.03, 0.05, 0.02, 0.2, 0.1, 0.05, 0.15])
    truth = rng.choice(8, n, p=prior).astype(np.int8)
    logits = 1.5 * np.eye(8)[truth] + rng.normal(size=(n, 8)) + np.log(prior)
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return scores.astype(np.float32), truth, np.sort(rng.integers(0, 12, n))


def macro(scores, truth, added):
    return f1_score(
        truth, BLEND_TASKS["expr"].decide(scores, bias=added), labels=range(8), average="macro", zero_division=0
    )


@pytest.mark.parametrize("seed", range(20))
def test_macro_f1_equals_scikit_learn(seed):
    scores, truth, _ = problem(seed)
    added = np.random.default_rng(seed).normal(size=8)
    assert class_bias.macro_f1(scores, truth, added) == pytest.approx(macro(scores, truth, added), abs=1e-9)
    table = class_bias.confusion(scores, truth, np.ones(8, np.float32), np.ones(len(truth), np.float32))
    np.testing.assert_array_equal(table, confusion_matrix(truth, scores.argmax(1), labels=range(8)))


@pytest.mark.parametrize("seed", range(10))
def test_one_class_is_moved_to_its_best_value(seed):
    """Each value along the way is what deciding all over again gives, up to ties in float32."""
    scores, truth, _ = problem(seed)
    added = np.random.default_rng(seed).normal(size=8)
    grid = np.linspace(-class_bias.LIMIT, class_bias.LIMIT, class_bias.STEPS)
    c = seed % 8
    values = class_bias._score_biases(8)(np.log(scores), truth, np.ones(len(truth), np.float32), added, c, grid)
    for g in range(0, len(grid), 7):
        moved = added.copy()
        moved[c] = grid[g] + 1e-6  # a frame whose margin is met becomes c
        assert values[g] == pytest.approx(macro(scores, truth, moved), abs=0.012)
    far = [macro(scores, truth, np.where(np.arange(8) == c, value, added)) for value in (grid[0], grid[-1])]
    assert values[[0, -1]] == pytest.approx(far, abs=0.012)


@pytest.mark.parametrize("seed", range(10))
def test_found_biases_help_where_they_are_found(seed):
    scores, truth, video_of = problem(seed)
    plain = macro(scores, truth, np.zeros(8))
    prior, free = class_bias.prior(scores, truth), class_bias.coordinate_ascent(scores, truth)
    assert macro(scores, truth, prior) >= plain
    assert class_bias.macro_f1(scores, truth, free) >= class_bias.macro_f1(scores, truth, prior) - 0.03
    assert class_bias.macro_f1(scores, truth, free) > plain
    assert abs(prior.mean()) < 1e-9 and abs(free.mean()) < 1e-9
    pulled = class_bias.shrink(free, truth, video_of)
    shown = np.array([len(set(video_of[truth == c])) for c in range(8)])
    np.testing.assert_allclose(pulled, free * shown / (shown + class_bias.PULL))
    assert (np.abs(pulled) <= np.abs(free)).all()


def test_the_adjustment_is_a_multiple_of_the_log_prior():
    truth = np.repeat(np.arange(8), [40, 10, 10, 10, 10, 10, 10, 0]).astype(np.int8)
    added = class_bias.logit_adjustment(truth, 0.5)
    assert added[0] - added[1] == pytest.approx(-0.5 * np.log(4))
    assert np.isfinite(added).all() and added[7] == added.max()  # a class that was not seen is thought rare
    np.testing.assert_array_equal(class_bias.logit_adjustment(truth, 0.0), np.zeros(8))


def test_weights_of_frames_are_as_good_as_repeating_them():
    scores, truth, _ = problem(3)
    weight = np.random.default_rng(0).integers(1, 4, len(truth))
    repeated, again = np.repeat(scores, weight, axis=0), np.repeat(truth, weight)
    weight = weight.astype(np.float32)
    added = np.linspace(-1, 1, 8)
    assert class_bias.macro_f1(scores, truth, added, weight) == pytest.approx(
        class_bias.macro_f1(repeated, again, added), abs=1e-9
    )
    np.testing.assert_allclose(class_bias.prior(scores, truth, weight), class_bias.prior(repeated, again), atol=1e-9)
    np.testing.assert_allclose(
        class_bias.coordinate_ascent(scores, truth, weight), class_bias.coordinate_ascent(repeated, again), atol=1e-9
    )
    np.testing.assert_allclose(
        class_bias.logit_adjustment(truth, 1.0, weight), class_bias.logit_adjustment(again, 1.0), atol=1e-9
    )


def test_degenerate_frames():
    """One class, one frame, scores of zero: nothing breaks."""
    scores = np.zeros((3, 8), np.float32)
    scores[:, 2] = 1
    for truth in (np.full(3, 2, np.int8), np.full(3, 5, np.int8)):
        assert (
            np.isfinite(class_bias.prior(scores, truth)).all()
            and np.isfinite(class_bias.coordinate_ascent(scores, truth)).all()
        )
    assert np.isfinite(class_bias.coordinate_ascent(scores[:1], np.array([0], np.int8))).all()
