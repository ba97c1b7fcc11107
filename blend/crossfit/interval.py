"""A 95 % interval for the score of a test set, from held-out decisions on validation, that never leaves the scale.

Validation is one sample of people (or recordings) and test another. Bootstrap draws of the groups (Efron 1979) tell how
far a sample's score strays; they are taken on a scale without ends, the logit of an F1 and Fisher's z of a CCC, so that
no bound lies where no score can.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blend.calibrate import video_counts
from blend.tasks.lookup import BLEND_TASKS

SHORTFALL = 1.1
"""What deviations still lack, of however many groups: with `BlendTask.luck` and Student's t alone 100 draws of seed 4
with five test sets each held test in 93.5 % over all tasks and sizes (89 to 98 %), and so much wider in 95.6 %.
"""
LEVEL = 0.95


def interval(
    task: str,
    table: video_counts.Table,
    frames: NDArray[np.int64],
    centre: float | None,
    draws: int,
    seed: int,
    test_groups: int | None = None,
) -> tuple[float, float] | None:
    """Bounds for the score of a test set of `test_groups` groups (None: as many as here), around the held-out score.

    `table` [G, ...] has the counts of each group's held-out decisions (`calibrate.video_counts`), `frames` [G] its
    annotated frames. Bounds lie in [0, 1] (F1) or [-1, 1] (CCC) and hold `centre` between them. None where the score is
    not defined, fewer than two groups are there, or all draws score the same.

    The spread over draws counts once for validation and again, for its own size, for test. Draws of few groups spread
    too little, and long videos make them fewer: deviations are widened as Student's t is for Kish's effective number of
    groups, at least by the task's `luck`, and then by SHORTFALL.
    """
    if centre is None or len(table) < 2:
        return None
    drawn = video_counts.draw(task, table, draws, seed, keep=True)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or np.ptp(drawn) < 1e-12:
        return None
    kind = BLEND_TASKS[task]
    free = kind.to_line(drawn)
    tails = np.quantile(free, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - free.mean()
    both = np.sqrt(1 + len(table) / (test_groups or len(table)))
    low, high = kind.bound(kind.to_line(centre) + both * SHORTFALL * widen_factor(task, frames) * tails)
    return float(min(low, centre)), float(max(high, centre))


def resize(task: str, bounds: tuple[float, float], centre: float, groups: int, test_groups: int) -> tuple[float, float]:
    """An `interval` around `centre` that is for a test set of as many groups, for one of `test_groups`."""
    factor = np.sqrt((1 + groups / test_groups) / 2)
    kind = BLEND_TASKS[task]
    at = kind.to_line(centre)
    low, high = kind.bound(at + factor * (kind.to_line(bounds) - at))
    return float(min(low, centre)), float(max(high, centre))


def widen_factor(task: str, frames: NDArray[np.int64]) -> float:
    """How much wider intervals from so few groups (annotated frames of each, [G]) must be than bootstrap ones."""
    from scipy.special import ndtri, stdtrit  # scipy.stats takes three times as long to import

    effective = max(float(frames.sum()) ** 2 / float((frames.astype(np.float64) ** 2).sum()), 2.0)
    student = float(stdtrit(effective - 1, (1 + LEVEL) / 2) / ndtri((1 + LEVEL) / 2))
    return max(student, BLEND_TASKS[task].luck) * float(np.sqrt(effective / (effective - 1)))
