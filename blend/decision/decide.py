"""Decisions, the same for validation and test: AU score >= threshold, EXPR argmax, VA clipped to [-1, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heads.abaw.tasks import EXPR, TASKS

DEFAULT_THRESHOLD = 0.5
OTHER = EXPR.index("Other")


def decide(
    task: str,
    scores: NDArray[np.float32],
    thresholds: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    shift: ArrayLike | None = None,
) -> NDArray[np.generic]:
    """Scores [T, C] -> au uint8 [T, 12] of 0/1, expr int8 [T] of 0..7 (the first of equals), va float32 [T, 2] in [-1,
    1].

    Thresholds [12] stay float64: a threshold halfway between two neighbouring float32 is no float32. `bias` [8] is
    added to the logarithms of expr's scores: each class is multiplied by exp(bias). va is scale * scores + shift.
    """
    if TASKS[task].is_multilabel:
        cut = np.full(scores.shape[1], DEFAULT_THRESHOLD) if thresholds is None else thresholds
        return (scores >= np.asarray(cut, np.float64)).astype(np.uint8)
    if TASKS[task].is_multiclass:
        weighed = scores if bias is None else scores * factors(bias)
        return weighed.argmax(1).astype(np.int8)
    if scale is not None or shift is not None:
        factor, offset = (np.asarray(1 if scale is None else scale), np.asarray(0 if shift is None else shift))
        scores = (factor * scores + offset).astype(np.float32)
    return np.clip(scores, np.float32(-1), np.float32(1))


def factors(bias: ArrayLike) -> NDArray[np.float32]:
    """What each class's score is multiplied by: exp(bias), in float32 as the scores are."""
    return np.exp(np.asarray(bias, np.float64)).astype(np.float32)


def override(decided: NDArray[np.generic], sure: NDArray[np.float32], t: float) -> NDArray[np.generic]:
    """expr: where `sure` [T, 8] has a class other than Other above t, that class (the first of equals) is decided."""
    named = np.delete(np.arange(sure.shape[1]), OTHER)
    best = sure[:, named].argmax(1)
    at = sure[np.arange(len(sure)), named[best]] > np.float32(t)
    return np.where(at, named[best], decided).astype(decided.dtype)
