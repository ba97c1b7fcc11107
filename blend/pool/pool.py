"""Everything the blend works on, as arrays: dense, gap-filled scores of every head, and the truth where it is known.

The border: what comes in is checked here, once, and what leaves is aligned. Heads and videos are sorted by name, so the
order of files, folders and rows never matters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from blend.pool import gap_filling
from blend.tasks.lookup import BLEND_TASKS
from blend.tasks.protocol import BlendTask
from extract.runtime.errors import InputError
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import Task
from heads.abaw.test_list import TestList
from heads.data import splits
from heads.data.predictions import Predictions

IMPLAUSIBLE = 1000
"""So many frames behind twice a video's length are a typo in a frame's number, or another video's predictions."""


@dataclass(frozen=True)
class Truth:
    """The validly annotated frames: `rows` [N] of the timeline, rising, and their values (see `tasks.Task`)."""

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
    coverage: NDArray[np.bool_] | None = None
    """[H, T]: a head has a prediction of its own here; elsewhere it was filled."""
    people: tuple[str, ...] | None = None
    """The person in each video, in their order, where `corpus.people` tells; "" where it tells of others only."""

    @property
    def blend_task(self) -> BlendTask:
        """What the blend does with the kind of the task's labels."""
        return BLEND_TASKS[self.task.name]

    @property
    def groups(self) -> NDArray[np.int64]:
        """The number of the person, or else of the recording, that each video is of, [V]: folds and draws keep them
        together (heads.data.splits.groups).
        """
        return splits.groups(self.videos, self.person_of)

    @property
    def person_of(self) -> dict[str, str] | None:
        """Video -> person, where `corpus.people` tells."""
        if self.people is None:
            return None
        return {video: person for video, person in zip(self.videos, self.people, strict=True) if person}

    @property
    def covered_frames(self) -> NDArray[np.bool_] | None:
        """[T]: some head has a prediction of its own here; None where that is so everywhere."""
        seen = self.present if self.coverage is None else self.coverage.any(0)
        return None if seen.all() else np.ascontiguousarray(seen)

    @property
    def known_truth(self) -> Truth:
        """The truth. Raises ValueError for a pool without one (test)."""
        if self.truth is None:
            raise ValueError("this pool has no truth")
        return self.truth

    @property
    def video_of(self) -> NDArray[np.int64]:
        """Number of the video of every annotated frame, [N]."""
        return np.searchsorted(self.offsets, self.known_truth.rows, side="right") - 1

    def score(self, decided: NDArray[np.generic]) -> float:
        """The official score of decisions on all T frames, over the annotated ones."""
        return self.task.score(self.known_truth.values, decided[self.known_truth.rows])

    def count_gaps(self, rows: NDArray[np.int64]) -> dict[str, int]:
        """Of these frames, how many each head has no prediction of its own for."""
        if self.coverage is None:
            return dict.fromkeys(self.heads, 0)
        return {head: int((~own[rows]).sum()) for head, own in zip(self.heads, self.coverage, strict=True)}

    def rows_of(self, videos: Sequence[int]) -> NDArray[np.int64]:
        """The frames of some videos, one after the other."""
        return np.concatenate([np.arange(self.offsets[v], self.offsets[v + 1]) for v in videos])

    def select(self, keep: Sequence[int]) -> Pool:
        """The pool of some videos (rising numbers), as if the others had never been there."""
        rows, offsets = self.rows_of(keep), gap_filling.find_offsets(np.diff(self.offsets)[list(keep)])
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
            coverage=None if self.coverage is None else self.coverage[:, rows],
            truth=truth,
            people=None if self.people is None else tuple(self.people[v] for v in keep),
            without_face=tuple(video for video in self.without_face if video in videos),
        )


def for_validation(
    task: Task,
    result: dict[str, Predictions],
    annotations: dict[str, Annotation],
    prior: NDArray[np.float32],
    source: str = "validation",
    external: Collection[str] = (),
    people: Mapping[str, str] | None = None,
) -> Pool:
    """The pool of the annotated videos. A timeline is as long as the annotation, or to the last prediction if that is
    later. `external` names the heads that are not ours; `people` is who is in which video, where that is known.

    Raises InputError where predictions are of unknown videos or differ in their videos, and where no frame is
    annotated.
    """
    lengths = {video: len(annotations[video].valid) for video in sorted(annotations)}
    pool = _pool(task, result, lengths, prior, source, "has no annotation", external)
    rows = np.concatenate(
        [pool.offsets[v] + np.flatnonzero(annotations[video].valid) for v, video in enumerate(pool.videos)]
    )
    if not len(rows):
        what = f"not one validly annotated frame in {len(lengths)} videos"
        raise InputError(f"{source}: {what}; nothing to choose a blend by")
    values = np.concatenate([annotations[video].values[annotations[video].valid] for video in pool.videos])
    who = None if people is None else tuple(people.get(video, "") for video in pool.videos)
    return replace(pool, truth=Truth(rows, values), people=who)


def for_test(
    task: Task,
    result: dict[str, Predictions],
    listed: TestList,
    prior: NDArray[np.float32],
    external: Collection[str] = (),
    people: Mapping[str, str] | None = None,
) -> Pool:
    """The pool of the listed videos; a timeline reaches to the last listed frame, or to the last prediction if that is
    later. `external` names the heads that are not ours; `people` is who is in which video, taken where it tells of
    every listed video: groups of people and of recordings cannot be counted together.

    Raises InputError where heads differ in their videos, or have predictions of a video that is not listed.
    """
    lengths = {video: int(frames[-1]) for video, frames in listed.videos.items()}
    pool = _pool(task, result, lengths, prior, "test", f"is not in {listed.path}", external)
    who = tuple((people or {}).get(video, "") for video in pool.videos)
    return replace(pool, people=who if all(who) else None)


def _pool(
    task: Task,
    result: dict[str, Predictions],
    lengths: dict[str, int],
    prior: NDArray[np.float32],
    where: str,
    unknown: str,
    external: Collection[str],
) -> Pool:
    if not result:
        raise InputError(
            f"{where}: no head has made predictions for task {task.name!r}; is heads.{task.name}.use empty?"
        )
    heads, videos = tuple(sorted(result)), list(lengths)
    for head in heads:
        _check_videos(result[head], f"{where} predictions of head {head!r}", lengths, unknown)
    seen = set().union(*(result[head].videos for head in heads))
    ours = set().union(*(result[head].videos for head in heads if head not in external))
    for head in heads:
        # that ours have none of a video means that no face was found in it; of other heads we know no such thing
        for video in sorted((seen if head in external else ours) - set(result[head].videos)):
            other = next(name for name in heads if video in result[name].videos)
            remedy = (
                "give it at least one frame of it"
                if head in external
                else f"make them anew, or leave the head out with heads.{task.name}.use"
            )
            raise InputError(
                f"{_file(result[head])}{where} predictions of head {head!r} lack the video {video!r}, which head "
                f"{other!r} has; {remedy}"
            )
    last = [max([lengths[video], *(_last(result[head], video) for head in heads)]) for video in videos]
    scores = np.empty((len(heads), sum(last), len(task.outputs)), np.float32)
    own = np.empty(scores.shape[:2], bool)
    for h, head in enumerate(heads):
        scores[h] = gap_filling.dense(videos, last, result[head].videos, prior, not task.stills)
        own[h] = gap_filling.present(videos, last, result[head].videos)
    faceless, offsets = tuple(video for video in videos if video not in seen), gap_filling.find_offsets(last)
    return Pool(task, heads, tuple(videos), offsets, scores, np.asarray(own.all(0)), None, faceless, own)


def _check_videos(result: Predictions, what: str, lengths: dict[str, int], unknown: str) -> None:
    """Raise InputError for predictions of a video that is not expected, or of frames far behind its end."""
    for video, (frames, _) in result.videos.items():
        if video not in lengths:
            first = f" (its first prediction is of frame {frames[0]})" if len(frames) else ""
            if (plain := PurePath(video.replace("\\", "/")).stem) in lengths:
                first += f"; is it {plain!r}? A video's name is without folder and extension"
            raise InputError(f"{_file(result)}{what}: the video {video!r} {unknown}{first}")
        if (last := _last(result, video)) > 2 * lengths[video] + IMPLAUSIBLE:
            raise InputError(
                f"{_file(result)}{what}: video {video!r} frame {last}, but the video ends at frame {lengths[video]}; "
                f"a typo, or predictions of another video?"
            )


def _file(result: Predictions) -> str:
    return f"{result.path}: " if result.path is not None else ""


def _last(result: Predictions, video: str) -> int:
    """The last frame with a prediction, 0 where there is none."""
    if video not in result.videos or not len(result.videos[video][0]):
        return 0
    return int(result.videos[video][0][-1])


def as_row(prior: dict[str, float], task: Task) -> NDArray[np.float32]:
    """The prior in official order, [outputs]."""
    return np.array([prior[name] for name in task.outputs], np.float32)
