"""What the search is worth on videos it has not seen: the whole search inside by-video folds, decided on the held-out
videos.

Frames of one video are alike, and so are videos of one person: folds and resamples are made of whole groups (see
`Pool.groups`), people where they are known, else recordings: two faces of one recording share its sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blend.calibrate import video_counts
from blend.calibrate.video_counts import encode_number
from blend.config import BlendSettings
from blend.crossfit import interval
from blend.crossfit.fold_process import FoldProcess, fold_trials, search_fold
from blend.decision import combine
from blend.decision.combine import Params
from blend.pool.pool import Pool
from blend.search import search
from heads.data import splits as by_video


@dataclass(frozen=True)
class CrossFit:
    """Held-out decisions of every video, made by a blend that was searched on the other folds."""

    folds: tuple[tuple[int, ...], ...]
    """Held-out videos (their numbers in the pool) of each fold."""
    params: tuple[Params, ...]
    scores: tuple[float | None, ...]
    """The official score of each fold alone; None where it is not defined."""
    pooled_score: float | None
    """The official score over the held-out decisions of all videos together."""
    interval: tuple[float, float] | None
    """95 % for the score of a test set of as many videos, or people; see `blend.crossfit.interval`."""


def cross_fit(
    pool: Pool,
    settings: BlendSettings,
    seed: int,
    on_trial: Callable[[], None] = lambda: None,
    test_groups: int | None = None,
    helper: FoldProcess | None = None,
) -> CrossFit | None:
    """Search inside each fold's complement, decide the fold. None for a single annotated recording: nothing is left
    to search on.

    Five folds, or as many as there are annotated recordings if that is fewer. `helper` does what it can of the
    searches.
    """
    folds = split(pool, settings.folds, seed)
    if len(folds) < 2:
        return None
    results: dict[int, Params] = {}

    def search_here(number: int) -> None:
        results[number] = search_fold(pool, settings, seed, number, folds[number], on_trial=on_trial)

    for number in range(len(folds)):
        if helper is None or helper.take(number):
            search_here(number)
    for number, found in helper.results() if helper is not None else ():
        results[number] = found
        for _ in range(search.count(pool, settings, fold_trials(settings))):
            on_trial()
    for number in set(range(len(folds))) - results.keys():  # the helper was lost
        search_here(number)
    found_by_fold = [results[number] for number in range(len(folds))]
    return evaluate(pool, folds, [pool.select(fold) for fold in folds], found_by_fold, settings, seed, test_groups)


def evaluate(
    pool: Pool,
    folds: Sequence[Sequence[int]],
    parts: Sequence[Pool],
    result: Sequence[Params],
    settings: BlendSettings,
    seed: int,
    test_groups: int | None = None,
) -> CrossFit:
    """Decide each fold with the blend that was found without it; `parts` are the pools of the folds.

    `test_groups`: how many people or recordings the test set has; None: as many as are annotated here.
    """
    scores, pieces = [], []
    for part, params in zip(parts, result, strict=True):
        own = combine.combine(part, params)
        pieces.append(own)
        scores.append(encode_number(part.score(own)) if len(part.known_truth.rows) else None)
    decided = np.empty((pool.scores.shape[1], *pieces[0].shape[1:]), pieces[0].dtype)
    for held, own in zip(folds, pieces, strict=True):
        decided[pool.rows_of(held)] = own
    pooled = encode_number(pool.score(decided))
    table, frames = by_group(pool, count_decisions(pool, decided))
    draw_seed = search.derive(seed, "interval")
    bounds = interval.interval(pool.task.name, table, frames, pooled, settings.draws, draw_seed, test_groups)
    return CrossFit(tuple(tuple(fold) for fold in folds), tuple(result), tuple(scores), pooled, bounds)


def by_group(pool: Pool, table: video_counts.Table) -> tuple[video_counts.Table, NDArray[np.int64]]:
    """Counts [V, ...] of videos -> of the annotated groups (people, or recordings) [G, ...], and their frames [G]."""
    frames = np.bincount(pool.groups[pool.video_of], minlength=int(pool.groups.max()) + 1)
    summed = video_counts.sum_groups(table, pool.groups)
    return summed[frames > 0], frames[frames > 0]


def count_decisions(pool: Pool, decided: NDArray[np.generic]) -> video_counts.Table:
    """Per-video counts of decisions on all T frames."""
    truth = pool.known_truth
    return pool.blend_task.count(truth.values, decided[truth.rows], pool.video_of, len(pool.videos))


def split(pool: Pool, folds: int, seed: int) -> list[list[int]]:
    """Videos -> at most `folds` folds of whole recordings and people that resemble each other in size and in what is
    annotated (heads.data.splits.folds).
    """
    annotated = np.bincount(pool.video_of, minlength=len(pool.videos)) > 0
    fold_seed = search.derive(seed, "folds")
    return by_video.folds(pool.videos, _content(pool), annotated, folds, fold_seed, pool.person_of)


def _content(pool: Pool) -> NDArray[np.float64]:
    """How much of everything each video holds, [V, 1 + outputs]: frames; positives, frames or |value| sums."""
    truth, videos = pool.known_truth, len(pool.videos)
    columns = [np.ones(len(truth.rows)), *np.abs(pool.task.as_columns(truth.values)).T]
    return np.stack([np.bincount(pool.video_of, weights=column, minlength=videos) for column in columns], axis=1)
