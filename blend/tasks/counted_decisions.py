"""What kinds share whose decisions are counted: outputs are on or off in a frame, and scores are F1."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blend.tasks.protocol import Array, BlendTask, Floats, Table
from heads.abaw.metrics import f1

EDGE = 0.005
"""Scores nearer to an end of their scale count as so far from it: on the scale without ends they would be infinite."""


class CountedDecisions(BlendTask):
    """Tables hold whole numbers; a score's scale without ends is the logit."""

    @abstractmethod
    def hits(self, table: Table) -> tuple[Floats, Floats, Floats]:
        """Frames of each output that are decided rightly, decided, and that show it, [..., outputs] each."""

    def per_output(self, table: Table) -> Floats:
        """F1 of each output, against all others."""
        return f1(*self.hits(table))

    def occurrences(self, table: Table) -> Floats:
        """Frames that show each output."""
        return self.hits(table)[2]

    def describe_decisions(self, table: Table, frames: int) -> dict[str, dict[str, float]]:
        """Precision, recall, and the part of the frames that show an output (`occurrence`) and where it is decided."""
        right, decided, shown = self.hits(table)
        with np.errstate(divide="ignore", invalid="ignore"):
            columns = {"precision": right / decided, "recall": right / shown}
            columns |= {"occurrence": shown / frames, "decided": decided / frames}
        return {name: {key: float(x[c]) for key, x in columns.items()} for c, name in enumerate(self.task.outputs)}

    def table_as_json(self, table: Table) -> list[list[Any]]:
        """Whole numbers."""
        return [[int(x) for x in row] for row in table]

    def to_line(self, score: ArrayLike) -> Floats:
        """The logit."""
        inside = np.clip(score, EDGE, 1 - EDGE)
        return np.log(inside / (1 - inside))

    def bound(self, free: ArrayLike) -> Floats:
        """The logistic function."""
        return 1 / (1 + np.exp(-np.asarray(free)))

    def describe_labels(self, values: Array, video_of: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
        """The `rate` of the frames that show an output, how many these are, and the number of `videos` that show it."""
        results = {}
        for name, on in zip(self.task.outputs, self.task.as_columns(values, bool).T, strict=True):
            results[name] = {
                "rate": float(on.mean()) if len(on) else None,
                "frames": int(on.sum()),
                "videos": len(np.unique(video_of[on])),
            }
        return results

    def statistics(self, decided: Array, middle: Floats) -> tuple[Array, tuple[str, ...]]:
        """The share of the frames in which each output is decided."""
        return self.task.as_columns(decided, np.float32), self.task.outputs

    def predictions(self, scores: Array, decided: Array) -> Array:
        """Scores: they are probabilities."""
        return scores
