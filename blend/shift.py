"""Scale and shift of valence and arousal that match the truth's moments.

Blending and smoothing take away variance, and CCC punishes a spread or a mean other than the truth's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST = 3.0
"""No prediction is stretched further."""


def matched(
    sums: NDArray[np.float64],
    weights: NDArray[np.float64],
    scale: bool | NDArray[np.float64],
    shift: bool | NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(scale [C], shift [C]) from sums of products [C, H + 2, H + 2] (see `blend.moments`) and weights [H, C].

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
        usable = (variance > 1e-12) & (truth_variance > 1e-12)
        factor = np.where(usable, np.sqrt(truth_variance / np.where(usable, variance, 1)), 1.0)
        factor = np.clip(factor, 1 / LARGEST, LARGEST)
    if isinstance(shift, np.ndarray):
        return factor, shift
    if isinstance(scale, np.ndarray) and not shift:
        return factor, np.zeros(len(sums))
    return factor, (truth_mean if shift else mean) - factor * mean
