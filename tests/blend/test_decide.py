"""Decisions of every task, ties and ends included."""

import numpy as np

from blend.decide import decide


def test_an_action_unit_is_on_from_its_threshold_up():
    scores = np.array([[0.5, 0.49999997], [0.50000006, 0.2]], np.float32)
    assert decide("au", scores).tolist() == [[1, 0], [1, 0]]
    assert decide("au", scores, np.array([0.50000003, 0.2])).tolist() == [[0, 1], [1, 1]]
    assert decide("au", scores).dtype == np.uint8


def test_the_expression_is_the_largest_and_the_first_of_equals():
    scores = np.array([[0.1, 0.4, 0.4, 0.1], [0, 0, 0, 1]], np.float32)
    assert decide("expr", scores).tolist() == [1, 3]
    assert decide("expr", scores).dtype == np.int8


def test_valence_and_arousal_stay_in_range():
    scores = np.array([[-1.0000001, 0.5], [1.5, -0.25]], np.float32)
    decided = decide("va", scores)
    assert decided.tolist() == [[-1, 0.5], [1, -0.25]]
    assert decided.dtype == np.float32
