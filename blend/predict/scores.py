"""Features of a new video -> what the heads predict -> what the blend makes of it, frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blend.decision import combine
from blend.pool import gap_filling, pool
from blend.pool.pool import as_row
from blend.predict.trained_blends import TrainedBlend
from heads.data.predictions import Predictions


@dataclass(frozen=True)
class BlendedVideo:
    """One task, one face, all frames of the video (of people by number from their first to their last): also those
    between faces, that are filled before smoothing.
    """

    task: str
    scores: NDArray[np.float32]
    """[frames, outputs]: blended and smoothed."""
    decisions: NDArray[np.generic]
    """au uint8 [frames, 12], expr int8 [frames], va float32 [frames, 2]."""


def predict(
    trained: list[TrainedBlend], work: Path, spans: dict[str, tuple[int, int]], on_progress: Callable[[str], None]
) -> dict[str, list[BlendedVideo]]:
    """What every blend makes of the features below `work`, by the faces' videos: {video: one per blend}. `spans` are
    the videos' first frames and how many there are.

    A video without features (no face) is left out. `on_progress` is told of each head that is done.
    """
    results: dict[str, list[BlendedVideo]] = {}
    for item in trained:
        heads: dict[str, Predictions] = {}
        for head, model in item.models.items():
            heads[head] = model.predict_videos(work, tuple(spans))
            on_progress(f"{item.task.place}: {head}")
        for video, (first, frames) in spans.items():
            values = {head: predictions.videos.get(video) for head, predictions in heads.items()}
            known = {head: part for head, part in values.items() if part is not None and len(part[0])}
            if known:
                results.setdefault(video, []).append(blend_video(item, known, frames, first))
    return results


def blend_video(
    item: TrainedBlend, heads: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]], frames: int, first: int = 1
) -> BlendedVideo:
    """Blend, fill gaps, smooth, decide: one video's (frame numbers, scores) by head, for `frames` frames from `first`
    on. A head without any takes the prior, as for the submission.
    """
    heads = {name: (numbers - (first - 1), scores) for name, (numbers, scores) in heads.items()}
    names = tuple(sorted(item.heads))
    prior = as_row(item.blend.prior, item.task)
    parts = [{"": heads[name]} if name in heads else {} for name in names]
    scores = np.stack([gap_filling.dense([""], [frames], part, prior) for part in parts])
    own = np.stack([gap_filling.present([""], [frames], part) for part in parts])
    made = pool.Pool(
        item.task, names, ("",), gap_filling.find_offsets([frames]), scores, np.asarray(own.all(0)), None, (), own
    )
    return BlendedVideo(item.task.name, combine.blend(made, item.params), combine.combine(made, item.params))
