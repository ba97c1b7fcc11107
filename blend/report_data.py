"""The data's own facts: frames, gaps, invalid labels, how often everything occurs, in train and in validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.pool import Pool
from heads import labels
from heads.tasks import Task

STEPS = 10
"""Equal parts of [-1, 1] in which va values are counted."""


def facts(pool: Pool, train: Path | None) -> dict[str, Any]:
    """`validation` from the pool, `train` from its folder of annotations (None: not at hand)."""
    here = _part(pool.task, pool.known.values, pool.video_of, len(pool.videos), int(pool.offsets[-1]))
    found = {"validation": here | {"filled": int((~pool.present[pool.known.rows]).sum())}, "train": None}
    if train is not None:
        annotations = list(labels.read_folder(train, pool.task).values())
        values = np.concatenate([one.values[one.valid] for one in annotations])
        video_of = np.repeat(np.arange(len(annotations)), [int(one.valid.sum()) for one in annotations])
        frames = sum(len(one.valid) for one in annotations)
        found["train"] = _part(pool.task, values, video_of, len(annotations), frames)
    return found


def _part(
    task: Task, values: NDArray[np.generic], video_of: NDArray[np.int64], videos: int, frames: int
) -> dict[str, Any]:
    """How much there is, and what of it every output has.

    au, expr: `rate` of the frames and the number of `videos` that show it; va: mean, standard deviation and frames in
    each tenth of [-1, 1].
    """
    found: dict[str, Any] = {
        "videos": videos,
        "frames": frames,
        "labelled": len(values),
        "unlabelled": frames - len(values),
        "outputs": {},
    }
    for c, name in enumerate(task.outputs):
        if task.name == "va":
            own = values[:, c].astype(np.float64)
            at = np.clip(((own + 1) / 2 * STEPS).astype(np.int64), 0, STEPS - 1)
            found["outputs"][name] = {
                "mean": float(own.mean()) if len(own) else None,
                "std": float(own.std()) if len(own) else None,
                "frames": [int(n) for n in np.bincount(at, minlength=STEPS)],
            }
        else:
            on = (values == c) if task.name == "expr" else values[:, c] != 0
            found["outputs"][name] = {
                "rate": float(on.mean()) if len(on) else None,
                "frames": int(on.sum()),
                "videos": len(np.unique(video_of[on])),
            }
    return found
