"""Two hundred random small problems, with gaps, ties, constant heads and absent classes, some of them by default: what
the search finds equals what trying everything gives.
"""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import f1_score
from support.sweeps import sweep

from blend.calibrate import threshold
from blend.config import BlendSettings
from blend.crossfit.fold_pools import fold_pool
from blend.decision import combine
from blend.pool import gap_filling
from blend.pool.pool import Pool, Truth
from blend.search import objective, search
from heads.abaw.tasks import TASKS

FOUND = [0.0, 0.25, 0.5, 0.75, 1.0]
"""Weights tried by hand."""


def problem(task, seed):
    """Two videos of some frames; a third of the problems has a constant head, and scores come in steps: ties."""
    rng = np.random.default_rng(seed)
    facts, channels = TASKS[task], len(TASKS[task].outputs)
    videos = []
    for _ in range(2):
        length = int(rng.integers(6, 14))
        there = np.sort(rng.choice(length, int(rng.integers(2, length)), replace=False)) + 1
        steps = rng.integers(0, 5, (2, len(there), channels)) / 4
        if task == "expr":
            steps = (steps + 0.25) / (steps + 0.25).sum(2, keepdims=True)
        videos.append((length, there.astype(np.int32), (2 * steps - 1 if task == "va" else steps).astype(np.float32)))
    names = ("a", "b")
    lengths = [length for length, _, _ in videos]
    scores = np.stack(
        [
            gap_filling.dense(names, lengths, {name: (v[1], v[2][h]) for name, v in zip(names, videos, strict=True)},
                           np.zeros(channels, np.float32))
            for h in range(2)
        ]
    )  # fmt: skip
    scores = np.round(scores * 1024) / 1024  # filled gaps, too: sums are then exact in float32, and ties are ties
    if seed % 3 == 0:
        scores[1] = 0.5
    total = sum(lengths)
    rows = np.flatnonzero(rng.random(total) < 0.8)
    rows = rows if len(rows) > 2 else np.arange(total)
    if task == "au":
        truth = (rng.random((len(rows), channels)) < rng.choice([0, 0.2, 0.6], channels)).astype(np.uint8)
    elif task == "expr":
        truth = rng.choice(rng.choice(8, 4, replace=False), len(rows)).astype(np.int8)
    else:
        truth = (rng.integers(-3, 4, (len(rows), channels)) / 4).astype(np.float32)
    present = np.ones(total, bool)
    return Pool(facts, ("x", "y"), names, gap_filling.find_offsets(lengths), scores, present, Truth(rows, truth))


def window_means(scores, offsets, k):
    """The mean of the frames around each, cut off at the video's ends, as the float32 that scores are."""
    out = np.empty_like(scores, np.float32)
    for a, b in pairwise(offsets):
        for t in range(a, b):
            some = scores[max(a, t - k) : min(b, t + k + 1)]
            out[t] = some.sum(0) * (1 / len(some))  # sums of such scores are exact
    return out


def smoothed_by_hand(pool, weight, k):
    """Blend, then window means, at the annotated frames."""
    blend = weight * pool.scores[0].astype(float) + (1 - weight) * pool.scores[1]
    return window_means(blend, pool.offsets, k)[pool.known_truth.rows]


def best_f1_by_hand(scores, truth):
    """Over every cut that changes anything."""
    best = 0.0
    for cut in np.unique(scores):
        hits = sum(1 for score, on in zip(scores, truth, strict=True) if score >= cut and on)
        best = max(best, 2 * hits / max((scores >= cut).sum() + truth.sum(), 1))
    return best


@pytest.mark.parametrize("seed", range(200))
def test_thresholds(seed):
    pool = problem("au", seed)
    weight, k = FOUND[seed % 5], seed % 4
    blended = smoothed_by_hand(pool, weight, k)
    best = [best_f1_by_hand(blended[:, c], pool.known_truth.values[:, c]) for c in range(12)]
    found = search.params(pool, (weight, 1 - weight), "box", k)
    decided = combine.combine(pool, found)
    np.testing.assert_allclose(
        pool.task.per_output(pool.known_truth.values, decided[pool.known_truth.rows]), best, atol=1e-9
    )
    parts = objective.make(pool).parts(objective.Point((weight, 1 - weight), "box", k))
    np.testing.assert_allclose(parts, best, atol=1e-9)
    fixed = threshold.f1_at(blended, pool.known_truth.values, np.array(found.thresholds))
    np.testing.assert_allclose(fixed, best, atol=1e-9)


@pytest.mark.parametrize("seed", sweep(range(200), range(60)))
def test_ccc(seed):
    pool = problem("va", seed)
    score = objective.make(pool)
    truth = pool.known_truth.values.astype(float)
    for k in (0, 2):
        means = [window_means(head.astype(float), pool.offsets, k)[pool.known_truth.rows] for head in pool.scores]
        x, y = (one.astype(float) for one in means)
        for weight in FOUND:
            blended = weight * x + (1 - weight) * y
            parts = []
            for c in range(2):
                t, p = truth[:, c], blended[:, c]
                below = t.var() + p.var() + (t.mean() - p.mean()) ** 2
                parts.append(2 * np.mean((t - t.mean()) * (p - p.mean())) / below if below > 1e-15 else 0.0)
            assert score((weight, 1 - weight), "box", k) == pytest.approx(np.mean(parts), abs=1e-9)


@pytest.mark.parametrize("seed", sweep(range(200), range(60)))
def test_macro_f1(seed):
    pool = problem("expr", seed)
    score = objective.make(pool)
    for weight, k in [*((weight, 0) for weight in FOUND), (FOUND[seed % 5], 2)]:
        decided = smoothed_by_hand(pool, weight, k).argmax(1)
        expected = f1_score(pool.known_truth.values, decided, labels=range(8), average="macro", zero_division=0)
        assert score((weight, 1 - weight), "box", k) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", sweep(range(0, 200, 10), range(0, 200, 40)))
@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_the_search_ends_at_least_as_high_as_a_grid(task, seed):
    pool = problem(task, seed)
    settings = BlendSettings(k_max=2)
    found = search.search(pool, settings, 60, seed=0)
    score = objective.make(pool)
    grid = max(score((w, 1 - w), "box", 0) for w in (0.0, 0.5, 1.0))
    assert found.score >= grid - 1e-6
    assert found.score == pytest.approx(max(trial.score for trial in found.trials), abs=1e-6)


@pytest.mark.parametrize("seed", range(0, 200, 10))
@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_what_folds_are_scored_by_equals_scoring_their_pools(task, seed):
    """Per subset and output; au to within its counts, which hold these scores exactly."""
    pool = problem(task, seed)
    folded = fold_pool(pool, [[0], [1]], power=0.0)
    for weight in FOUND:
        parts = folded.parts("box", 0, np.array([weight, 1 - weight]))
        for subset, videos in (((0,), [1]), ((1,), [0]), ((), [0, 1])):
            some = pool.select(videos)
            if not len(some.known_truth.rows):
                continue
            direct = objective.make(some).parts(objective.Point((weight, 1 - weight), "box", 0))
            np.testing.assert_allclose(parts[subset], direct, atol=1e-6)
