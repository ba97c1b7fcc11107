"""The linear family: scikit-learn's logistic regression for expr and au, ridge for va, and their penalty.

Columns are standardised and each block has a scale: a penalty drowns a few logits beside a thousand columns of an
embedding, unless they are larger. The penalty is the one of a few whose out-of-fold predictions are best, by recording
or person, among the rows of train and dev alike, so the family learns dev. At most `most_rows` rows, evenly spaced, are
in memory at a time; the others stay where they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from heads.abaw.tasks import Task
from heads.base import selection
from heads.base.head import Head, HeadSettings, OnProgress, _quiet, row_weights, share_progress
from heads.base.linear import Linear, softmax
from heads.base.scaling import BlockScales
from heads.data.arrays import read_tensors, write_tensors
from heads.data.table import LabelledRows, Rows, space_evenly
from heads.families.linear import sample as linear_sample
from heads.families.linear import solvers
from heads.families.linear.sample import Sample

CRITERION = {"multilabel": "mean average precision", "multiclass": "log-likelihood", "regression": "mean CCC"}
"""By kind of labels: what chooses the penalty."""


class LinearSettings(HeadSettings):
    """Settings of a linear head."""

    family: Literal["linear"] = "linear"
    scales: BlockScales = BlockScales()
    """[scales]: what the deviation of each block's columns is made, where an embedding stands beside it."""
    penalties: list[float] = Field(default=[3.0, 1.0, 0.3, 0.1, 0.03], min_length=1)
    """On half the sum of squared coefficients, beside the mean loss; the best is chosen by folds of train."""
    choose_folds: int = Field(default=5, ge=2)
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class or unit weights: 1 is the published formula, 0 no weights."""
    most_rows: int = Field(default=50_000, ge=1)
    """Labelled rows that are learnt from at most, evenly spaced."""
    most_rows_to_choose: int = Field(default=5_000, ge=1)
    """Of these, rows that the penalty is chosen with."""

    @field_validator("penalties")
    @classmethod
    def _from_the_strongest(cls, value: list[float]) -> list[float]:
        if min(value) <= 0 or len(set(value)) < len(value):
            raise ValueError("penalties are different numbers above 0")
        return sorted(value, reverse=True)


class LinearHead(Head):
    """One linear map from columns to logits or values."""

    Settings = LinearSettings
    settings: LinearSettings
    learns_dev = True
    streams = True

    def fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress = _quiet
    ) -> dict[str, Any]:
        """See Head.fit. With a single recording (or person) the middle one of the penalties is taken."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # sums are then the same whatever the number of cores
            return self._fit(train, dev, seed, on_progress)

    def _fit(self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress) -> dict[str, Any]:
        """Choose the penalty by folds, then learn from all rows that are drawn."""
        s = self.settings
        on_progress(0.0, "reads rows")
        drawn = linear_sample.draw(train, dev, s.most_rows, s.scales)
        weights = row_weights(drawn.truth, self.task, s.balance)
        weights = weights / weights.mean(0)
        scores = self._compare(drawn, weights, seed, share_progress(on_progress, 0.1, 0.7))
        best = int(np.argmax(scores)) if scores else len(s.penalties) // 2  # the strongest of equal ones
        path = s.penalties[: best + 1]
        on_progress(0.8, f"penalty {path[-1]:g}")
        result = list(solvers.solve_path(drawn.x, drawn.truth, weights, self.task, path))[-1]
        coefficients = result.coefficients * drawn.factor[:, None]
        self.map = Linear(coefficients, result.intercept - drawn.mean @ coefficients)
        on_progress(1.0, f"penalty {path[-1]:g}")
        return {
            "penalty": path[-1],
            "selection": f"{CRITERION[self.task.labels]} out of fold",
            "selection_score": {f"{p:g}": score for p, score in zip(s.penalties, scores, strict=False)},
            "learnt_rows": len(drawn),
        }

    def _compare(self, drawn: Sample, weights: NDArray[np.float64], seed: int, on_progress: OnProgress) -> list[float]:
        """The score of each penalty's out-of-fold predictions, of all folds together; none where there is one fold."""
        s = self.settings
        few = space_evenly(len(drawn), s.most_rows_to_choose)
        fold = drawn.folds(self.task, s.choose_folds, seed)[few]
        folds = np.unique(fold)
        if len(folds) < 2 or len(s.penalties) < 2:
            return []
        x, truth, weights = drawn.x[few], drawn.truth[few], weights[few]
        out = np.empty((len(s.penalties), len(few), len(self.task.outputs)), np.float32)
        for done, number in enumerate(folds):
            held, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            path = solvers.solve_path(x[rest], truth[rest], weights[rest], self.task, s.penalties)
            for i, result in enumerate(path):
                out[i, held] = scores_of(self.task, result.of(x[held]))
                on_progress((done + (i + 1) / len(s.penalties)) / len(folds), f"fold {done + 1} of {len(folds)}")
        return [self._score(truth, item) for item in out]

    def _score(self, truth: NDArray[np.generic], scores: NDArray[np.float32]) -> float:
        """What the best penalty has most of. Of expr the log-likelihood: a penalty that macro F1 chooses hangs on
        single frames of rare classes, and so on the seed of the folds.
        """
        if not self.task.is_multiclass:
            return selection.selection_score(self.task, truth, scores)
        from sklearn.metrics import log_loss

        return -float(log_loss(truth, scores, labels=range(len(self.task.outputs))))

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """See Head.predict."""
        return rows.map(lambda chunk: scores_of(self.task, self.map.of(chunk)), len(self.task.outputs))

    def save(self, folder: Path) -> None:
        """The map as one safetensors file."""
        write_tensors(folder / "linear.safetensors", vars(self.map))

    def load(self, folder: Path) -> None:
        """See Head.load."""
        self.map = Linear.read(read_tensors(folder / "linear.safetensors"), len(self.task.outputs))


def scores_of(task: Task, linear: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scores [n, outputs] of a map's values: softmax for expr, sigmoid for au, va cut off at -1 and 1."""
    if task.is_regression:
        return np.clip(linear, -1, 1).astype(np.float32)
    if task.is_multilabel:
        return (0.5 * (1 + np.tanh(0.5 * linear))).astype(np.float32)
    return softmax(linear).astype(np.float32)
