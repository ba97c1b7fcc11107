from __future__ import annotations

import numpy as np

from heads.families.lama.data import fold_groups, repeat_rare


def test_folds_are_whole_videos_and_spread_the_classes() -> None:
    rng = np.random.default_rng(1)
    video = np.sort(rng.integers(0, 12, 400))
    label = np.isin(video, [2, 5, 9]) & (rng.random(400) < 0.5)
    for seed in range(5):
        folds = fold_groups(video, label, 3, seed)
        assert set(folds) == {0, 1, 2}
        assert all(len(np.unique(folds[video == v])) == 1 for v in np.unique(video))
        assert all(label[folds == fold].any() for fold in range(3))
    np.testing.assert_array_equal(folds, fold_groups(video, label, 3, 4))
    assert set(fold_groups(video, None, 3, 0)) == {0, 1, 2}


def test_with_too_few_videos_folds_are_stretches_of_frames() -> None:
    folds = fold_groups(np.array([4] * 9 + [7] * 6), None, 3, 0)
    np.testing.assert_array_equal(folds, [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 1, 1, 2, 2])


def test_copies_of_rare_rows() -> None:
    label = np.array([0, 0, 0, 1, 2, 2])
    often = repeat_rare(label, 3)
    assert (np.bincount(label[often]) >= 3).all() and set(often) == set(range(6))
    weights = (np.ones(6) / np.bincount(often))[often]
    np.testing.assert_allclose(np.bincount(label[often], weights), [3, 1, 2], err_msg="classes weigh what they did")
