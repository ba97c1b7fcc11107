"""Gap filling against a naive loop, and its edge cases."""

import numpy as np
import pytest

from blend.pool import gap_filling


def naive(frames, scores, length):
    out = np.empty((length, scores.shape[1]))
    for i in range(1, length + 1):
        before = [j for j, f in enumerate(frames) if f <= i]
        after = [j for j, f in enumerate(frames) if f >= i]
        if not before:
            out[i - 1] = scores[after[0]]
        elif not after or before[-1] == after[0]:
            out[i - 1] = scores[before[-1]]
        else:
            a, b = frames[before[-1]], frames[after[0]]
            w = (i - a) / (b - a)
            out[i - 1] = (1 - w) * scores[before[-1]].astype(float) + w * scores[after[0]].astype(float)
    return out


@pytest.mark.parametrize("seed", range(30))
def test_filling_equals_a_naive_loop(seed):
    rng = np.random.default_rng(seed)
    length = int(rng.integers(1, 60))
    frames = np.sort(rng.choice(np.arange(1, length + 1), rng.integers(1, length + 1), replace=False)).astype(np.int32)
    scores = rng.standard_normal((len(frames), 3)).astype(np.float32)
    filled = gap_filling.fill(frames, scores, length)
    assert filled.dtype == np.float32
    np.testing.assert_allclose(filled, naive(frames, scores, length), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(filled[frames - 1], scores)  # what was seen is not touched


def test_a_frame_next_to_the_left_one_takes_mostly_the_left_one():
    filled = gap_filling.fill(np.array([1, 11], np.int32), np.array([[0.0], [1.0]], np.float32), 11)
    np.testing.assert_allclose(filled[:, 0], np.arange(11) / 10, atol=1e-7)


def test_before_the_first_and_behind_the_last_frame_that_one_is_repeated():
    filled = gap_filling.fill(np.array([3, 4], np.int32), np.array([[1.0], [2.0]], np.float32), 6)
    assert filled[:, 0].tolist() == [1, 1, 1, 2, 2, 2]


def test_videos_lie_behind_each_other_and_one_without_a_face_takes_the_prior():
    found = {
        "a": (np.array([2], np.int32), np.array([[0.5, 0.25]], np.float32)),
        "c": (np.array([1, 3], np.int32), np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)),
        "d": (np.empty(0, np.int32), np.empty((0, 2), np.float32)),
    }
    prior = np.array([0.125, 0.75], np.float32)
    dense = gap_filling.dense(["a", "b", "c", "d"], [2, 2, 3, 1], found, prior)
    expected = [[0.5, 0.25], [0.5, 0.25], prior, prior, [0, 1], [0.5, 0.5], [1, 0], prior]
    np.testing.assert_array_equal(dense, np.array(expected, np.float32))
    own = gap_filling.present(["a", "b", "c", "d"], [2, 2, 3, 1], found)
    assert own.tolist() == [False, True, False, False, True, False, True, False]
    assert gap_filling.find_offsets([2, 2, 3, 1]).tolist() == [0, 2, 4, 7, 8]


def test_frames_without_neighbours_in_time_take_the_prior():
    prior = np.array([0.25, 0.75], np.float32)
    found = {"a": (np.array([1, 3], np.int32), np.array([[1, 0], [0, 1]], np.float32)),
             "b": (np.empty(0, np.int32), np.empty((0, 2), np.float32))}  # fmt: skip
    dense = gap_filling.dense(["a", "b", "c"], [4, 1, 1], found, prior, in_time=False)
    expected = [[1, 0], prior, [0, 1], prior, prior, prior]
    np.testing.assert_array_equal(dense, expected)
