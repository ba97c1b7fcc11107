"""Every kernel against naive loops on videos of odd sizes; nothing crosses a video's border."""

from itertools import pairwise

import numba
import numpy as np
import pytest

from blend.decision import smooth
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


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("alike", [True, False])
def test_any_number_of_heads_is_blended_over_long_and_short_videos(heads, alike):
    rng = np.random.default_rng(heads)
    offsets = gap_filling.find_offsets([5_000, 1, 2048, 7])  # longer than what is blended at a time, and just as long
    scores = rng.random((heads, offsets[-1], 3)).astype(np.float32)
    weights = rng.random((heads, 1 if alike else 3)).astype(np.float32) * np.ones(3, np.float32)
    weights[heads // 2] *= heads == 1
    blended = smooth.blend_and_smooth(scores, weights, offsets, "box", 0)
    np.testing.assert_allclose(blended, np.einsum("htc,hc->tc", scores.astype(float), weights), rtol=0, atol=1e-5)


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
