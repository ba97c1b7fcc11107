"""Bounds that stay on the scale, widen with few and uneven groups, and are what a bootstrap by hand gives."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blend.calibrate import video_counts
from blend.config import BlendSettings
from blend.crossfit import estimate, interval
from blend.crossfit.selection import Selection
from blend.tasks.lookup import BLEND_TASKS

TASKS = ["au", "expr", "va"]


@pytest.mark.parametrize("task", TASKS)
def test_widening_with_few_and_unequal_groups(task):
    def widen(frames):
        return interval.widen_factor(task, frames)

    even, uneven = np.full(20, 100), np.array([1000] + [20] * 19)
    least = BLEND_TASKS[task].luck
    assert least < widen(np.full(1000, 7)) < least + 0.001 < widen(even)
    assert widen(even) < least * 1.03, "the square root of 20 / 19, and a little"
    assert widen(even) < 1.4 < widen(uneven)
    student = 2.7764 / 1.95996  # 4 degrees of freedom
    assert widen(np.full(5, 9)) == pytest.approx(student * np.sqrt(5 / 4), rel=1e-4)
    assert np.isfinite(widen(np.array([5]))) and np.isfinite(widen(np.array([5, 0])))


@pytest.mark.parametrize("task", TASKS)
def test_scales_without_ends_and_back(task):
    low = -1.0 if task == "va" else 0.0
    scores = np.linspace(low + 0.01, 0.99, 50)
    np.testing.assert_allclose(BLEND_TASKS[task].bound(BLEND_TASKS[task].to_line(scores)), scores, atol=1e-12)
    assert np.isfinite(BLEND_TASKS[task].to_line(np.array([low, 1.0]))).all()


def table_of(task, rng, groups):
    """Counts of random decisions, some groups long and some right in every frame."""
    tables = []
    for _ in range(groups):
        n, right = int(rng.integers(1, 60)), rng.choice([0.0, 0.5, 1.0])
        if task == "va":
            truth = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
            decided = np.where(rng.random((n, 2)) < right, truth, rng.uniform(-1, 1, (n, 2))).astype(np.float32)
        else:
            shape = (n, 12) if task == "au" else (n,)
            truth = rng.integers(0, 2 if task == "au" else 8, shape)
            decided = np.where(rng.random(shape) < right, truth, rng.integers(0, 2 if task == "au" else 8, shape))
        tables.append(BLEND_TASKS[task].count(truth, decided, np.zeros(n, int), 1)[0])
    return np.stack(tables)


def sample_score(task, table, chosen):
    """The score of some groups; what they lack, but all groups have, scores as in all."""
    parts, whole = BLEND_TASKS[task].per_output(table[chosen].sum(0)), BLEND_TASKS[task].per_output(table.sum(0))
    if task == "va":
        return parts.mean()
    actual = [t[2] if task == "au" else t.sum(1) for t in (table[chosen].sum(0), table.sum(0))]
    return np.mean([whole[c] if actual[0][c] == 0 < actual[1][c] else parts[c] for c in range(len(parts))])


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(TASKS), st.integers(1, 8), st.integers(0, 10**6), st.sampled_from([None, 1, 500]))
def test_no_bound_leaves_the_scale(task, groups, seed, test_groups):
    """Random decisions of 1 to 8 groups, always right and always wrong ones among them."""
    rng = np.random.default_rng(seed)
    table = table_of(task, rng, groups)
    frames = rng.integers(1, 500, groups)
    score = float(video_counts.score(task, table.sum(0)))
    found = interval.interval(task, table, frames, score if np.isfinite(score) else None, 200, seed, test_groups)
    if groups < 2 or not np.isfinite(score):
        assert found is None
        return
    if found is None:  # resamples that all score the same tell of no spread
        draws = [sample_score(task, table, rng.integers(0, groups, groups)) for _ in range(50)]
        assert np.ptp([score for score in draws if np.isfinite(score)] or [0.0]) < 1e-9
        return
    low, high = found
    assert (-1 if task == "va" else 0) <= low <= score <= high <= 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(TASKS), st.integers(1, 8), st.integers(0, 50))
def test_no_report_of_few_videos_holds_a_bound_outside_the_scale(make_pool, task, videos, seed):
    pool = make_pool(task, seed=seed, videos=videos, length=(10, 25))
    chosen = BlendSettings(draws=100, k_max=2)
    ways = [Selection(pool, chosen, seed).tune_with_weights(np.full(3, 1 / 3)), Selection(pool, chosen, seed).select()]
    for way in ways:
        if way is None or way.cross_fit is None or way.cross_fit.interval is None:
            assert videos <= 4 or way.cross_fit.pooled_score is None, "so few may all score the same"
            continue
        low, high = way.cross_fit.interval
        assert (-1 if task == "va" else 0) <= low <= way.cross_fit.pooled_score <= high <= 1


@pytest.mark.parametrize("task", TASKS)
def test_bounds_equal_a_bootstrap_by_hand(task):
    """Draws one by one, on the logit or Fisher's z; a larger test set narrows them by the root of its share."""
    rng = np.random.default_rng(1)
    table, frames = table_of(task, rng, 40), rng.integers(50, 60, 40)
    centre = float(video_counts.score(task, table.sum(0)))
    low, high = interval.interval(task, table, frames, centre, 4000, 3)
    drawn = []
    for _ in range(4000):
        some = table[rng.integers(0, 40, 40)].sum(0)
        drawn.append(float(video_counts.score(task, some)))
    free = np.arctanh(drawn) if task == "va" else np.log(np.array(drawn) / (1 - np.array(drawn)))
    at = np.arctanh(centre) if task == "va" else np.log(centre / (1 - centre))
    bounds = at + np.sqrt(2) * interval.SHORTFALL * interval.widen_factor(task, frames) * (
        np.quantile(free, [0.025, 0.975]) - free.mean()
    )
    expected = np.tanh(bounds) if task == "va" else 1 / (1 + np.exp(-bounds))
    np.testing.assert_allclose([low, high], expected, atol=0.1 * (high - low))
    near = interval.interval(task, table, frames, centre, 4000, 3, test_groups=10**9)
    resized = interval.resize(task, (low, high), centre, 40, 10**9)
    np.testing.assert_allclose(resized, near, atol=1e-6)
    free_width = np.diff(BLEND_TASKS[task].to_line(np.array([low, high])))[0]
    near_width = np.diff(BLEND_TASKS[task].to_line(np.array(near)))[0]
    assert near_width == pytest.approx(free_width / np.sqrt(2), rel=1e-6)


def test_groups_are_people_where_they_are_known(make_pool):
    from dataclasses import replace

    pool = replace(make_pool("au", videos=6), people=tuple("aabbcc"))
    table = estimate.count_decisions(pool, (pool.scores[0] > 0.5).astype(np.uint8))
    summed, frames = estimate.by_group(pool, table)
    np.testing.assert_array_equal(summed, [table[[0, 1]].sum(0), table[[2, 3]].sum(0), table[[4, 5]].sum(0)])
    np.testing.assert_array_equal(frames, [(pool.video_of // 2 == g).sum() for g in range(3)])
