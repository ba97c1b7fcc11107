"""The annotated pictures of train, cut by recording and person, and what each label weighs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from extract.config import Corpus
from extract.learning.losses import JointTarget, Target
from extract.learning.pictures import LabelledPictures
from extract.learning.recipe import Recipe
from extract.media import picture_sets
from extract.runtime.errors import InputError
from heads import corpus_checks
from heads.abaw import multitask
from heads.abaw import read as labels
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import JointTask, Task
from heads.base import selection
from heads.base.head import class_weights
from heads.config import Config
from heads.data import people, splits


@dataclass(frozen=True)
class TrainingPictures:
    """What a network learns from, and the held-out part of train by which its epoch is chosen."""

    train: LabelledPictures
    dev: LabelledPictures
    target: Target | JointTarget
    videos: tuple[str, ...]
    """All annotated videos that it learns from, those of `dev` among them."""
    held_out: tuple[str, ...] = ()
    """Of a fold: the videos of the corpus that it stands for, none of which it learns from."""
    dev_videos: tuple[str, ...] = ()
    """Those of `dev`."""
    groups: NDArray[np.int64] | None = None
    """[N] of `train`: whose recording, or who, is shown."""


def read(config: Config, task: Task | JointTask, recipe: Recipe, seed: int, folds: int = 0) -> list[TrainingPictures]:
    """Annotated frames of train that have a picture: all of them, then those of each fold. Validation and test are
    checked against them, and not looked at.

    Raises InputError as `corpus_checks.read`, for a corpus without frames, a class without pictures, and where there
    are too few recordings (or people) to hold some out.
    """
    if not config.corpus.has_pictures:
        raise InputError(
            f"{config.place('corpus.frames')}: corpus.frames is missing: a network learns from pictures; name the "
            f"folder of <video>/00001.jpg"
        )
    annotations = corpus_checks.read(config, task.parts[0])[0]["train"]
    folder = config.corpus.task(task.place).train
    assert folder is not None, "corpus_checks.read sees to it"
    if len(task.parts) > 1:
        others = (labels.read_folder(folder, part) for part in task.parts[1:])
        annotations = multitask.join([annotations, *others])
    everybody = sorted(picture_sets.list_corpus(config.corpus))
    person_of = people.read(config.corpus, everybody)
    pictures, videos = list_pictures(config.corpus, annotations)
    if not len(pictures):
        raise InputError(f"{folder}: no annotated frame has a picture in {', '.join(map(str, config.corpus.frames))}")
    whole = _divide(pictures, videos, splits.groups(videos, person_of), task, recipe, seed, str(folder))
    if not folds:
        return [whole]
    known = {video: annotations[video] for video in videos}
    held = splits.fold_numbers(known, task, folds, seed, person_of)
    if len(held) < folds:
        raise InputError(f"--folds {folds}: {folder} has {len(held)} recordings or people; expected at least {folds}")
    of = splits.name_groups(everybody, person_of or {}) or {}
    results = [whole]
    for number, fold in enumerate(held, start=1):
        groups = {of[video] for video in fold}
        rest = [video for video in videos if of[video] not in groups]
        part = pictures.take(np.isin(pictures.video, [videos.index(video) for video in rest]))
        place = f"{folder}, without fold {number} of {folds}"
        akin = tuple(video for video in everybody if of[video] in groups)
        learnt = _divide(part, rest, splits.groups(rest, person_of), task, recipe, seed, place)
        results.append(replace(learnt, held_out=akin))
    return results


def _divide(
    pictures: LabelledPictures,
    videos: list[str],
    of: NDArray[np.int64],
    task: Task | JointTask,
    recipe: Recipe,
    seed: int,
    place: str,
) -> TrainingPictures:
    """What is learnt from, and whole groups of videos (`of` [V]) that choose the epoch, as the dev slices of heads."""
    counts = splits.label_counts(pictures.truth, pictures.video, len(videos), task)
    held = splits.dev_videos(counts, np.bincount(pictures.video, minlength=len(videos)), seed, of=of)
    if not held.any():
        raise InputError(
            f"{place}: {len(videos)} annotated videos with pictures, of {of.max() + 1} recording or person; expected "
            f"at least two, as the best epoch is chosen on videos that the network does not learn from"
        )
    rows = np.arange(len(pictures))
    within = rows - np.searchsorted(pictures.video, pictures.video)
    learnt = ~held[pictures.video] & (within % recipe.stride == 0)
    train, groups = pictures.take(learnt), of[pictures.video[learnt]]
    dev = pictures.take(held[pictures.video] & (within % recipe.dev_stride == 0))
    target, choosing = _create_target(task, train, recipe, place), tuple(videos[v] for v in np.flatnonzero(held))
    return TrainingPictures(train, dev, target, tuple(videos), dev_videos=choosing, groups=groups)


def list_pictures(corpus: Corpus, annotations: dict[str, Annotation]) -> tuple[LabelledPictures, list[str]]:
    """The pictures of annotated frames, by video and frame, and the videos that have some."""
    folders = picture_sets.list_corpus(corpus)
    videos, video, names, truth = [], [], [], []
    for name in sorted(annotations.keys() & folders.keys()):
        listed, annotation = folders[name].list_frames(), annotations[name]
        at = listed.numbers[listed.numbers <= len(annotation.valid)] - 1
        there = np.flatnonzero(annotation.valid[at])
        if len(there):
            video += [len(videos)] * len(there)
            videos.append(name)
            names += [listed.names[i] for i in there]
            truth.append(annotation.values[at[there]])
    places = tuple(folders[name].folder for name in videos)
    together = np.concatenate(truth) if truth else np.empty(0)
    return LabelledPictures(places, np.array(video, np.int32), tuple(names), together), videos


def _create_target(task: Task | JointTask, train: LabelledPictures, recipe: Recipe, place: str) -> Target | JointTarget:
    """What is to be learnt, weighted by the training pictures: classes by the largest count over theirs, as published
    (so the most frequent weighs 1); units as heads weigh them. Beside other tasks the classes' weights have mean 1 over
    the pictures, as the units' have: the losses are then of one size.
    """
    parts = []
    for part, _, truth in task.split(train.truth):
        weights: NDArray[np.float32] = selection.label_weights(truth, part, recipe.balance)
        counts = np.bincount(truth, minlength=len(part.outputs)) if part.is_multiclass else np.array([len(truth)])
        if not counts.all():
            what = f"of class {part.outputs[int(np.argmin(counts))]!r}" if part.is_multiclass else f"for {part.name}"
            raise InputError(
                f"{place}: no picture {what} among the {len(train):,} that are learnt from; expected some of each "
                f"{'class' if part.is_multiclass else 'task'}: annotate more videos, or lower finetune stride "
                f"({recipe.stride})"
            )
        if part.is_multiclass and len(task.parts) == 1:
            weights = class_weights(counts, recipe.balance).astype(np.float32)
        parts.append(Target(part.name, part.labels, part.outputs, weights))
    return parts[0] if len(parts) == 1 else JointTarget(task.name, tuple(parts))
