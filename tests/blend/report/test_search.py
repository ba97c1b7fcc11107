"""The search's history is the trials', and its importance finds what decides the score."""

from dataclasses import replace

import numpy as np
import pytest

from blend.report import facts as report_facts
from blend.search.objective import Point
from blend.search.search import SearchResult, Trial


def trials(count, score, rng):
    """Made-up trials of three heads: `score` of their weights and k."""
    made = []
    for i in range(count):
        weights, k = tuple(float(w) for w in rng.dirichlet(np.ones(3))), int(rng.integers(0, 50))
        made.append(Trial(Point(weights, "box", k), float(score(weights, k)), "equal" if i == 0 else None))
    return tuple(made)


def test_history_has_every_trial_in_order(make_report):
    _, outcome, table = make_report("au")
    assert table["search"]["score"] == [trial.score for trial in outcome.search.trials]
    assert table["search"]["start"] == [trial.start for trial in outcome.search.trials]


@pytest.mark.parametrize("what", ["k", "weight of head1"])
def test_what_decides_the_score_is_the_most_important(make_pool, what):
    pool, rng = make_pool("au"), np.random.default_rng(0)
    score = (lambda w, k: k / 50) if what == "k" else (lambda w, k: w[1] ** 2)
    found = SearchResult(None, 0.0, trials(120, score, rng))
    shares = report_facts.compute_importance(pool.heads, found, 0)
    assert next(iter(shares)) == what and shares[what] > 0.8
    assert sum(shares.values()) == pytest.approx(1) and "kernel" not in shares
    assert shares == report_facts.compute_importance(pool.heads, found, 0), "the same seed gives the same numbers"


def test_too_few_trials_or_equal_ones_say_nothing(make_pool):
    pool, rng = make_pool("au"), np.random.default_rng(0)
    few = trials(report_facts.FEWEST - 1, lambda w, k: k, rng)
    assert report_facts.compute_importance(pool.heads, SearchResult(None, 0.0, few), 0) is None
    assert (
        report_facts.compute_importance(pool.heads, SearchResult(None, 0.0, trials(50, lambda w, k: 0.5, rng)), 0)
        is None
    )
    same = [replace(one, point=Point((1.0, 0.0, 0.0), "box", 3)) for one in trials(50, lambda w, k: k, rng)]
    assert report_facts.compute_importance(pool.heads, SearchResult(None, 0.0, tuple(same)), 0) is None


def test_numbers_that_outputs_have_of_their_own_are_averaged(make_pool):
    pool, rng = make_pool("va"), np.random.default_rng(1)
    made = []
    for _ in range(60):
        a, k = rng.random(2), tuple(int(n) for n in rng.integers(0, 50, 2))
        weights = (tuple(a), tuple(1 - a), (0.0, 0.0))
        made.append(Trial(Point(weights, "box", k), float(sum(k)), None))
    shares = report_facts.compute_importance(pool.heads, SearchResult(None, 0.0, tuple(made)), 0)
    assert next(iter(shares)) == "k"
