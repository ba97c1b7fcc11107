"""Decisions, the same for validation and test: AU score >= threshold, EXPR argmax, VA clipped to [-1, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DEFAULT_THRESHOLD = 0.5


def decide(
    task: str, scores: NDArray[np.float32], thresholds: NDArray[np.float64] | None = None
) -> NDArray[np.generic]:
    """Scores [T, C] -> au uint8 [T, 12] of 0/1, expr int8 [T] of 0..7 (the first of equals), va float32 [T, 2] in [-1,
    1].

    Thresholds [12] stay float64: a threshold halfway between two neighbouring float32 is no float32.
    """
    if task == "au":
        if thresholds is None:
            thresholds = np.full(scores.shape[1], DEFAULT_THRESHOLD)
        return (scores >= np.asarray(thresholds, np.float64)).astype(np.uint8)
    if task == "expr":
        return scores.argmax(1).astype(np.int8)
    return np.clip(scores, np.float32(-1), np.float32(1))
