"""One of the outputs is the frame's class, as expressions are: the largest score wins, and scores are macro F1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blend.tasks.counted_decisions import CountedDecisions
from blend.tasks.protocol import Array, Floats, Legal, Table

OTHER_CLASS = "Other"
"""The class that a filter's head never decides."""


class Multiclass(CountedDecisions):
    """Tables are truth x decided, [..., C, C]."""

    numbers, keys = ("bias",), ("bias", "filter")
    neutral_numbers = (0.0,)

    def decide(
        self,
        scores: NDArray[np.float32],
        bias: ArrayLike | None = None,
        sure: tuple[NDArray[np.float32], float] | None = None,
        **_: Any,
    ) -> Array:
        """int8 [T]: the largest score (the first of equals). `bias` [C] is added to the scores' logarithms: each class
        is multiplied by exp(bias). `sure`: what `override` takes.
        """
        decided = (scores if bias is None else scores * factors(bias)).argmax(1).astype(np.int8)
        return decided if sure is None else self.override(decided, *sure)

    def override(self, decided: Array, sure: NDArray[np.float32], t: float) -> Array:
        """Where `sure` [T, C] has a class other than Other above t, that class (the first of equals) is decided."""
        named = np.array([c for c, name in enumerate(self.task.outputs) if name != OTHER_CLASS])
        best = sure[:, named].argmax(1)
        at = sure[np.arange(len(sure)), named[best]] > np.float32(t)
        return np.where(at, named[best], decided).astype(decided.dtype)

    @property
    def legal_texts(self) -> tuple[Legal, ...]:
        """A class."""
        return (tuple(str(c) for c in range(len(self.task.outputs))),)

    def as_lines(self, decided: Array) -> Iterator[str]:
        """The class."""
        return map(str, decided.tolist())

    @property
    def table_shape(self) -> tuple[int, int]:
        """(C, C)"""
        return len(self.task.outputs), len(self.task.outputs)

    def count(self, truth: Array, decided: Array, video_of: NDArray[np.int64], videos: int) -> Table:
        """Truth x decided."""
        classes = len(self.task.outputs)
        cell = (video_of * classes + truth.astype(np.int64)) * classes + decided.astype(np.int64)
        return np.bincount(cell, minlength=videos * classes**2).reshape(videos, classes, classes).astype(np.float64)

    def hits(self, table: Table) -> tuple[Floats, Floats, Floats]:
        """The diagonal, the columns' and the rows' sums."""
        return np.diagonal(table, axis1=-2, axis2=-1), table.sum(-2), table.sum(-1)

    def certainty(self, scores: NDArray[np.floating], heads: NDArray[np.float32]) -> Floats:
        """The largest of the scores, which sum to 1."""
        return scores.max(1).astype(np.float64) / np.maximum(scores.sum(1, dtype=np.float64), 1e-9)


def factors(bias: ArrayLike) -> NDArray[np.float32]:
    """What each class's score is multiplied by: exp(bias), in float32 as the scores are."""
    return np.exp(np.asarray(bias, np.float64)).astype(np.float32)
