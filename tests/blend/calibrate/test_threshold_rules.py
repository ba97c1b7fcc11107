"""Rules for thresholds against naive versions, and what they are for: rare units are not chased."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from blend.calibrate import threshold
from blend.calibrate import threshold_rules as rules

RULES = ["fixed", "exact", "bootstrap", "pulled", "plug-in"]


def problem(seed, n=600, units=4, videos=9):
    """Scores that fall on the counts' edges, units of different rates, the last one never."""
    rng = np.random.default_rng(seed)
    video_of = np.sort(rng.integers(0, videos, n))
    truth = (rng.random((n, units)) < np.array([0.5, 0.2, 0.05, 0])[:units]).astype(np.uint8)
    raw = 1 / (1 + np.exp(-(1.5 * truth - 1 + rng.normal(size=truth.shape))))
    return (np.floor(raw * rules.BINS) / rules.BINS).astype(np.float32), truth, video_of, videos


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_each_video(seed):
    scores, truth, video_of, videos = problem(seed)
    found = rules.per_video(scores, truth, video_of, videos)
    edges = np.arange(rules.BINS + 1) / rules.BINS
    for v in range(videos):
        for c in range(4):
            rows = video_of == v
            np.testing.assert_array_equal(found[1, v, c], np.histogram(scores[rows, c], edges)[0])
            on = rows & (truth[:, c] == 1)
            np.testing.assert_array_equal(found[0, v, c], np.histogram(scores[on, c], edges)[0])
    f1 = rules.curve(found.sum(1))
    for b in (0, 50, 128, 200):
        for c in range(3):
            assert f1[c, b] == pytest.approx(f1_score(truth[:, c], scores[:, c] >= b / rules.BINS, zero_division=0))


@pytest.mark.parametrize("seed", range(20))
def test_on_such_scores_counting_is_exact(seed):
    scores, truth, video_of, videos = problem(seed)
    found = rules.fit("exact", rules.per_video(scores, truth, video_of, videos))
    _, best = threshold.best(scores, truth)
    reached = threshold.f1_at(scores, truth, found)
    np.testing.assert_allclose(reached, best, atol=1e-12)
    assert found[3] == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_bootstrap_is_the_mean_over_draws_of_the_videos(seed):
    scores, truth, video_of, videos = problem(seed)
    counted = rules.per_video(scores, truth, video_of, videos)
    found = rules.bootstrap_thresholds(counted, seed, draws=6)
    times = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=6)
    each = []
    for drawn in times:
        rows = np.concatenate([np.flatnonzero(video_of == v) for v in range(videos) for _ in range(drawn[v])])
        one = rules.exact_thresholds(
            rules.per_video(scores[rows], truth[rows], np.zeros(len(rows), np.int64), 1).sum(1)
        )
        each.append(np.where(truth[rows].any(0), one, np.nan))
    for c in range(3):
        assert found[c] == pytest.approx(np.mean([one[c] for one in each if np.isfinite(one[c])]), abs=1e-6)
    assert found[3] == 0.5
    np.testing.assert_array_equal(found, rules.bootstrap_thresholds(counted, seed, draws=6))


def test_rare_units_are_pulled_to_the_common_threshold():
    scores, truth, video_of, videos = problem(0)
    truth[:, 2] = 0
    truth[np.flatnonzero(video_of == 4)[:3], 2] = 1  # one video shows it
    counted = rules.per_video(scores, truth, video_of, videos)
    own = np.array([0.9, 0.9, 0.9, 0.9])
    common = rules.common_threshold(counted)
    shown = np.array([9, 9, 1, 0])
    np.testing.assert_allclose(rules.shrink(own, counted), (shown * own + rules.PULL * common) / (shown + rules.PULL))
    assert rules.shrink(own, counted)[3] == pytest.approx(common)
    grid = [f1_mean(scores, truth, b / rules.BINS) for b in range(0, rules.BINS, 16)]
    assert f1_mean(scores, truth, common) >= max(grid) - 1e-9


def f1_mean(scores, truth, cut):
    return np.mean([f1_score(truth[:, c], scores[:, c] >= cut, zero_division=0) for c in range(truth.shape[1])])


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_plug_in_finds_half_of_the_best_f1_of_calibrated_probabilities(slope):
    """Scores are probabilities that were distorted in the logit: the rule sees through it."""
    rng = np.random.default_rng(0)
    logit = rng.normal(-1.5, 1.2, 60_000)
    probability = 1 / (1 + np.exp(-logit))
    truth = (rng.random(len(logit)) < probability).astype(np.uint8)
    scores = (1 / (1 + np.exp(-(slope * logit + 0.7)))).astype(np.float32)
    counted = rules.per_video(scores[:, None], truth[:, None], np.zeros(len(scores), np.int64), 1)
    cut = rules.fit("plug-in", counted)[0]
    order = np.sort(probability)[::-1]
    best = (2 * np.cumsum(order) / (np.arange(len(order)) + 1 + order.sum())).max()
    back = 1 / (1 + np.exp(-((np.log(cut / (1 - cut)) - 0.7) / slope)))
    assert back == pytest.approx(best / 2, abs=0.02)


@pytest.mark.parametrize("rule", RULES)
def test_degenerate_counts(rule):
    """Never on, always on, one frame, constant scores."""
    for truth in (np.zeros((6, 2)), np.ones((6, 2)), np.eye(6)[:, :2]):
        for value in (0.0, 0.5, 1.0):
            counted = rules.per_video(
                np.full((6, 2), value, np.float32), truth.astype(np.uint8), np.array([0, 0, 1, 1, 2, 2]), 3
            )
            found = rules.fit(rule, counted)
            assert ((found >= 0) & (found <= 1)).all()
