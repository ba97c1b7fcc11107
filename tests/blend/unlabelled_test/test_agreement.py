"""Sums by group give the same correlations as numpy does on the frames themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blend.unlabelled_test.agreement import LAGS, agreement, fisher, standardise


@pytest.fixture
def scene(make_pool):
    """A pool of 5 videos of 3 people with gaps, and two sets of scores that have something in common."""
    pool = replace(make_pool("va", seed=3, videos=5, length=(60, 90)), people=("a", "b", "a", "c", "c"))
    rng = np.random.default_rng(0)
    frames = int(pool.offsets[-1])
    x = np.cumsum(rng.standard_normal((frames, 2)), 0).astype(np.float32) * 0.1
    y = (x[:, ::-1] * [0.3, -2] + x + rng.standard_normal(x.shape) * 0.5).astype(np.float32)
    return replace(pool, present=rng.random(frames) < 0.8), x, y


def test_correlations_of_outputs_and_of_draws_of_groups_are_those_of_the_frames(scene):
    pool, x, y = scene
    found, rows = agreement(x, y, pool), pool.present
    expected = np.corrcoef(x[rows].T, y[rows].T)[:2, 2:]
    assert found.outputs() == pytest.approx(expected, abs=1e-5)
    of = np.repeat(pool.groups, np.diff(pool.offsets))
    weights = found.draws(20, np.random.default_rng(1))
    assert weights.shape == (20, 3) and (weights.sum(1) == 3).all()
    for drawn, table in zip(weights, found.outputs(weights), strict=True):
        frames = np.concatenate([np.flatnonzero((of == g) & rows).repeat(int(n)) for g, n in enumerate(drawn)])
        assert table == pytest.approx(np.corrcoef(x[frames].T, y[frames].T)[:2, 2:], abs=1e-4)


def test_correlations_at_lags_are_those_of_pairs_of_frames(scene):
    pool, x, y = scene
    x, y = (standardise(one, pool.present) for one in (x, y))
    found = agreement(x, y, pool).lags()
    for i, lag in enumerate(LAGS):
        sums = np.zeros(3)
        for a, b in zip(pool.offsets[:-1], pool.offsets[1:], strict=True):
            own = np.flatnonzero(pool.present[a:b]) + a
            pairs = [(t, t - lag) for t in own if a <= t - lag < b and pool.present[t - lag]]
            late, early = np.array(pairs).T
            dx, dy = x[late] - x[own].mean(0), y[early] - y[own].mean(0)
            sums += np.array([(dx * dy).sum(), (dx**2).sum(), (dy**2).sum()]) * len(own) / len(pairs)
        assert found[i] == pytest.approx(sums[0] / np.sqrt(sums[1] * sums[2]), abs=1e-4)
    assert np.abs(found).max() <= 1 + 1e-6


def test_videos_are_compared_about_the_sets_mean_and_about_their_own(scene):
    pool, x, y = scene
    found, rows = agreement(x, y, pool), pool.present
    weight = x[rows].var(0, dtype=np.float64)
    x, y = (standardise(one, rows).astype(np.float64) for one in (x, y))
    slope = [np.polyfit(y[rows][:, c], x[rows][:, c], 1)[0] for c in range(2)]
    off = ((x - y * slope) ** 2) @ weight
    for v, (a, b) in enumerate(zip(pool.offsets[:-1], pool.offsets[1:], strict=True)):
        own = np.flatnonzero(rows[a:b]) + a
        for which, (p, q) in (
            (found.cosines(), (x[own], y[own])),
            (found.inside(), (x[own] - x[own].mean(0), y[own] - y[own].mean(0))),
        ):
            expected = (p * q @ weight).sum() / np.sqrt((p * p @ weight).sum() * (q * q @ weight).sum())
            assert which[v] == pytest.approx(expected, abs=1e-5)
        assert found.residuals()[v] == pytest.approx(off[own].mean() / off[rows].mean(), rel=1e-4)
        assert found.frames[v] == len(own)


def test_what_has_no_spread_agrees_with_nothing_and_breaks_nothing(scene):
    pool, x, y = scene
    still = np.zeros_like(x)
    found = agreement(still, y, pool)
    assert (found.outputs() == 0).all() and (found.lags() == 0).all() and (found.cosines() == 0).all()
    nothing = agreement(x, y, pool, np.zeros(len(x), bool))
    assert (nothing.outputs() == 0).all() and (nothing.frames == 0).all() and np.isfinite(nothing.residuals()).all()
    assert np.isfinite(fisher(np.array([-1.0, 1.0]))).all()


def test_scores_that_come_late_fit_best_at_their_lag(scene):
    pool, x, _ = scene
    late = np.concatenate([np.roll(x[a:b], 5, 0) for a, b in zip(pool.offsets[:-1], pool.offsets[1:], strict=True)])
    assert LAGS[agreement(late, x, pool).lags().argmax()] == 5
    assert LAGS[agreement(x, late, pool).lags().argmax()] == -5
