"""What every kind of task can do for a blend: decide, count and score, and say what its decisions look like.

Everything here works on arrays alone. What a kind needs of pools (trials, solvers) stands in tables by kind where it is
used: `blend.search.space`, `blend.search.objective`, `blend.crossfit.solvers` and `blend.report.curves`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heads.abaw.tasks import Task

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Legal = tuple[str, ...] | None
"""The texts that a value of a submission may be; None: any number in [-1, 1]."""
Table = NDArray[np.float64]
"""Counts of a set of frames, [..., rows, columns]: what the official score follows from, and what may be added up."""


@dataclass(frozen=True)
class BlendTask(ABC):
    """A task with what a blend knows of it. Its subclasses are the kinds of labels; truth is as in `Task`."""

    task: Task
    k_max: int
    """The widest smoothing tried, in frames."""
    start_ks: tuple[int, ...]
    """Widths of the trials that come first."""

    numbers: ClassVar[tuple[str, ...]]
    """Numbers of a blend that only this kind has, one for each output; keys of settings and of params.json."""
    neutral_numbers: ClassVar[tuple[float, ...]]
    """What each of them is where it changes nothing."""
    keys: ClassVar[tuple[str, ...]]
    """Their names, and those of keys that hold something else."""
    luck: ClassVar[float] = 1.25
    """The blend, too, depends on which videos it was found on, which no draw of finished decisions shows: by how much
    wider than these an interval is at least. With 1.2 test lay 1.04 standard deviations off in
    `blend.studies.simulate --seed 0` (202 draws of all tasks and sizes).
    """

    # Decisions

    @abstractmethod
    def decide(self, scores: NDArray[np.float32], **numbers: Any) -> Array:
        """Scores [T, C] -> decisions, in the layout of truth; `numbers` are those of this kind, None or left out where
        a blend has none. All others are ignored.
        """

    @property
    @abstractmethod
    def legal_texts(self) -> tuple[Legal, ...]:
        """What each value behind a picture's comma in a submission may be."""

    @abstractmethod
    def as_lines(self, decided: Array) -> Iterator[str]:
        """What stands behind each picture's comma in a submission."""

    # Scores from counts

    @property
    @abstractmethod
    def table_shape(self) -> tuple[int, int]:
        """(rows, columns) of a table."""

    @abstractmethod
    def count(self, truth: Array, decided: Array, video_of: NDArray[np.int64], videos: int) -> Table:
        """Tables of `videos` videos [V, rows, columns] from N frames; video_of [N] in 0 .. videos - 1."""

    @abstractmethod
    def per_output(self, table: Table) -> Floats:
        """Score of each output from summed tables [..., rows, columns] -> [..., outputs]; NaN: not defined."""

    @abstractmethod
    def occurrences(self, table: Table) -> Floats:
        """How often each output occurs, [..., outputs]; more than 0 for what is always there."""

    @abstractmethod
    def table_as_json(self, table: Table) -> list[list[Any]]:
        """One table as a list of rows: whole numbers where they are."""

    # The scale of scores

    @abstractmethod
    def to_line(self, score: ArrayLike) -> Floats:
        """Scores on a scale without ends."""

    @abstractmethod
    def bound(self, free: ArrayLike) -> Floats:
        """The inverse of `to_line`."""

    # What labels, scores and decisions look like

    @abstractmethod
    def describe_labels(self, values: Array, video_of: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
        """What truth has of every output, by its name."""

    @abstractmethod
    def describe_decisions(self, table: Table, frames: int) -> dict[str, dict[str, float]]:
        """What the decisions on some frames are worth for every output, from their table: by the output's name and the
        number's, NaN for one that is not defined.
        """

    @abstractmethod
    def statistics(self, decided: Array, middle: Floats) -> tuple[Array, tuple[str, ...]]:
        """Columns [T, S] whose means tell a set of frames from another, and their names."""

    @abstractmethod
    def certainty(self, scores: NDArray[np.floating], heads: NDArray[np.float32]) -> Floats:
        """How sure each frame's blended scores [T, C] of the heads' [H, T, C] are, [T]."""

    @abstractmethod
    def predictions(self, scores: Array, decided: Array) -> Array:
        """Of scores and decisions what is compared with how things are, [N, C]."""


def sum_videos(rows: list[Floats], video_of: NDArray[np.int64], videos: int) -> Table:
    """Sums over the frames of each video, [V, rows, C], of some rows [N, C]."""
    table = np.empty((videos, len(rows), rows[0].shape[1]))
    for i, row in enumerate(rows):
        for c in range(row.shape[1]):
            table[:, i, c] = np.bincount(video_of, weights=row[:, c], minlength=videos)
    return table
