"""Everything the blend works on, as arrays: dense, gap-filled scores of every head, and the truth where it is known.

The border: what comes in is checked here, once, and what leaves is aligned. Heads and videos are sorted by name, so the
order of files, folders and rows never matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from blend import timeline
from extract.errors import InputError
from heads.labels import Annotation
from heads.predictions import Predictions
from heads.tasks import Task
from heads.testlist import TestList


@dataclass(frozen=True)
class Truth:
    """The validly annotated frames: `rows` [N] of the timeline, rising, and their values (see `heads.tasks.Task`)."""

    rows: NDArray[np.int64]
    values: NDArray[np.generic]


@dataclass(frozen=True)
class Pool:
    """Scores of H heads on all T frames of V videos (sorted by name), T = sum of the videos' lengths."""

    task: Task
    heads: tuple[str, ...]
    videos: tuple[str, ...]
    offsets: NDArray[np.int64]
    """[V + 1]: video v is frames offsets[v] .. offsets[v + 1] - 1, that is frame numbers 1, 2, ..."""
    scores: NDArray[np.float32]
    """[H, T, C], no gaps."""
    present: NDArray[np.bool_]
    """[T]: every head has a prediction of its own here; elsewhere at least one was filled."""
    truth: Truth | None = None
    without_face: tuple[str, ...] = field(default=())
    """Videos without any prediction: all of their frames hold the training prior."""

    @property
    def known(self) -> Truth:
        """The truth. Raises ValueError for a pool without one (test)."""
        if self.truth is None:
            raise ValueError("this pool has no truth")
        return self.truth

    @property
    def video_of(self) -> NDArray[np.int64]:
        """Number of the video of every annotated frame, [N]."""
        return np.searchsorted(self.offsets, self.known.rows, side="right") - 1

    def score(self, decided: NDArray[np.generic]) -> float:
        """The official score of decisions on all T frames, over the annotated ones."""
        return self.task.score(self.known.values, decided[self.known.rows])

    def select(self, keep: Sequence[int]) -> Pool:
        """The pool of some videos (rising numbers), as if the others had never been there."""
        pieces = [np.arange(self.offsets[v], self.offsets[v + 1]) for v in keep]
        rows = np.concatenate(pieces)
        offsets = timeline.offsets_of([len(piece) for piece in pieces])
        truth = None
        if self.truth is not None:
            kept = np.isin(self.video_of, keep)
            shift = np.zeros(len(self.videos), np.int64)
            shift[list(keep)] = offsets[:-1] - self.offsets[list(keep)]
            truth = Truth(self.truth.rows[kept] + shift[self.video_of[kept]], self.truth.values[kept])
        videos = tuple(self.videos[v] for v in keep)
        return replace(
            self,
            videos=videos,
            offsets=offsets,
            scores=np.ascontiguousarray(self.scores[:, rows]),
            present=self.present[rows],
            truth=truth,
            without_face=tuple(video for video in self.without_face if video in videos),
        )


def for_validation(
    task: Task,
    found: dict[str, Predictions],
    annotations: dict[str, Annotation],
    prior: NDArray[np.float32],
    where: str = "validation",
) -> Pool:
    """The pool of the annotated videos. A timeline is as long as the annotation, or to the last prediction if that is
    later.

    Raises InputError where predictions are of unknown videos or differ in their videos, and where no frame is
    annotated.
    """
    videos = sorted(annotations)
    lengths = [max(len(annotations[video].valid), _last(found, video)) for video in videos]
    pool = _pool(task, found, videos, lengths, prior, where, "has no annotation")
    rows = np.concatenate(
        [pool.offsets[v] + np.flatnonzero(annotations[video].valid) for v, video in enumerate(videos)]
    )
    if not len(rows):
        raise InputError(
            f"{where}: not one validly annotated frame in {len(videos)} videos; nothing to choose a blend by"
        )
    values = np.concatenate([annotations[video].values[annotations[video].valid] for video in videos])
    return replace(pool, truth=Truth(rows, values))


def for_test(task: Task, found: dict[str, Predictions], listed: TestList, prior: NDArray[np.float32]) -> Pool:
    """The pool of the listed videos; a timeline reaches to the last listed frame, or to the last prediction if that is
    later.

    Raises InputError where heads differ in their videos, or have predictions of a video that is not listed.
    """
    frames = listed.videos
    lengths = [max(int(frames[video][-1]), _last(found, video)) for video in listed.names]
    return _pool(task, found, listed.names, lengths, prior, "test", f"is not in {listed.path}")


def _last(found: dict[str, Predictions], video: str) -> int:
    """The last frame with a prediction, 0 where there is none."""
    return max(
        (
            int(head.videos[video][0][-1])
            for head in found.values()
            if video in head.videos and len(head.videos[video][0])
        ),
        default=0,
    )


def _pool(
    task: Task,
    found: dict[str, Predictions],
    videos: Sequence[str],
    lengths: Sequence[int],
    prior: NDArray[np.float32],
    where: str,
    unknown: str,
) -> Pool:
    if not found:
        raise InputError(
            f"{where}: no head has made predictions for task {task.name!r}; is heads.{task.name}.use empty?"
        )
    heads = tuple(sorted(found))
    for head in heads:
        for video in sorted(set(found[head].videos) - set(videos)):
            raise InputError(f"{where} predictions of head {head!r}: the video {video!r} {unknown}")
    seen = set().union(*(found[head].videos for head in heads))
    for head in heads:
        for video in sorted(seen - set(found[head].videos)):
            other = next(name for name in heads if video in found[name].videos)
            raise InputError(
                f"{where} predictions of head {head!r} lack the video {video!r}, which head {other!r} has; "
                f"make them anew, or leave the head out with heads.{task.name}.use"
            )
    scores = np.empty((len(heads), int(sum(lengths)), len(task.outputs)), np.float32)
    present = np.ones(scores.shape[1], bool)
    for h, head in enumerate(heads):
        scores[h] = timeline.dense(videos, lengths, found[head].videos, prior)
        present &= timeline.present(videos, lengths, found[head].videos)
    faceless = tuple(video for video in videos if video not in seen)
    return Pool(task, heads, tuple(videos), timeline.offsets_of(lengths), scores, present, None, faceless)
