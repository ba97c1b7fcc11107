"""The lama family: LightAutoML, one automl per output (au binary, va regression; expr one multiclass).

For several outputs at once LightAutoML drops LightGBM, so outputs are learnt one by one. Its folds are by video (the
`group` role), its algorithms by default untuned so that the clock does not change the result, and an algorithm that
was asked for and did not finish is an error that names it, where LightAutoML itself would leave it out in silence.
It makes its own out-of-fold predictions, so it learns from train and dev rows alike.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from extract.errors import InputError
from extract.rundir import write_json, writing
from heads.base import Head, HeadSettings, OnProgress, _quiet, row_weights
from heads.lama_folds import fold_groups, often_enough
from heads.table import Labelled, Rows

NAMES = {"linear_l2": "LinearL2", "lgb": "LightGBM", "rf": "RFSklearn", "cb": "CatBoost", "xgb": "XGBoost"}
"""What a finished algorithm is called inside LightAutoML."""
Algorithm = Literal["linear_l2", "lgb", "lgb_tuned", "rf", "rf_tuned", "cb", "cb_tuned", "xgb", "xgb_tuned"]
FEWEST = 2
"""Positives (and negatives) that a unit needs to be learnt at all."""
TINY = 1e-7


class LamaSettings(HeadSettings):
    """Settings of a lama head. `*_tuned` algorithms search by the clock: their results differ from run to run."""

    family: Literal["lama"] = "lama"
    use_algos: list[list[Algorithm]] = Field(default=[["linear_l2", "lgb"]], min_length=1)
    timeout: int = Field(default=600, gt=0)
    """Seconds for all outputs together."""
    cv: int = Field(default=3, ge=2)
    max_rows: int = Field(default=100_000, ge=1)
    """Frames are thinned evenly to at most this many."""
    trees: int = Field(default=300, ge=1)
    patience: int = Field(default=20, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    num_leaves: int = Field(default=15, ge=2)
    penalties: list[float] = Field(default=[1e-3, 1e-2, 1e-1, 1.0, 10.0], min_length=1)
    """LinearL2 tries these C in rising order and stops when two in a row are no better."""
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class or unit weights: 1 is the published formula, 0 no weights."""
    threads: int = Field(default=1, ge=1)
    memory: int = Field(default=16, gt=0)
    """GB that LightAutoML may plan with."""


@contextmanager
def lightautoml() -> Iterator[None]:
    """A block in which LightAutoML may run: numpy's error state and warnings are as before afterwards.

    Importing it sets numpy's division errors to "ignore" for the whole process, it uses pandas calls that are going
    away, and it warns of optional packages for text; none of that is about the user's data.
    """
    state = np.geterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            np.seterr(**state)


def log_loss(truth: NDArray[np.generic], scores: NDArray[np.generic], sample_weight: Any = None) -> float:
    """Weighted log loss of binary [N] or multiclass [N, C] probabilities; defined also where a class is absent.

    (LightAutoML's own metrics, AUC and scikit-learn's log loss, fail in a fold that lacks a class.)
    """
    truth, scores = np.asarray(truth).ravel().astype(np.int64), np.asarray(scores, np.float64)
    if scores.size == len(truth):
        scores = np.stack([1 - scores.ravel(), scores.ravel()], axis=1)
    right = np.clip(scores[np.arange(len(truth)), truth], TINY, 1.0)
    return float(np.average(-np.log(right), weights=None if sample_weight is None else np.ravel(sample_weight)))


class Lama(Head):
    """One fitted automl per output; a unit that (almost) never changes in train is predicted by its rate."""

    Settings = LamaSettings
    settings: LamaSettings
    learns_dev = True

    def fit(self, train: Labelled, dev: Labelled, seed: int, on_progress: OnProgress = _quiet) -> dict[str, Any]:
        """See Head.fit. Raises InputError that names an algorithm which did not finish within `timeout`."""
        import time

        x, truth, video = _stack(train, dev, self.settings.max_rows)
        weights = row_weights(truth, self.task, self.settings.balance)
        ends = time.monotonic() + self.settings.timeout
        names = ("all classes",) if self.task.name == "expr" else self.task.outputs
        self.models: list[Any] = []
        self.classes: list[int] = []
        facts: dict[str, Any] = {"rows": len(truth), "algorithms": {}, "constant_outputs": []}
        for i, name in enumerate(names):
            label = truth if truth.ndim == 1 else truth[:, i]
            on_progress(i / len(names), name)
            if (constant := self._constant(label)) is not None:
                self.models.append(constant)
                facts["constant_outputs"].append(name)
                continue
            if self.task.name == "expr":
                there, label = np.unique(label, return_inverse=True)
                self.classes = [int(c) for c in there]
            weight = weights if weights.ndim == 1 else weights[:, i]
            seconds = max(1, int((ends - time.monotonic()) / (len(names) - i)))
            with lightautoml():
                model, blend = self._automl(x, label, weight, video, seed, seconds, name)
            self.models.append(model)
            facts["algorithms"][name] = blend
        on_progress(1.0, "done")
        return facts

    def _constant(self, label: NDArray[np.generic]) -> float | None:
        """The value that stands for a model where there is nothing to learn, or None."""
        if self.task.name == "au" and min((label == 1).sum(), (label == 0).sum()) < FEWEST:
            return float(label.mean())
        return float(label[0]) if self.task.name != "au" and (label == label[0]).all() else None

    def _automl(
        self,
        x: NDArray[np.float32],
        label: NDArray[np.generic],
        weight: NDArray[np.float64],
        video: NDArray[np.integer],
        seed: int,
        seconds: int,
        output: str,
    ) -> tuple[Any, dict[str, float]]:
        """Fit one output; returns the automl and {algorithm: its weight in the blend}."""
        from lightautoml.automl.presets.tabular_presets import TabularAutoML
        from lightautoml.tasks import Task as LamaTask

        s = self.settings
        kind = {"au": "binary", "expr": "binary" if len(self.classes) == 2 else "multiclass", "va": "reg"}[
            self.task.name
        ]
        task = LamaTask(kind) if kind == "reg" else LamaTask(kind, metric=log_loss, greater_is_better=False)
        often = often_enough(label, s.cv) if kind == "multiclass" else np.arange(len(label))
        frame = _frame(x[often])
        frame["target"] = label[often]
        frame["weight"] = (weight / np.bincount(often))[often].astype(np.float32)
        frame["group"] = fold_groups(video, None if kind == "reg" else label, s.cv, seed)[often]
        automl = TabularAutoML(
            task,
            timeout=seconds,
            memory_limit=s.memory,
            cpu_limit=s.threads,
            gpu_ids=None,
            debug=True,
            general_params={"use_algos": s.use_algos},
            reader_params={"cv": s.cv, "random_state": seed, "advanced_roles": False, "n_jobs": s.threads},
            selection_params={"mode": 0},
            linear_l2_params={"default_params": {"cs": s.penalties, "max_iter": 50}},
            lgb_params={
                "freeze_defaults": True,
                "default_params": {
                    "num_trees": s.trees,
                    "early_stopping_rounds": s.patience,
                    "learning_rate": s.learning_rate,
                    "num_leaves": s.num_leaves,
                    "feature_fraction": 0.8,
                    "bagging_fraction": 0.8,
                    "bagging_freq": 1,
                    "reg_lambda": 1.0,
                    "max_bin": 63,
                    "random_state": seed,
                    "num_threads": s.threads,
                    "verbosity": -1,
                    "deterministic": True,
                    "force_row_wise": True,
                },
            },
        )
        finished = _record_finished(automl)
        roles = {"target": "target", "group": "group", "weights": "weight"}
        automl.fit_predict(frame, roles=roles, verbose=0)
        del automl.create_automl  # the recorder; it cannot be pickled
        for algorithm in s.use_algos[-1]:
            if finished.get(_name(algorithm), 0) < s.cv:
                raise InputError(
                    f"head lama, {output}: algorithm {algorithm!r} finished {finished.get(_name(algorithm), 0)} "
                    f"of {s.cv} folds within its {seconds} s; raise timeout, lower max_rows, or take it "
                    f"out of use_algos"
                )
        weights = dict.fromkeys(finished, 0.0)
        names = [algo.name for pipe in automl.levels[-1] for algo in pipe.ml_algos]
        for algorithm, share in zip(names, automl.blender.wts if len(names) > 1 else [1.0], strict=True):
            weights[_short(algorithm)] = round(float(share), 6)
        return automl, weights

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """See Head.predict."""
        out = np.zeros((len(rows), len(self.task.outputs)), np.float32)
        at = 0
        for chunk in rows.chunks():
            part = out[at : (at := at + len(chunk))]
            for i, model in enumerate(self.models):
                if isinstance(model, float):
                    part[:, int(model) if self.task.name == "expr" else i] = 1.0 if self.task.name == "expr" else model
                    continue
                with lightautoml():
                    scores = model.predict(_frame(chunk)).data
                if self.task.name != "expr":
                    part[:, i] = scores[:, 0]
                elif len(self.classes) == 2:
                    part[:, self.classes] = np.concatenate([1 - scores, scores], axis=1)
                else:
                    part[:, self.classes] = scores / scores.sum(1, keepdims=True)
        return np.clip(out, -1.0 if self.task.name == "va" else 0.0, 1.0)

    def save(self, folder: Path) -> None:
        """The automls as one pickle (read it only if you wrote it), and the classes that train had."""
        with writing(folder / "automl.pickle") as temporary, open(temporary, "wb") as handle:
            pickle.dump(self.models, handle)
        write_json(folder / "lama.json", {"classes": self.classes})

    def load(self, folder: Path) -> None:
        """See Head.load."""
        with lightautoml(), open(folder / "automl.pickle", "rb") as handle:
            self.models = pickle.load(handle)
        self.classes = json.loads((folder / "lama.json").read_text())["classes"]


def _stack(train: Labelled, dev: Labelled, most: int) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.int64]]:
    """Train and dev rows as arrays (features, truth, video numbers), every n-th row so that at most `most` are left."""
    n = -(-(len(train) + len(dev)) // most)
    parts = [part.take(np.arange(0, len(part), n)) for part in (train, dev)]
    first = len(train.rows.videos)
    video = [parts[0].rows.video.astype(np.int64), parts[1].rows.video.astype(np.int64) + first]
    return (
        np.concatenate([part.rows.batch() for part in parts]),
        np.concatenate([part.truth for part in parts]),
        np.concatenate(video),
    )


def _frame(x: NDArray[np.float32]) -> Any:
    import pandas

    return pandas.DataFrame(x, columns=[f"f{i}" for i in range(x.shape[1])])


def _record_finished(automl: Any) -> dict[str, int]:
    """Have `automl` note {algorithm: folds finished} before its blender drops those with little weight."""
    finished: dict[str, int] = {}
    create = automl.create_automl

    def recording(**arguments: Any) -> None:
        create(**arguments)
        blend = automl.blender.fit_predict

        def fit_predict(predictions: Any, pipes: Any, classes: Any) -> Any:
            finished.update({_short(algo.name): len(algo.models) for pipe in pipes for algo in pipe.ml_algos})
            del automl.blender.fit_predict
            return blend(predictions, pipes, classes)

        automl.blender.fit_predict = fit_predict

    automl.create_automl = recording
    return finished


def _name(algorithm: str) -> str:
    """LightAutoML's name of an algorithm of use_algos, e.g. lgb_tuned -> Tuned_LightGBM."""
    base = algorithm.removesuffix("_tuned")
    return NAMES[base] if base == algorithm else f"Tuned_{NAMES[base]}"


def _short(name: str) -> str:
    """An algorithm's name without its place: Lvl_0_Pipe_1_Mod_0_LightGBM -> LightGBM."""
    return name.split("_Mod_")[-1].partition("_")[2] if "_Mod_" in name else name
