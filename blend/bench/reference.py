"""The published way of scoring one blend, as the authors' notebooks do it, for comparison: loops over frames in Python.

Blend as arrays, fill gaps frame by frame, window means with `np.mean` of a slice per frame, scikit-learn's F1 on a grid
of nine thresholds per unit. What it costs grows with the frames, so it is measured on some videos and scaled.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from blend.bench.pools import Sparse
from heads.abaw.tasks import TASKS

GRID = np.arange(0.1, 1, 0.1)


def seconds(task: str, sparse: dict[str, Sparse], weights: NDArray[np.float64], k: int, frames: int) -> float:
    """Seconds of one trial, measured on the first videos that hold `frames` frames, scaled to all of them."""
    ends = np.cumsum([len(video.frames) for video in sparse.values()])
    few = min(int(np.searchsorted(ends, frames)) + 1, len(ends))
    began = time.perf_counter()
    score(task, [*sparse.values()][:few], weights, k)
    return (time.perf_counter() - began) * float(ends[-1] / ends[few - 1])


def score(task: str, videos: list[Sparse], weights: NDArray[np.float64], k: int) -> float:
    """The score of a blend over the annotated frames of some videos."""
    from sklearn.metrics import f1_score

    predicted = np.concatenate([_smooth_video(video, weights, k) for video in videos])
    truth = np.concatenate([video.truth for video in videos])
    if TASKS[task].is_multilabel:
        best = [
            max(f1_score(truth[:, c], predicted[:, c] >= cut, zero_division=0) for cut in GRID)
            for c in range(truth.shape[1])
        ]
        return float(np.mean(best))
    if TASKS[task].is_multiclass:
        return float(f1_score(truth, predicted.argmax(1), average="macro", zero_division=0))
    return float(np.mean([_ccc(truth[:, c], predicted[:, c]) for c in range(truth.shape[1])]))


def _smooth_video(video: Sparse, weights: NDArray[np.float64], k: int) -> NDArray[np.float32]:
    """Blend, fill, smooth one video; the rows of its frames with a face."""
    blended = np.zeros_like(video.scores[0])
    for weight, scores in zip(weights, video.scores, strict=True):
        blended += np.float32(weight) * scores
    whole, current = [], 0
    for i in range(int(video.frames[-1])):
        if video.frames[current] - 1 == i:
            whole.append(blended[current])
            current += 1
        elif current == 0:
            whole.append(blended[0])
        else:
            left, right = int(video.frames[current - 1]), int(video.frames[current])
            w = (i + 1 - left) / (right - left)
            whole.append((1 - w) * blended[current - 1] + w * blended[current])
    filled = np.array(whole)
    smoothed = [np.mean(filled[max(i - k, 0) : i + k + 1], axis=0) for i in range(len(filled))]
    return np.array(smoothed)[video.frames - 1]


def _ccc(truth: NDArray[np.float32], predicted: NDArray[np.float32]) -> float:
    covariance = np.mean((truth - truth.mean()) * (predicted - predicted.mean()))
    return float(2 * covariance / (truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2))
