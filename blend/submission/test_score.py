"""Scores of decisions against annotations, and of the test set whose truth only the demo has.

(`blend.studies.ablation`, `blend.studies.sequences`, `blend.studies.finetuned`, `blend.studies.more_heads`,
`blend.studies.peers` and `blend.studies.synthetic`, which select nothing, are the only other places that read it.)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.calibrate.video_counts import encode_number
from heads.abaw import read
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import Task
from heads.abaw.test_list import TestList


def final_score(submission: Path, listed: TestList, truth: Path, task: Task) -> dict[str, Any]:
    """Score a checked submission file on the annotations in `truth`, over the listed frames that are validly annotated.

    Returns {"score", "per_output", "frames"}; scores that are not defined are None.
    """
    annotations = read.read_folder(truth, task)
    table = np.loadtxt(
        submission, delimiter=",", comments=None, skiprows=1, usecols=range(1, 1 + task.columns), ndmin=2,
        dtype=np.float32, encoding="utf-8",
    )  # fmt: skip
    result = score(listed, task.as_truth(table), annotations, task)
    return {key: result[key] for key in ("score", "per_output", "frames")}


def score(
    listed: TestList, decided: NDArray[np.generic], annotations: Mapping[str, Annotation], task: Task
) -> dict[str, Any]:
    """Score decisions, [images, ...] as listed, over the listed frames that are validly annotated, all pooled.

    Returns {"metric", "score", "per_output", "frames", "videos", "videos_without_annotation"}: numbers that are not
    defined are None, `videos` are those with a frame that counts, and the last are listed videos that `annotations`
    lack.
    """
    actual, answers, videos, lacking = [], [], 0, []
    for v, name in enumerate(listed.names):
        if name not in annotations:
            lacking.append(name)
            continue
        item, rows = annotations[name], np.flatnonzero(listed.video_of == v)
        frames = listed.frame_of[rows] - 1
        rows, frames = rows[frames < len(item.valid)], frames[frames < len(item.valid)]
        valid = item.valid[frames]
        actual.append(item.values[frames[valid]])
        answers.append(decided[rows[valid]])
        videos += bool(valid.any())
    results: dict[str, Any] = {"metric": task.metric, "score": None, "per_output": dict.fromkeys(task.outputs)}
    counts = {"frames": sum(map(len, actual)), "videos": videos, "videos_without_annotation": lacking}
    if counts["frames"]:
        truth, said = np.concatenate(actual), np.concatenate(answers)
        parts = task.per_output(truth, said)
        results["score"] = encode_number(task.score(truth, said))
        results["per_output"] = {name: encode_number(part) for name, part in zip(task.outputs, parts, strict=True)}
    return results | counts
