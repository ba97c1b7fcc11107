"""Official scores from per-video counts: add up the videos that count, then score. Makes resampling videos cheap.

Tables [V, rows, columns] are those of `blend.tasks`, one for each video.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blend.tasks.lookup import BLEND_TASKS
from blend.tasks.protocol import Table


def sum_groups(table: Table, group_of: NDArray[np.int64]) -> Table:
    """Tables of videos [V, ...], summed over the groups 0, 1, ... that they belong to [V]: [G, ...]."""
    result = np.zeros((int(group_of.max()) + 1, *table.shape[1:]))
    np.add.at(result, group_of, table)
    return result


def score(task: str, table: Table) -> NDArray[np.float64]:
    """The official score from summed tables: [..., rows, columns] -> [...]."""
    return BLEND_TASKS[task].per_output(table).mean(-1)  # type: ignore[no-any-return]


def draw(task: str, table: Table, draws: int, seed: int, keep: bool = False) -> NDArray[np.float64]:
    """Scores of `draws` resamples of the videos, with replacement, as many videos each: [draws]. NaN where not defined.

    A unit or class that the videos have but a resample lacks would score 0, which says nothing about test sets, as they
    hold them all. It is left out of that resample's mean, which is right where two ways are compared on the same
    resamples; with `keep` it has the score of all videos, for how far a score may lie from that of a test set.
    """
    kind, videos = BLEND_TASKS[task], len(table)
    times = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=draws).astype(np.float64)
    drawn = (times @ table.reshape(videos, -1)).reshape(draws, *table.shape[1:])
    parts = kind.per_output(drawn)
    lost = (kind.occurrences(drawn) == 0) & (kind.occurrences(table.sum(0)) > 0)
    if keep:
        return np.where(lost, kind.per_output(table.sum(0)), parts).mean(-1)
    return np.where(lost, 0, parts).sum(-1) / np.maximum((~lost).sum(-1), 1)


def encode_number(value: float) -> float | None:
    """JSON knows no NaN: a score that is not defined is None."""
    return float(value) if np.isfinite(value) else None
