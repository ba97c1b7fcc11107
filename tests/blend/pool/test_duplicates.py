"""A copy of a head is no second opinion: it changes nothing, wherever it stands and whatever it is called."""

from dataclasses import replace

import numpy as np
import pytest
from support.sweeps import sweep

from blend.config import BlendSettings
from blend.crossfit.outcome import ResultBuilder
from blend.decision import combine
from blend.pool import duplicates
from blend.search import search

TASKS = ["au", "expr", "va"]
QUICK = BlendSettings(trials=30, fold_trials=20, folds=3, select_folds=3, draws=200)


def with_copy(pool, of, name):
    """The pool with a copy of head number `of` under another name, heads sorted by name as always."""
    scores = dict(zip(pool.heads, pool.scores, strict=True)) | {name: pool.scores[of].copy()}
    return replace(pool, heads=tuple(sorted(scores)), scores=np.stack([scores[head] for head in sorted(scores)]))


def test_only_equal_bytes_are_copies(make_pool):
    pool = with_copy(make_pool("va"), 1, "zzz")
    assert duplicates.find_duplicates(pool) == {"zzz": "head1"}
    assert duplicates.drop_duplicates(pool).heads == ("head0", "head1", "head2")
    near = replace(pool, scores=pool.scores.copy())
    near.scores[-1, 0, 0] = np.nextafter(near.scores[-1, 0, 0], np.float32(1))
    assert duplicates.find_duplicates(near) == {} and duplicates.drop_duplicates(near) is near
    assert duplicates.expand_weights(pool, ("head1",), (0.5,)) == (0.0, 0.5, 0.0, 0.0)
    assert duplicates.rename_duplicates(pool, BlendSettings(filter="zzz")).filter == "head1"
    assert duplicates.rename_duplicates(pool, BlendSettings()).filter == "auto"


COPIES = [("aaa", "au"), ("zzz", "va"), ("aaa", "expr")]
"""Of names that come before and after the one they are copies of: by default each task once."""


@pytest.mark.parametrize(("name", "task"), sweep([(name, task) for name in ("aaa", "zzz") for task in TASKS], COPIES))
def test_a_copy_changes_no_decision_and_no_number(make_pool, task, name):
    pool = make_pool(task)
    copied = with_copy(pool, 1, name)
    for select in ("tuned", "cross_fitted"):
        settings = QUICK.model_copy(update={"select": select})
        alone, beside = (
            ResultBuilder(some, settings, 0, search.search(some, settings, 30, 0)) for some in (pool, copied)
        )
        assert beside.search.score == alone.search.score
        np.testing.assert_array_equal(combine.combine(copied, beside.params), combine.combine(pool, alone.params))
        if name == "zzz":
            one, other = alone.finish(), beside.finish()
            assert one.selected_blend.cross_fit.pooled_score == other.selected_blend.cross_fit.pooled_score
            assert other.baselines[name].score == other.baselines["head1"].score == one.baselines["head1"].score
            assert other.baselines["equal"].score == one.baselines["equal"].score
            assert beside.search.best_start("head zzz").score == alone.search.best_start("head head1").score


@pytest.mark.parametrize(("task", "loss"), sweep([("au", 0.001), ("expr", 0.02), ("va", 0.001)], [("va", 0.001)]))
def test_a_near_copy_hardly_lowers_the_score(make_pool, task, loss):
    """One dimension more for as many trials: the refinement makes up for it, but for the argmax of few frames, which
    makes expr's surface rough.
    """
    pool = make_pool(task, length=(150, 250))
    noise = np.random.default_rng(0).normal(0, 1e-4, pool.scores[0].shape).astype(np.float32)
    near = replace(pool, heads=(*pool.heads, "head3"), scores=np.concatenate([pool.scores, pool.scores[:1] + noise]))
    assert not duplicates.find_duplicates(near)
    settings = BlendSettings()
    alone, beside = (search.search(some, settings, 200, seed=0).score for some in (pool, near))
    assert beside > alone - loss
