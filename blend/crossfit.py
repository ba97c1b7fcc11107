"""What the search is worth on videos it has not seen: the whole search inside by-video folds, decided on the held-out
videos.

Frames of one video are alike, so folds and resamples are made of whole videos, folds of whole recordings: two faces of
one recording share its sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blend import combine, counts, search
from blend.combine import Params
from blend.config import BlendSettings
from blend.pool import Pool
from heads import split as by_video

LUCK = 1.2
"""The blend, too, depends on which videos it was found on, which no draw of finished decisions shows. With less than
this, too few intervals held the test score in `blend.simulate` at the official sets' sizes.
"""


@dataclass(frozen=True)
class CrossFit:
    """Held-out decisions of every video, made by a blend that was searched on the other folds."""

    folds: tuple[tuple[int, ...], ...]
    """Held-out videos (their numbers in the pool) of each fold."""
    params: tuple[Params, ...]
    scores: tuple[float | None, ...]
    """The official score of each fold alone; None where it is not defined."""
    pooled: float | None
    """The official score over the held-out decisions of all videos together."""
    interval: tuple[float, float] | None
    """95 % for the score of a test set of as many videos; see `interval`."""


def cross_fit(
    pool: Pool, settings: BlendSettings, seed: int, on_trial: Callable[[], None] = lambda: None
) -> CrossFit | None:
    """Search inside each fold's complement, decide the fold. None for a single annotated recording: nothing is left
    to search on.

    Five folds, or as many as there are annotated recordings if that is fewer.
    """
    folds = split(pool, settings.folds, seed)
    if len(folds) < 2:
        return None
    found = []
    for number, held in enumerate(folds):
        others = pool.select([v for v in range(len(pool.videos)) if v not in held])
        seed_of_fold = search.derive(seed, "fold", number)
        found.append(search.search(others, settings, fold_trials(settings), seed_of_fold, None, on_trial).params)
    return evaluate(pool, folds, [pool.select(fold) for fold in folds], found, settings, seed)


def evaluate(
    pool: Pool,
    folds: Sequence[Sequence[int]],
    parts: Sequence[Pool],
    found: Sequence[Params],
    settings: BlendSettings,
    seed: int,
) -> CrossFit:
    """Decide each fold with the blend that was found without it; `parts` are the pools of the folds."""
    scores, pieces = [], []
    for part, params in zip(parts, found, strict=True):
        own = combine.combine(part, params)
        pieces.append(own)
        scores.append(number_or_none(part.score(own)) if len(part.known.rows) else None)
    decided = np.empty((pool.scores.shape[1], *pieces[0].shape[1:]), pieces[0].dtype)
    for held, own in zip(folds, pieces, strict=True):
        decided[_rows(pool, held)] = own
    pooled = number_or_none(pool.score(decided))
    return CrossFit(
        tuple(tuple(fold) for fold in folds),
        tuple(found),
        tuple(scores),
        pooled,
        interval(pool, table_of(pool, decided), pooled, settings.draws, seed),
    )


def interval(
    pool: Pool, table: counts.Table, centre: float | None, draws: int, seed: int
) -> tuple[float, float] | None:
    """95 % for the score of a test set of as many videos as are annotated here, around `centre`, from per-video counts.

    Validation is one sample of videos and test another, so the spread over draws of the videos counts twice in
    variance. Draws of few videos spread too little, and long videos make them fewer: deviations are widened as
    Student's t is for Kish's effective number of videos, and at least by LUCK.
    """
    known = _annotated(pool)
    drawn = counts.draw(pool.task.name, table[known], draws, search.derive(seed, "interval"), keep=True)
    drawn = drawn[np.isfinite(drawn)]
    if centre is None or not len(drawn):
        return None
    wider = np.sqrt(2) * widening(np.bincount(pool.video_of, minlength=len(pool.videos))[known])
    low, high = centre + wider * (np.quantile(drawn, [0.025, 0.975]) - drawn.mean())
    return float(low), float(high)


def widening(frames: NDArray[np.int64]) -> float:
    """How much wider intervals from so few videos (annotated frames of each) must be than bootstrap ones."""
    from scipy.stats import norm, t

    effective = max(float(frames.sum()) ** 2 / float((frames.astype(np.float64) ** 2).sum()), 2.0)
    student = float(t.ppf(0.975, effective - 1) / norm.ppf(0.975))
    return max(student, LUCK) * float(np.sqrt(effective / (effective - 1)))


def fold_trials(settings: BlendSettings) -> int:
    """Trials of the search inside each fold."""
    return settings.fold_trials or settings.trials


def table_of(pool: Pool, decided: NDArray[np.generic]) -> counts.Table:
    """Per-video counts of decisions on all T frames."""
    truth = pool.known
    return counts.per_video(pool.task.name, truth.values, decided[truth.rows], pool.video_of, len(pool.videos))


def split(pool: Pool, folds: int, seed: int) -> list[list[int]]:
    """Videos -> at most `folds` folds of whole recordings and people that resemble each other in size and in what is
    annotated (heads.split.folds).
    """
    fold_seed = search.derive(seed, "folds")
    return by_video.folds(pool.videos, _content(pool), _annotated(pool), folds, fold_seed, pool.person_of)


def _content(pool: Pool) -> NDArray[np.float64]:
    """How much of everything each video holds, [V, 1 + outputs]: frames; positives, frames or |value| sums."""
    truth, videos = pool.known, len(pool.videos)
    columns = [np.ones(len(truth.rows))]
    if pool.task.name == "expr":
        columns += [truth.values == c for c in range(len(pool.task.outputs))]
    else:
        columns += list(np.abs(truth.values.astype(np.float64)).T)
    return np.stack([np.bincount(pool.video_of, weights=column, minlength=videos) for column in columns], axis=1)


def _annotated(pool: Pool) -> NDArray[np.bool_]:
    return np.bincount(pool.video_of, minlength=len(pool.videos)) > 0


def _rows(pool: Pool, videos: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([np.arange(pool.offsets[v], pool.offsets[v + 1]) for v in videos])


def number_or_none(value: float) -> float | None:
    """JSON knows no NaN: a score that is not defined is None."""
    return float(value) if np.isfinite(value) else None
