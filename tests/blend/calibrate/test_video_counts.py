"""Scores from per-video counts equal the official scores of the frames, also when videos are drawn again."""

import numpy as np
import pytest

from blend.calibrate import video_counts
from blend.tasks.lookup import BLEND_TASKS
from heads.abaw.tasks import TASKS


def sample(name, seed, n=300, videos=5):
    rng = np.random.default_rng(seed)
    video_of = np.sort(rng.integers(0, videos, n))
    if name == "au":
        return rng.integers(0, 2, (n, 12)).astype(np.uint8), rng.integers(0, 2, (n, 12)).astype(np.uint8), video_of
    if name == "expr":
        return rng.integers(0, 6, n).astype(np.int8), rng.integers(0, 7, n).astype(np.int8), video_of
    truth = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    return truth, (0.5 * truth + rng.uniform(-0.5, 0.5, (n, 2))).astype(np.float32), video_of


@pytest.mark.parametrize("name", ["au", "expr", "va"])
@pytest.mark.parametrize("seed", range(5))
def test_summed_tables_score_as_the_frames_do(name, seed):
    truth, decided, video_of = sample(name, seed)
    table = BLEND_TASKS[name].count(truth, decided, video_of, 5)
    assert video_counts.score(name, table.sum(0)) == pytest.approx(TASKS[name].score(truth, decided), abs=1e-9)
    np.testing.assert_allclose(
        BLEND_TASKS[name].per_output(table.sum(0)), TASKS[name].per_output(truth, decided), atol=1e-9
    )


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_a_draw_scores_the_videos_that_were_drawn(name):
    truth, decided, video_of = sample(name, 0)
    table = BLEND_TASKS[name].count(truth, decided, video_of, 5)
    drawn = video_counts.draw(name, table, 4, seed=3)
    times = np.random.default_rng(3).multinomial(5, np.full(5, 0.2), size=4)
    for score, repeated in zip(drawn, times, strict=True):
        rows = np.concatenate([np.flatnonzero(video_of == v) for v in range(5) for _ in range(repeated[v])])
        assert score == pytest.approx(TASKS[name].score(truth[rows], decided[rows]), abs=1e-9)
    np.testing.assert_array_equal(drawn, video_counts.draw(name, table, 4, seed=3))


def test_a_class_that_a_draw_lacks_is_left_out_of_its_mean_or_keeps_its_score():
    """One class per video, half of class 2 taken for class 0; five classes never occur and count as 0."""
    truth, decided = np.array([0, 0, 1, 1, 2, 2], np.int8), np.array([0, 0, 1, 1, 2, 0], np.int8)
    video_of = np.array([0, 0, 1, 1, 2, 2])
    table = BLEND_TASKS["expr"].count(truth, decided, video_of, 3)
    whole = TASKS["expr"].per_output(truth, decided)
    np.testing.assert_allclose(whole[:3], [0.8, 1, 2 / 3])
    times = np.random.default_rng(0).multinomial(3, np.full(3, 1 / 3), size=50)
    assert set((times > 0).sum(1)) == {1, 2, 3}
    left_out, kept = [], []
    for row in times:
        rows = np.concatenate([np.flatnonzero(video_of == v) for v in range(3) for _ in range(row[v])])
        own = TASKS["expr"].per_output(truth[rows], decided[rows])
        there = np.array((row > 0).tolist() + [True] * 5)
        left_out.append(own[there].mean())
        kept.append(np.where(there, own, whole).mean())
    np.testing.assert_allclose(video_counts.draw("expr", table, 50, seed=0), left_out)
    np.testing.assert_allclose(video_counts.draw("expr", table, 50, seed=0, keep=True), kept)


def test_a_ccc_that_is_not_defined_is_nan():
    same = np.full((10, 2), 0.5, np.float32)
    assert np.isnan(video_counts.score("va", BLEND_TASKS["va"].count(same, same, np.zeros(10, int), 1).sum(0)))
