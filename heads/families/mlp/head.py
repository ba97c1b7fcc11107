"""The mlp family: Keras on TensorFlow, with the published losses and better habits around them.

The networks are those of mlp.network. Added to the published way: inputs standardised by train's moments,
dropout, decoupled weight decay, a cosine learning rate, several members averaged, and the best epoch chosen on by-video
dev rows by what the task is graded on (heads.families.mlp.training).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.runtime import run_folder
from heads.base import scaling, selection
from heads.base.head import Head, OnProgress, _quiet
from heads.base.threads import threads
from heads.data.arrays import read_npz, require_shapes, write_npz
from heads.data.table import LabelledRows, Rows
from heads.families.mlp import network as mlp_network
from heads.families.mlp import training as mlp_training
from heads.families.mlp.settings import MlpSettings


class Mlp(Head):
    """One or several Keras networks of one shape; their scores are averaged."""

    Settings = MlpSettings
    imports = ("heads.families.mlp.network:load",)
    settings: MlpSettings

    def fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress = _quiet
    ) -> dict[str, Any]:
        """See Head.fit. Without dev rows the last epoch is kept."""
        s = self.settings
        self.epochs = max(s.epochs, -(-s.min_steps // max(1, len(train) // s.batch)))
        self.best_epochs = [self.epochs] * s.members
        bests = self._fit(train, dev, seed, on_progress)
        self.best_epochs = [epoch for epoch, _ in bests]
        return {
            "best_epoch": self.best_epochs,
            "epochs": self.epochs,
            "selection": selection.SELECTION[self.task.labels],
            "selection_score": [score for _, score in bests],
            "parameters": int(self.models[0].count_params()),
        }

    def refit(self, rows: LabelledRows, seed: int, on_progress: OnProgress = _quiet) -> None:
        """See Head.refit: from the start again, each member up to its best epoch."""
        self._fit(rows, rows.take(np.empty(0, np.int64)), seed, on_progress)

    def _fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress
    ) -> list[tuple[int, float | None]]:
        """Train all members up to `best_epochs`, side by side; returns each one's (best epoch, its selection score)."""
        self.width = train.rows.width
        self.embedding = scaling.embedding_columns(train.rows)
        self.moments = self.times = None
        if self.settings.standardise:
            scales = self.settings.scales or scaling.BlockScales.make_uniform(self.settings.logits_times)
            times = scaling.block_scales(train.rows, scales)
            if self.settings.scaling == "robust":  # made larger once they are bent, or they would be bent the more
                self.moments, self.times = scaling.quartiles(train.rows, self.settings.embedding_power), times
            else:
                mean, deviation = scaling.moments(train.rows, self.settings.embedding_power)
                self.moments = (mean, deviation / times)
        members = range(self.settings.members)
        done, lock = [0.0 for _ in members], Lock()

        # built and compiled one after another, once a thread: only learning itself runs side by side
        settings = self.settings.for_columns(train.rows)
        trainings = [
            mlp_training.Training(
                self.task, settings, train, self.epochs, seed * 1000 + member, self.moments, self.embedding, self.times
            )
            for member in members[: threads()]
        ]
        models: list[Any] = [None for _ in members]
        bests: list[tuple[int, float | None]] = [(0, None) for _ in members]

        def run(first: int) -> None:
            training, of_one = trainings[first], members[first :: len(trainings)]
            for member in of_one:

                def share(part: float, note: str, member: int = member) -> None:
                    with lock:
                        done[member] = part
                        on_progress(sum(done) / len(done), note)

                if member != first:
                    with lock:
                        models[member - len(trainings)] = training.restart(seed * 1000 + member)
                bests[member] = training.run(dev, self.best_epochs[member], share)
                models[member] = training.model

        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(run, range(len(trainings))))
        self.models = models
        return bests

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """See Head.predict: the members' mean."""
        scores = [mlp_training.predict_rows(model, rows) for model in self.models]
        return np.mean(scores, axis=0, dtype=np.float64).astype(np.float32)  # type: ignore[no-any-return]

    def save(self, folder: Path) -> None:
        """Weights, moments and width as one npz file, and a note of the seedless rest."""
        arrays = {f"{m}.{i}": w for m, model in enumerate(self.models) for i, w in enumerate(model.get_weights())}
        arrays["embedding"] = self.embedding
        if self.moments is not None:
            arrays |= {"mean": self.moments[0], "deviation": self.moments[1]}
        if self.times is not None:
            arrays["times"] = self.times
        write_npz(folder / "weights.npz", arrays)
        run_folder.write_json(folder / "mlp.json", {"width": self.width, "members": len(self.models)})

    def load(self, folder: Path) -> None:
        """See Head.load."""
        about = run_folder.read_json(folder / "mlp.json", "make the head anew")
        arrays = read_npz(folder / "weights.npz")
        self.width = len(arrays["embedding"])
        layers = [self.width, *([self.settings.hidden] if self.settings.hidden else []), len(self.task.outputs)]
        shapes = [shape for pair in itertools.pairwise(layers) for shape in (pair, pair[1:])]
        members = sum(name.endswith(".0") for name in arrays)
        if (about["width"], about["members"]) != (self.width, members):
            raise ValueError(f"mlp.json: {about}, but the weights are of {members} members of width {self.width}")
        expected = {f"{member}.{i}": shape for member in range(members) for i, shape in enumerate(shapes)}
        moments = ("mean", "deviation") if self.settings.standardise else ()
        bent = ("times",) if moments and self.settings.scaling == "robust" else ()
        expected |= dict.fromkeys(("embedding", *moments, *bent), (self.width,))
        require_shapes(arrays, expected, "weights.npz")
        if more := sorted(arrays.keys() - expected.keys()):
            raise ValueError(f"weights.npz: {more[0]!r} is of another head")
        self.moments = (arrays["mean"], arrays["deviation"]) if moments else None
        self.times = arrays["times"] if bent else None
        self.embedding = arrays["embedding"]
        self.models = []
        for member in range(members):
            model = mlp_network.build(self.task, self.width, self.settings, 0, self.moments, self.embedding, self.times)
            model.set_weights([arrays[f"{member}.{i}"] for i in range(len(shapes))])
            self.models.append(model)

    def check(self, columns: Sequence[str]) -> None:
        """See Head.check: Keras would stretch a single column."""
        if len(columns) != self.width:
            raise ValueError(f"weights.npz: of {self.width} columns, model.json has {len(columns)}")
        super().check(columns)
