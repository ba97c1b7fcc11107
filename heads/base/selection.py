"""By which score of the dev rows a head chooses its epoch, and how its labels weigh."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from heads.abaw.tasks import JointTask, Task
from heads.base.head import OnProgress, class_weights, unit_weights

T = TypeVar("T")
SELECTION = {"multilabel": "dev mean average precision", "multiclass": "dev macro F1", "regression": "dev mean CCC"}
"""By kind of labels."""
LOOKS = 50
"""On small corpora epochs are short: dev is looked at this often, not every epoch."""


def label_weights(truth: NDArray[np.generic], task: Task, balance: float) -> NDArray[np.float32]:
    """What each label weighs: expr [8], mean 1 over the rows; au [2, 12], of frames without and with the unit; va [0].

    The published formulas at balance 1 (see heads.base), all 1 at 0.
    """
    if task.is_multiclass:
        counts = np.bincount(truth, minlength=len(task.outputs))
        weights = class_weights(counts, balance)
        return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)
    if task.is_multilabel:
        return np.stack(unit_weights(truth.sum(0, dtype=np.int64), len(truth), balance)).astype(np.float32)
    return np.empty(0, np.float32)


def name_score(task: Task | JointTask) -> str:
    """What `selection_score` is called."""
    return " + ".join(SELECTION[part.labels].removeprefix("dev ") for part in task.parts)


def selection_score(task: Task | JointTask, truth: NDArray[np.generic], scores: NDArray[np.float32]) -> float:
    """What the best epoch has most of, over all dev rows pooled; larger is better.

    expr: the official macro F1 of the argmax; va: the official mean CCC; au: mean average precision over the units that
    occur, because AU thresholds are chosen later and F1 at 0.5 would prefer epochs that happen to fit 0.5. Of a joint
    task the sum of its parts', each of the rows that are annotated for it.
    """
    if isinstance(task, JointTask):
        columns = np.split(scores, np.cumsum([len(part.outputs) for part in task.parts])[:-1], axis=1)
        parts = zip(task.split(truth), columns, strict=True)
        return sum(selection_score(part, labels, own[rows]) for (part, rows, labels), own in parts)
    if task.is_multiclass:
        return task.score(truth, scores.argmax(1))
    if task.is_regression:
        score = task.score(truth, scores)
        return score if np.isfinite(score) else -1.0
    occur = np.flatnonzero(truth.any(0))
    return float(np.mean([average_precision(truth[:, i], scores[:, i]) for i in occur])) if len(occur) else 0.0


def average_precision(truth: NDArray[np.generic], scores: NDArray[np.floating]) -> float:
    """As scikit-learn's average_precision_score has it, to the last bit: that takes ten times as long, most of it to
    look at its input, and is asked for hundreds of times by a head. Raises ValueError for scores that are not finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError("scores of the dev rows are not finite")
    order = np.argsort(scores)[::-1]
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # the last row of each distinct score
    hits = np.cumsum(truth[order], dtype=np.float64)[ends]
    recall = np.append((hits / hits[-1])[::-1], 0.0)
    return float(max(0.0, -np.sum(np.diff(recall) * (hits / (ends + 1))[::-1])))


def best_epoch(
    epochs: int,
    learn: Callable[[], None],
    score: Callable[[], float] | None,
    weights: Callable[[], T],
    on_progress: OnProgress,
) -> tuple[int, float | None, T | None]:
    """Learn for so many epochs; returns the one that `score` says is best, its score, and the `weights` it had.

    Without dev rows (`score` is None) the last epoch is the best, and score and weights are None.
    """
    best: tuple[float, int, T | None] = (-np.inf, epochs, None)
    every = max(1, epochs // LOOKS)
    for epoch in range(1, epochs + 1):
        on_progress((epoch - 1) / epochs, f"epoch {epoch} of {epochs}")
        learn()
        if score is not None and (epoch % every == 0 or epoch == epochs):
            on_progress((epoch - 0.5) / epochs, f"epoch {epoch} of {epochs}, dev")
            if (result := score()) > best[0]:
                best = (result, epoch, weights())
        on_progress(epoch / epochs, f"epoch {epoch} of {epochs}")
    return best[1], None if score is None else float(best[0]), best[2]
