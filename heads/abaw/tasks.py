"""The three tasks as frozen facts: outputs in official order, what "not annotated" looks like, the official score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heads.abaw import metrics

AU = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU15", "AU23", "AU24", "AU25", "AU26")
EXPR = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
VA = ("valence", "arousal")


@dataclass(frozen=True)
class Task:
    """One challenge. `score(truth, decided)` is the official one and larger is better.

    Truth arrays: au uint8 [N, 12] of 0/1; expr int8 [N] of 0..7; va float32 [N, 2] in [-1, 1].
    Score arrays (what heads predict), float [N, len(outputs)]: probabilities for au and expr, values for va.
    """

    name: str
    labels: Literal["multilabel", "multiclass", "regression"]
    """Several outputs may be on in a frame, one is its class, or all are values in [-1, 1]."""
    outputs: tuple[str, ...]
    columns: int
    """Numbers on one line of an official annotation file."""
    unlabelled: float
    """The raw value that means "not annotated" in official files."""
    metric: str
    score: Callable[[NDArray[np.generic], NDArray[np.generic]], float]
    per_output: Callable[[NDArray[np.generic], NDArray[np.generic]], NDArray[np.float64]]
    """The score's parts, one per output; `score` is their mean."""
    within: str = ""
    """The challenge that this is a part of: of the multi-task challenge "mtl"; empty for one that stands alone."""

    @property
    def is_multilabel(self) -> bool:
        """Whether several outputs may be on in a frame, as action units are."""
        return self.labels == "multilabel"

    @property
    def is_multiclass(self) -> bool:
        """Whether one of the outputs is the frame's class, as expressions are."""
        return self.labels == "multiclass"

    @property
    def is_regression(self) -> bool:
        """Whether the outputs are values, as valence and arousal are."""
        return self.labels == "regression"

    @property
    def place(self) -> str:
        """What the task is called on the command line and in folders: its name, or "mtl/va"."""
        return f"{self.within}/{self.name}" if self.within else self.name

    @property
    def header(self) -> str:
        """The header line of an official annotation file."""
        return ",".join(self.outputs)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("au", "multilabel", AU, 12, -1, "mean F1", metrics.mean_f1, metrics.f1_per_unit),
        Task("expr", "multiclass", EXPR, 1, -1, "macro F1", metrics.macro_f1, metrics.f1_per_class),
        Task("va", "regression", VA, 2, -5, "mean CCC", metrics.mean_ccc, metrics.ccc_per_dimension),
    )
}

MTL = "mtl"
"""The multi-task challenge: all three tasks on the same pictures; its score is the sum of theirs."""
SUBTASKS: dict[str, Task] = {
    task.place: task for task in (replace(TASKS[name], within=MTL) for name in ("va", "expr", "au"))
}
"""Its parts, each a task of its own with the annotations of `corpus.mtl`, in the order of its submission."""
NAMES = (*TASKS, MTL)
"""What `--task` can be; a part of the multi-task challenge alone is "mtl/va", "mtl/expr" or "mtl/au"."""


def find(place: str) -> Task:
    """A task by what it is called in folders. Raises KeyError for one that is none, "mtl" included."""
    return SUBTASKS[place] if place in SUBTASKS else TASKS[place]


MTL_SHORT = ("valence", "arousal", "expression", "aus")
"""Column names behind the picture's, where the units share one; otherwise each unit has its own."""
MTL_COLUMNS = 15
MTL_HEADER = ",".join(("image", *MTL_SHORT))
MTL_EXAMPLE = "video/00001.jpg,0.1,-0.2,4,0,0,1,1,0,0,1,0,0,0,1,0"


def is_mtl_header(line: str) -> bool:
    """Whether a first line names the columns of the multi-task challenge (case and blanks do not matter)."""
    names = tuple(name.strip().lower() for name in line.rstrip(", \r").split(",")[1:])
    return names in (MTL_SHORT, (*MTL_SHORT[:3], *(unit.lower() for unit in AU)))
