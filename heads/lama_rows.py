"""Train and dev rows as one table for LightAutoML; features are gathered only where they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.table import Labelled, Rows


def evenly(rows: int, wanted: int) -> NDArray[np.int64]:
    """Numbers of `wanted` of so many rows, evenly spaced, rising; all where there are no more."""
    return np.arange(rows) if wanted >= rows else np.arange(wanted) * rows // wanted


def _together(rows: Rows) -> NDArray[np.int64]:
    """The number of the video, or else the group, of each row, [N]: folds keep its rows together."""
    return rows.video.astype(np.int64) if rows.group is None else rows.group[rows.video]


class Both:
    """Rows of train, then of dev: truth, videos, and features of some of them."""

    def __init__(self, train: Labelled, dev: Labelled) -> None:
        self.parts = (train, dev)
        self.truth: NDArray[Any] = np.concatenate([train.truth, dev.truth])
        first, second = (_together(part.rows) for part in self.parts)
        after = 1 + int(first.max(initial=-1)) if train.rows.group is not None else len(train.rows.videos)
        self.video: NDArray[np.int64] = np.concatenate([first, second + after])
        """[N]: a number per video, or per person where people are known; other ones in dev than in train."""

    def __len__(self) -> int:
        return len(self.truth)

    def features(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features [n, columns] of rising row numbers [n]."""
        train, dev = (part.rows for part in self.parts)
        first = np.searchsorted(rows, len(train))
        return np.concatenate([train.batch(rows[:first]), dev.batch(rows[first:] - len(train))])
