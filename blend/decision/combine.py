"""Blend -> (gaps are filled already) -> smooth -> decide: the one function for validation, for test, and for anybody's
params.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.decision import smooth
from blend.decision.params import Params
from blend.pool.pool import Pool
from extract.runtime.errors import InputError


def simplex(raw: Sequence[float]) -> tuple[float, ...]:
    """Numbers >= 0 scaled to sum 1; equal weights where all are 0."""
    total = float(sum(raw))
    return tuple(float(w) / total for w in raw) if total > 0 else (1.0 / len(raw),) * len(raw)


def table(weights: Sequence[float | Sequence[float]], channels: int) -> NDArray[np.float32]:
    """Weights as in `Params`, as an array [H, C]."""
    result = np.empty((len(weights), channels), np.float32)
    for row, weight in zip(result, weights, strict=True):
        row[:] = weight
    return result


def scores(
    pool: Pool, weights: Sequence[float | Sequence[float]], kernel: str, k: int | Sequence[int]
) -> NDArray[np.float32]:
    """Blended and smoothed scores of every frame, [T, C]; weights and k as in `Params`, weights in the pool's order of
    heads.
    """
    seen = pool.covered_frames if kernel == "median" else None
    weight = table(weights, pool.scores.shape[2])
    if isinstance(k, int | np.integer):
        return smooth.blend_and_smooth(pool.scores, weight, pool.offsets, kernel, int(k), seen)
    out = np.empty(pool.scores.shape[1:], np.float32)
    for width in sorted(set(k)):
        values = np.flatnonzero(np.asarray(k) == width)
        out[:, values] = smooth.blend_and_smooth(
            pool.scores[:, :, values], weight[:, values], pool.offsets, kernel, int(width), seen
        )
    return out


def blend(pool: Pool, params: Params) -> NDArray[np.float32]:
    """`scores` of a blend, whose heads are matched by name."""
    weight = dict(zip(params.heads, params.weights, strict=True))
    return scores(pool, [weight.get(head, 0.0) for head in pool.heads], params.kernel, params.k)


def combine(pool: Pool, params: Params) -> NDArray[np.generic]:
    """Decide every frame of the pool: au uint8 [T, 12], expr int8 [T], va float32 [T, 2].

    Heads are matched by name. Raises InputError where the pool lacks one of them, or is of another task.
    """
    if params.task != pool.task.name:
        raise InputError(f"params are for task {params.task!r}, the predictions for {pool.task.name!r}")
    if lacking := sorted(set(params.heads) - set(pool.heads)):
        raise InputError(
            f"params use the head {lacking[0]!r}, but there are only predictions of {', '.join(pool.heads)}"
        )
    numbers: dict[str, Any] = {key: getattr(params, key) for key in pool.blend_task.numbers}
    if params.filter is not None:
        head, t = params.filter
        sure = scores(pool, [float(name == head) for name in pool.heads], params.kernel, params.k)
        numbers["sure"] = sure, t
    return pool.blend_task.decide(blend(pool, params), **numbers)
