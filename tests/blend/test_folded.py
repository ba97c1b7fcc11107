"""Folds counted in one pass against scoring the pools of their videos one by one."""

from dataclasses import replace

import numpy as np
import pytest

from blend import combine, folded, objective
from blend.objective import Point

TASKS = ["au", "expr", "va"]
FOLDS = [[0, 4], [1, 2], [3, 5]]


def complements(pool):
    """The videos of each subset: all folds but one, then all."""
    everything = range(len(pool.videos))
    return [[v for v in everything if v not in fold] for fold in FOLDS] + [list(everything)]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("k", [0, 3])
def test_every_subset_scores_as_its_pool_does(make_pool, name, k):
    """au to within its counts of 1/256."""
    pool = make_pool(name, length=(150, 200))
    some = folded.of(pool, FOLDS)
    for weights in ([0, 1, 0], [0.2, 0.3, 0.5]):
        parts = some.parts("box", k, np.array(weights, float))
        for subset, videos in enumerate(complements(pool)):
            direct = objective.make(pool.select(videos)).parts(Point(tuple(weights), "box", k))
            np.testing.assert_allclose(parts[subset], direct, atol=0.02 if name == "au" else 1e-6)
            assert (parts[subset] <= direct + 1e-6).all()


@pytest.mark.parametrize("name", TASKS)
def test_smoothing_comes_before_thinning(make_pool, name):
    pool = make_pool(name)
    thin = folded.of(pool, FOLDS, rows=40)
    assert thin.step == -(-len(pool.known.rows) // 40) and len(thin.rows) <= 40
    np.testing.assert_array_equal(thin.rows, pool.known.rows[:: thin.step])
    whole = combine.scores(pool, [0.2, 0.3, 0.5], "box", 4)
    weights = np.tile(np.array([[0.2], [0.3], [0.5]]), (1, len(pool.task.outputs)))
    np.testing.assert_allclose(thin.blend("box", 4, weights), whole[thin.rows], atol=1e-6)
    ks = tuple(range(len(pool.task.outputs)))
    each = combine.scores(pool, [0.2, 0.3, 0.5], "box", ks)
    for one in (thin, folded.of(pool, FOLDS)):
        np.testing.assert_allclose(one.blend("box", ks, weights), each[one.rows], atol=1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_greedy_weights_do_not_look_at_the_fold_left_out(make_pool, name):
    pool = make_pool(name)
    truth = pool.known.values.copy()
    held = np.isin(pool.video_of, FOLDS[1])
    truth[held] = np.random.default_rng(0).permutation(truth[held])
    other = replace(pool, truth=replace(pool.known, values=truth))
    one, two = folded.of(pool, FOLDS), folded.of(other, FOLDS)
    np.testing.assert_array_equal(one.weights("box", 2, 1), two.weights("box", 2, 1))
    np.testing.assert_array_equal(one.weights("box", 2, 1, each=True), two.weights("box", 2, 1, each=True))
    np.testing.assert_allclose(one.parts("box", 2, np.full(3, 1 / 3))[1], two.parts("box", 2, np.full(3, 1 / 3))[1])


@pytest.mark.parametrize("name", TASKS)
def test_greedy_weights_are_no_worse_than_any_head(make_pool, name):
    pool = make_pool(name)
    some = folded.of(pool, FOLDS)
    for subset in range(4):
        weights = some.weights("box", 2, subset)
        assert weights.shape == (3, len(pool.task.outputs)) and np.allclose(weights.sum(0), 1)
        reached = some.parts("box", 2, weights[:, 0])[subset].mean()
        assert reached >= max(some.parts("box", 2, np.eye(3)[h])[subset].mean() for h in range(3)) - 1e-12
        each = some.weights("box", 2, subset, each=True)
        for c in range(len(pool.task.outputs)):
            own = some.parts("box", 2, each[:, c])[subset][c]
            assert own >= max(some.parts("box", 2, np.eye(3)[h])[subset][c] for h in range(3)) - 1e-12


def test_tables_of_va_are_those_of_the_blend(make_pool):
    from blend import counts

    pool = make_pool("va")
    some = folded.of(pool, FOLDS)
    weights = np.array([[0.5, 0.1], [0.5, 0.2], [0.0, 0.7]])
    scale, shift = np.array([1.5, 0.5]), np.array([0.1, -0.2])
    table = folded.va_table(some.moments("box", 3), weights, scale, shift)
    decided = scale * combine.scores(pool, weights.tolist(), "box", 3)[pool.known.rows].astype(float) + shift
    expected = counts.per_video("va", pool.known.values, decided, pool.video_of, len(pool.videos))
    np.testing.assert_allclose(table, expected, atol=1e-4)
