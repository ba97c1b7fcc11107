"""Reads the truth of a test set, after the submission has been written. Only the demo corpus has one.

(`blend.ablation` and `blend.ablation_sequences`, which select nothing, are the only other places that read it.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from blend.score import score
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
    decided = table.astype(labels.DTYPES[task.name])
    found = score(listed, decided[:, 0] if task.name == "expr" else decided, annotations, task)
    return {key: found[key] for key in ("score", "per_output", "frames")}
