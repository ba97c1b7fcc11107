"""Numbers that settings give are those of every trial and of the result; what is left is searched; grids are whole."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from blend.config import BlendSettings
from blend.crossfit.estimate import cross_fit
from blend.decision import combine
from blend.decision.params import Params
from blend.pool import duplicates
from blend.search import objective, search
from blend.search.journal import TrialJournal
from blend.search.space import make_space
from extract.runtime.errors import InputError

TASKS = ["au", "expr", "va"]
NUMBERS = {
    "au": {"thresholds": [0.1 + 0.05 * c for c in range(12)]},
    "expr": {"bias": [0.0, 0.5, -0.5, 0.25, 0.0, -1.0, 0.1, 0.2]},
    "va": {"scale": [1.2, 0.9], "shift": 0.05},
}


def blended(pool, weights, k):
    """Box-smoothed blend by plain loops, [T, C]; weights [H, C], k [C]."""
    whole = np.einsum("htc,hc->tc", pool.scores.astype(np.float64), np.asarray(weights))
    out = np.empty_like(whole)
    for start, stop in itertools.pairwise(pool.offsets):
        for i, c in itertools.product(range(start, stop), range(whole.shape[1])):
            out[i, c] = whole[max(start, i - k[c]) : min(stop, i + k[c] + 1), c].mean()
    return out


def decided(pool, scores):
    """Decisions by the numbers of NUMBERS."""
    name = pool.task.name
    if name == "au":
        return (scores >= np.array(NUMBERS["au"]["thresholds"])).astype(np.uint8)
    if name == "expr":
        return (np.log(scores) + np.array(NUMBERS["expr"]["bias"])).argmax(1).astype(np.int8)
    return np.clip(scores * np.array([1.2, 0.9]) + 0.05, -1, 1)


@pytest.mark.parametrize("name", TASKS)
def test_what_is_written_is_what_comes_out(make_pool, name):
    pool = make_pool(name)
    outputs = len(pool.task.outputs)
    own = [round(0.3 + 0.05 * c, 2) for c in range(outputs)]
    widths = [c % 4 for c in range(outputs)]
    for weights, k in (({"head2": 0.4, "head0": 0.6}, 3), ({"head0": own, "head1": [1 - w for w in own]}, widths)):
        settings = BlendSettings(select="tuned", weights=weights, k=k, **NUMBERS[name])
        found = search.search(pool, settings, 50, seed=0)
        table = found.params.as_json()
        assert table["weights"] == {head: 0.0 for head in pool.heads} | weights and table["k"] == k
        for key, value in NUMBERS[name].items():
            assert table[key] == (value if isinstance(value, list) else [value] * outputs), key
        assert [trial.start for trial in found.trials] == ["given"] and search.count(pool, settings, 50) == 1
        each = np.array([np.broadcast_to(table["weights"][head], outputs) for head in pool.heads])
        expected = decided(pool, blended(pool, each, np.broadcast_to(k, outputs)))
        assert found.score == pytest.approx(pool.score(expected), abs=1e-6)
        assert found.trials[0].score == pytest.approx(found.score, abs=5e-3 if name == "va" else 1e-6), (
            "va: not clipped"
        )
        crossed = cross_fit(pool, settings, 0)
        assert {made.as_json()["kernel"] for made in crossed.params} == {"box"}
        assert all(made == found.params for made in crossed.params), "nothing is chosen"
        assert crossed.pooled_score == pytest.approx(found.score, abs=1e-12), "so there is no optimism"


@pytest.mark.parametrize("name", TASKS)
def test_what_is_not_given_is_searched(make_pool, name):
    pool = make_pool(name)
    weights, thirds = {"head0": 2, "head1": 1}, (2 / 3, 1 / 3, 0.0)
    found = search.search(pool, BlendSettings(weights=weights, kernels=["box", "median"]), 30, seed=0)
    assert all(trial.weights == pytest.approx(thirds) for trial in found.trials), "scaled to sum 1"
    assert found.params.weights == pytest.approx(thirds)
    assert len({trial.k for trial in found.trials}) > 5 and len({trial.kernel for trial in found.trials}) == 2
    assert {trial.start for trial in found.trials} <= {"given", "refined", None}
    assert found.best_start("equal") is None, "it contradicts the weights"
    own = [c % 3 for c in range(len(pool.task.outputs))]
    for k in (4, own):
        found = search.search(pool, BlendSettings(k=k), 30, seed=0)
        there = tuple(k) if isinstance(k, list) else k
        assert {trial.k for trial in found.trials} == {there} == {found.params.k}
        assert len({trial.weights for trial in found.trials}) > 10
        assert {"head head1", "equal", "greedy", "refined"} <= {trial.start for trial in found.trials}
        assert found.score >= max(trial.score for trial in found.trials) - 1e-6


def test_given_scale_and_shift_are_scored_as_they_are_applied(make_pool):
    pool = make_pool("va")
    pool = replace(pool, scores=pool.scores * np.float32(0.4))  # so that nothing is clipped
    truth, weights = pool.known_truth.values, (0.2, 0.3, 0.5)
    both = itertools.product((0.7, [1.5, 1.2], True, False), (0.1, [0.1, -0.2], True, False), ("box", "median"))
    for scale, shift, kernel in both:
        settings = BlendSettings(scale=scale, shift=shift)
        point = objective.Point(weights, kernel, 2)
        space = make_space(pool, settings)
        made = space.complete(point)
        blend = combine.scores(pool, weights, kernel, 2)[pool.known_truth.rows].astype(np.float64)
        moved = blend if made.scale is None else np.array(made.scale) * blend + np.array(made.shift)
        parts = objective.make(pool, space.extras).parts(point)
        np.testing.assert_allclose(parts, pool.task.per_output(truth, moved), atol=1e-5, err_msg=f"{scale} {shift}")
        if not isinstance(scale, bool):
            assert made.scale == tuple(np.broadcast_to(scale, 2))
            assert shift is not False or made.shift == (0, 0)
        if not isinstance(shift, bool):
            assert made.shift == tuple(np.broadcast_to(shift, 2))


@pytest.mark.parametrize("name", TASKS)
def test_a_grid_is_tried_whole_and_by_rote(make_pool, name):
    pool = make_pool(name, heads=2)
    ks = [0, 3, 5]
    settings = BlendSettings(sampler="grid", grid_k=[5, 0, 3], k_max=4, **NUMBERS[name])
    found = search.search(pool, settings, 7, seed=0)
    assert [(trial.k, round(10 * trial.weights[0])) for trial in found.trials] == [
        (k, w) for k in ks for w in range(10, -1, -1)
    ]
    assert len(found.trials) == search.count(pool, settings, 7) == 33
    assert [trial.start for trial in found.trials[:11]] == ["head head0", *["grid"] * 4, "equal", *["grid"] * 4,
                                                            "head head1"]  # fmt: skip
    scores = {
        (k, w): pool.score(decided(pool, blended(pool, [[w / 10] * len(pool.task.outputs),
                                                        [1 - w / 10] * len(pool.task.outputs)],
                                                 [k] * len(pool.task.outputs))))
        for k in ks for w in range(11)
    }  # fmt: skip
    best = max(scores, key=lambda at: scores[at])
    assert found.score == pytest.approx(scores[best], abs=1e-6)
    if name != "va":
        assert (found.params.k, round(10 * found.params.weights[0])) == best
    assert search.search(pool, settings, 7, seed=5) == found, "no chance in it"
    third = BlendSettings(sampler="grid", weight_step=0.25, k=3, **NUMBERS[name])
    assert [trial.weights[0] for trial in search.search(pool, third, 7, seed=0).trials] == [1, 0.75, 0.5, 0.25, 0]


def test_a_grid_goes_on_where_it_was(make_pool, tmp_path):
    pool, settings = make_pool("au"), BlendSettings(sampler="grid", grid_k=[0, 5], weight_step=0.2)
    whole = search.search(pool, settings, 1, seed=0)
    left = iter([True] * 10)
    with TrialJournal(tmp_path / "study.db", "au", {}) as journal, pytest.raises(StopIteration):
        search.search(pool, settings, 1, 0, journal, lambda: next(left))
    with TrialJournal(tmp_path / "study.db", "au", {}) as journal:
        assert len(journal.trials()) == 11
        assert search.search(pool, settings, 1, 0, journal) == whole
        assert len(journal.trials()) == len(whole.trials) == 42
    assert len(search.search(pool, settings, 1, seed=0, until=0.0).trials) == 1, "time was over"


def test_what_cannot_be_is_refused(make_pool):
    pool = make_pool("au")
    for settings, text in (
        (BlendSettings(weights={"mlp": 1}), "blend.au.weights: no head is named 'mlp'; there are head0, head1, head2"),
        (
            BlendSettings(sampler="grid", weight_step=0.001),
            "5,516,511 blends of 3 heads.* fewer heads, a larger weight_step",
        ),
    ):
        with pytest.raises(InputError, match=text):
            search.count(pool, settings, 5)
        with pytest.raises(InputError, match=text):
            search.search(pool, settings, 5, 0)


def test_a_copy_may_be_given_weight(make_pool):
    pool = make_pool("expr")
    twice = replace(pool, heads=(*pool.heads, "same"), scores=np.concatenate([pool.scores, pool.scores[:1]]))
    settings = BlendSettings(weights={"head0": 0.25, "same": 0.25, "head1": 0.5}, k=2)
    found = search.search(twice, settings, 5, 0)
    assert found.params.weights == (0.25, 0.5, 0.0, 0.25), "as it is written"
    merged = duplicates.rename_duplicates(twice, settings)
    assert merged.weights == {"head0": 0.5, "head1": 0.5}, "for whoever searches distinct heads"
    once = search.search(pool, merged, 5, 0)
    assert once.score == pytest.approx(found.score, abs=1e-6)
    assert isinstance(once.params, Params)
