"""Bags: models of one head that each lack a fold of train; what they predict is their mean.

model = load(folder)                 # a bagged one, or a plain Model
predictions = model.predict_videos(work, videos)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heads.base.head import Head
from heads.data.predictions import Predictions
from heads.data.table import Source
from heads.data.temporal import TemporalColumns
from heads.train.model import DamagedModel, Model, check_files

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
        names = [*videos]
        totals: dict[str, tuple[NDArray[np.int32], NDArray[np.float64]]] = {}
        for model in self.models:  # one by one: scores of a whole split are held twice, not once for each
            for video, (frames, scores) in model.predict_videos(work, names, people).videos.items():
                before = totals[video][1] if video in totals else 0.0
                totals[video] = frames, before + scores.astype(np.float64)
        results = {video: (frames, self._divide(total)) for video, (frames, total) in totals.items()}
        return Predictions(self.head.task.outputs, results)

    def predict_with(self, predict: Callable[[Model], NDArray[np.float32]]) -> NDArray[np.float32]:
        """The mean of what `predict` makes of each model."""
        return self._divide(reduce(np.add, (predict(model).astype(np.float64) for model in self.models)))

    def _divide(self, total: NDArray[np.float64]) -> NDArray[np.float32]:
        return (total / len(self.models)).astype(np.float32)


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


def collect(places: Iterable[Path], folder: Path) -> None:
    """Copy models, each from its fold's folder, into an existing folder, from which `load` reads them."""
    for number, place in enumerate(places):
        shutil.copytree(place, folder / BAGS / str(number))
