"""The outputs are values in [-1, 1], as valence and arousal are: scaled, shifted and clipped; scores are mean CCC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blend.tasks.counted_decisions import EDGE
from blend.tasks.protocol import Array, BlendTask, Floats, Legal, Table, sum_videos

STEPS = 10
"""Equal parts of [-1, 1] in which values are counted."""


class Regression(BlendTask):
    """Tables are frames, sums of t, p, t^2, p^2 and t p, [..., 6, C]."""

    numbers, keys = ("scale", "shift"), ("scale", "shift")
    neutral_numbers = (1.0, 0.0)
    luck = 1.15
    """Set by seeds 4 to 6 of `blend.studies.simulate`: with 1.25 intervals of 76 videos held test in 98.2 % (twice)."""

    def decide(
        self, scores: NDArray[np.float32], scale: ArrayLike | None = None, shift: ArrayLike | None = None, **_: Any
    ) -> Array:
        """float32 [T, C]: scale * scores + shift, clipped to [-1, 1]."""
        if scale is not None or shift is not None:
            factor, offset = (np.asarray(1 if scale is None else scale), np.asarray(0 if shift is None else shift))
            scores = (factor * scores + offset).astype(np.float32)
        return np.clip(scores, np.float32(-1), np.float32(1))

    @property
    def legal_texts(self) -> tuple[Legal, ...]:
        """A number for each output."""
        return (None,) * len(self.task.outputs)

    def as_lines(self, decided: Array) -> Iterator[str]:
        """v,a: the shortest text that gives back the float32."""
        text = [map(str, column) for column in decided.astype(np.float32).T]
        return map(",".join, zip(*text, strict=True))

    @property
    def table_shape(self) -> tuple[int, int]:
        """(6, C)"""
        return 6, len(self.task.outputs)

    def count(self, truth: Array, decided: Array, video_of: NDArray[np.int64], videos: int) -> Table:
        """Moments."""
        t, p = truth.astype(np.float64), decided.astype(np.float64)
        return sum_videos([np.ones_like(t), t, p, t * t, p * p, t * p], video_of, videos)

    def per_output(self, table: Table) -> Floats:
        """CCC of each output (Lin 1989), population moments; NaN where both are constant and equal."""
        n, t, p, tt, pp, tp = np.moveaxis(table, -2, 0)
        n = np.maximum(n, 1)
        mean_t, mean_p = t / n, p / n
        below = (tt + pp) / n - mean_t**2 - mean_p**2 + (mean_t - mean_p) ** 2
        above = 2 * (tp / n - mean_t * mean_p)
        return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 1e-12)

    def occurrences(self, table: Table) -> Floats:
        """1: every frame has values."""
        return np.ones((*table.shape[:-2], table.shape[-1]))

    def table_as_json(self, table: Table) -> list[list[Any]]:
        """Every digit."""
        return [[float(x) for x in row] for row in table]

    def to_line(self, score: ArrayLike) -> Floats:
        """Fisher's z (atanh)."""
        return np.arctanh(np.clip(score, EDGE - 1, 1 - EDGE))

    def bound(self, free: ArrayLike) -> Floats:
        """tanh"""
        return np.tanh(free)

    def describe_labels(self, values: Array, video_of: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
        """Mean, standard deviation, and frames in each tenth of [-1, 1]."""
        results = {}
        for name, column in zip(self.task.outputs, values.T, strict=True):
            own = column.astype(np.float64)
            at = np.clip(((own + 1) / 2 * STEPS).astype(np.int64), 0, STEPS - 1)
            results[name] = {
                "mean": float(own.mean()) if len(own) else None,
                "std": float(own.std()) if len(own) else None,
                "frames": [int(n) for n in np.bincount(at, minlength=STEPS)],
            }
        return results

    def describe_decisions(self, table: Table, frames: int) -> dict[str, dict[str, float]]:
        """Pearson's correlation, which CCC never exceeds, and mean and standard deviation of truth and decisions."""
        t, p, tt, pp, tp = table[1:] / max(frames, 1)
        std_t, std_p = (np.sqrt(np.maximum(square - mean**2, 0)) for square, mean in ((tt, t), (pp, p)))
        spread = std_t * std_p
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation = np.where(spread > 1e-12, (tp - t * p) / spread, np.nan)
        columns = {"correlation": correlation, "mean, truth": t, "mean, decided": p}
        columns |= {"spread, truth": std_t, "spread, decided": std_p}
        return {name: {key: float(x[c]) for key, x in columns.items()} for c, name in enumerate(self.task.outputs)}

    def statistics(self, decided: Array, middle: Floats) -> tuple[Array, tuple[str, ...]]:
        """Means, and mean squares about `middle` [C], whose roots are the spreads there."""
        columns = np.column_stack([decided, (decided.astype(np.float64) - middle) ** 2])
        return columns, tuple(f"{what} {name}" for what in ("mean", "square") for name in self.task.outputs)

    def certainty(self, scores: NDArray[np.floating], heads: NDArray[np.float32]) -> Floats:
        """1 less the spread between heads."""
        return 1 - heads.std(0, dtype=np.float64).mean(1)

    def predictions(self, scores: Array, decided: Array) -> Array:
        """Decisions: scores before they are scaled mean nothing."""
        return decided
