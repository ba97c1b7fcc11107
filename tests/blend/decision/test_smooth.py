"""Every kernel against naive loops on videos of odd sizes; nothing crosses a border of videos; counts of the result."""

from itertools import pairwise

import numba
import numpy as np
import pytest

from blend.decision import kernels, smooth
from blend.pool import gap_filling


def naive(x, offsets, kernel, k):
    out = np.empty(x.shape)
    for a, b in pairwise(offsets):
        for t in range(a, b):
            if kernel == "gaussian" and k:
                near = np.arange(max(a, t - int(np.ceil(4 * k))), min(b, t + int(np.ceil(4 * k)) + 1))
                weight = np.exp(-((near - t) ** 2) / (2 * k**2))
                out[t] = (weight[:, None] * x[near]).sum(0) / weight.sum()
            else:
                window = x[max(a, t - k) : min(b, t + k + 1)].astype(float)
                out[t] = np.median(window, 0) if kernel == "median" else window.mean(0)
    return out


@pytest.mark.parametrize("kernel", smooth.KERNELS)
@pytest.mark.parametrize("k", [0, 1, 2, 7, 50])
def test_smoothing_equals_a_naive_loop(kernel, k):
    rng = np.random.default_rng(k)
    offsets = gap_filling.find_offsets([1, 2, 40, 3, 0, 17])
    x = np.round(rng.standard_normal((63, 4)), 1).astype(np.float32)  # rounded: the median meets equal values
    smoothed = smooth.smooth(x, offsets, kernel, k)
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, naive(x, offsets, kernel, k), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kernel", smooth.KERNELS)
def test_k_0_changes_nothing(kernel):
    x = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    np.testing.assert_array_equal(smooth.smooth(x, gap_filling.find_offsets([20, 30]), kernel, 0), x)


@pytest.mark.parametrize("channels", [*range(1, 14), 20, 24, 29])
@pytest.mark.parametrize("k", [1, 2, 9])
def test_the_box_sums_in_order(channels, k):
    """To the last bit what a loop over single numbers gives, with and without a whole window."""
    rng = np.random.default_rng(channels)
    lengths = [0, 1, 2, k, k + 1, 2 * k, 2 * k + 1, 2 * k + 2, 40]
    offsets = gap_filling.find_offsets(lengths)
    x = rng.standard_normal((offsets[-1], channels)).astype(np.float32)
    expected = np.empty_like(x)
    for a, b in pairwise(offsets):
        total = x[a : min(a + k, b)].astype(float).cumsum(0)[-1:].sum(0)
        for t in range(a, b):
            total = total + (x[t + k] if t + k < b else 0.0)
            total = total - (x[t - k - 1] if t - k - 1 >= a else 0.0)
            expected[t] = total * (1.0 / (min(t + k, b - 1) - max(t - k, a) + 1))
    np.testing.assert_array_equal(smooth.smooth(x, offsets, "box", k), expected)


@pytest.mark.parametrize("heads", range(14))
@pytest.mark.parametrize("alike", [True, False])
def test_any_number_of_heads_is_blended_over_long_and_short_videos(heads, alike):
    """To the last bit: one head after the other, in float32. A head that weighs nothing is left out."""
    rng = np.random.default_rng(heads)
    long = kernels.LONG  # videos longer than what is blended at a time, just as long, and a frame longer
    offsets = gap_filling.find_offsets([2 * long + 900, 1, long, 0, 7, long + 1])
    scores = rng.standard_normal((heads + 1, offsets[-1], 3)).astype(np.float32)
    weights = rng.random((heads + 1, 1 if alike else 3)).astype(np.float32) * np.ones(3, np.float32)
    weights[heads // 2] = 0
    expected = np.zeros(scores.shape[1:], np.float32)
    for score, weight in zip(scores, weights, strict=True):
        expected += weight * score
    np.testing.assert_array_equal(smooth.blend_and_smooth(scores, weights, offsets, "box", 0), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 8, 12])
@pytest.mark.parametrize("k", [0, 3])
def test_counts_equal_a_naive_loop(channels, k):
    """Frames without annotation and scores beyond 0 and 1 among them, in more and in fewer frames than one tile."""
    rng = np.random.default_rng(channels)
    offsets = gap_filling.find_offsets([1, 5 * kernels.SHORT + 3, 0, kernels.SHORT, 2])
    scores = (1.2 * rng.random((4, offsets[-1], channels)) - 0.1).astype(np.float32)
    labels = rng.integers(0, kernels.LABELS, scores.shape[1:]).astype(np.uint8)
    arguments = smooth.arguments(scores, np.full((4, channels), 0.25, np.float32), offsets, "box", k)
    out, counts = np.empty_like(scores[0]), np.zeros((channels, kernels.LABELS, kernels.BINS), np.int32)
    videos = np.arange(len(offsets) - 1)
    kernels.smooth_and_count(*arguments, videos, out, labels.reshape(-1), counts.reshape(-1))
    np.testing.assert_array_equal(out, smooth.blend_and_smooth(scores, arguments[2], offsets, "box", k))
    expected = np.zeros_like(counts)
    for t, c in np.ndindex(out.shape):
        expected[c, labels[t, c], min(max(int(out[t, c] * kernels.BINS), 0), kernels.BINS - 1)] += 1
    np.testing.assert_array_equal(counts, expected)


def test_videos_are_shared_evenly_and_each_once(monkeypatch):
    lengths = [9, 1, 5, 5, 8, 0]
    for threads in (1, 2):
        monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
        lots = smooth.share(gap_filling.find_offsets(lengths))
        assert sorted(np.concatenate(lots).tolist()) == list(range(6))
        assert max(sum(lengths[v] for v in lot) for lot in lots) == 28 / threads


@pytest.mark.parametrize("kernel", smooth.KERNELS)
def test_blending_first_equals_a_naive_blend(kernel):
    rng = np.random.default_rng(1)
    scores = rng.random((3, 40, 2)).astype(np.float32)
    weights = rng.random((3, 2)).astype(np.float32)
    offsets = gap_filling.find_offsets([15, 25])
    blended = (weights[:, None].astype(float) * scores).sum(0)
    np.testing.assert_allclose(
        smooth.blend_and_smooth(scores, weights, offsets, kernel, 3),
        naive(blended, offsets, kernel, 3),
        rtol=0,
        atol=1e-6,
    )


def test_the_median_leaves_out_filled_frames():
    """Against a naive loop; a window that saw nothing takes all its frames, and other kernels take them always."""
    rng = np.random.default_rng(4)
    offsets = gap_filling.find_offsets([30, 1, 25])
    x, seen = rng.random((56, 2)).astype(np.float32), rng.random(56) < 0.5
    seen[10:20] = False
    for k in (1, 2, 6):
        expected = np.empty(x.shape)
        for a, b in pairwise(offsets):
            for t in range(a, b):
                near = np.arange(max(a, t - k), min(b, t + k + 1))
                expected[t] = np.median(x[near[seen[near]] if seen[near].any() else near].astype(float), 0)
        np.testing.assert_allclose(smooth.smooth(x, offsets, "median", k, seen), expected, atol=1e-6)
        for kernel in ("box", "gaussian"):
            same = smooth.smooth(x, offsets, kernel, k)
            np.testing.assert_array_equal(smooth.smooth(x, offsets, kernel, k, seen), same)


def test_other_videos_and_the_number_of_threads_do_not_matter():
    rng = np.random.default_rng(2)
    x = rng.random((300, 3)).astype(np.float32)
    offsets = gap_filling.find_offsets([100, 100, 100])
    together = smooth.smooth(x, offsets, "box", 6)
    np.testing.assert_array_equal(together[100:200], smooth.smooth(x[100:200], offsets[:2], "box", 6))
    before = numba.get_num_threads()
    with smooth.threads(1):
        assert numba.get_num_threads() == 1
        np.testing.assert_array_equal(together, smooth.smooth(x, offsets, "box", 6))
    assert numba.get_num_threads() == before


def test_running_sums_do_not_drift_over_a_long_video():
    x = np.random.default_rng(3).random((200_000, 1)).astype(np.float32)
    smoothed = smooth.smooth(x, np.array([0, len(x)]), "box", 5)
    np.testing.assert_allclose(smoothed[-6], x[-11:].mean(0, dtype=float), atol=1e-6)


@pytest.mark.parametrize(("kernel", "k"), [("box", 0), ("box", 7), ("gaussian", 3), ("median", 4), ("box", (2, 5, 0))])
def test_a_kernel_reaches_as_far_as_its_reach_and_no_farther(kernel, k):
    reach, widest = smooth.reach(kernel, k), k if isinstance(k, int) else max(k)
    values = np.arange(101, dtype=np.float32)[:, None]
    offsets = np.array([0, 101])
    before = smooth.smooth(values, offsets, kernel, widest)
    for far, moves in ((reach, True), (reach + 1, False)):
        other = values.copy()
        other[50 + far] = -1000
        after = smooth.smooth(other, offsets, kernel, widest)
        assert (before[50] != after[50]).any() == moves, far
