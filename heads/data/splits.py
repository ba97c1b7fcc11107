"""Slices and folds of videos: frames of one video never stand on both sides, in folds not even of one recording.

A recording is a video, or two that are called `x_left` and `x_right` (or `x`): two faces on one sound track. A head
that hears would know one from the other, and its out-of-fold score would say too much. Where people are known
(`corpus.people`), slices and folds keep all recordings of a person together, too: a head knows people by their faces.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from extract.media.frames import SIDES, strip_side
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import JointTask, Task

SHARE = 0.2
DRAWS = 200
BINS = np.linspace(-1, 1, 6)[1:-1]
"""VA is compared by histograms of five bins per dimension."""


def recording(video: str, among: Container[str]) -> str:
    """The recording that a video is of: its name, without the side where the other, or `x` itself, is `among` them."""
    name = strip_side(video)
    return name if sum(f"{name}{side}" in among for side in ("", *SIDES)) > 1 else video


def recordings(videos: Sequence[str]) -> NDArray[np.int64]:
    """The number of the recording that each of these videos is of, [V]: 0, 1, ... in order of their first videos."""
    among, numbers = set(videos), dict[str, int]()
    return np.array([numbers.setdefault(recording(v, among), len(numbers)) for v in videos], np.int64)


def groups(videos: Sequence[str], people: Mapping[str, str] | None = None) -> NDArray[np.int64]:
    """The number of the group that each of these videos belongs to, [V]: 0, 1, ... in order of their first videos.

    A group is what must not stand on both sides of a split: a recording and, where `people` (video -> person) says so,
    all recordings of a person. Videos that `people` does not name are grouped by recording alone.
    """
    of = recordings(videos)
    first: dict[str, int] = {}
    for v, video in enumerate(videos):
        if people is None or video not in people:
            continue
        target = first.setdefault(people[video], int(of[v]))
        if of[v] != target:
            low, high = sorted((int(of[v]), int(target)))
            of[of == high] = low
            first = {person: low if number == high else number for person, number in first.items()}
    return np.unique(of, return_inverse=True)[1].astype(np.int64)


def name_groups(videos: Iterable[str], people: Mapping[str, str] | None) -> dict[str, str] | None:
    """Video -> the name of its group among these `videos`: people for `groups` that keeps some of them together as all
    of them are. A recording of two people ties these, also where only one of its sides is looked at. None for None.
    """
    if people is None:
        return None
    names = sorted(videos)
    return {video: str(group) for video, group in zip(names, groups(names, people).tolist(), strict=True)}


def _together(of: NDArray[np.int64], values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Sums [recordings, ...] of what each video [V, ...] has."""
    sums = np.zeros((int(of.max(initial=-1)) + 1, *values.shape[1:]))
    np.add.at(sums, of, values)
    return sums


def label_counts(
    truth: NDArray[np.generic], video: NDArray[np.int32], videos: int, task: Task | JointTask
) -> NDArray[np.float64]:
    """How often each video shows each label: [videos, K]; K = 12 units, 8 classes, or 5 bins of each dimension, or all
    of them.
    """
    counts = [_count_labels(own, video[rows], videos, part) for part, rows, own in task.split(truth)]
    return np.concatenate(counts, axis=1)


def _count_labels(truth: NDArray[np.generic], video: NDArray[np.int32], videos: int, task: Task) -> NDArray[np.float64]:
    shows = task.as_columns(truth)
    if task.is_regression:
        bins = len(BINS) + 1
        shows = np.concatenate([np.eye(bins)[np.digitize(truth[:, i], BINS)] for i in range(truth.shape[1])], axis=1)
    counts = np.zeros((videos, shows.shape[1]))
    np.add.at(counts, video, shows)
    return counts


def dev_videos(
    counts: NDArray[np.float64], frames: NDArray[np.int64], seed: int, of: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Choose about SHARE of the videos [V] for the dev slice: the best of DRAWS seeded random draws.

    With `of` [V], the number of each video's group, about SHARE of the groups: whole ones.

    Best means: every label that occurs in two videos or more occurs on both sides, then label rates and the number of
    frames nearest to the whole. counts [V, K] are label counts and frames [V] labelled frames per video; videos
    without labelled frames are never chosen. With fewer than two labelled videos (or groups) nothing is chosen.
    """
    if of is not None:
        whole = _together(of, frames).astype(np.int64)
        return dev_videos(_together(of, counts), whole, seed)[of] & (frames > 0)
    usable = np.flatnonzero(frames > 0)
    chosen = np.zeros(len(frames), bool)
    if len(usable) < 2:
        return chosen
    counts, sizes = counts[usable], frames[usable].astype(np.float64)
    both = (counts > 0).sum(0) >= 2
    rates = counts.sum(0) / sizes.sum()
    rng = np.random.default_rng(seed)
    size = min(max(1, round(SHARE * len(usable))), len(usable) - 1)
    best, best_cost = None, np.inf
    for _ in range(DRAWS):
        draw = rng.permutation(len(usable))[:size]
        dev = counts[draw].sum(0)
        lacking = (both & ((dev == 0) | (dev == counts.sum(0)))).sum()
        off = np.abs(dev / sizes[draw].sum() - rates).sum() + abs(sizes[draw].sum() / sizes.sum() - SHARE)
        if (cost := 1000.0 * lacking + off) < best_cost:
            best, best_cost = draw, cost
    chosen[usable[best]] = True
    return chosen


def folds(
    videos: Sequence[str],
    content: NDArray[np.float64],
    known: NDArray[np.bool_],
    count: int,
    seed: int,
    people: Mapping[str, str] | None = None,
) -> list[list[int]]:
    """Numbers of videos -> at most `count` folds of whole recordings (and people: see `groups`) that resemble each
    other in all columns of `content` [V, K] (frames, labels). `videos` [V] are names.

    Greedy: the heaviest recording first, each to the fold that stays closest to its fair share of every column. Only
    recordings with a video that is `known` [V] (has a labelled frame) make folds; the others follow at the end. Fewer
    folds than asked for where fewer recordings are known. Each fold's videos rise, and so do the folds.
    """
    of = groups(videos, people)
    content, known = _together(of, content), _together(of, known) > 0
    count = min(count, int(known.sum()))
    if count < 1:
        return []
    share = content / np.maximum(content.sum(0), 1e-9)
    shuffled = np.random.default_rng(seed).permutation(len(content))
    order = sorted(shuffled, key=lambda v: (not known[v], -share[v].max()))
    filled = np.zeros((count, share.shape[1]))
    members: list[list[int]] = [[] for _ in range(count)]
    room = -(-len(content) // count)
    for v in order:
        after = [
            ((filled[f] + share[v] - 1 / count) ** 2).sum() - ((filled[f] - 1 / count) ** 2).sum()
            if len(members[f]) < room
            else np.inf
            for f in range(count)
        ]
        if not known[v] or not all(members):  # every fold gets an annotated video first
            after = [len(members[f]) if not known[v] or not members[f] else np.inf for f in range(count)]
        fold = int(np.argmin(after))
        members[fold].append(int(v))
        filled[fold] += share[v]
    return sorted(np.flatnonzero(np.isin(of, fold)).tolist() for fold in members)


def fold_numbers(
    annotations: Mapping[str, Annotation],
    task: Task | JointTask,
    count: int,
    seed: int,
    people: Mapping[str, str] | None = None,
) -> list[list[str]]:
    """Annotated videos -> at most `count` folds of whole recordings and people, alike in size and labels (`folds`)."""
    names = sorted(annotations)
    known = np.array([int(annotations[name].valid.sum()) for name in names], np.int64)
    truth = np.concatenate([annotations[name].values[annotations[name].valid] for name in names])
    video = np.repeat(np.arange(len(names), dtype=np.int32), known)
    content = np.column_stack([known, label_counts(truth, video, len(names), task)])
    return [[names[v] for v in fold] for fold in folds(names, content, known > 0, count, seed, people)]
