"""Is test like validation? Shares, means, spreads and certainty of what is decided, by draws of videos.

Test is unlabelled, but it is predicted. How far it may lie from validation by chance is known from the videos
themselves: where both are drawn from one population, every way of parting all their groups (people, recordings) into a
validation and a test of these sizes is as likely as the one at hand. Of every statistic the difference between the two
parts is divided by its standard deviation over such partings, and the largest of all statistics is compared with the
largest ones of the partings, so that many statistics raise no more false alarms than one (Westfall and Young 1993, the
method of maxT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.pool.pool import Pool

LEVEL = 0.002
"""So often chance alone may raise a warning, over all statistics of a submission together."""
PARTINGS = 4999
DRAWS = 2000
LEAST = 0.03
"""Smaller differences are not said, however sure they are."""
FEWEST = 4
"""Groups on each side; fewer can be parted in too few ways to say anything."""


@dataclass(frozen=True)
class Shares:
    """Statistics of a set of frames: sums over each group's frames, and their number."""

    names: tuple[str, ...]
    sums: NDArray[np.float64]
    """[G, S]"""
    count: NDArray[np.float64]
    """[G]"""

    def of(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The statistics of draws [D, G] of the groups, [D, S]."""
        return weights @ self.sums / np.maximum(weights @ self.count, 1)[:, None]


def shares(
    pool: Pool, decided: NDArray[np.generic], scores: NDArray[np.floating], middle: NDArray[np.float64]
) -> Shares:
    """Statistics of decisions and of blended scores [T, C] on a pool.

    The shares of the frames in which outputs are decided, or means and mean squares about `middle` [C] (`BlendTask`).
    Then their `certainty`, and `without a face`, the share of frames that hold no prediction of their own.
    """
    columns, names = pool.blend_task.statistics(decided, middle)
    columns = np.column_stack([columns, pool.blend_task.certainty(scores, pool.scores), ~pool.present])
    of = np.repeat(pool.groups, np.diff(pool.offsets))
    groups = int(of.max()) + 1
    sums = np.stack([np.bincount(of, column, groups) for column in columns.T.astype(np.float64)], axis=1)
    return Shares((*names, "certainty", "without a face"), sums, np.bincount(of, minlength=groups).astype(np.float64))


def compare(validation: Shares, test: Shares, seed: int) -> dict[str, Any]:
    """How test's statistics deviate from validation's: `largest`, and `threshold`, which it passes with probability
    LEVEL where both are of one population; `outputs` has for each statistic its value on both, the range that draws of
    as many validation groups give (`low`, `high`), its `deviation` in standard deviations, and whether it is `outside`.

    Both are None where one of the two has fewer than FEWEST groups.
    """
    rng = np.random.default_rng(seed)
    here, there = len(validation.count), len(test.count)
    both = Shares(
        test.names, np.concatenate([validation.sums, test.sums]), np.concatenate([validation.count, test.count])
    )
    order = np.argsort(rng.random((PARTINGS, here + there)), axis=1)
    chosen = np.concatenate([np.arange(here + there)[None] >= here, order >= here]).astype(np.float64)
    difference = both.of(chosen) - both.of(1 - chosen)
    spread = difference[1:].std(0)
    spread = np.where(spread > 1e-9, spread, np.inf)
    deviation = difference[0] / spread
    most = np.abs(difference / spread).max(1)
    enough = min(here, there) >= FEWEST
    threshold = float(np.sort(most)[int(np.ceil((1 - LEVEL) * len(most))) - 1])
    drawn = validation.of(rng.multinomial(there, np.full(here, 1 / here), DRAWS).astype(np.float64))
    own = both.of(np.stack([chosen[0], 1 - chosen[0]]))
    named = {}
    for s, name in enumerate(both.names):
        (value, usual), low, high = own[:, s], drawn[:, s].min(), drawn[:, s].max()
        if name.startswith("square "):
            name = name.replace("square", "spread")
            value, usual, low, high = np.sqrt([value, usual, low, high])
        beyond = not low <= value <= high and abs(value - usual) >= LEAST
        named[name] = {
            "test": float(value), "validation": float(usual), "low": float(low), "high": float(high),
            "deviation": float(deviation[s]),
            "outside": bool(enough and beyond and abs(deviation[s]) > threshold),
        }  # fmt: skip
    return {
        "groups": {"validation": here, "test": there},
        "largest": float(most[0]) if enough else None,
        "threshold": threshold if enough else None,
        "statistics": named,
    }
