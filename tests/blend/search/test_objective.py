"""The fast objectives against the official scores of decisions made the long way."""

from dataclasses import replace

import numba
import numpy as np
import pytest
from sklearn.metrics import f1_score

from blend.decision import combine
from blend.pool.pool import Truth
from blend.search import objective, search

WEIGHTS = [(1.0, 0.0, 0.0), (0.2, 0.3, 0.5), (1 / 3, 1 / 3, 1 / 3)]


@pytest.mark.parametrize("name", ["au", "expr", "va"])
@pytest.mark.parametrize("kernel", ["box", "gaussian", "median"])
@pytest.mark.parametrize("k", [0, 4])
def test_it_is_the_official_score_of_combine(make_pool, name, kernel, k):
    pool = make_pool(name)
    score = objective.make(pool)
    for weights in WEIGHTS:
        official = pool.score(combine.combine(pool, search.params(pool, weights, kernel, k)))
        assert score(weights, kernel, k) == pytest.approx(official, abs=1e-6 if name == "va" else 1e-12)


@pytest.mark.parametrize("name", ["au", "expr"])
@pytest.mark.parametrize("kernel", ["box", "gaussian", "median"])
@pytest.mark.parametrize("k", [0, 3, 200, tuple(range(12))])
def test_several_threads_and_videos_of_a_frame_give_the_same(make_pool, monkeypatch, name, kernel, k):
    """k may be wider than a video; a head may weigh nothing; outputs may have numbers of their own."""
    pool = make_pool(name, videos=9, heads=6, length=(1, 60))
    width = k[: len(pool.task.outputs)] if isinstance(k, tuple) else k
    own = tuple(map(tuple, np.random.default_rng(0).dirichlet(np.ones(6), len(pool.task.outputs)).T.tolist()))
    for weights in (own, (0.1, 0.2, 0.3, 0.4, 0.0, 0.0), (0.05, 0.1, 0.15, 0.2, 0.1, 0.4)):
        official = pool.score(combine.combine(pool, search.params(pool, weights, kernel, width)))
        for threads in (1, 2):
            monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
            assert objective.make(pool)(weights, kernel, width) == pytest.approx(official, abs=1e-12)


@pytest.mark.parametrize("seed", range(200))
def test_the_ccc_from_moments_equals_its_definition(make_pool, seed):
    rng = np.random.default_rng(seed)
    pool = make_pool("va", seed=seed, videos=2, length=(5, 12))
    if seed % 4 == 1:
        pool = replace(pool, scores=np.concatenate([pool.scores[:2], np.full_like(pool.scores[:1], 0.25)]))  # constant
    weights = combine.simplex(rng.random(3))
    blended = np.einsum("h,htc->tc", weights, pool.scores.astype(float))[pool.known_truth.rows]
    truth = pool.known_truth.values.astype(float)
    parts = []
    for c in range(2):
        t, p = truth[:, c], blended[:, c]
        covariance = np.cov(t, p, ddof=0)
        parts.append(2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (t.mean() - p.mean()) ** 2))
    assert objective.make(pool)(weights, "box", 0) == pytest.approx(np.mean(parts), abs=1e-9)


@pytest.mark.parametrize("seed", range(50))
def test_the_expression_score_equals_scikit_learn(make_pool, seed):
    pool = make_pool("expr", seed=seed, videos=2, length=(5, 12))
    weights = combine.simplex(np.random.default_rng(seed).random(3))
    decided = combine.scores(pool, weights, "box", 0)[pool.known_truth.rows].argmax(1)
    expected = f1_score(pool.known_truth.values, decided, labels=range(8), average="macro", zero_division=0)
    assert objective.make(pool)(weights, "box", 0) == pytest.approx(expected, abs=1e-9)


def test_a_ccc_that_is_not_defined_counts_as_0(make_pool):
    pool = make_pool("va")
    flat = replace(
        pool,
        scores=np.full_like(pool.scores, 0.5),
        truth=Truth(pool.known_truth.rows, np.full_like(pool.known_truth.values, 0.5)),
    )
    assert objective.make(flat)(WEIGHTS[0], "box", 0) == 0
    assert objective.make(flat)(WEIGHTS[0], "median", 1) == 0
