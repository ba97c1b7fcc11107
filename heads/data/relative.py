"""Columns less what they are on average in a recording, or in all recordings of a person.

Faces differ more from each other at rest than a face does from itself when it moves: OpenFace's dynamic models take
each person's median off, for the same reason. No label is looked at, so videos of test have it too. A person's frames
are those of all their videos that are read together (train, or validation, or the test list, or a new video), not of
others: what is learnt from one part then does not hang on another. A video whose person is not known is a person of
its own, and so is each side of a recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from extract.config import Strict
from heads.data import table
from heads.data.table import Block, Rows, Source
from heads.data.temporal import TemporalColumns

By = Literal["none", "recording", "person"]
KINDS = ("logits", "va", "embedding", "table")
MARK = "relative"
"""Of the names of such columns: `logits.relative.happy`."""
MOST_FOR_MEDIANS = 20_000
"""A person's median is that of so many frames at most, evenly thinned."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution whose median absolute deviation is 1 (Rousseeuw and Croux 1993)."""
FLAT = 1e-5
"""A column that deviates by less, as a part of its size, is constant: it is not divided."""


class Relative(Strict):
    """Which kinds of inputs are taken less the mean of their recording or person; `"person"` stands for all kinds."""

    logits: By = "none"
    va: By = "none"
    embedding: By = "none"
    table: By = "none"
    centre: Literal["mean", "median"] = "mean"
    spread: bool = False
    """Also divided by the deviation there: the standard one, with the median 1.4826 times the median absolute one."""
    beside: bool = False
    """The columns as they are stay beside the relative ones; temporal columns are of the latter."""

    @model_validator(mode="before")
    @classmethod
    def _of_all_kinds(cls, value: Any) -> Any:
        return dict.fromkeys(KINDS, value) if isinstance(value, str) else value

    def by(self, kind: str) -> By:
        """What the columns of a kind are relative to."""
        results: By = getattr(self, kind) if kind in KINDS else "none"
        return results

    def applies(self, *by: str) -> bool:
        """Whether any kind is relative, to one of `by` where given."""
        return any(item != "none" and item in (by or (item,)) for item in map(self.by, KINDS))


Baseline = tuple[NDArray[np.float64], NDArray[np.float64]]
"""What is taken off each column, and what the rest is divided by, [D] each; in double precision, so that a constant
that is added to a column moves no bit of the result.
"""


@dataclass(frozen=True)
class RelativeColumns:
    """Makes the relative columns of some videos, one video at a time."""

    settings: Relative
    together: Mapping[str, tuple[str, ...]]
    """Video -> all videos of its person among those that are read, where there are several."""
    read: Callable[[Sequence[str]], Rows]
    """All rows of some videos, with all kinds."""
    among: NDArray[np.bool_] | None = None
    """Which rows of a recording others are relative to; None: all."""
    baselines: dict[tuple[str, ...], dict[tuple[str, str], Baseline]] = field(default_factory=dict)

    def add(self, rows: Rows) -> Rows:
        """One video's rows (all of its frames) with relative blocks in place of, or behind, their own."""
        blocks: list[Block] = []
        for block in rows.blocks:
            by = self.settings.by(block.kind)
            if by == "none" or self.settings.beside:
                blocks.append(block)
            if by != "none":
                blocks.append(self._block(rows, block, by))
        return replace(rows, blocks=tuple(blocks))

    def _block(self, rows: Rows, block: Block, by: By) -> Block:
        """The relative columns; frames that an optional network lacks stay 0."""
        [video] = rows.videos
        if by == "person" and video in self.together:
            centre, spread = self._of_person(self.together[video])[block.network, block.kind]
        else:
            centre, spread = self._baseline(rows if self.among is None else rows.take(self.among), block)
        values = (block.values[rows.pick].astype(np.float64) - centre) / spread
        values[~rows.having(block.network)] = 0
        names = block.names or tuple(f"{block.kind}.{i}" for i in range(values.shape[1]))
        inside = len(block.kind) + 1
        marked = tuple(f"{block.kind}.{MARK}.{name[inside:]}" for name in names)
        return replace(block, values=values.astype(block.values.dtype), names=marked, relative=True)

    def _of_person(self, videos: tuple[str, ...]) -> dict[tuple[str, str], Baseline]:
        """The baselines of a person's columns, by network and kind."""
        if videos not in self.baselines:
            rows = self.read(videos)
            wanted = [block for block in rows.blocks if self.settings.by(block.kind) == "person"]
            self.baselines[videos] = {(block.network, block.kind): self._baseline(rows, block) for block in wanted}
        return self.baselines[videos]

    def _baseline(self, rows: Rows, block: Block) -> Baseline:
        """Of the rows that have the network. Without any: 0 and 1."""
        own = np.flatnonzero(rows.having(block.network))
        width = block.values.shape[1]
        if not len(own):
            return np.zeros(width), np.ones(width)
        if by_mean := self.settings.centre == "mean":
            values = block.values[rows.pick[own]].astype(np.float64)
            centre = values.mean(0)
        else:
            values = block.values[rows.pick[own[:: -(-len(own) // MOST_FOR_MEDIANS)]]].astype(np.float64)
            centre = np.median(values, 0)
        if not self.settings.spread:
            return centre, np.ones(width)
        spread = values.std(0) if by_mean else NORMAL * np.median(np.abs(values - centre), 0)
        return centre, np.where(spread > FLAT * (1 + np.abs(centre)), spread, 1.0)


def extender(
    settings: Relative,
    columns: TemporalColumns,
    work: Path,
    sources: Iterable[Source],
    videos: Iterable[str],
    people: Mapping[str, str] | None,
    among: NDArray[np.bool_] | None = None,
) -> Callable[[Rows], Rows] | None:
    """What table.load does with each of these videos: relative columns, then temporal ones of them; None: nothing.

    `people`: video -> person, where known. `among`: which rows of the one recording that is given to be relative to.
    """
    temporal = columns.add if columns.tables else None
    if not settings.applies():
        return temporal
    every = [replace(source, kinds=(*source.kinds, *source.beside), beside=()) for source in sources]
    of: dict[str, list[str]] = {}
    for video in sorted(set(videos)) if people and settings.applies("person") else ():
        if video in people:
            of.setdefault(people[video], []).append(video)
    together = {video: tuple(group) for group in of.values() if len(group) > 1 for video in group}
    own = RelativeColumns(settings, together, lambda items: table.load(work, every, items), among)
    return own.add if temporal is None else lambda rows: temporal(own.add(rows))
