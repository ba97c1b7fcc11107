"""Matched moments against the moments of the numbers themselves; moments against their definition."""

import numpy as np
import pytest

from blend.calibrate import affine


def problem(seed, n=200, heads=3, videos=4):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    scores = (0.4 * truth + rng.normal(0, 0.2, (heads, n, 2)) + 0.1).astype(np.float32)
    return scores, truth, np.sort(rng.integers(0, videos, n))


@pytest.mark.parametrize("seed", range(5))
def test_sums_of_products_per_group(seed):
    scores, truth, group_of = problem(seed)
    found = affine.moments_per_group(scores, truth, group_of, 5)
    assert found.shape == (5, 2, 5, 5) and not found[4].any()  # an empty group
    for g in range(4):
        for c in range(2):
            rows = group_of == g
            x = np.stack([*scores[:, rows, c], truth[rows, c], np.ones(rows.sum())]).astype(float)
            np.testing.assert_allclose(found[g, c], x @ x.T, rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("scaled", "moved"), [(False, False), (True, False), (False, True), (True, True)])
def test_moments_match_where_they_should(seed, scaled, moved):
    scores, truth, _ = problem(seed)
    sums = affine.moments_per_group(scores, truth, np.zeros(len(truth), np.int64), 1)[0]
    weights = np.random.default_rng(seed).dirichlet(np.ones(3), 2).T
    factor, offset = affine.match_moments(sums, weights, scaled, moved)
    blend = np.einsum("hnc,hc->nc", scores.astype(float), weights)
    made = factor * blend + offset
    np.testing.assert_allclose(made.std(0), truth.std(0) if scaled else blend.std(0), rtol=1e-6)
    np.testing.assert_allclose(made.mean(0), truth.mean(0) if moved else blend.mean(0), atol=1e-6)


def test_constants_are_not_stretched_and_nothing_very_far():
    truth = np.stack([np.linspace(-1, 1, 50), np.full(50, 0.25)], axis=1).astype(np.float32)
    scores = np.stack([np.full(50, 0.5), np.linspace(0, 1, 50)], axis=1).astype(np.float32)[None]
    sums = affine.moments_per_group(scores, truth, np.zeros(50, np.int64), 1)[0]
    factor, offset = affine.match_moments(sums, np.ones((1, 2)), True, True)
    np.testing.assert_array_equal(factor, [1, 1])
    np.testing.assert_allclose(offset, [-0.5, -0.25], atol=1e-6)
    tiny = (0.01 * truth[None, :, :1]).repeat(2, axis=2)
    sums = affine.moments_per_group(tiny, truth[:, [0, 0]], np.zeros(50, np.int64), 1)[0]
    assert affine.match_moments(sums, np.ones((1, 2)), True, False)[0].tolist() == [affine.LARGEST] * 2
    empty = np.zeros((2, 3, 3))
    assert np.isfinite(affine.match_moments(empty, np.ones((1, 2)), True, True)).all()
