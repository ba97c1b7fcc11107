"""Official scores from per-video counts: add up the videos that count, then score. Makes resampling videos cheap.

Tables have one row per video. au: [V, 3, 12] true positives, predicted, actual; expr: [V, 8, 8] truth x decided;
va: [V, 6, 2] frames, sums of t, p, t^2, p^2, t p.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heads.abaw.metrics import CLASSES, f1
from heads.abaw.tasks import TASKS

Table = NDArray[np.float64]


def per_video(
    task: str, truth: NDArray[np.generic], decided: NDArray[np.generic], video_of: NDArray[np.int64], videos: int
) -> Table:
    """Tables of `videos` videos from N frames: truth and decided as in `heads.abaw.tasks.Task`, video_of [N] in
    0..videos-1.
    """
    if TASKS[task].is_multiclass:
        cell = (video_of * CLASSES + truth.astype(np.int64)) * CLASSES + decided.astype(np.int64)
        return np.bincount(cell, minlength=videos * CLASSES**2).reshape(videos, CLASSES, CLASSES).astype(np.float64)
    t, p = truth.astype(np.float64), decided.astype(np.float64)
    rows = [t * p, p, t] if TASKS[task].is_multilabel else [np.ones_like(t), t, p, t * t, p * p, t * p]
    table = np.empty((videos, len(rows), t.shape[1]))
    for i, row in enumerate(rows):
        for c in range(t.shape[1]):
            table[:, i, c] = np.bincount(video_of, weights=row[:, c], minlength=videos)
    return table


def sum_groups(table: Table, group_of: NDArray[np.int64]) -> Table:
    """Tables of videos [V, ...], summed over the groups 0, 1, ... that they belong to [V]: [G, ...]."""
    found = np.zeros((int(group_of.max()) + 1, *table.shape[1:]))
    np.add.at(found, group_of, table)
    return found


def outputs(task: str, table: Table) -> NDArray[np.float64]:
    """Score of each output from summed tables [..., rows, columns] -> [..., outputs]; NaN: a CCC not defined."""
    if TASKS[task].is_multilabel:
        return f1(table[..., 0, :], table[..., 1, :], table[..., 2, :])
    if TASKS[task].is_multiclass:
        return f1(np.diagonal(table, axis1=-2, axis2=-1), table.sum(-2), table.sum(-1))
    n, t, p, tt, pp, tp = np.moveaxis(table, -2, 0)
    n = np.maximum(n, 1)
    mean_t, mean_p = t / n, p / n
    below = (tt + pp) / n - mean_t**2 - mean_p**2 + (mean_t - mean_p) ** 2
    above = 2 * (tp / n - mean_t * mean_p)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 1e-12)


def score(task: str, table: Table) -> NDArray[np.float64]:
    """The official score from summed tables: [..., rows, columns] -> [...]."""
    return outputs(task, table).mean(-1)


def draw(task: str, table: Table, draws: int, seed: int, keep: bool = False) -> NDArray[np.float64]:
    """Scores of `draws` resamples of the videos, with replacement, as many videos each: [draws]. NaN where not defined.

    A unit or class that the videos have but a resample lacks would score 0, which says nothing about test sets, as they
    hold them all. It is left out of that resample's mean, which is right where two ways are compared on the same
    resamples; with `keep` it has the score of all videos, for how far a score may lie from that of a test set.
    """
    videos = len(table)
    times = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=draws).astype(np.float64)
    drawn = (times @ table.reshape(videos, -1)).reshape(draws, *table.shape[1:])
    parts = outputs(task, drawn)
    if TASKS[task].is_regression:
        return parts.mean(-1)
    lost = (_actual(task, drawn) == 0) & (_actual(task, table.sum(0)) > 0)
    if keep:
        return np.where(lost, outputs(task, table.sum(0)), parts).mean(-1)
    return np.where(lost, 0, parts).sum(-1) / np.maximum((~lost).sum(-1), 1)


def _actual(task: str, table: Table) -> NDArray[np.float64]:
    """How often each unit or class occurs, [..., outputs]."""
    return table[..., 2, :] if TASKS[task].is_multilabel else table.sum(-1)


def number_or_none(value: float) -> float | None:
    """JSON knows no NaN: a score that is not defined is None."""
    return float(value) if np.isfinite(value) else None
