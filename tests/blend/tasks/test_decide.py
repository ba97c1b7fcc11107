"""Decisions of every task, ties and ends included."""

import numpy as np

from blend.tasks.lookup import BLEND_TASKS

AU, EXPR, VA, _ = BLEND_TASKS.values()


def test_an_action_unit_is_on_from_its_threshold_up():
    scores = np.array([[0.5, 0.49999997], [0.50000006, 0.2]], np.float32)
    assert AU.decide(scores).tolist() == [[1, 0], [1, 0]]
    assert AU.decide(scores, thresholds=np.array([0.50000003, 0.2])).tolist() == [[0, 1], [1, 1]]
    assert AU.decide(scores).dtype == np.uint8


def test_the_expression_is_the_largest_and_the_first_of_equals():
    scores = np.array([[0.1, 0.4, 0.4, 0.1], [0, 0, 0, 1]], np.float32)
    assert EXPR.decide(scores).tolist() == [1, 3]
    assert EXPR.decide(scores).dtype == np.int8


def test_valence_and_arousal_stay_in_range():
    scores = np.array([[-1.0000001, 0.5], [1.5, -0.25]], np.float32)
    decided = VA.decide(scores)
    assert decided.tolist() == [[-1, 0.5], [1, -0.25]]
    assert decided.dtype == np.float32


def test_a_bias_is_added_to_the_logarithms():
    rng = np.random.default_rng(0)
    scores, bias = rng.dirichlet(np.ones(8), 500).astype(np.float32), rng.normal(size=8)
    expected = (np.log(scores.astype(float)) + bias).argmax(1)
    np.testing.assert_array_equal(EXPR.decide(scores, bias=bias), expected)
    np.testing.assert_array_equal(EXPR.decide(scores, bias=np.zeros(8)), EXPR.decide(scores))
    assert EXPR.decide(np.array([[0, 0, 0, 0, 1, 0, 0, 0]], np.float32), bias=np.arange(8) * 9.0).tolist() == [4]


def test_a_sure_head_overrides_but_never_with_other():
    sure = np.zeros((4, 8), np.float32)
    sure[0, 3], sure[1, 3], sure[2, 7], sure[3, [2, 5]] = 0.75, 0.5, 0.99, 0.6
    decided = EXPR.override(np.full(4, 1, np.int8), sure, 0.5)
    assert decided.tolist() == [3, 1, 1, 2]  # above, not above, only Other is sure, the first of equals
    assert decided.dtype == np.int8


def test_scale_and_shift_come_before_the_ends_of_the_range():
    scores = np.array([[0.5, -0.25], [0.75, 0.9]], np.float32)
    decided = VA.decide(scores, scale=[2, 0.5], shift=[-0.25, 0.5])
    np.testing.assert_allclose(decided, [[0.75, 0.375], [1, 0.95]], atol=1e-7)
    assert decided.dtype == np.float32
    np.testing.assert_allclose(VA.decide(scores, shift=[0.25, 0]), [[0.75, -0.25], [1, 0.9]], atol=1e-7)
