"""The tasks as frozen facts: outputs in official order, what "not annotated" looks like, the official score.

Whatever hangs on the kind of a task's labels, and needs no more than arrays, is a method of that kind: another task of
a known kind is one line of TASKS, or of STILLS where its pictures are of no video.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from heads.abaw import metrics

AU = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU15", "AU23", "AU24", "AU25", "AU26")
EXPR = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
VA = ("valence", "arousal")
AU_NAMES = (
    "inner brow raiser", "outer brow raiser", "brow lowerer", "cheek raiser", "lid tightener", "upper lip raiser",
    "lip corner puller", "lip corner depressor", "lip tightener", "lip pressor", "lips part", "jaw drop",
)  # fmt: skip
"""As the Facial Action Coding System has them (Ekman, Friesen and Hager 2002)."""
LSD = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")

IMAGE_COLUMN = "image_location"
Labels = Literal["multilabel", "multiclass", "regression"]
"""Several outputs may be on in a frame, one is its class, or all are values in [-1, 1]."""


@dataclass(frozen=True)
class Task(ABC):
    """One challenge. Its subclasses are the kinds of labels."""

    name: str
    outputs: tuple[str, ...]
    within: str = ""
    """The challenge that this is a part of: of the multi-task challenge "mtl"; empty for one that stands alone."""
    title: str = ""
    """What it is about, for people."""
    unit: str = "output"
    """What one of its outputs is called."""
    names: tuple[str, ...] = ()
    """What each output is, in words; empty where its own name says it."""
    list_columns: tuple[str, ...] = ()
    """The columns of an official test list, the picture's first; empty: "image_location" and the outputs."""
    stills: bool = False
    """Whether its pictures are of no video: they lie in a folder for each class, and have no order in time."""

    labels: ClassVar[Labels]
    metric: ClassVar[str]
    dtype: ClassVar[type[np.generic]]
    """Of truth arrays."""
    is_multilabel: ClassVar[bool] = False
    """Several outputs may be on in a frame, as action units are."""
    is_multiclass: ClassVar[bool] = False
    """One of the outputs is the frame's class, as expressions are."""
    is_regression: ClassVar[bool] = False
    """The outputs are values, as valence and arousal are."""
    unlabelled_value: ClassVar[int] = -1
    """The raw value that means "not annotated" in official files."""
    lowest: ClassVar[int] = 0
    """What heads predict, float [N, outputs], lies in [lowest, 1]."""

    @property
    def columns(self) -> int:
        """Numbers on one line of an official annotation file."""
        return len(self.outputs)

    @property
    def parts(self) -> tuple[Task, ...]:
        """Itself: see `JointTask`."""
        return (self,)

    def split(self, truth: NDArray[np.generic]) -> list[tuple[Task, NDArray[np.bool_], NDArray[np.generic]]]:
        """Of each part which rows [N] are annotated for it, and their truth: all."""
        return [(self, np.ones(len(truth), bool), truth)]

    @property
    @abstractmethod
    def legal_values(self) -> str:
        """What an official file may hold, in words."""

    @abstractmethod
    def is_legal(self, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which numbers an official file may hold. Same shape as `numbers`; NaN and infinity are never legal."""

    def as_truth(self, numbers: NDArray[np.generic]) -> NDArray[np.generic]:
        """Numbers [N, columns] of an official file as a truth array: [N, outputs], of classes [N]."""
        return np.ascontiguousarray(numbers, self.dtype)

    def as_columns(self, values: NDArray[np.generic], dtype: DTypeLike = np.float64) -> NDArray[np.generic]:
        """Truth or decisions with one column for each output, [N, outputs]: 0 or 1, or values."""
        return values.astype(dtype)

    @abstractmethod
    def decide(self, scores: NDArray[np.floating]) -> NDArray[np.generic]:
        """Raw scores [N, outputs] as the official metric takes them, with nothing tuned."""

    @abstractmethod
    def per_output(self, truth: NDArray[np.generic], decided: NDArray[np.generic]) -> NDArray[np.float64]:
        """The score's parts, one for each output."""

    def score(self, truth: NDArray[np.generic], decided: NDArray[np.generic]) -> float:
        """The official score, larger is better: the mean of its parts."""
        return float(self.per_output(truth, decided).mean())

    def describe(self, output: str) -> str:
        """An output for people: "AU4 brow lowerer"."""
        return f"{output} {self.names[self.outputs.index(output)]}" if self.names else output

    @property
    def place(self) -> str:
        """What the task is called on the command line and in folders: its name, or "mtl/va"."""
        return f"{self.within}/{self.name}" if self.within else self.name

    @property
    def header(self) -> str:
        """The header line of an official annotation file."""
        return ",".join(self.outputs)

    @property
    def list_header(self) -> str:
        """The header line of an official test list."""
        return ",".join(self.list_columns or (IMAGE_COLUMN, *self.outputs))


class MultilabelTask(Task):
    """Truth uint8 [N, outputs] of 0/1, scores are probabilities; the score is the mean F1."""

    labels, metric, dtype, is_multilabel = "multilabel", "mean F1", np.uint8, True
    legal_values = "-1, 0 or 1"

    def is_legal(self, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
        """-1, 0 and 1."""
        return (numbers >= -1) & (numbers <= 1) & (numbers == np.floor(numbers))

    def decide(self, scores: NDArray[np.floating]) -> NDArray[np.generic]:
        """An output is on from 0.5 up."""
        return (scores >= 0.5).astype(self.dtype)

    def per_output(self, truth: NDArray[np.generic], decided: NDArray[np.generic]) -> NDArray[np.float64]:
        """F1 of each output."""
        return metrics.f1_per_unit(truth, decided)


class MulticlassTask(Task):
    """Truth int8 [N] of 0 .. outputs - 1, scores are probabilities; the score is the macro F1."""

    labels, metric, dtype, is_multiclass = "multiclass", "macro F1", np.int8, True

    @property
    def columns(self) -> int:
        """One: the class."""
        return 1

    @property
    def legal_values(self) -> str:
        """What an official file may hold, in words."""
        return f"a whole number from -1 to {len(self.outputs) - 1}"

    def is_legal(self, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
        """-1 and the classes."""
        return (numbers >= -1) & (numbers < len(self.outputs)) & (numbers == np.floor(numbers))

    def as_truth(self, numbers: NDArray[np.generic]) -> NDArray[np.generic]:
        """The only column."""
        return np.ascontiguousarray(numbers[:, 0], self.dtype)

    def as_columns(self, values: NDArray[np.generic], dtype: DTypeLike = np.float64) -> NDArray[np.generic]:
        """Classes one-hot."""
        return np.eye(len(self.outputs), dtype=dtype)[values.astype(np.int64)]

    def decide(self, scores: NDArray[np.floating]) -> NDArray[np.generic]:
        """The first of the largest."""
        return scores.argmax(1).astype(self.dtype)

    def per_output(self, truth: NDArray[np.generic], decided: NDArray[np.generic]) -> NDArray[np.float64]:
        """One-vs-rest F1 of each class."""
        return metrics.f1_per_class(truth, decided, len(self.outputs))


class RegressionTask(Task):
    """Truth float32 [N, outputs] and scores, both in [-1, 1]; the score is the mean CCC."""

    labels, metric, dtype, is_regression = "regression", "mean CCC", np.float32, True
    unlabelled_value, lowest = -5, -1
    legal_values = "a number in [-1, 1], or -5"

    def is_legal(self, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
        """[-1, 1] and -5."""
        return ((numbers >= -1) & (numbers <= 1)) | (numbers == self.unlabelled_value)

    def decide(self, scores: NDArray[np.floating]) -> NDArray[np.generic]:
        """As they are."""
        return scores

    def per_output(self, truth: NDArray[np.generic], decided: NDArray[np.generic]) -> NDArray[np.float64]:
        """CCC of each output."""
        return metrics.ccc_per_dimension(truth, decided)


TASKS: dict[str, Task] = {  # of the frames of videos
    "au": MultilabelTask("au", AU, title="Action units", unit="action unit", names=AU_NAMES),
    "expr": MulticlassTask("expr", EXPR, title="Expressions", unit="expression"),
    "va": RegressionTask("va", VA, title="Valence and arousal", unit="dimension"),
}

STILLS: dict[str, Task] = {
    "lsd": MulticlassTask(
        "lsd",
        LSD,
        title="Learning from synthetic data",
        unit="expression",
        list_columns=("image", "expression"),
        stills=True,
    )
}
"""Tasks on single pictures (`Task.stills`)."""
SINGLE_TASKS = TASKS | STILLS
"""All tasks that stand alone."""

MTL = "mtl"
"""The multi-task challenge: all three tasks on the same pictures; its score is the sum of theirs."""
SUBTASKS: dict[str, Task] = {
    task.place: task for task in (replace(TASKS[name], within=MTL) for name in ("va", "expr", "au"))
}
"""Its parts, each a task of its own with the annotations of `corpus.mtl`, in the order of its submission."""


@dataclass(frozen=True)
class JointTask:
    """Several tasks that one network learns from the same pictures. Truth is float32 [N, columns of all], NaN where a
    row is not annotated for a task.
    """

    name: str
    parts: tuple[Task, ...]

    @property
    def place(self) -> str:
        """What it is called on the command line."""
        return self.name

    @property
    def outputs(self) -> tuple[str, ...]:
        """Those of its parts."""
        return tuple(output for part in self.parts for output in part.outputs)

    def split(self, truth: NDArray[np.generic]) -> list[tuple[Task, NDArray[np.bool_], NDArray[np.generic]]]:
        """Of each part which rows [N] are annotated for it, and their truth."""
        columns = np.split(truth, np.cumsum([part.columns for part in self.parts])[:-1], axis=1)
        annotated = [~np.isnan(own).any(1) for own in columns]
        parts = zip(self.parts, annotated, columns, strict=True)
        return [(part, rows, part.as_truth(own[rows])) for part, rows, own in parts]


JOINT = {MTL: JointTask(MTL, tuple(SUBTASKS.values()))}
"""What a network can learn that is no single task."""
NAMES = (*SINGLE_TASKS, MTL)
"""What `--task` can be; a part of the multi-task challenge alone is "mtl/va", "mtl/expr" or "mtl/au"."""


def find(place: str) -> Task:
    """A task by what it is called in folders. Raises KeyError for one that is none, "mtl" included."""
    return SUBTASKS[place] if place in SUBTASKS else SINGLE_TASKS[place]


MTL_SHORT = ("valence", "arousal", "expression", "aus")
"""Column names behind the picture's, where the units share one; otherwise each unit has its own."""
MTL_COLUMNS = 15
MTL_HEADER = ",".join(("image", *MTL_SHORT))
MTL_EXAMPLE = "video/00001.jpg,0.1,-0.2,4,0,0,1,1,0,0,1,0,0,0,1,0"


def is_mtl_header(line: str) -> bool:
    """Whether a first line names the columns of the multi-task challenge (case and blanks do not matter)."""
    names = tuple(name.strip().lower() for name in line.rstrip(", \r").split(",")[1:])
    return names in (MTL_SHORT, (*MTL_SHORT[:3], *(unit.lower() for unit in AU)))
