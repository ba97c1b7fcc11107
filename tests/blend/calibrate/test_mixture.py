"""Weights by class-balanced likelihood, against a general optimiser and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from blend.calibrate import mixture


def draw(seed, frames=400, heads=3, classes=8):
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, frames, p=rng.dirichlet(np.ones(classes))).astype(np.int8)
    raised = rng.standard_normal((heads, frames, classes)) + 1.5 * rng.random((heads, 1, 1)) * np.eye(classes)[truth]
    scores = np.exp(raised) / np.exp(raised).sum(-1, keepdims=True)
    return scores.astype(np.float32), truth, rng.uniform(0.2, 3.0, frames).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_weights_have_the_largest_likelihood_of_equal_classes_and_equal_frames(seed):
    """Against SLSQP on the posterior written out: the mean over classes of the mean log-likelihood, and the prior."""
    scores, truth, weight = draw(seed)
    inside = np.random.default_rng(seed).random(len(truth)) < 0.8
    found = mixture.fit(scores[:, inside], truth[inside], weight[inside])
    of_frame = np.zeros(len(truth))
    shown = np.unique(truth[inside])
    for c in shown:
        mine = inside & (truth == c)
        of_frame[mine] = weight[mine] / weight[mine].sum() / len(shown)
    likely = scores[:, np.arange(len(truth)), truth].astype(np.float64)
    frames = 1 / (of_frame**2).sum()

    def loss(w):
        w = np.maximum(w, 1e-12)
        return -(of_frame * np.log(w @ likely)).sum() - mixture.EQUAL_FRAMES / frames * np.log(w).mean()

    best = minimize(loss, np.full(3, 1 / 3), method="SLSQP", bounds=[(1e-9, 1)] * 3, options={"ftol": 1e-14},
                    constraints={"type": "eq", "fun": lambda w: w.sum() - 1})  # fmt: skip
    assert best.success and loss(found) <= best.fun + 1e-5
    np.testing.assert_allclose(found, best.x, atol=0.02)
    assert found.sum() == pytest.approx(1) and (found > 0).all()


def test_copies_of_a_head_share_and_few_frames_leave_weights_nearly_equal():
    scores, truth, weight = draw(3)
    twice = mixture.fit(scores[[0, 0, 1]], truth, weight)
    assert twice[0] == pytest.approx(twice[1])
    few, all_of_them = mixture.fit(scores[:, :5], truth[:5], weight[:5]), mixture.fit(scores, truth, weight)
    assert np.abs(few - 1 / 3).max() < 0.05 < np.abs(all_of_them - 1 / 3).max()


def test_no_frames_frames_of_weight_0_and_scores_that_do_not_sum_to_one():
    scores, truth, weight = draw(4)
    np.testing.assert_allclose(mixture.fit(scores[:, :0], truth[:0], weight[:0]), 1 / 3)
    np.testing.assert_allclose(mixture.fit(2 * scores, truth, weight), mixture.fit(scores, truth, weight), atol=1e-6)
    lacks = truth % 2 == 0
    np.testing.assert_allclose(
        mixture.fit(scores, truth, weight * lacks), mixture.fit(scores[:, lacks], truth[lacks], weight[lacks])
    )


def test_classes_weigh_the_same_and_those_without_frames_nothing():
    truth = np.array([0, 0, 0, 2], np.int8)
    result = mixture.balance_classes(truth, np.array([1.0, 1.0, 2.0, 5.0]), 4)
    np.testing.assert_allclose(result, [0.125, 0.125, 0.25, 0.5])
    assert not mixture.balance_classes(truth, np.zeros(4), 4).any()
