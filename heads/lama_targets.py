"""What LightAutoML has to learn of a task: one target per output, or one for several; and what needs no learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.lama_folds import fold_groups
from heads.tasks import Task

FEWEST = 2
"""Positives (and negatives) that a unit needs to be learnt at all."""


@dataclass(frozen=True)
class Target:
    """What one automl learns."""

    name: str
    """The output's, or "all classes", or "all outputs"."""
    kind: str
    """LightAutoML's: binary, multiclass, reg, multilabel, multi:reg."""
    columns: tuple[int, ...]
    """Of the score array: those that it fills."""
    classes: bool = False
    """Whether `columns` are classes of one output."""

    def label(self, truth: NDArray[Any]) -> NDArray[Any]:
        """Truth as LightAutoML takes it: [n]; for several outputs [n, outputs]."""
        if self.classes:
            return np.searchsorted(self.columns, truth)
        return truth[:, self.columns] if len(self.columns) > 1 or self.several else truth[:, self.columns[0]]

    @property
    def several(self) -> bool:
        """Whether it learns several outputs at once."""
        return self.kind in ("multilabel", "multi:reg")

    def fill(self, scores: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Put an automl's scores, [n, 1] or one column per class or output, into `out` [n, outputs]."""
        if self.kind == "multiclass":
            scores = scores / scores.sum(1, keepdims=True)
        if self.classes and len(self.columns) == 2:
            scores = np.concatenate([1 - scores[:, :1], scores[:, :1]], axis=1)
        out[:, self.columns] = scores


def of(
    task: Task, truth: NDArray[Any], video: NDArray[np.int64], per_output: bool, cv: int, seed: int
) -> tuple[list[Target], list[float]]:
    """The targets, and the score [outputs] of what no target fills: a unit's rate, a value that never changes, or 0."""
    if task.name == "expr":
        classes = np.unique(truth)
        base = [float(len(classes) == 1 and i == classes[0]) for i in range(len(task.outputs))]
        kind = "binary" if len(classes) == 2 else "multiclass"
        some = tuple(int(c) for c in classes)
        return [Target("all classes", kind, some, classes=True)] if len(classes) > 1 else [], base
    base = truth.mean(0, dtype=np.float64).tolist()
    changing = [i for i in range(len(task.outputs)) if _changes(task, truth[:, i])]
    if per_output:
        kind = "binary" if task.name == "au" else "reg"
        return [Target(task.outputs[i], kind, (i,)) for i in changing], base
    if task.name == "au":  # a forest of several units needs each of them on both sides, outside of every fold
        folds = fold_groups(video, None, cv, seed)
        outside = [truth[folds != fold] for fold in np.unique(folds)]
        changing = [i for i in changing if all(0 < some[:, i].mean() < 1 for some in outside)]
    kind = "multilabel" if task.name == "au" else "multi:reg"
    return [Target("all outputs", kind, tuple(changing))] if changing else [], base


def without(task: Task, targets: Sequence[Target]) -> list[str]:
    """Names of the outputs that are not learnt; of expr "all classes" or nothing."""
    if task.name == "expr":
        return [] if targets else ["all classes"]
    learnt = {column for target in targets for column in target.columns}
    return [name for i, name in enumerate(task.outputs) if i not in learnt]


def _changes(task: Task, label: NDArray[Any]) -> bool:
    if task.name == "au":
        return min(int((label == 1).sum()), int((label == 0).sum())) >= FEWEST
    return bool((label != label[0]).any())
