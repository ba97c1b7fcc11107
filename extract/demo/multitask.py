"""The multi-task challenge's files of the demo: all three annotations on one line a picture, some of them missing.

As in s-Aff-Wild2, only some frames of a video are in it, and what is annotated differs from line to line.
"""

from __future__ import annotations

import numpy as np

from . import affect, plan
from .plan import DemoVideo

HEADER = "image,valence,arousal,expression," + ",".join(affect.AU_NAMES)
LIST_HEADER = "image,valence,arousal,expression,aus"
FRAME_STEP = 2
"""Every second frame is in the files."""
MISSING = {"va": 0.12, "expr": 0.3, "au": 0.15}
"""At least about this share of the frames lacks the annotation of each task, in stretches."""
MISSING_NUMBERS = 0.03
"""In this share of the lines a single number of a task is missing, which makes that task invalid."""


def list_frames(row: DemoVideo) -> np.ndarray:
    """The 1-based frames of a video that are in the files."""
    return np.arange(1, row.frames + 1, FRAME_STEP)


def write_annotation(seed: int, row: DemoVideo) -> str:
    """The annotation file's lines of one video: `video/00001.jpg,valence,arousal,expression,AU1,...,AU26`."""
    rng = plan.stream(seed, row.name, "mtl")
    frames = list_frames(row) - 1
    parts = [_part(rng, seed, row, task)[frames] for task in ("va", "expr", "au")]
    lines = []
    for number, affects, (expression,), units in zip(frames + 1, *parts, strict=True):
        values = [*(_text(value) for value in affects), str(int(expression)), *(str(int(unit)) for unit in units)]
        lines.append(f"{row.name}/{number:05d}.jpg,{','.join(values)}\n")
    return "".join(lines)


def write_list(row: DemoVideo) -> str:
    """The test list's lines of one video, in the newer official style: a comma behind the picture."""
    return "".join(f"{row.name}/{number:05d}.jpg,\n" for number in list_frames(row))


def _part(rng: np.random.Generator, seed: int, row: DemoVideo, task: str) -> np.ndarray:
    """One task's numbers for every frame, with stretches and single numbers that are missing."""
    missing = affect.UNLABELLED_AFFECT if task == "va" else affect.UNLABELLED_CLASS
    values = plan.annotation(seed, row.name, task).astype(np.float64)
    values[affect.unlabelled_frames(rng, row.frames, MISSING[task])] = missing
    single = np.flatnonzero(rng.random(row.frames) < MISSING_NUMBERS)
    values[single, rng.integers(0, values.shape[1], len(single))] = missing
    if task not in row.tasks:
        values[:] = missing
    return values


def _text(value: float) -> str:
    return "-5" if value == affect.UNLABELLED_AFFECT else f"{value:.3f}"
