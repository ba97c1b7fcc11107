"""The search beats what it starts from, repeats itself, and goes on where it was."""

from dataclasses import replace

import numpy as np
import pytest

from blend import combine, search
from blend.config import BlendSettings
from blend.study import Journal

TASKS = ["au", "expr", "va"]
QUICK = BlendSettings(trials=30)


@pytest.mark.parametrize("name", TASKS)
def test_the_result_is_no_worse_than_any_start(make_pool, name):
    pool = make_pool(name)
    found = search.search(pool, QUICK, 30, seed=0)
    starts = [trial for trial in found.trials if trial.start is not None]
    names = {"head head0", "head head1", "head head2", "equal", "greedy", "refined"}
    assert {trial.start for trial in starts} == names
    assert found.score >= max(trial.score for trial in starts) - 1e-6
    for weights in (*np.eye(3).tolist(), [1 / 3] * 3):
        plain = combine.Params(name, pool.task.outputs, pool.heads, tuple(weights), "box", 0,
                               (0.5,) * 12 if name == "au" else None)  # fmt: skip
        assert found.score >= pool.score(combine.combine(pool, plain))
    assert found.score == pool.score(combine.combine(pool, found.params))
    assert sum(found.params.weights) == pytest.approx(1) and len(found.trials) == 30


@pytest.mark.parametrize("name", TASKS)
def test_one_head_without_smoothing_is_that_head(make_pool, name):
    pool = make_pool(name, heads=1)
    found = search.search(pool, BlendSettings(k_max=0), 1, seed=0)
    assert found.params.weights == (1.0,) and found.params.k == 0
    assert {trial.start for trial in found.trials} == {"head head0", "equal", "greedy"}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("stop", [0, 5, 13, 20])
def test_a_stopped_search_goes_on_to_the_same_result(make_pool, tmp_path, name, stop):
    pool = make_pool(name)

    class Stopped(Exception):
        pass

    def one_more():
        nonlocal stop
        stop -= 1
        if stop < 0:
            raise Stopped

    through = search.search(pool, QUICK, 24, seed=3)
    with Journal(tmp_path / "study.db", name, "mark") as journal, pytest.raises(Stopped):
        search.search(pool, QUICK, 24, 3, journal, one_more)
    with Journal(tmp_path / "study.db", name, "mark") as journal:
        kept = len(journal.trials())
        assert 0 < kept < 24
        resumed = search.search(pool, QUICK, 24, 3, journal)
        assert len(journal.trials()) == 24
    assert resumed == through


def test_seeds_differ_and_repeat(make_pool):
    pool = make_pool("va")
    one, again, other = (search.search(pool, QUICK, 20, seed) for seed in (1, 1, 2))
    assert one == again
    assert one.trials != other.trials


@pytest.mark.parametrize(("name", "loss"), [("au", 0.002), ("expr", 0.02), ("va", 0.001)])
def test_a_copy_of_a_head_hardly_lowers_the_score(make_pool, name, loss):
    """One dimension more for as many trials; the argmax of few frames makes expr's surface rough."""
    pool = make_pool(name, length=(150, 250))
    copied = replace(pool, heads=(*pool.heads, "head3"), scores=np.concatenate([pool.scores, pool.scores[:1]]))
    alone, with_copy = (search.search(some, QUICK, 150, seed=0).score for some in (pool, copied))
    assert with_copy > alone - loss


def test_every_kernel_can_be_searched(make_pool):
    pool = make_pool("va", length=(20, 30))
    settings = BlendSettings(kernels=["box", "gaussian", "median"], k_max=5)
    found = search.search(pool, settings, 60, seed=0)
    assert {trial.kernel for trial in found.trials} == {"box", "gaussian", "median"}
    assert max(trial.k for trial in found.trials) <= 5


def test_degenerate_pools_are_searched(make_pool):
    """Constant heads, one frame, classes that never occur."""
    for name in TASKS:
        pool = make_pool(name, videos=1, length=(2, 3))
        constant = replace(pool, scores=np.full_like(pool.scores, 0.5))
        for some in (pool, constant):
            assert np.isfinite(search.search(some, QUICK, 18, seed=0).score)
