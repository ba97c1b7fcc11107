"""A head on a video that is still being made: each frame as if the video ended with it.

Columns are those of whole videos, made of the frames so far: temporal windows end with the frame, and what is relative
to a recording is relative to what was seen of it. Memory does not grow: of the past as many frames are kept as the
widest window takes, and of all before, for relative columns, a thin and even choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.features.store import KINDS
from heads.data import relative
from heads.data.table import PRESENT, Block, Rows, Source, bare, hide_beside
from heads.train.bags import BaggedModel
from heads.train.model import Model

CHOICE = 512
"""Frames of the past that relative columns are relative to: so many at most, and half of it at least."""
Features = Mapping[str, Mapping[str, NDArray[np.generic]]]
"""{network: {kind: [width]}} of one frame."""


class FrameMemory:
    """The features of one face that may still be needed."""

    def __init__(self, reach: int, choice: int = 0) -> None:
        """`reach`: frames before the last that are kept; `choice`: how many of all at most, evenly thinned."""
        self.reach, self.choice = reach, choice
        self._recent: dict[int, Features] = {}
        self._chosen: dict[int, Features] = {}
        self._stride, self._count = 1, 0

    def add(self, frame: int, features: Features) -> None:
        """Take the next frame's features; frame numbers rise."""
        self._recent[frame] = features
        self._recent = {number: kept for number, kept in self._recent.items() if number >= frame - self.reach}
        if self.choice:
            if self._count % self._stride == 0:
                self._chosen[frame] = features
            self._count += 1
            if len(self._chosen) > self.choice:
                self._chosen = dict([*self._chosen.items()][::2])
                self._stride *= 2

    def rows(self, sources: Iterable[Source], columns: Iterable[str], classes: Mapping[str, tuple[str, ...]]) -> Rows:
        """What is remembered, as the rows of a video: all kinds of all `sources`, also those `beside`.

        Of an optional network without features there are as many columns of zeros as `columns` names.
        """
        kept = self._chosen | self._recent
        numbers = np.array(sorted(kept), np.int32)
        blocks = []
        for source in sources:
            there = source.network in kept[int(numbers[-1])]
            for kind in (*source.kinds, *source.beside):
                if there:
                    values = np.stack([kept[int(number)][source.network][kind] for number in numbers])
                else:
                    width = sum(name.startswith(f"{source.network}.{kind}.") for name in columns)
                    values = np.zeros((len(numbers), width), KINDS.get(kind, np.float32))
                known = classes.get(source.network, ()) if kind == "logits" else ()
                names = tuple(f"logits.{name}" for name in known) if len(known) == values.shape[1] else ()
                blocks.append(Block(source.network, kind, values, names))
            if source.optional:
                blocks.append(Block(source.network, PRESENT, np.full((len(numbers), 1), float(there), np.float32)))
        return replace(bare({"stream": numbers}), blocks=tuple(blocks))

    def choose(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of these rows are of the even choice: mask [N]."""
        return np.isin(rows.frame, [*self._chosen])


def predict_last(
    model: Model | BaggedModel, memory: FrameMemory, classes: Mapping[str, tuple[str, ...]]
) -> NDArray[np.float32]:
    """What a model says of the last frame [outputs], as if the video ended there."""
    if isinstance(model, BaggedModel):
        return model.predict(lambda each: _last_row(each, memory, classes))[0][0]
    result: NDArray[np.float32] = model.predict(_last_row(model, memory, classes))[0]
    return result


def _last_row(model: Model, memory: FrameMemory, classes: Mapping[str, tuple[str, ...]]) -> Rows:
    """The last frame with the columns that a model has learnt, as if the video ended there."""
    rows = memory.rows(model.sources, model.columns, classes)
    settings, columns = model.head.settings.relative, model.temporal
    even = memory.choose(rows)  # the last frames, all of which are kept for windows, have no more weight than others
    if (extend := relative.extender(settings, columns, Path(), model.sources, rows.videos, None, even)) is not None:
        rows = extend(rows)
    return hide_beside(rows, model.sources).take(np.array([len(rows) - 1]))


def create_memory(models: Iterable[Model | BaggedModel]) -> FrameMemory:
    """An empty memory of what these models take for one frame."""
    reach, choice = 0, 0
    for model in models:
        reach = max([reach, *(window for table in model.temporal.tables for window in table.windows)])
        choice = CHOICE if model.head.settings.relative.applies() else choice
    return FrameMemory(reach, choice)
