"""The official score of decisions on listed frames, against annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.crossfit import number_or_none
from heads.labels import Annotation
from heads.tasks import Task
from heads.testlist import TestList


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
        one, rows = annotations[name], np.flatnonzero(listed.video_of == v)
        frames = listed.frame_of[rows] - 1
        rows, frames = rows[frames < len(one.valid)], frames[frames < len(one.valid)]
        valid = one.valid[frames]
        actual.append(one.values[frames[valid]])
        answers.append(decided[rows[valid]])
        videos += bool(valid.any())
    found: dict[str, Any] = {"metric": task.metric, "score": None, "per_output": dict.fromkeys(task.outputs)}
    counts = {"frames": sum(map(len, actual)), "videos": videos, "videos_without_annotation": lacking}
    if counts["frames"]:
        truth, said = np.concatenate(actual), np.concatenate(answers)
        parts = task.per_output(truth, said)
        found["score"] = number_or_none(task.score(truth, said))
        found["per_output"] = {name: number_or_none(part) for name, part in zip(task.outputs, parts, strict=True)}
    return found | counts
