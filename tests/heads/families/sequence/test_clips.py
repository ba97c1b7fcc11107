from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from heads.data import table
from heads.data.table import Block, Rows
from heads.families.sequence import clips as sequence_clips
from heads.families.sequence.clips import PADDING


def rows_of(*frames: list[int]) -> Rows:
    n = sum(map(len, frames))
    lengths = [len(some) for some in frames]
    x = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    return Rows(
        tuple(f"v{i}" for i in range(len(frames))),
        np.repeat(np.arange(len(frames), dtype=np.int32), lengths),
        np.concatenate([np.array(some, np.int32) for some in frames]),
        (Block("net", "embedding", x),),
        np.arange(n),
    )


def gappy(rng: np.random.Generator) -> Rows:
    """Some videos with gaps of all sizes, one of them empty."""
    found = []
    for _ in range(4):
        there = np.flatnonzero(rng.random(int(rng.integers(1, 90))) < rng.choice([0.1, 0.6, 1.0])) + rng.integers(1, 50)
        found.append([int(f) + (300 if f > 40 and len(found) == 1 else 0) for f in there])
    return rows_of(*found)


@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
@pytest.mark.parametrize("length", [2, 7, 10])
def test_covering_is_what_a_loop_over_windows_gives(length: int, overlap: float, step: int) -> None:
    rng = np.random.default_rng([length, step, int(overlap * 100)])
    for _ in range(5):
        rows = gappy(rng)
        hop, expected = max(1, round(length * (1 - overlap))) * step, set()
        for v in range(len(rows.videos)):
            at = {int(rows.frame[i]): int(i) for i in np.flatnonzero(rows.video == v)}
            start = min(at, default=0)
            while at:
                for phase in range(step):
                    clip = tuple(at.get(start + phase + place * step, PADDING) for place in range(length))
                    if any(row != PADDING for row in clip):
                        expected.add(clip)
                if start + length * step > max(at):
                    break
                start += hop
        plan = sequence_clips.plan_cover(rows, length, step, overlap)
        assert {tuple(clip) for clip in plan.tolist()} == expected and len(plan) == len(expected)
        times = np.bincount(plan[plan != PADDING], minlength=len(rows))
        assert len(rows) == 0 or (times.min() >= 1 and (overlap or times.max() == 1))


@pytest.mark.parametrize("step", [1, 3])
def test_random_clips_hold_every_frame_once_at_its_place_or_one_in_every_step(step: int) -> None:
    rng, seen, cuts = np.random.default_rng(0), set(), set()
    rows = rows_of(list(range(5, 40)), [1, 2, 60, 61, 500], [], [7])
    for _ in range(60):
        plan = sequence_clips.random(rows, 8, step, rng)
        assert (plan != PADDING).any(1).all()
        times = np.bincount(plan[plan != PADDING], minlength=len(rows))
        assert times.max() == 1 and (step > 1 or times.min() == 1)
        seen |= set(np.flatnonzero(times).tolist())
        for clip in plan:
            places, own = np.flatnonzero(clip != PADDING), clip[clip != PADDING]
            assert len(set(rows.video[own])) == 1, "no clip has frames of two videos"
            np.testing.assert_array_equal(np.diff(rows.frame[own]), step * np.diff(places))
            cuts.add(int(rows.frame[own[0]] - step * places[0]))
    assert seen == set(range(len(rows))), "all frames have their turn"
    assert len(cuts) > 15, "clips begin elsewhere every time"


def test_a_gap_of_any_length_costs_nothing() -> None:
    rows = rows_of([1, 2, 3, 2_000_000_000])
    tracemalloc.start()
    assert len(sequence_clips.plan_cover(rows, 10, 1, 0.5)) <= 4
    assert len(sequence_clips.random(rows, 10, 4, np.random.default_rng(0))) <= 3
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_no_rows_no_clips() -> None:
    rows = rows_of([1, 2]).take(np.empty(0, np.int64))
    assert sequence_clips.plan_cover(rows, 5, 1, 0.5).shape == (0, 5)
    assert sequence_clips.random(rows, 5, 1, np.random.default_rng(0)).shape == (0, 5)
    assert list(sequence_clips.gather_clips(rows, np.empty((0, 5), np.int64), 4)) == []


def test_features_stand_where_the_plan_says_and_come_in_order() -> None:
    rows = rows_of([1, 2, 4], list(range(3, 20)))
    plan = sequence_clips.plan_cover(rows, 4, 1, 0.5)
    whole, x = rows.batch(), []
    for at, found in sequence_clips.gather_clips(rows, plan, 3):
        assert len(at) <= 3 and found.dtype == np.float32
        np.testing.assert_array_equal(found[at != PADDING], whole[at[at != PADDING]])
        assert not found[at == PADDING].any()
        x.append(at)
    np.testing.assert_array_equal(np.concatenate(x), plan)


def test_the_middle_of_a_clip_counts_most() -> None:
    assert sequence_clips.weights(5).tolist() == [1, 2, 3, 2, 1]
    assert sequence_clips.weights(4).tolist() == [1, 2, 2, 1]


@pytest.mark.parametrize(("length", "clips"), [(100, 32), (1000, 8), (5000, 1), (table.CHUNK, 1)])
def test_no_more_rows_at_a_time_than_a_chunk(length: int, clips: int) -> None:
    assert sequence_clips.at_a_time(length, 32) == clips
