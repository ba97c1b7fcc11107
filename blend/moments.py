"""Sums of products per group of frames: all that the CCC of any blend, stretched or moved, depends on."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def per_group(
    scores: NDArray[np.float32], truth: NDArray[np.float32], group_of: NDArray[np.int64], groups: int
) -> NDArray[np.float64]:
    """Scores [H, N, C], truth [N, C] and group_of [N] in 0 .. groups - 1 -> [groups, C, H + 2, H + 2].

    Row and column H stand for the truth, H + 1 for the constant 1: [g, c, H, H + 1] is the sum of the truth.
    """
    heads, _, outputs = scores.shape
    out = np.zeros((groups, outputs, heads + 2, heads + 2))
    _add(scores, truth, group_of, out)
    lower = np.tril_indices(heads + 2, -1)
    out[..., lower[1], lower[0]] = out[..., lower[0], lower[1]]
    return out


@njit(cache=True)
def _add(scores, truth, group_of, out):  # type: ignore[no-untyped-def]
    heads, frames, outputs = scores.shape
    x = np.ones(heads + 2)
    for i in range(frames):
        for c in range(outputs):
            for h in range(heads):
                x[h] = scores[h, i, c]
            x[heads] = truth[i, c]
            for a in range(heads + 2):
                for b in range(a + 1):
                    out[group_of[i], c, a, b] += x[a] * x[b]
