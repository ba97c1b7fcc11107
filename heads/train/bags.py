"""Bags: models of one head that each lack a fold of train; what they predict is their mean.

model = load(folder)                 # a bagged one, or a plain Model
predictions = model.predict_videos(work, videos)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heads.base.head import Head
from heads.data import table
from heads.data.predictions import Predictions
from heads.data.table import Rows, Source
from heads.data.temporal import TemporalColumns
from heads.train.model import DamagedModel, Model, check_files, divide_videos

BAGS = "bags"
"""The folder of the models below that of a bagged one: 0, 1, ..."""


@dataclass(frozen=True)
class BaggedModel:
    """Two or more models of the same settings, which read the same features."""

    models: tuple[Model, ...]

    @property
    def head(self) -> Head:
        """The first one's head: task and settings are those of all."""
        return self.models[0].head

    @property
    def sources(self) -> tuple[Source, ...]:
        """What all of them read."""
        return self.models[0].sources

    @property
    def temporal(self) -> TemporalColumns:
        """The first one's temporal columns: all have the same names."""
        return self.models[0].temporal

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that all of them learnt from."""
        return self.models[0].columns

    def predict_videos(self, work: Path, videos: Iterable[str], people: Mapping[str, str] | None = None) -> Predictions:
        """The mean of what the models predict of every frame with features of these videos, as `Model` does it."""
        results: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
        there = table.frames(work, self.sources, videos)
        for group in divide_videos(there):
            scores, items = self.predict(lambda model, names=group: model.rows(work, names, people, there))  # type: ignore[misc]
            results |= {video: (items.frame[a:b], scores[a:b]) for video, a, b in items.spans}
        return Predictions(self.head.task.outputs, results)

    def predict(self, make_rows: Callable[[Model], Rows]) -> tuple[NDArray[np.float32], Rows]:
        """The mean of the models' scores [N, outputs], and the rows. `make_rows` gives rows with a model's columns:
        asked once, unless each model has learnt columns of its own.
        """
        rows, total = make_rows(self.models[0]), 0.0
        for model in self.models:
            if model is not self.models[0] and model.temporal.components:
                rows = make_rows(model)
            total = total + model.predict(rows).astype(np.float64)
        return (total / len(self.models)).astype(np.float32), rows


def load(folder: Path) -> Model | BaggedModel:
    """Read a finished head's model, bagged or not. Raises as `Model.load`."""
    if not (folder / BAGS).is_dir():
        return Model.load(folder)
    check_files(folder)
    numbers = sorted(int(path.name) for path in (folder / BAGS).iterdir() if path.name.isdecimal())
    models = [Model.load(folder / BAGS / str(number)) for number in numbers]
    if len(models) < 2 or numbers != [*range(len(models))]:
        raise DamagedModel(f"{folder / BAGS}: found models {numbers}, expected two or more, numbered from 0")
    alike = {(model.head.task.name, model.sources, model.columns) for model in models}
    if len(alike) > 1:
        raise DamagedModel(f"{folder / BAGS}: its models are of different tasks, features or columns")
    check_files(folder)
    return BaggedModel(tuple(models))


def find_facts(folder: Path) -> Path:
    """The model.json that says what a finished model reads, bagged or not."""
    first = folder / BAGS / "0"
    return (first if first.is_dir() else folder) / "model.json"


def keep(places: Iterable[Path], folder: Path) -> None:
    """Put models, each from its fold's folder, into an existing folder, from which `load` reads them."""
    for number, place in enumerate(places):
        shutil.copytree(place, folder / BAGS / str(number), copy_function=_link)


def _link(source: str, target: str) -> None:
    """A second name for a file that nobody writes to any more; a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
