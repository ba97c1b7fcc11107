"""From a work folder to what a head learns from: labelled rows with temporal columns, cut into train and dev by video,
or by person where people are known.

    prepared = prepare(work, sources, settings, annotations, task, seed)
    model, facts = fit(prepared, prepared.part, seed)
    predictions = model.predict_videos(work, other_videos)

For folds, `prepared.restrict_to(videos)` learns temporal columns from these videos alone; no features are copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.runtime.errors import InputError
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import Task
from heads.base.head import Head, HeadSettings, OnProgress, _quiet, family, share_progress
from heads.data import relative, splits, table, temporal
from heads.data.people import NO_PEOPLE, People
from heads.data.predictions import Predictions
from heads.data.table import LabelledRows, Rows, Source
from heads.data.temporal import TemporalColumns
from heads.train.model import Model

MOST_FOR_COMPONENTS = 200_000
"""Principal components are learnt from every n-th labelled frame, so that at most this many rows are read for them."""


class NoTrainingRows(InputError):
    """No annotated frame has the features that a head needs."""


@dataclass(frozen=True)
class TrainDevSplit:
    """The labelled rows of train, cut by video. `dev` has every row, to choose and score by; of its videos, too, only
    every `stride`-th is learnt from (`thin_dev`); `train_and_dev` is train and thin_dev.
    """

    train: LabelledRows
    dev: LabelledRows
    thin_dev: LabelledRows
    train_and_dev: LabelledRows


def cut_rows(
    labelled: LabelledRows, task: Task, seed: int, stride: int, dev: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of train and of dev, by video, or by `rows.group`; of a train video every `stride`-th labelled frame.

    The dev slice depends on the labels and the seed alone, so all heads of a task that see the same frames share it.
    """
    video, videos = labelled.rows.video, len(labelled.rows.videos)
    held = np.zeros(videos, bool)
    if dev:
        counts = splits.label_counts(labelled.truth, video, videos, task)
        frames = np.bincount(video, minlength=videos)
        held = splits.dev_videos(counts, frames, seed, of=labelled.rows.group)
    return np.flatnonzero(~held[video] & _every(video, stride)), np.flatnonzero(held[video])


def split_train_dev(labelled: LabelledRows, task: Task, seed: int, stride: int) -> TrainDevSplit:
    """Labelled rows cut into train and dev (views; see `cut_rows`)."""
    return _slices(labelled, *cut_rows(labelled, task, seed, stride), stride)


def _slices(labelled: LabelledRows, train: NDArray[np.int64], dev: NDArray[np.int64], stride: int) -> TrainDevSplit:
    thin = dev[_every(labelled.rows.video[dev], stride)]
    both = np.sort(np.concatenate([train, thin]))
    return TrainDevSplit(*(labelled.take(rows) for rows in (train, dev, thin, both)))


def _every(video: NDArray[np.int32], stride: int) -> NDArray[np.bool_]:
    """The first and every `stride`-th row behind it of each video, [N]; video numbers rise."""
    return (np.arange(len(video)) - np.searchsorted(video, video)) % stride == 0


@dataclass(frozen=True)
class TrainData:
    """Train as a head sees it."""

    work: Path
    sources: tuple[Source, ...]
    settings: HeadSettings
    task: Task
    seed: int
    labelled_rows: LabelledRows
    """Annotated frames with features: all of them, or with `thin` those of `part`."""
    part: TrainDevSplit
    """Its train and dev slices for `seed`: views."""
    temporal: TemporalColumns
    """What makes the temporal columns of other videos: `temporal.add(rows)`."""
    people: People = NO_PEOPLE

    def restrict_to(self, videos: NDArray[np.bool_]) -> TrainData:
        """For a fold: the same labelled rows, with `temporal` learnt from the videos in the mask [videos] alone.

        `part` is cut from these videos. Columns that nothing is learnt for, and the features, are shared.
        """
        inside = self.labelled_rows.take(np.flatnonzero(videos[self.labelled_rows.rows.video]))
        _check_sources(inside, self.sources)
        labelled, columns = self.labelled_rows, self.temporal
        if columns.components:
            columns = _learn_columns(self.work, self.sources, self.settings, inside.rows, self.people)
            wanted = {table.kind for table in columns.tables}
            beside = tuple(
                replace(s, kinds=(), beside=tuple(kind for kind in (*s.kinds, *s.beside) if kind in wanted))
                for s in self.sources
            )
            names, settings = labelled.rows.videos, self.settings.relative
            extend = relative.extender(settings, columns, self.work, beside, names, self.people.persons)
            again = table.load(self.work, beside, names, extend, by_video(labelled.rows))
            plain = tuple(block for block in labelled.rows.blocks if block.kind != temporal.KIND)
            made = tuple(block for block in again.blocks if block.kind == temporal.KIND)
            labelled = replace(labelled, rows=replace(labelled.rows, blocks=(*plain, *made)))
            inside = labelled.take(np.flatnonzero(videos[labelled.rows.video]))
        part = split_train_dev(inside, self.task, self.seed, self.settings.stride)
        return replace(self, labelled_rows=labelled, part=part, temporal=columns)


def prepare_train(
    work: Path,
    sources: Iterable[Source],
    settings: HeadSettings,
    annotations: Mapping[str, Annotation],
    task: Task,
    seed: int = 0,
    thin: bool = False,
    dev: bool = True,
    people: People = NO_PEOPLE,
) -> TrainData:
    """Read the annotated frames of these videos with all columns that `settings` ask for, and cut them, by groups of
    `people` where they are known.

    Temporal columns are learnt from all annotated frames here, and made from all frames, annotated or not. With `thin`
    only the rows that `part` uses are read, where `settings.stride` leaves some out (not for folds, which need all).
    Without `dev`, `part.train` is everything. A family that `streams` leaves large embeddings on disk.

    Raises InputError for features that are not finite or do not fit together, NoTrainingRows where there are none.
    """
    sources = tuple(sources)
    known = table.label_rows(_grouped(table.bare(table.frames(work, sources, annotations)), people), annotations, task)
    _check_sources(known, sources)
    train, held = cut_rows(known, task, seed, settings.stride, dev)
    columns = _learn_columns(work, sources, settings, known.rows, people)
    if thin:
        kept = np.sort(np.concatenate([train, held]))
        known, train, held = known.take(kept), np.searchsorted(kept, train), np.searchsorted(kept, held)
    extend = relative.extender(settings.relative, columns, work, sources, annotations, people.persons)
    on_disk = family(settings.family).streams
    rows = table.load(work, sources, annotations, extend, by_video(known.rows), on_disk)
    labelled = LabelledRows(_grouped(rows, people), known.truth)
    part = _slices(labelled, train, held, settings.stride)
    return TrainData(work, sources, settings, task, seed, labelled, part, columns, people)


def _grouped(rows: Rows, people: People) -> Rows:
    """Rows that know which videos belong together, where people are known."""
    return rows if people.groups is None else replace(rows, group=splits.groups(rows.videos, people.groups))


def _check_sources(known: LabelledRows, sources: tuple[Source, ...]) -> None:
    if not len(known):
        networks = ", ".join(source.network for source in sources)
        raise NoTrainingRows(f"none of its annotated frames has features of {networks}")


def by_video(rows: Rows) -> table.Frames:
    """The frames of each video that has any."""
    return {video: rows.frame[start:end] for video, start, end in rows.spans if end > start}


def _learn_columns(
    work: Path, sources: tuple[Source, ...], settings: HeadSettings, rows: Rows, people: People
) -> TemporalColumns:
    """Learn temporal columns from the frames of these rows, thinned evenly, one network at a time.

    An optional network's are learnt from the frames that have it: not from the zeros of a video without sound.
    """
    results: list[temporal.Components] = []
    every = -(-len(rows) // MOST_FOR_COMPONENTS)
    thinned = by_video(rows.take(np.arange(0, len(rows), every)))
    wanted = any(table.kind == "embedding" for table in settings.temporal)
    for source in sources:
        if wanted and "embedding" in (*source.kinds, *source.beside):
            only = [Source(source.network, ("embedding",), optional=source.optional)]
            if source.optional:  # the others say which frames there are
                only += [replace(other, kinds=(), beside=()) for other in sources if not other.optional]
            alone = settings.relative.model_copy(update={"beside": False})
            extend = relative.extender(alone, TemporalColumns(), work, only, rows.videos, people.persons)
            sample = table.load(work, only, thinned, extend, keep=thinned)
            results += temporal.fit(sample, settings.temporal).components
    return TemporalColumns(tuple(settings.temporal), tuple(results))


def fit(
    prepared: TrainData, part: TrainDevSplit, seed: int, on_progress: OnProgress = _quiet
) -> tuple[Model, dict[str, Any], float | None]:
    """Fit a head of `prepared.settings` on `part.train`, choose by `part.dev`, learn again from both if so set.

    Returns the model, the family's facts, and the official dev score before it learnt dev (None: no dev rows).
    """
    head = create_head(prepared)
    again = head.settings.refit and not head.learns_dev and len(part.dev) > 0
    until = 0.6 if again else 1.0
    dev = part.thin_dev if head.learns_dev else part.dev
    facts = head.fit(part.train, dev, seed, share_progress(on_progress, 0.0, until))
    scored = len(part.dev) > 0 and not head.learns_dev
    score = official_score(head.task, part.dev.truth, head.predict(part.dev.rows)) if scored else None
    if again:
        head.refit(part.train_and_dev, seed, share_progress(on_progress, until, 1 - until, "again, "))
    return as_model(prepared, head), facts, score


def create_head(prepared: TrainData) -> Head:
    """A head that has learnt nothing yet."""
    return family(prepared.settings.family)(prepared.task, prepared.settings)


def as_model(prepared: TrainData, head: Head) -> Model:
    """A head that was fitted on prepared rows, as a model."""
    return Model(head, prepared.sources, prepared.temporal, tuple(prepared.labelled_rows.rows.columns))


def official_score(task: Task, truth: NDArray[np.generic], scores: NDArray[np.float32]) -> float | None:
    """The task's official score of raw scores: au decided at 0.5, expr by argmax, va as it is. None if undefined."""
    score = task.score(truth, task.decide(scores))
    return score if np.isfinite(score) else None


def score_predictions(
    predictions: Predictions, annotations: Mapping[str, Annotation], task: Task
) -> tuple[float | None, NDArray[np.float64], int]:
    """The official score of raw predictions on the annotated frames among them, its parts by output (NaN: undefined),
    and how many frames these are. Of no such frame: None, no parts, 0.
    """
    rows = table.bare({video: frames for video, (frames, _) in predictions.videos.items()})
    truth, valid = table.truth(rows, annotations, task)
    if not valid.any():
        return None, np.empty(0), 0
    scores = np.concatenate([scores for _, scores in predictions.videos.values()])[valid]
    return official_score(task, truth[valid], scores), task.per_output(truth[valid], task.decide(scores)), len(scores)
