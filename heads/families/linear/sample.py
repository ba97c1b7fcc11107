"""The rows that are learnt from: in memory, thinned, standardised, each block at its scale, in by-video folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heads.abaw.tasks import Task
from heads.base.scaling import BlockScales, block_scales
from heads.data import splits
from heads.data.table import CHUNK, LabelledRows, Rows, space_evenly


@dataclass(frozen=True)
class Sample:
    """Evenly spaced rows of train and dev; `x` are their columns less `mean`, times `factor`."""

    x: NDArray[np.float32]
    """[n, D]."""
    truth: NDArray[np.generic]
    group: NDArray[np.int64]
    """[n]: the number of the recording or, where people are known, of the person (splits.groups)."""
    mean: NDArray[np.float64]
    factor: NDArray[np.float64]
    """[D]: the block's scale / standard deviation; 0 for a column that is constant."""

    def __len__(self) -> int:
        return len(self.x)

    def folds(self, task: Task, count: int, seed: int) -> NDArray[np.int64]:
        """The fold of each row, [n], at most `count`: groups stay whole, and folds are alike in size and labels."""
        groups = int(self.group.max(initial=-1)) + 1
        size = np.bincount(self.group, minlength=groups)
        content = np.column_stack([size, splits.label_counts(self.truth, self.group.astype(np.int32), groups, task)])
        number = np.zeros(groups, np.int64)
        for fold, members in enumerate(splits.folds([str(g) for g in range(groups)], content, size > 0, count, seed)):
            number[members] = fold
        return number[self.group]


def draw(train: LabelledRows, dev: LabelledRows, limit: int, scales: BlockScales) -> Sample:
    """At most `limit` rows of train and dev together: views of one table."""
    if len(dev) and train.rows.videos != dev.rows.videos:
        raise ValueError("train and dev are not of one table")
    at = space_evenly(len(train) + len(dev), limit)
    cut = np.searchsorted(at, len(train))
    parts = [train.take(at[:cut]), dev.take(at[cut:] - len(train))]
    x = np.empty((len(at), train.rows.width), np.float32)
    start = 0
    for part in parts:
        for chunk in part.rows.chunks():
            x[start : (start := start + len(chunk))] = chunk
    mean, factor = _standardise(x, block_scales(train.rows, scales))
    truth = np.concatenate([part.truth for part in parts])
    return Sample(x, truth, np.concatenate([_groups(part.rows) for part in parts]), mean, factor)


def _groups(rows: Rows) -> NDArray[np.int64]:
    of = rows.group if rows.group is not None else splits.recordings(rows.videos)
    return of[rows.video]


def _standardise(
    x: NDArray[np.float32], scales: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bring columns x [n, D] to mean 0 and deviation `scales` [D], in place; returns the mean and the factor [D]."""
    mean, squares = x.mean(0, dtype=np.float64), np.zeros(x.shape[1])
    for start in range(0, len(x), CHUNK):
        squares += ((x[start : start + CHUNK] - mean) ** 2).sum(0)
    deviation = np.sqrt(squares / max(len(x), 1))
    varies = deviation > 1e-6 * (1 + np.abs(mean))
    factor = np.where(varies, scales / np.where(varies, deviation, 1.0), 0.0)
    for start in range(0, len(x), CHUNK):
        x[start : start + CHUNK] = (x[start : start + CHUNK] - mean) * factor
    return mean, factor
