"""Reads the truth of a test set, after the submission has been written. Only the demo corpus has one.

(`blend.ablation`, which selects nothing, is the only other place that reads it.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from blend.crossfit import number_or_none
from heads import labels
from heads.tasks import Task
from heads.testlist import TestList


def final_score(submission: Path, listed: TestList, truth: Path, task: Task) -> dict[str, Any]:
    """Score a checked submission file on the annotations in `truth`, over the listed frames that are validly annotated.

    Returns {"score", "per_output", "frames"}; scores that are not defined are None.
    """
    annotations = labels.read_folder(truth, task)
    table = np.loadtxt(
        submission,
        delimiter=",",
        comments=None,
        skiprows=1,
        usecols=range(1, 1 + task.columns),
        ndmin=2,
        dtype=np.float32,
        encoding="utf-8",
    )
    actual, decided = [], []
    for v, name in enumerate(listed.names):
        rows = np.flatnonzero(listed.video_of == v)
        frames = listed.frame_of[rows] - 1
        known = frames < len(annotations[name].valid)
        rows, frames = rows[known], frames[known]
        valid = annotations[name].valid[frames]
        actual.append(annotations[name].values[frames[valid]])
        decided.append(table[rows[valid]])
    values, answers = np.concatenate(actual), np.concatenate(decided).astype(labels.DTYPES[task.name])
    answers = answers[:, 0] if task.name == "expr" else answers
    parts = task.per_output(values, answers)
    return {
        "score": number_or_none(task.score(values, answers)),
        "per_output": {name: number_or_none(part) for name, part in zip(task.outputs, parts, strict=True)},
        "frames": len(values),
    }
