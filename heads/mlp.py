"""The mlp family: Keras on TensorFlow, with the published losses and better habits around them.

The networks are those of heads.mlp_network. Added to the published way: inputs standardised by train's moments,
dropout, decoupled weight decay, a cosine learning rate, several members averaged, and the best epoch chosen on by-video
dev rows by what the task is graded on (heads.mlp_train).
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from extract.rundir import write_json, writing
from heads import mlp_network, mlp_train, scaling
from heads.base import Head, HeadSettings, OnProgress, _quiet
from heads.table import Labelled, Rows
from heads.threads import threads


class MlpSettings(HeadSettings):
    """Settings of an mlp; the published ones are hidden 128 (VA: 0), everything below `balance` at 0, no cosine."""

    family: Literal["mlp"] = "mlp"
    hidden: int = Field(default=128, ge=0)
    """Units of the hidden layer; 0: none, a linear model."""
    epochs: int = Field(default=10, ge=1)
    min_steps: int = Field(default=0, ge=0)
    """Small corpora get more epochs, until this many batches were learnt from."""
    batch: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    cosine: bool = True
    """Let the learning rate fall to 0 along half a cosine."""
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class or unit weights: 1 is the published formula, 0 no weights."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of the inputs to the last layer."""
    input_dropout: float = Field(default=0.0, ge=0, lt=1)
    l2: float = Field(default=0.0, ge=0)
    """Penalty on the kernels in the loss (the published VA head: 1/1024)."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled, as in AdamW."""
    standardise: bool = True
    embedding_power: float = Field(default=1.0, gt=0, le=1)
    """Signed power of an embedding's values before they are standardised; 0.5 is the signed square root."""
    logits_times: float = Field(default=1.0, gt=0)
    """Columns that stand beside an embedding (logits, va, temporal) count this many times, once standardised."""
    members: int = Field(default=1, ge=1)
    """Networks of different seeds whose scores are averaged."""


class Mlp(Head):
    """One or several Keras networks of one shape; their scores are averaged."""

    Settings = MlpSettings
    settings: MlpSettings

    def fit(self, train: Labelled, dev: Labelled, seed: int, on_progress: OnProgress = _quiet) -> dict[str, Any]:
        """See Head.fit. Without dev rows the last epoch is kept."""
        self.epochs = max(
            self.settings.epochs, -(-self.settings.min_steps // max(1, len(train) // self.settings.batch))
        )
        self.best_epochs = [self.epochs] * self.settings.members
        bests = self._fit(train, dev, seed, on_progress)
        self.best_epochs = [epoch for epoch, _ in bests]
        return {
            "best_epoch": self.best_epochs,
            "epochs": self.epochs,
            "selection": mlp_train.SELECTION[self.task.name],
            "selection_score": [score for _, score in bests],
            "parameters": int(self.models[0].count_params()),
        }

    def refit(self, rows: Labelled, seed: int, on_progress: OnProgress = _quiet) -> None:
        """See Head.refit: from the start again, each member up to its best epoch."""
        self._fit(rows, rows.take(np.empty(0, np.int64)), seed, on_progress)

    def _fit(
        self, train: Labelled, dev: Labelled, seed: int, on_progress: OnProgress
    ) -> list[tuple[int, float | None]]:
        """Train all members up to `best_epochs`, side by side where there are threads for it.

        Returns each one's (best epoch, its selection score).
        """
        self.width = train.rows.width
        self.embedding = scaling.of_embedding(train.rows)
        self.moments = None
        if self.settings.standardise:
            mean, deviation = mlp_train.moments(train.rows, self.settings.embedding_power)
            self.moments = (mean, scaling.enlarged(deviation, self.embedding, self.settings.logits_times))
        members = range(self.settings.members)
        done, lock = [0.0 for _ in members], Lock()

        # built and compiled one after another: only learning itself runs side by side
        trainings = [
            mlp_train.Training(
                self.task, self.settings, train, self.epochs, seed * 1000 + member, self.moments, self.embedding
            )
            for member in members
        ]

        def run(member: int) -> tuple[int, float | None]:
            def share(part: float, note: str) -> None:
                with lock:
                    done[member] = part
                    on_progress(sum(done) / len(done), note)

            return trainings[member].run(dev, self.best_epochs[member], share)

        with ThreadPoolExecutor(threads()) as pool:
            bests = list(pool.map(run, members))
        self.models = [training.model for training in trainings]
        return bests

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """See Head.predict: the members' mean."""
        scores: NDArray[np.float64] = np.mean(
            [mlp_train.predicted(model, rows) for model in self.models], axis=0, dtype=np.float64
        )
        return scores.astype(np.float32)

    def save(self, folder: Path) -> None:
        """Weights, moments and width as one npz file, and a note of the seedless rest."""
        arrays = {f"{m}.{i}": w for m, model in enumerate(self.models) for i, w in enumerate(model.get_weights())}
        arrays["embedding"] = self.embedding
        if self.moments is not None:
            arrays |= {"mean": self.moments[0], "deviation": self.moments[1]}
        with writing(folder / "weights.npz") as temporary, open(temporary, "wb") as handle:
            np.savez(handle, **arrays)
        write_json(folder / "mlp.json", {"width": self.width, "members": len(self.models)})

    def load(self, folder: Path) -> None:
        """See Head.load."""
        about = json.loads((folder / "mlp.json").read_text())
        self.width = about["width"]
        with np.load(folder / "weights.npz") as arrays:
            self.moments = (arrays["mean"], arrays["deviation"]) if "mean" in arrays else None
            self.embedding = arrays["embedding"]
            self.models = []
            for member in range(about["members"]):
                model = mlp_network.build(self.task, self.width, self.settings, 0, self.moments, self.embedding)
                model.set_weights([arrays[f"{member}.{i}"] for i in range(len(model.get_weights()))])
                self.models.append(model)
