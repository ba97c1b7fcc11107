"""Several outputs may be on in a frame, as action units are: each has a threshold, and the score is the mean F1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blend.tasks.counted_decisions import CountedDecisions
from blend.tasks.protocol import Array, Floats, Legal, Table, sum_videos

DEFAULT_THRESHOLD = 0.5


class Multilabel(CountedDecisions):
    """Tables are true positives, predicted and actual positives of each output, [..., 3, C]."""

    numbers, keys = ("thresholds",), ("thresholds",)
    neutral_numbers = (DEFAULT_THRESHOLD,)

    def decide(self, scores: NDArray[np.float32], thresholds: ArrayLike | None = None, **_: Any) -> Array:
        """uint8 [T, C]: an output is on from its threshold up.

        Thresholds [C] stay float64: one that lies halfway between two neighbouring float32 is no float32.
        """
        cut = np.full(scores.shape[1], DEFAULT_THRESHOLD) if thresholds is None else thresholds
        return (scores >= np.asarray(cut, np.float64)).astype(np.uint8)

    @property
    def legal_texts(self) -> tuple[Legal, ...]:
        """0 or 1 for each output."""
        return (("0", "1"),) * len(self.task.outputs)

    def as_lines(self, decided: Array) -> Iterator[str]:
        """0,1,..."""
        codes = decided.astype(np.int64) @ (1 << np.arange(decided.shape[1]))
        known = {
            code: ",".join(str(code >> c & 1) for c in range(decided.shape[1])) for code in np.unique(codes).tolist()
        }
        return map(known.__getitem__, codes.tolist())

    @property
    def table_shape(self) -> tuple[int, int]:
        """(3, C)"""
        return 3, len(self.task.outputs)

    def count(self, truth: Array, decided: Array, video_of: NDArray[np.int64], videos: int) -> Table:
        """True positives, predicted, actual."""
        t, p = truth.astype(np.float64), decided.astype(np.float64)
        return sum_videos([t * p, p, t], video_of, videos)

    def hits(self, table: Table) -> tuple[Floats, Floats, Floats]:
        """The rows."""
        return table[..., 0, :], table[..., 1, :], table[..., 2, :]

    def certainty(self, scores: NDArray[np.floating], heads: NDArray[np.float32]) -> Floats:
        """The mean distance from 0.5, doubled."""
        return 2 * np.abs(scores.astype(np.float64) - DEFAULT_THRESHOLD).mean(1)
