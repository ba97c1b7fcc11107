"""Folds for LightAutoML: by video, with classes spread evenly, and no class rarer than there are folds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fold_groups(video: NDArray[np.integer], label: NDArray[np.generic] | None, cv: int, seed: int) -> NDArray[np.int64]:
    """Group of each row, one group per fold: whole videos, with each class of `label` spread evenly where it can be.

    `video` are the numbers of what stays together: videos, or people. label is None for regression. With fewer of them
    than folds, the rows of each are cut into `cv` stretches.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    groups = np.unique(video, return_inverse=True)[1]
    if groups.max() + 1 < cv:
        order = np.argsort(groups, kind="stable")  # rows of a person need not stand together
        size = np.bincount(groups)
        place = np.empty(len(groups), np.int64)
        place[order] = np.arange(len(groups)) - (np.cumsum(size) - size)[groups[order]]
        return np.minimum(place * cv // size[groups], cv - 1)
    folds = np.zeros(len(groups), np.int64)
    counts = np.bincount(label.astype(np.int64)) if label is not None else np.array([0])
    if counts.max() >= cv:
        splits = StratifiedGroupKFold(cv, shuffle=True, random_state=seed).split(groups, label, groups)
    else:
        splits = GroupKFold(cv).split(groups, None, groups)
    for fold, (_, held) in enumerate(splits):
        folds[held] = fold
    if len(np.unique(folds)) < cv:  # stratifying left a fold empty
        for fold, (_, held) in enumerate(GroupKFold(cv).split(groups, None, groups)):
            folds[held] = fold
    return folds


def often_enough(label: NDArray[np.generic], most: int) -> NDArray[np.int64]:
    """Row numbers in which the rows of a class with fewer than `most` come several times.

    LightAutoML refuses classes that have fewer rows than there are folds; weights make up for the copies.
    """
    counts = np.bincount(label)[label]
    return np.repeat(np.arange(len(label)), np.maximum(1, -(-most // counts)))
