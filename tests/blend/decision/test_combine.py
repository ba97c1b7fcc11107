"""combine() against direct scoring."""

from dataclasses import replace

import numpy as np
import pytest

from blend.decision import combine
from blend.decision.combine import Params
from extract.runtime.errors import InputError

TASKS = ["au", "expr", "va"]


def params(pool, weights, k=0, kernel="box"):
    cut = (0.5,) * 12 if pool.task.name == "au" else None
    return Params(pool.task.name, pool.task.outputs, pool.heads, tuple(weights), kernel, k, cut)


@pytest.mark.parametrize("name", TASKS)
def test_one_head_without_smoothing_equals_scoring_it_directly(make_pool, name):
    pool = make_pool(name)
    scores = pool.scores[1][pool.known_truth.rows]
    direct = {"au": lambda: scores >= 0.5, "expr": lambda: scores.argmax(1), "va": lambda: scores}[name]()
    decided = combine.combine(pool, params(pool, [0, 1, 0]))
    assert pool.score(decided) == pool.task.score(pool.known_truth.values, direct)


@pytest.mark.parametrize("name", TASKS)
def test_it_is_blend_then_smooth_then_decide(make_pool, name):
    pool = make_pool(name)
    blended = np.einsum("h,htc->tc", [0.5, 0.3, 0.2], pool.scores.astype(float))
    smoothed = np.concatenate(
        [
            np.array([blended[max(a, t - 4) : min(b, t + 5)].mean(0) for t in range(a, b)])
            for a, b in zip(pool.offsets[:-1], pool.offsets[1:], strict=True)
        ]
    )
    np.testing.assert_allclose(combine.scores(pool, [0.5, 0.3, 0.2], "box", 4), smoothed, rtol=0, atol=1e-6)
    decided = combine.combine(pool, params(pool, [0.5, 0.3, 0.2], k=4))
    clear = np.abs(smoothed - 0.5) > 1e-6
    expected = {"au": smoothed >= 0.5, "expr": smoothed.argmax(1), "va": smoothed.clip(-1, 1)}[name]
    if name == "au":
        np.testing.assert_array_equal(decided[clear], expected[clear])
    else:
        np.testing.assert_allclose(decided, expected, atol=1e-6)


def test_weights_may_differ_per_output(make_pool):
    pool = make_pool("va")
    blended = combine.scores(pool, [(1.0, 0.0), (0.0, 1.0), 0.0], "box", 0)
    np.testing.assert_array_equal(blended[:, 0], pool.scores[0][:, 0])
    np.testing.assert_array_equal(blended[:, 1], pool.scores[1][:, 1])


def test_half_of_a_head_and_half_of_its_copy_are_the_head(make_pool):
    pool = make_pool("expr", heads=1)
    twice = replace(pool, heads=("copy", "head0"), scores=np.concatenate([pool.scores, pool.scores]))
    np.testing.assert_array_equal(
        combine.combine(twice, params(twice, [0.5, 0.5], k=3)), combine.combine(pool, params(pool, [1.0], k=3))
    )


def test_heads_are_matched_by_name(make_pool):
    pool = make_pool("va")
    swapped = replace(pool, heads=("head2", "head1", "head0"), scores=np.ascontiguousarray(pool.scores[::-1]))
    one = combine.combine(pool, params(pool, [0.5, 0.0, 0.5], k=2))
    np.testing.assert_allclose(combine.combine(swapped, params(pool, [0.5, 0.0, 0.5], k=2)), one, atol=1e-7)
    with pytest.raises(InputError, match="use the head 'other'"):
        combine.combine(pool, replace(params(pool, [1, 0, 0]), heads=("other", "head1", "head2")))
    with pytest.raises(InputError, match="for task 'au', the predictions for 'va'"):
        combine.combine(pool, replace(params(pool, [1, 0, 0]), task="au"))


@pytest.mark.parametrize("kernel", ["box", "median"])
def test_k_may_differ_per_output(make_pool, kernel):
    pool = make_pool("au")
    ks = [0, 3, 3, 0, 1, 7, 0, 3, 1, 1, 0, 7]
    blended = combine.scores(pool, [0.5, 0.3, 0.2], kernel, ks)
    for k in set(ks):
        some = np.flatnonzero(np.array(ks) == k)
        np.testing.assert_array_equal(blended[:, some], combine.scores(pool, [0.5, 0.3, 0.2], kernel, k)[:, some])


def test_the_filter_looks_at_its_head_smoothed_whatever_its_weight(make_pool):
    pool = make_pool("expr")
    plain = params(pool, [0.5, 0.5, 0], k=3)
    filtered = combine.combine(pool, replace(plain, filter=("head2", 0.5)))
    sure = combine.scores(pool, [0, 0, 1], "box", 3)
    decided = np.where(sure[:, :7].max(1) > 0.5, sure[:, :7].argmax(1), combine.combine(pool, plain))
    np.testing.assert_array_equal(filtered, decided)
    assert (filtered != combine.combine(pool, plain)).any()
    without = replace(pool, heads=pool.heads[:2], scores=pool.scores[:2])
    with pytest.raises(InputError, match="use the head 'head2'"):
        combine.combine(without, replace(plain, filter=("head2", 0.5)))


def test_bias_scale_and_shift_are_applied_after_smoothing(make_pool):
    pool = make_pool("va")
    scores = combine.scores(pool, [0.2, 0.3, 0.5], "box", 2)
    made = replace(params(pool, [0.2, 0.3, 0.5], k=2), scale=(1.5, 0.5), shift=(0.25, -0.25))
    expected = np.clip(scores * [1.5, 0.5] + [0.25, -0.25], -1, 1)
    np.testing.assert_allclose(combine.combine(pool, made), expected, atol=1e-6)
    pool = make_pool("expr")
    scores = combine.scores(pool, [0.2, 0.3, 0.5], "box", 2)
    made = replace(params(pool, [0.2, 0.3, 0.5], k=2), bias=(1.0, 0, 0, 0, -2.0, 0, 0, 0.5))
    expected = (np.log(scores) + np.array(made.bias, np.float32)).argmax(1)
    np.testing.assert_array_equal(combine.combine(pool, made), expected)


def test_simplex():
    assert combine.simplex([2, 6]) == (0.25, 0.75)
    assert combine.simplex([0, 0, 0, 0]) == (0.25,) * 4
