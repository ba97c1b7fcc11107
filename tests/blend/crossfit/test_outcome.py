"""From a search to the outcome: which way's params are used, and what everything is worth."""

import pytest

from blend.config import BlendSettings
from blend.crossfit.outcome import ResultBuilder
from blend.decision import combine
from blend.report import report
from blend.search import search

TASKS = ["au", "expr", "va"]
SETTINGS = BlendSettings(trials=18, fold_trials=18, folds=3, select_folds=3, k_max=4, draws=200)


def find(pool, **changes):
    settings = SETTINGS.model_copy(update=changes)
    return ResultBuilder(pool, settings, 0, search.search(pool, settings, 18, 0))


@pytest.mark.parametrize("name", TASKS)
def test_the_params_are_those_of_the_way_that_is_wanted_and_known_before_the_rest(make_pool, name):
    pool = make_pool(name)
    tuned, crossed = find(pool, select="tuned"), find(pool, select="cross_fitted")
    before = tuned.params, crossed.params
    one, other = tuned.finish(), crossed.finish()
    assert (one.select, other.select) == ("tuned", "cross_fitted")
    assert before == (one.selected_blend.params, other.selected_blend.params) and before[0] != before[1]
    assert one.ways == other.ways  # both know both
    assert one.baselines == other.baselines and set(one.baselines) == {*pool.heads, "equal"}
    for way in (*one.ways.values(), *one.baselines.values()):
        assert way.score == pool.score(combine.combine(pool, way.params))
        told = report._way(way)
        assert told["optimism"] == pytest.approx(way.score - way.cross_fit.pooled_score)
        assert told["interval"] == list(way.cross_fit.interval) and told["k"] == way.params.k


def test_of_a_single_annotated_video_the_usual_blend_is_taken(make_pool):
    """Nothing can be held out, so nothing may be chosen by it."""
    outcome = find(make_pool("va", videos=1)).finish()
    assert outcome.select == "cross_fitted" and outcome.selected_blend.params.k == 0
    told = report._way(outcome.selected_blend)
    assert told["cross_fitted"] is None and told["optimism"] is None and told["interval"] is None
    assert all(way.cross_fit is None for way in outcome.baselines.values())


def test_progress_counts_the_trials_of_every_fold(make_pool):
    pool, seen = make_pool("va"), []
    find(pool).finish(lambda: seen.append(1))
    assert len(seen) == 3 * search.count(pool, SETTINGS, 18)
