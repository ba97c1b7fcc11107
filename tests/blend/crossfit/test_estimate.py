"""Folds by video, a search that never sees what it is scored on, an interval by video."""

from dataclasses import replace

import numpy as np
import pytest

from blend.config import BlendSettings
from blend.crossfit import estimate
from blend.decision import combine
from blend.pool.pool import Truth

SETTINGS = BlendSettings(trials=1, folds=3, draws=200)
TASKS = ["au", "expr", "va"]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(("videos", "folds"), [(6, 5), (7, 3), (3, 5), (12, 5)])
def test_every_video_is_held_out_once(make_pool, name, videos, folds):
    split = estimate.split(make_pool(name, videos=videos), folds, seed=0)
    assert len(split) == min(videos, folds)
    assert sorted(v for fold in split for v in fold) == list(range(videos))
    assert split == estimate.split(make_pool(name, videos=videos), folds, seed=0)


def test_folds_resemble_each_other(make_pool):
    """Closer to equal shares than most random folds are."""
    pool = make_pool("au", videos=20, length=(20, 200))
    content = estimate._content(pool) / estimate._content(pool).sum(0)

    def unevenness(folds):
        return sum(((content[fold].sum(0) - 0.2) ** 2).sum() for fold in folds)

    rng = np.random.default_rng(0)
    drawn = [unevenness(np.array_split(rng.permutation(20), 5)) for _ in range(200)]
    assert unevenness(estimate.split(pool, 5, seed=0)) < np.quantile(drawn, 0.1)


def test_two_sides_of_a_recording_are_held_out_together(make_pool):
    pool = make_pool("au", videos=7)
    names = ("a_left", "a_right", "b", "b_left", "c_left", "d_right", "e")
    for seed in range(5):
        folds = estimate.split(replace(pool, videos=names), 5, seed)
        assert len(folds) == 5 and sorted(v for fold in folds for v in fold) == list(range(7))
        assert all(len({0, 1} & {*fold}) in (0, 2) and len({2, 3} & {*fold}) in (0, 2) for fold in folds)
    pair = make_pool("au", videos=2)
    assert estimate.cross_fit(replace(pair, videos=("x_left", "x_right")), SETTINGS, 0) is None


def without(pool, video):
    """The pool with no annotated frame in one video."""
    keep = pool.video_of != video
    return replace(pool, truth=Truth(pool.known_truth.rows[keep], pool.known_truth.values[keep]))


def test_videos_without_annotated_frames_make_no_fold_of_their_own(make_pool):
    pool = without(without(make_pool("va", videos=4), 1), 2)
    split = estimate.split(pool, 5, seed=0)
    assert len(split) == 2 and sorted(v for fold in split for v in fold) == [0, 1, 2, 3]
    assert {0, 3} == {v for fold in split for v in fold if v in (0, 3)}
    assert all(set(fold) & {0, 3} for fold in split)
    crossed = estimate.cross_fit(pool, SETTINGS, 0)
    assert crossed is not None and crossed.pooled_score is not None
    assert estimate.cross_fit(without(make_pool("va", videos=2), 0), SETTINGS, 0) is None


@pytest.mark.parametrize("name", TASKS)
def test_the_search_never_sees_held_out_labels(make_pool, name):
    pool = make_pool(name)
    folds = estimate.split(pool, 3, seed=0)
    before = estimate.cross_fit(pool, SETTINGS, 0)
    # other labels in the first fold, with the same content, so that the folds stay as they are
    values = pool.known_truth.values.copy()
    for video in folds[0]:
        rows = np.flatnonzero(pool.video_of == video)
        values[rows] = -values[rows] if name == "va" else values[np.random.default_rng(video).permutation(rows)]
    after = estimate.cross_fit(replace(pool, truth=Truth(pool.known_truth.rows, values)), SETTINGS, 0)
    assert after.folds == before.folds
    assert after.params[0] == before.params[0]  # searched on the other folds alone
    assert after.params[1] != before.params[1]
    assert after.scores[0] != before.scores[0]


@pytest.mark.parametrize("name", TASKS)
def test_pooled_is_the_score_of_all_held_out_decisions(make_pool, name):
    pool = make_pool(name)
    crossed = estimate.cross_fit(pool, SETTINGS, 0)
    truth, decided = [], []
    for fold, params, score in zip(crossed.folds, crossed.params, crossed.scores, strict=True):
        part = pool.select(fold)
        own = combine.combine(part, params)
        assert score == pytest.approx(part.score(own), abs=1e-12)
        truth.append(part.known_truth.values)
        decided.append(own[part.known_truth.rows])
    pooled = pool.task.score(np.concatenate(truth), np.concatenate(decided))
    assert crossed.pooled_score == pytest.approx(pooled, abs=1e-9)
    low, high = crossed.interval
    assert low < crossed.pooled_score < high


def test_one_video_cannot_be_cross_fitted(make_pool):
    assert estimate.cross_fit(make_pool("au", videos=1), SETTINGS, 0) is None


def test_progress_counts_every_trial_of_every_fold(make_pool):
    from blend.search import search

    pool, seen = make_pool("va"), []
    estimate.cross_fit(pool, SETTINGS, 0, lambda: seen.append(1))
    assert len(seen) == 3 * search.count(pool, SETTINGS, 1)
