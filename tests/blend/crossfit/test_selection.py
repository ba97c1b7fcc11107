"""Selection by held-out score: honest, repeatable, and a part is used only where it pays."""

from dataclasses import replace

import numpy as np
import pytest
from support.sweeps import sweep

from blend.config import BlendSettings
from blend.crossfit import estimate, fold_pools
from blend.crossfit import selection as select
from blend.crossfit.selection import Selection
from blend.crossfit.solvers import Candidate, make_solver
from blend.decision import combine, smooth
from blend.pool.pool import Truth
from extract.runtime.errors import InputError

TASKS = ["au", "expr", "va"]
SETTINGS = BlendSettings(select_folds=4, k_max=5, draws=200)


def settings(**changes):
    return BlendSettings(**(SETTINGS.model_dump() | changes))


@pytest.mark.parametrize("name", TASKS)
def test_its_params_are_the_average_of_the_folds_and_it_repeats_itself(make_pool, name):
    pool = make_pool(name)
    selection = Selection(pool, SETTINGS, 0)
    way = selection.select()
    solutions = [selection.solution(way.candidate, (f,)) for f in range(4)]
    weights = [w if isinstance(w, tuple) else (w,) * len(pool.task.outputs) for w in way.params.weights]
    np.testing.assert_allclose(weights, np.mean([solution.weights for solution in solutions], axis=0))
    for key in ("thresholds", "bias", "scale", "shift"):
        values = [getattr(solution, key) for solution in solutions]
        if values[0] is None:
            assert getattr(way.params, key) is None
        else:
            np.testing.assert_allclose(getattr(way.params, key), np.mean(values, axis=0))
    assert way.score == pool.score(combine.combine(pool, way.params))
    assert way == Selection(pool, SETTINGS, 0).select()
    assert way.params.k == way.candidate.k and way.params.kernel == "box"


EVERYTHING = BlendSettings(
    out_of_fold="auto",
    select_folds=3,
    k_max=2,
    draws=100,
    kernels=["box", "gaussian", "median"],
    per_output_weights="auto",
    per_output_k="auto",
)
"""Every switch of the space that selection may decide; the others are "auto" by default."""


def changed(pool, videos, rng):
    """The pool with labels of some videos that have nothing to do with those before, and half of them gone."""
    there = np.isin(pool.video_of, videos)
    keep = ~there | (rng.random(len(there)) < 0.5)
    pool = replace(pool, truth=Truth(pool.known_truth.rows[keep], pool.known_truth.values[keep]))
    values = pool.known_truth.values.copy()
    rows = np.isin(pool.video_of, videos)
    if pool.task.name == "va":
        values[rows] = rng.uniform(-1, 1, values[rows].shape)
    else:
        values[rows] = rng.integers(0, 2 if pool.task.name == "au" else 8, values[rows].shape)
    return replace(pool, truth=Truth(pool.known_truth.rows, values))


FEW = [("au", 4), ("va", 8)]
"""Pools by default: as many as choices of every kind want."""


@pytest.mark.parametrize(("name", "pools"), sweep([*FEW, *((name, 20) for name in TASKS)], FEW))
def test_nothing_that_decides_a_fold_has_seen_its_labels(make_pool, monkeypatch, name, pools):
    """Wild labels in one fold after another: its choice and its params are equal to the bit, and others are not."""
    rng, others, chosen = np.random.default_rng(0), 0, []
    monkeypatch.setattr(fold_pools, "ROWS", 100)  # so that frames are thinned, too
    for seed in range(pools):
        pool, train = make_pool(name, seed=seed, length=(15, 30)), make_pool(name, seed=seed + 100, length=(15, 30))
        pool, train = (replace(one, heads=("head0", "head1", "pretrained")) for one in (pool, train))
        folds = select.split(pool, 3, seed)
        monkeypatch.setattr(select, "split", lambda *_, folds=folds: folds)  # labels also balance the folds
        with smooth.threads(pool.scores.size):
            before = Selection(pool, EVERYTHING, seed, train=train)
            for f, fold in enumerate(folds):
                after = Selection(changed(pool, fold, rng), EVERYTHING, seed, train=train)
                choice = after.choose(f)
                chosen.append(choice)
                assert choice == before.choose(f), (seed, f)
                assert after.average_folds(choice, f) == before.average_folds(choice, f), (seed, f)
            others += after.average_folds(after.choose(0), 0) != before.average_folds(before.choose(0), 0)
    assert others >= 0.75 * pools, "wild labels that change nothing anywhere test nothing"
    for field in ("kernel", "k", "with_train"):
        assert len({getattr(choice, field) for choice in chosen}) > 1, f"{field} was never chosen"
    crossed = before.select().cross_fit
    assert list(crossed.params) == [before.average_folds(before.choose(f), f) for f in range(len(folds))]


def test_heads_that_differ_in_one_fold_only_are_copies_where_it_is_left_out(make_pool):
    pool = make_pool("au", videos=6)
    folds = [[0, 1], [2, 3], [4, 5]]
    scores = pool.scores.copy()
    scores[1] = scores[0]
    scores[1, pool.offsets[2] : pool.offsets[4]] = 0.25
    selection = Selection(replace(pool, scores=scores), SETTINGS, 0, folds)
    for without, weights in ((None, 1 / 3), (0, 1 / 3), (1, 0.0)):
        found = selection.average_folds(Candidate("box", 0, "equal", "fixed"), without).weights
        assert found[1] == pytest.approx(weights) and sum(found) == pytest.approx(1)


def test_a_person_is_held_out_whole_and_counts_once(make_pool):
    pool = replace(make_pool("va", videos=8), people=tuple("aabbccdd"))
    selection = Selection(pool, SETTINGS, 0)
    assert sorted(selection.folds) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    params = [selection.average_folds(selection.choose(f), f) for f in range(4)]
    parts = [pool.select(fold) for fold in selection.folds]
    together, apart = (
        estimate.evaluate(some, selection.folds, parts, params, SETTINGS, 0)
        for some in (pool, replace(pool, people=None))
    )
    assert together.pooled_score == apart.pooled_score
    low, high = apart.interval
    assert together.interval[0] < low < high < together.interval[1]


@pytest.mark.parametrize("name", TASKS)
def test_two_videos_are_each_decided_by_the_usual_blend_of_the_other(make_pool, name):
    pool = make_pool(name, videos=2)
    selection = Selection(pool, EVERYTHING, 0)
    way = selection.select()
    for f, params in enumerate(way.cross_fit.params):
        usual = selection.choose(f)
        assert usual == Candidate("box", 0, "shared", selection.options.parts[0])
        assert params == selection.params(usual, selection.solution(usual, (f,), f))


def biased(pool, by):
    """The same videos where every head is off by a constant."""
    return replace(pool, scores=np.clip(pool.scores + np.float32(by), -1, 1))


def test_a_part_is_used_where_it_pays_and_not_elsewhere(make_pool):
    fair = make_pool("va", videos=12, length=(100, 120))
    assert "shift" not in Selection(fair, SETTINGS, 0).select().candidate.part
    off = biased(fair, 0.5)
    found = Selection(off, SETTINGS, 0).select()
    assert "shift" in found.candidate.part
    assert (
        found.cross_fit.pooled_score > Selection(off, settings(shift=False), 0).select().cross_fit.pooled_score + 0.05
    )


def test_a_filter_is_used_where_its_head_is_right_when_it_is_sure(make_pool):
    pool = make_pool("expr", videos=12, length=(60, 80))
    truth = pool.known_truth.values
    sure = np.full(pool.scores.shape[1:], 0.02, np.float32)
    rng = np.random.default_rng(0)
    named = (truth < 7) & (rng.random(len(truth)) < 0.5)
    sure[pool.known_truth.rows[named], truth[named]] = 0.86
    names, scores = (*pool.heads, "pretrained"), np.concatenate([pool.scores, sure[None]])
    with_it = replace(pool, heads=names, scores=scores)
    others = dict.fromkeys(pool.heads, 1)
    found = Selection(with_it, settings(k_max=0, weights=others), 0).select()
    assert found.params.filter[0] == "pretrained", "its head is right wherever it is sure, and nothing else knows that"
    assert Selection(with_it, settings(k_max=0, filter="pretrained"), 0).select().params.filter[0] == "pretrained"
    assert Selection(with_it, settings(k_max=0, filter="off"), 0).select().params.filter is None
    with pytest.raises(InputError, match=r"blend\.expr\.filter: no head is named 'other'"):
        Selection(with_it, settings(filter="other"), 0)


FORCED = [
    ("au", {"thresholds": "fixed"}, lambda params: set(params.thresholds) == {0.5}),
    ("au", {"thresholds": "exact"}, lambda params: len(set(params.thresholds)) > 6),
    ("au", {"per_output_weights": True}, lambda params: isinstance(params.weights[0], tuple)),
    ("au", {"per_output_k": True}, lambda params: len(params.k) == 12 and max(params.k) <= 5),
    ("expr", {"bias": "off"}, lambda params: params.bias is None),
    ("expr", {"bias": "free"}, lambda params: len(params.bias) == 8),
    ("expr", {"per_output_weights": True, "per_output_k": True}, lambda params: len(params.k) == 8),
    ("va", {"scale": False, "shift": False}, lambda params: set(params.scale) == {1.0} and set(params.shift) == {0.0}),
    ("va", {"scale": True, "shift": True}, lambda params: set(params.scale) != {1.0}),
    ("va", {"per_output_k": True, "kernels": ["gaussian"]}, lambda params: len(params.k) == 2),
    ("va", {"per_output_weights": "auto", "per_output_k": "auto"}, lambda params: True),
    ("au", {"thresholds": 0.3, "k": 3}, lambda params: set(params.thresholds) == {0.3} and params.k == 3),
    ("au", {"weights": {"head0": 0.75, "head2": 0.25}}, lambda params: params.weights == (0.75, 0.0, 0.25)),
    ("au", {"k": list(range(12)), "kernels": ["median"]}, lambda params: params.k == tuple(range(12))),
    ("expr", {"bias": [0.1] * 7 + [-0.7], "k": 0}, lambda params: params.bias == (0.1,) * 7 + (-0.7,)),
    (
        "va",
        {"scale": 1.5, "shift": [0.1, -0.1]},
        lambda params: params.scale == (1.5, 1.5) and params.shift == (0.1, -0.1),
    ),
    ("va", {"scale": 1.5, "shift": False}, lambda params: params.shift == (0, 0)),
]


@pytest.mark.parametrize(("name", "changes", "holds"), FORCED)
def test_what_settings_fix_is_kept(make_pool, name, changes, holds):
    pool = make_pool(name)
    way = Selection(pool, settings(**changes), 0).select()
    assert holds(way.params)
    assert all(holds(params) for params in way.cross_fit.params)
    assert np.isfinite(way.cross_fit.pooled_score)
    assert way.score == pool.score(combine.combine(pool, way.params))


def test_with_every_number_given_nothing_is_chosen_and_nothing_too_good(make_pool):
    pool = make_pool("au", heads=3)
    given = settings(weights={"head0": 0.6, "head1": [0.4] * 12}, k=2, kernels=["gaussian"], thresholds=[0.5] * 12)
    way = Selection(pool, given, 0).select()
    assert {params.kernel for params in (way.params, *way.cross_fit.params)} == {"gaussian"}
    assert all(params == way.params for params in way.cross_fit.params)
    assert way.score == pytest.approx(way.cross_fit.pooled_score, abs=1e-12)


@pytest.mark.parametrize("name", TASKS)
def test_the_rows_looked_at_may_be_few(make_pool, name, monkeypatch):
    """Thinned, the weights come from every n-th frame; thresholds, biases and scores from all."""
    pool = make_pool(name, length=(100, 150))
    monkeypatch.setattr(select.fold_pools, "ROWS", 100)
    real = select.fold_pools.fold_pool
    monkeypatch.setattr(select.fold_pools, "fold_pool", lambda pool, folds, rows=None: real(pool, folds, rows or 100))
    selection = Selection(pool, SETTINGS, 0)
    assert selection.solver.folded_pool.step > 1 and selection.finisher.folded_pool.step == 1
    way = selection.select()
    assert way.score == pool.score(combine.combine(pool, way.params)) and np.isfinite(way.cross_fit.pooled_score)


@pytest.mark.parametrize("name", TASKS)
def test_heads_alone_are_tuned_like_a_search_of_one_head(make_pool, name):
    from blend.search import search

    pool = make_pool(name)
    selection = Selection(pool, SETTINGS, 0)
    for h in range(3):
        way = selection.tune_with_weights(np.eye(3)[h])
        one = replace(pool, heads=(pool.heads[h],), scores=pool.scores[h : h + 1])
        found = search.search(one, SETTINGS, 40, 0)
        # the grid of k skips 4; au chooses its k by counts of 1/256
        assert found.score - 0.02 < way.score < found.score + (0.005 if name == "au" else 1e-6)
        assert way.params.weights == tuple(float(i == h) for i in range(3))
        assert len(way.cross_fit.params) == 4 and way.cross_fit.interval is not None


def test_one_annotated_video_leaves_nothing_to_hold_out(make_pool):
    pool = make_pool("au", videos=1)
    selection = Selection(pool, SETTINGS, 0)
    usual = selection.select()
    assert usual.cross_fit is None and usual.candidate == Candidate("box", 0, "shared", "pulled-plug-in")
    assert usual.score == pool.score(combine.combine(pool, usual.params))
    way = selection.tune_with_weights(np.full(3, 1 / 3))
    assert way.cross_fit is None and way.score is not None


@pytest.mark.parametrize("name", TASKS)
def test_train_out_of_fold_counts_half_where_it_is_wanted(make_pool, name):
    """Numbers are the mean of validation's and train's, in the folds as in the blend; heads go by name."""
    pool, train = make_pool(name), make_pool(name, seed=5, videos=10)
    turned = replace(train, heads=train.heads[::-1], scores=train.scores[::-1])
    both = settings(out_of_fold=True, k=1)
    selection = Selection(pool, both, 0, train=turned)
    chosen = selection.choose()
    assert chosen.with_train and selection.choose(0).with_train
    alone = Selection(pool, both, 0)
    assert not alone.choose().with_train
    on_train = make_solver(fold_pools.fold_pool(train, [range(10)]), 0).solve(chosen, (), (0, 1, 2))
    for f in range(4):
        mine, theirs = selection.solution(chosen, (f,)), alone.solution(chosen, (f,))
        for key in ("weights", "thresholds", "bias", "scale", "shift"):
            if getattr(mine, key) is not None:
                mean = (getattr(theirs, key) + getattr(on_train, key)) / 2
                np.testing.assert_allclose(getattr(mine, key), mean, atol=1e-9)
    assert (
        Selection(pool, settings(out_of_fold=False), 0, train=turned).select() == Selection(pool, SETTINGS, 0).select()
    )


def test_train_is_used_where_it_pays_and_not_where_its_scores_are_others(make_pool):
    """Few validation videos and many of train help; train whose scores are shifted does not get in."""
    few, many = make_pool("va", videos=5, length=(20, 30)), make_pool("va", seed=9, videos=40, length=(50, 60))
    wrong = replace(many, scores=-many.scores)
    chosen = [Selection(few, settings(shift=True), 0, train=train).choose().with_train for train in (many, wrong)]
    assert not chosen[1]
