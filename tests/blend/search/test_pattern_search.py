"""The pattern search climbs known hills, keeps within bounds, and gives each output its own best."""

import numpy as np
import pytest

from blend.search.objective import Point
from blend.search.pattern_search import PatternSearch, Plan

BEST = np.array([[0.6, 0.1], [0.3, 0.2], [0.1, 0.7]])  # [H, C]
KS = np.array([3, 12])


def hill(point, outputs=2):
    """The score of each output falls with the distance of its numbers from BEST and KS."""
    w = np.stack([np.broadcast_to(weight, outputs) for weight in point.weights])
    k = np.broadcast_to(point.k, outputs)
    return -((w - BEST) ** 2).sum(0) - 0.001 * (k - KS) ** 2


def climb(start, plan, score=hill, most=2000):
    refiner = PatternSearch(start, score(start), plan)
    tried = 0
    while (point := refiner.ask()) is not None and tried < most:
        w = np.stack([np.broadcast_to(weight, plan.outputs) for weight in point.weights])
        assert (w >= 0).all() and np.allclose(w.sum(0), 1)
        assert (np.array(point.k) >= 0).all() and (np.array(point.k) <= plan.widest).all()
        refiner.tell(score(point))
        tried += 1
    return refiner.best, tried


START = Point((1 / 3, 1 / 3, 1 / 3), "box", 7)


def test_shared_numbers_climb_to_the_best_compromise():
    best, _ = climb(START, Plan(2, 20, separable=True))
    np.testing.assert_allclose(best.weights, BEST.mean(1), atol=0.03)
    assert all(isinstance(weight, float) for weight in best.weights) and best.k in (7, 8)


def test_outputs_with_numbers_of_their_own_climb_each_its_own_hill_at_once():
    plan = Plan(2, 20, separable=True, each_weights=True, each_k=True)
    best, tried = climb(START, plan)
    np.testing.assert_allclose(best.weights, BEST, atol=0.03)
    assert best.k == tuple(KS)
    one_by_one = Plan(2, 20, separable=False, each_weights=True, each_k=True)
    other, longer = climb(START, one_by_one)
    np.testing.assert_allclose(other.weights, BEST, atol=0.03)
    assert other.k == tuple(KS) and longer > 1.5 * tried


def test_k_stays_within_its_bounds():
    best, _ = climb(START, Plan(2, 8, separable=True, each_k=True))
    assert best.k == (3, 8)


def test_thresholds_biases_tau_and_certainty_move_too():
    def score(point):
        miss = (np.array(point.thresholds) - [0.3, 0.8]) ** 2 + (np.array(point.bias) - [1.0, -2.0]) ** 2
        return -miss - (point.tau - 0.7) ** 2 - (point.sure - 0.9) ** 2

    start = Point((1.0,), "box", 0, (0.5, 0.5), 0.0, (0.0, 0.0), 1.0)
    for separable in (True, False):
        best, _ = climb(start, Plan(2, 0, separable), score)
        np.testing.assert_allclose(best.thresholds, [0.3, 0.8], atol=0.02)
        np.testing.assert_allclose(best.bias, [1.0, -2.0], atol=0.05)
        assert best.tau == pytest.approx(0.7, abs=0.02) and best.sure == pytest.approx(0.9, abs=0.02)


def test_it_ends_where_nothing_helps_and_repeats_itself():
    flat = PatternSearch(START, np.zeros(2), Plan(2, 20, True))
    asked = []
    while (point := flat.ask()) is not None:
        asked.append(point)
        flat.tell(np.zeros(2))
    assert flat.best == START and 20 < len(asked) < 100
    again = PatternSearch(START, np.zeros(2), Plan(2, 20, True))
    for point in asked:
        assert again.ask() == point
        again.tell(np.zeros(2))
