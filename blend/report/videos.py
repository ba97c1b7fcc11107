"""Every validation video by itself: what is decided on it by blends that were made without it, and its score.

The tables are sufficient statistics (`calibrate.video_counts`): from them any score, resample or difference of blends
follows, so `blend.compare` needs no predictions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.calibrate.video_counts import Table, encode_number
from blend.crossfit import estimate
from blend.crossfit.selection import SelectedBlend
from blend.decision import combine
from blend.decision.params import Params
from blend.pool.pool import Pool
from blend.report.schema import Person, PersonName, Video
from blend.tasks.lookup import BLEND_TASKS


@dataclass(frozen=True)
class VideoDecisions:
    """A way's answers on the annotated frames: blended scores [N, C] before they are cut, decisions [N, ...].

    `held_out`: every video is decided by a blend that was made without it. False only for a single annotated video.
    """

    scores: NDArray[np.float32]
    decisions: NDArray[np.generic]
    held_out: bool


def decide(pool: Pool, way: SelectedBlend) -> VideoDecisions:
    """What a way decides on held-out videos, or, where nothing can be held out, on the video that it was made from."""
    if way.cross_fit is None:
        return VideoDecisions(*_on_known(pool, way.params), False)
    folds, video_of = zip(way.cross_fit.folds, way.cross_fit.params, strict=True), pool.video_of
    parts = [_on_known(pool.select(held), params) for held, params in folds]
    place = np.concatenate([np.flatnonzero(np.isin(video_of, held)) for held in way.cross_fit.folds])
    scores, decisions = (np.concatenate(part)[place.argsort()] for part in zip(*parts, strict=True))
    return VideoDecisions(scores, decisions, True)


def _on_known(pool: Pool, params: Params) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    """Blended, smoothed scores [N, C] and decisions [N, ...] of the annotated frames."""
    rows = pool.known_truth.rows
    return combine.blend(pool, params)[rows], combine.combine(pool, params)[rows]


def facts(pool: Pool, decided: VideoDecisions, params: Params) -> list[Video]:
    """A table per annotated video, as report.json has them, in the order of their names."""
    task, videos = pool.task.name, len(pool.videos)
    truth, video_of = pool.known_truth, pool.video_of
    held = pool.blend_task.count(truth.values, decided.decisions, video_of, videos)
    made_on = estimate.count_decisions(pool, combine.combine(pool, params))
    labelled = np.bincount(video_of, minlength=videos)
    filled = np.bincount(video_of, weights=~pool.present[truth.rows], minlength=videos)
    total, group = held.sum(0), pool.groups
    results: list[Video] = []
    for v in np.flatnonzero(labelled):
        mine = video_of == v
        person: PersonName = {} if pool.people is None else {"person": pool.people[v] or None}
        results.append({
            "video": pool.videos[v], "group": int(group[v]), **person,
            "frames": int(pool.offsets[v + 1] - pool.offsets[v]), "labelled": int(labelled[v]),
            "filled": int(filled[v]),
            "score": encode_number(score_video(task, held[v])),
            "influence": encode_number(influence(task, total, held[v])),
            "truth": _hash(truth.rows[mine] - pool.offsets[v], truth.values[mine]),
            "counts": pool.blend_task.table_as_json(held[v]),
            "counts_submitted": pool.blend_task.table_as_json(made_on[v]),
        })  # fmt: skip
    return results


def people(pool: Pool, videos: Sequence[Video]) -> list[Person] | None:
    """A table per person from that of the videos (`facts`), in the order of their names; None where nobody is known."""
    if pool.people is None:
        return None
    task, held = pool.task.name, tables(videos)
    results: list[Person] = []
    for person in sorted({name for video in videos if (name := video["person"]) is not None}):
        mine = [v for v, item in enumerate(videos) if item["person"] == person]
        own = held[mine].sum(0)
        results.append({
            "person": person, "videos": [videos[v]["video"] for v in mine],
            "labelled": sum(videos[v]["labelled"] for v in mine), "score": encode_number(score_video(task, own)),
            "influence": encode_number(influence(task, held.sum(0), own)),
        })  # fmt: skip
    return results


def describe_decisions(task: str, videos: Sequence[Video]) -> dict[str, dict[str, float | None]]:
    """`BlendTask.describe_decisions` of all decisions together, from the videos' counts."""
    frames = sum(video["labelled"] for video in videos)
    each = BLEND_TASKS[task].describe_decisions(tables(videos).sum(0), frames)
    return {
        output: {name: encode_number(number) for name, number in numbers.items()} for output, numbers in each.items()
    }


def score_video(task: str, table: Table) -> float:
    """The score of a video, or of several together, from its counts: the mean over what occurs; va: over both."""
    parts, there = BLEND_TASKS[task].per_output(table), BLEND_TASKS[task].occurrences(table) > 0
    return float(parts[there].mean()) if there.any() else float("nan")


def influence(task: str, total: Table, video: Table) -> float:
    """What a video (or several) does to the score of all: their counts, and its own. NaN where nothing is left."""
    kind, rest = BLEND_TASKS[task], total - video
    change, left = kind.per_output(total) - kind.per_output(rest), kind.occurrences(rest) > 0
    return float(change[left].mean()) if left.any() else float("nan")


def tables(videos: Sequence[Mapping[str, Any]], key: str = "counts") -> Table:
    """The counts of a report's videos as one array, as `blend.calibrate.video_counts` has them."""
    return np.array([video[key] for video in videos], np.float64)


def _hash(frames: NDArray[np.int64], values: NDArray[np.generic]) -> str:
    """Of a video's annotated frames (numbers from 0) and their truth."""
    known = hashlib.sha256(np.ascontiguousarray(frames, np.int64).tobytes())
    known.update(np.ascontiguousarray(values).tobytes())
    return known.hexdigest()[:16]
