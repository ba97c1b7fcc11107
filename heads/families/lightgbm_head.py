"""The lightgbm family: one booster per output (expr: one multiclass booster), stopped early on the dev videos.

One binned matrix, a byte per value, serves all outputs: only labels and weights change. Rows are read in pieces, and
histograms have a limit, so memory is the rows' own and little more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from extract.runtime import inputs, limits, run_folder
from heads.abaw.tasks import Task
from heads.base.head import Head, HeadSettings, OnProgress, _quiet, row_weights
from heads.base.linear import Linear, fit_linear
from heads.base.spare import hide
from heads.base.threads import threads
from heads.data.arrays import read_npz, write_npz
from heads.data.table import CHUNK, LabelledRows, Rows
from heads.families import booster_text

FEWEST = 2
"""Positives (and negatives) that a unit needs in train to be learnt at all."""
HISTOGRAMS = 2048
"""MB for histograms."""
SAMPLE = 100_000
"""Rows from which the bins are made; of many columns, they are most of the memory."""


UNUSED_MODULES = ("matplotlib", "pandas", "sklearn")
"""LightGBM imports them where they are installed, for interfaces that no head uses: four times as long."""


def load() -> None:
    """Import LightGBM as if UNUSED_MODULES were not installed: for processes that do nothing but train."""
    with hide(UNUSED_MODULES):
        import lightgbm  # noqa: F401


LIGHTGBM_KEYS = {
    "learning_rate", "num_leaves", "min_data_in_leaf", "feature_fraction", "bagging_fraction", "lambda_l2", "max_bin"
}  # fmt: skip
"""Settings that LightGBM takes as they are."""


class LightGbmSettings(HeadSettings):
    """Settings of a lightgbm head; the names are LightGBM's where it has one."""

    family: Literal["lightgbm"] = "lightgbm"
    trees: int = Field(default=1000, ge=1)
    trees_without_dev: int = Field(default=100, ge=1)
    """Trees where the corpus has no dev rows to stop early on."""
    patience: int = Field(default=50, ge=1)
    """Stop after this many trees without a better dev loss."""
    learning_rate: float = Field(default=0.05, gt=0)
    num_leaves: int = Field(default=15, ge=2)
    min_data_in_leaf: int = Field(default=20, ge=1)
    feature_fraction: float = Field(default=0.8, gt=0, le=1)
    bagging_fraction: float = Field(default=0.8, gt=0, le=1)
    lambda_l2: float = Field(default=1.0, ge=0)
    max_bin: int = Field(default=63, ge=2, le=255)
    """Histogram bins per column; what bounds memory."""
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class or unit weights: 1 is the published formula, 0 no weights."""
    target: Literal["direct", "residual"] = "residual"
    """va: learn the values themselves, or what a linear regression on the same columns leaves of them."""


class LightGbm(Head):
    """Boosted trees. A unit that (almost) never changes in train is predicted by its rate."""

    Settings = LightGbmSettings
    imports = ("heads.families.lightgbm_head:load",)
    settings: LightGbmSettings

    def fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress = _quiet
    ) -> dict[str, Any]:
        """See Head.fit. The loss on dev rows (weighted as in training; va: squared error) stops the boosting."""
        self.trees: dict[str, int] = {}
        return self._fit(train, dev, seed, on_progress)

    def refit(self, rows: LabelledRows, seed: int, on_progress: OnProgress = _quiet) -> None:
        """See Head.refit: as many trees again."""
        self._fit(rows, rows.take(np.empty(0, np.int64)), seed, on_progress)

    def _fit(self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress) -> dict[str, Any]:
        """Boost every output; the number of trees is that of `self.trees`, else the dev rows' choice."""
        import lightgbm

        names = self._names()
        self.linear = fit_linear(train) if self.task.is_regression and self.settings.target == "residual" else None
        constants = [self._constant(_column(train.truth, i)) for i in range(len(names))]
        train, dev = self._left(train), self._left(dev)
        weights = row_weights(train.truth, self.task, self.settings.balance)
        dev_weights = _like_train(train.truth, weights, dev.truth, self.task)
        # free_raw_data=False: one binned matrix serves all outputs, only labels and weights change
        data = lightgbm.Dataset(_sequence(train.rows), free_raw_data=False, params=self._params(seed))
        held = data.create_valid(_sequence(dev.rows)) if len(dev) else None
        self.boosters: list[str | float] = []
        trees: dict[str, int | None] = {}
        for i, name in enumerate(names):
            if (constant := constants[i]) is not None:
                self.boosters.append(constant if self.linear is None else 0.0)
                trees[name] = None
            else:
                for part, truth, weight in ((data, train.truth, weights), (held, dev.truth, dev_weights)):
                    if part is not None:
                        part.set_label(_column(truth, i).astype(np.float32)).set_weight(_column(weight, i))
                if held is None:
                    most = self.trees.get(name, self.settings.trees_without_dev)
                    booster = lightgbm.train(self._params(seed), data, most)
                    trees[name] = booster.current_iteration()
                else:
                    stop, most = lightgbm.early_stopping(self.settings.patience, verbose=False), self.settings.trees
                    booster = lightgbm.train(self._params(seed), data, most, valid_sets=[held], callbacks=[stop])
                    trees[name] = booster.best_iteration
                self.boosters.append(booster.model_to_string(num_iteration=trees[name]))
            on_progress((i + 1) / len(names), name)
        self.trees = {name: count for name, count in trees.items() if count is not None}
        return {"trees": trees, "constant_outputs": [name for name, count in trees.items() if count is None]}

    def _left(self, data: LabelledRows) -> LabelledRows:
        """The rows with what is left to learn of their truth: all of it, or the residuals of the linear regression."""
        if self.linear is None or not len(data):
            return data
        known = np.concatenate([self.linear.of(chunk) for chunk in data.rows.chunks()])
        return LabelledRows(data.rows, (data.truth - known).astype(np.float32))

    def _read_constant(self, value: object) -> float:
        """The value of an output without a booster. Raises ValueError for what is none: of expr, a class's number."""
        most = len(self.task.outputs) - 1 if self.task.is_multiclass else 1
        if not isinstance(value, float) or not self.task.lowest <= value <= most:
            raise ValueError(f"constants.json: {value!r}, expected a number in [{self.task.lowest:g}, {most}]")
        return value

    def _names(self) -> tuple[str, ...]:
        return ("all classes",) if self.task.is_multiclass else self.task.outputs

    def _constant(self, label: NDArray[np.generic]) -> float | None:
        """The value that stands for a booster where there is nothing to learn, or None."""
        if self.task.is_multilabel and min(label.sum(dtype=np.int64), (label == 0).sum()) < FEWEST:
            return float(label.mean())
        if not self.task.is_multilabel and (label == label[0]).all():
            return float(label[0])
        return None

    def _params(self, seed: int) -> dict[str, Any]:
        return {
            "objective": "binary" if self.task.is_multilabel else self.task.labels,
            **self.settings.model_dump(include=LIGHTGBM_KEYS),
            "bagging_freq": 1,
            "num_threads": threads(),
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,  # each histogram is summed by one thread: the same bits for any number of them
            "histogram_pool_size": HISTOGRAMS,
            "bin_construct_sample_cnt": SAMPLE,
            "verbosity": -1,
            "feature_pre_filter": False,
            **({"num_class": len(self.task.outputs)} if self.task.is_multiclass else {}),
        }

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """See Head.predict."""
        loaded = [b if isinstance(b, float) else booster_text.booster(b) for b in self.boosters]
        outputs = len(self.task.outputs)

        def scores(chunk: NDArray[np.float32]) -> NDArray[np.float32]:
            out = np.empty((len(chunk), outputs), np.float32)
            for i, booster in enumerate(loaded):
                at = slice(None) if self.task.is_multiclass else i
                if not isinstance(booster, float):
                    out[:, at] = booster.predict(chunk, num_threads=threads())
                else:
                    out[:, at] = np.eye(outputs)[int(booster)] if self.task.is_multiclass else booster
            if self.linear is not None:
                out += self.linear.of(chunk)
            return out

        return np.clip(rows.map(scores, outputs), self.task.lowest, 1.0)

    def save(self, folder: Path) -> None:
        """Each booster in LightGBM's own text form, and constants.json for the outputs that have none."""
        for i, booster in enumerate(self.boosters):
            if isinstance(booster, str):
                run_folder.write_text(folder / f"booster_{i}.txt", booster)
        if self.linear is not None:
            write_npz(folder / "linear.npz", vars(self.linear))
        constants = {str(i): b for i, b in enumerate(self.boosters) if isinstance(b, float)}
        run_folder.write_json(folder / "constants.json", {"outputs": len(self.boosters), "constants": constants})

    def load(self, folder: Path) -> None:
        """See Head.load."""
        self.linear = None
        if (path := folder / "linear.npz").exists():
            self.linear = Linear.read(read_npz(path), len(self.task.outputs))
        about = run_folder.read_json(folder / "constants.json", "make the head anew")
        if about["outputs"] != len(self._names()):
            raise ValueError(f"constants.json: {about['outputs']!r} outputs, expected {len(self._names())}")
        self.boosters = [
            self._read_constant(about["constants"][str(i)])
            if str(i) in about["constants"]
            else inputs.read_text(folder / f"booster_{i}.txt", largest=limits.MODEL_BYTES)
            for i in range(about["outputs"])
        ]
        for i, text in enumerate(self.boosters):
            if isinstance(text, str):
                booster_text.check(text, folder / f"booster_{i}.txt")


def _sequence(rows: Rows) -> Any:
    """Rows as LightGBM reads them in pieces: the float32 matrix never exists as a whole."""
    import lightgbm

    class Sequence(lightgbm.Sequence):  # type: ignore[misc]
        batch_size = CHUNK

        def __getitem__(self, index: Any) -> NDArray[np.float64]:
            if isinstance(index, int | np.integer):
                return rows.batch(slice(int(index), int(index) + 1))[0].astype(np.float64)
            return rows.batch(index if isinstance(index, slice) else np.asarray(index)).astype(np.float64)

        def __len__(self) -> int:
            return len(rows)

    return Sequence()


def _column(values: NDArray[np.generic], i: int) -> NDArray[Any]:
    """Of an output, where each has its own; else what all share."""
    return values if values.ndim == 1 else values[:, i]


def _like_train(
    truth: NDArray[np.generic], weights: NDArray[np.float64], dev: NDArray[np.generic], task: Task
) -> NDArray[np.float64]:
    """Weights of dev rows: each label weighs what it weighs in train, so that dev's loss is train's. New labels: 1."""
    if task.is_regression:
        return np.ones(len(dev))
    if task.is_multiclass:
        by_class = np.ones(256)
        by_class[truth.astype(np.int64)] = weights
        return by_class[dev.astype(np.int64)]
    out = np.ones(dev.shape)
    for i in range(truth.shape[1]):
        for label in (0, 1):
            if (here := truth[:, i] == label).any():
                out[dev[:, i] == label, i] = weights[here.argmax(), i]
    return out
