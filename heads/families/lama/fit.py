"""One LightAutoML fit, from arrays to a model as bytes: what one output costs, and nothing in silence.

LightAutoML drops an algorithm that fails or finds too little time; here every failure is raised, its own clock is set
so far off that it drops nothing, and who called (lama.pool) ends a process that takes too long. Folds are by video, or
person (the `group` role), and algorithms are untuned unless asked for: the clock does not change the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.families.lama import scorer as lama_scorer
from heads.families.lama.data import fold_groups, repeat_rare
from heads.families.lama.library import NAMES, as_frame, lightautoml, short_name

MULTIPLE = ("multilabel", "multi:reg")
"""Tasks with several outputs at once."""
TINY = 1e-7
FAR = 10_000_000
"""Seconds: no limit."""


@dataclass(frozen=True)
class FitOrder:
    """What to fit: `kind` is LightAutoML's (binary, multiclass, reg, multilabel, multi:reg)."""

    name: str
    kind: str
    x: NDArray[np.float32]
    """[n, columns]."""
    label: NDArray[Any]
    """[n], classes 0 to C - 1 without a gap; for several outputs [n, outputs]."""
    weight: NDArray[np.float32]
    """[n]; not used for several outputs."""
    video: NDArray[np.int64]
    """[n]: rows of one video (or person, where people are known) stay on one side of a fold."""
    seed: int
    settings: dict[str, Any]
    """Those of heads.families.lama.head.LamaSettings that a fit needs."""
    seconds: int = FAR
    """For algorithms that search by the clock (`*_tuned`)."""


@dataclass(frozen=True)
class FitResult:
    """What came of it."""

    model: bytes
    """What predicts (heads.families.lama.scorer)."""
    finished_folds: dict[str, int]
    """Algorithm (as LightAutoML calls it) -> folds finished."""
    weights: dict[str, float]
    """Algorithm -> its share in the blend; 0 where the blend left it out."""
    trees: float
    """Boosting rounds per fold that LightGBM kept, on average, in the blend or not; 0 without LightGBM."""


def log_loss(truth: NDArray[np.generic], scores: NDArray[np.generic], sample_weight: Any = None) -> float:
    """Weighted log loss of binary [N] or multiclass [N, C] probabilities; defined also where a class is absent.

    (LightAutoML's own metrics, AUC and scikit-learn's log loss, fail in a fold that lacks a class.)
    """
    truth, scores = np.asarray(truth).ravel().astype(np.int64), np.asarray(scores, np.float64)
    if scores.size == len(truth):
        scores = np.stack([1 - scores.ravel(), scores.ravel()], axis=1)
    right = np.clip(scores[np.arange(len(truth)), truth], TINY, 1.0)
    return float(np.average(-np.log(right), weights=None if sample_weight is None else np.ravel(sample_weight)))


def fit(order: FitOrder) -> FitResult:
    """Fit one automl. Whatever an algorithm raises is raised."""
    with lightautoml():
        automl = _automl(order)
        finished, trees = _record_finished(automl)
        frame, roles = _table(order)
        automl.fit_predict(frame, roles=roles, verbose=0)
        del automl.create_automl  # the recorder; it cannot be pickled
        weights = dict.fromkeys(finished, 0.0)
        weights |= {short_name(algorithm.name): round(share, 6) for share, _, algorithm in lama_scorer.shares(automl)}
        return FitResult(lama_scorer.dumps(automl, order.x), finished, weights, float(np.mean(trees)) if trees else 0.0)


def _table(order: FitOrder) -> tuple[Any, dict[str, Any]]:
    """LightAutoML's input: the table, and the roles of its columns."""
    parts = order.kind in MULTIPLE
    cv = order.settings["cv"]
    often = repeat_rare(order.label, cv) if order.kind == "multiclass" else np.arange(len(order.x))
    frame = as_frame(order.x[often])
    stratify = order.label if order.kind in ("binary", "multiclass") else None
    frame["group"] = fold_groups(order.video, stratify, cv, order.seed)[often]
    if parts:
        names = [f"target{i}" for i in range(order.label.shape[1])]
        for i, name in enumerate(names):
            frame[name] = order.label[:, i]
        return frame, {"target": names, "group": "group"}
    frame["target"] = order.label[often]
    frame["weight"] = (order.weight / np.bincount(often))[often].astype(np.float32)
    return frame, {"target": "target", "group": "group", "weights": "weight"}


def _automl(order: FitOrder) -> Any:
    from lightautoml.automl.presets.tabular_presets import TabularAutoML
    from lightautoml.tasks import Task

    s = order.settings
    task = Task(order.kind)
    if order.kind in ("binary", "multiclass"):
        task = Task(order.kind, metric=log_loss, greater_is_better=False)
    return TabularAutoML(
        task,
        timeout=order.seconds,
        memory_limit=s["memory"],
        cpu_limit=1,
        gpu_ids=None,
        debug=True,
        general_params={"use_algos": s["use_algos"]},
        reader_params={"cv": s["cv"], "random_state": order.seed, "advanced_roles": False, "n_jobs": 1},
        selection_params={"mode": 0},
        tuning_params={"max_tuning_time": max(1, order.seconds // 3)},
        linear_l2_params={"default_params": {"cs": s["penalties"], "max_iter": 50}},
        rf_params={"default_params": {"random_state": order.seed, "n_jobs": 1, "verbose": 0}},
        lgb_params={
            "freeze_defaults": True,
            "default_params": {
                "num_trees": s["trees"],
                "early_stopping_rounds": s["patience"],
                "learning_rate": s["learning_rate"],
                "num_leaves": s["num_leaves"],
                "feature_fraction": 0.8,
                "bagging_fraction": 0.8,
                "bagging_freq": 1,
                "reg_lambda": 1.0,
                "max_bin": 63,
                "random_state": order.seed,
                "num_threads": 1,
                "verbosity": -1,
                "deterministic": True,
                "force_row_wise": True,
            },
        },
    )


def _record_finished(automl: Any) -> tuple[dict[str, int], list[int]]:
    """Have `automl` note {algorithm: folds finished}, and LightGBM's trees, before its blender drops any."""
    finished: dict[str, int] = {}
    trees: list[int] = []
    create = automl.create_automl

    def recording(**arguments: Any) -> None:
        create(**arguments)
        blend = automl.blender.fit_predict

        def fit_predict(predictions: Any, pipes: Any, classes: Any) -> Any:
            for algorithm in (algorithm for pipe in pipes for algorithm in pipe.ml_algos):
                finished[short_name(algorithm.name)] = len(algorithm.models)
                if short_name(algorithm.name) == NAMES["lgb"]:
                    trees.extend(model.current_iteration() for model in algorithm.models)
            del automl.blender.fit_predict
            return blend(predictions, pipes, classes)

        automl.blender.fit_predict = fit_predict

    automl.create_automl = recording
    return finished, trees
