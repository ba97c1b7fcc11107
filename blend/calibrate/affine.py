"""Scale and shift of valence and arousal that match the truth's moments.

Blending and smoothing take away variance, and CCC punishes a spread or a mean other than the truth's.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

LARGEST = 3.0
"""No prediction is stretched further."""


def match_moments(
    sums: NDArray[np.float64],
    weights: NDArray[np.float64],
    scale: bool | NDArray[np.float64],
    shift: bool | NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(scale [C], shift [C]) from sums of products [C, H + 2, H + 2] (see `blend.calibrate.affine`) and weights [H, C].

    Decided is scale * blend + shift. `scale` gives it the truth's standard deviation (around the blend's own mean
    unless it is shifted), `shift` the truth's mean. A constant blend or truth is not stretched. Either may be given as
    numbers [C]; the shift beside a given scale is 0 unless it is wanted.
    """
    heads = len(weights)
    count = np.maximum(sums[:, heads + 1, heads + 1], 1)
    means = sums[:, :, heads + 1] / count[:, None]  # [C, H + 2]
    mean, truth_mean = np.einsum("ch,hc->c", means[:, :heads], weights), means[:, heads]
    second = np.einsum("hc,chg,gc->c", weights, sums[:, :heads, :heads], weights) / count
    variance = np.maximum(second - mean**2, 0)
    truth_variance = np.maximum(sums[:, heads, heads] / count - truth_mean**2, 0)
    factor = np.ones(len(sums))
    if isinstance(scale, np.ndarray):
        factor = scale
    elif scale:
        factor = stretch(variance, truth_variance)
    if isinstance(shift, np.ndarray):
        return factor, shift
    if isinstance(scale, np.ndarray) and not shift:
        return factor, np.zeros(len(sums))
    return factor, (truth_mean if shift else mean) - factor * mean


def stretch(variance: NDArray[np.float64], truth_variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """What gives a blend the truth's standard deviation, [C]; 1 where one of them is constant."""
    usable = (variance > 1e-12) & (truth_variance > 1e-12)
    factor = np.where(usable, np.sqrt(truth_variance / np.where(usable, variance, 1)), 1.0)
    return np.clip(factor, 1 / LARGEST, LARGEST)


def moments_per_group(
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
