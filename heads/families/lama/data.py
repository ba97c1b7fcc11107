"""What LightAutoML learns from: a target for each output, rows of train and dev as one table, folds by video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.abaw.tasks import Task
from heads.data.table import LabelledRows, Rows

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
        return truth[:, self.columns] if len(self.columns) > 1 or self.is_joint else truth[:, self.columns[0]]

    @staticmethod
    def read(raw: Mapping[str, Any], task: Task) -> Target:
        """A target that was written as JSON. Raises ValueError for what is none of the task's."""
        target = Target(**{**raw, "columns": tuple(raw["columns"])})
        columns, kinds = target.columns, {"multilabel": ("binary", "multilabel"), "regression": ("reg", "multi:reg")}
        if task.is_multiclass:
            kind = "binary" if len(columns) == 2 else "multiclass"
        else:
            kind = kinds[task.labels][len(columns) > 1 or target.is_joint]
        known = all(type(column) is int and 0 <= column < len(task.outputs) for column in columns)
        fewest = 2 if task.is_multiclass else 1
        fits = known and len({*columns}) == len(columns) >= fewest
        if not fits or (target.kind, target.classes) != (kind, task.is_multiclass):
            raise ValueError(f"lama.json: {target} is no target of task {task.name!r}")
        return target

    @property
    def width(self) -> int:
        """Columns of its automl's scores."""
        return 1 if self.kind in ("binary", "reg") else len(self.columns)

    @property
    def is_joint(self) -> bool:
        """Whether it learns several outputs at once."""
        return self.kind in ("multilabel", "multi:reg")

    def fill(self, scores: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Put an automl's scores, [n, 1] or one column per class or output, into `out` [n, outputs]."""
        if self.kind == "multiclass":
            scores = scores / scores.sum(1, keepdims=True)
        if self.classes and len(self.columns) == 2:
            scores = np.concatenate([1 - scores[:, :1], scores[:, :1]], axis=1)
        out[:, self.columns] = scores


def find_targets(
    task: Task, truth: NDArray[Any], video: NDArray[np.int64], per_output: bool, cv: int, seed: int
) -> tuple[list[Target], list[float]]:
    """The targets, and the score [outputs] of what no target fills: a unit's rate, a value that never changes, or 0."""
    if task.is_multiclass:
        classes = np.unique(truth)
        base = [float(len(classes) == 1 and i == classes[0]) for i in range(len(task.outputs))]
        kind = "binary" if len(classes) == 2 else "multiclass"
        values = tuple(int(c) for c in classes)
        return [Target("all classes", kind, values, classes=True)] if len(classes) > 1 else [], base
    base = truth.mean(0, dtype=np.float64).tolist()
    changing = [i for i in range(len(task.outputs)) if _changes(task, truth[:, i])]
    if per_output:
        kind = "binary" if task.is_multilabel else "reg"
        return [Target(task.outputs[i], kind, (i,)) for i in changing], base
    if task.is_multilabel:  # a forest of several units needs each of them on both sides, outside of every fold
        folds = fold_groups(video, None, cv, seed)
        outside = [truth[folds != fold] for fold in np.unique(folds)]
        changing = [i for i in changing if all(0 < items[:, i].mean() < 1 for items in outside)]
    kind = "multilabel" if task.is_multilabel else "multi:reg"
    return [Target("all outputs", kind, tuple(changing))] if changing else [], base


def list_constant(task: Task, targets: Sequence[Target]) -> list[str]:
    """Names of the outputs that are not learnt; of expr "all classes" or nothing."""
    if task.is_multiclass:
        return [] if targets else ["all classes"]
    learnt = {column for target in targets for column in target.columns}
    return [name for i, name in enumerate(task.outputs) if i not in learnt]


def _changes(task: Task, label: NDArray[Any]) -> bool:
    if task.is_multilabel:
        return min(int((label == 1).sum()), int((label == 0).sum())) >= FEWEST
    return bool((label != label[0]).any())


def fold_groups(video: NDArray[np.integer], label: NDArray[np.generic] | None, cv: int, seed: int) -> NDArray[np.int64]:
    """Group of each row, one group per fold: whole videos, with each class of `label` spread evenly where it can be.

    `video` are the numbers of what stays together: videos, or people. label is None for regression. With fewer of them
    than folds, the rows of each are cut into `cv` stretches.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    groups = np.unique(video, return_inverse=True)[1]
    if groups.max() + 1 < cv:
        order = np.argsort(groups, kind="stable")  # rows of a person need not stand together
        size = np.bincount(groups)
        place = np.empty(len(groups), np.int64)
        place[order] = np.arange(len(groups)) - (np.cumsum(size) - size)[groups[order]]
        return np.minimum(place * cv // size[groups], cv - 1)
    folds = np.zeros(len(groups), np.int64)
    counts = np.bincount(label.astype(np.int64)) if label is not None else np.array([0])
    stratified = [StratifiedGroupKFold(cv, shuffle=True, random_state=seed)] if counts.max() >= cv else []
    for splitter in (*stratified, GroupKFold(cv)):
        for fold, (_, held) in enumerate(splitter.split(groups, label, groups)):
            folds[held] = fold
        if len(np.unique(folds)) == cv:  # stratifying may leave a fold empty
            break
    return folds


def repeat_rare(label: NDArray[np.generic], count: int) -> NDArray[np.int64]:
    """Row numbers in which the rows of a class with fewer than `count` come several times.

    LightAutoML refuses classes that have fewer rows than there are folds; weights make up for the copies.
    """
    counts = np.bincount(label)[label]
    return np.repeat(np.arange(len(label)), np.maximum(1, -(-count // counts)))


def _together(rows: Rows) -> NDArray[np.int64]:
    """The number of the video, or else the group, of each row, [N]: folds keep its rows together."""
    return rows.video.astype(np.int64) if rows.group is None else rows.group[rows.video]


class TrainDevRows:
    """Rows of train, then of dev: truth, videos, and features of some of them."""

    def __init__(self, train: LabelledRows, dev: LabelledRows) -> None:
        self.parts = (train, dev)
        self.truth: NDArray[Any] = np.concatenate([train.truth, dev.truth])
        first, second = (_together(part.rows) for part in self.parts)
        after = 1 + int(first.max(initial=-1)) if train.rows.group is not None else len(train.rows.videos)
        self.video: NDArray[np.int64] = np.concatenate([first, second + after])
        """[N]: a number per video, or per person where people are known; other ones in dev than in train."""

    def __len__(self) -> int:
        return len(self.truth)

    def features(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features [n, columns] of rising row numbers [n]."""
        train, dev = (part.rows for part in self.parts)
        first = np.searchsorted(rows, len(train))
        return np.concatenate([train.batch(rows[:first]), dev.batch(rows[first:] - len(train))])
