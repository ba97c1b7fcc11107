"""Annotations of single pictures: each lies in the folder of its class.

As the challenge of learning from synthetic data has them: `training_set_synthetic_images/FEAR/12.jpg`. Sets of pictures
stand for videos (extract.media.picture_sets), so what is learnt, split and scored is as it is of videos.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from extract.media import picture_sets
from extract.runtime.errors import InputError, did_you_mean
from heads.abaw import annotations
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import Task
from heads.abaw.test_list import TestList

TELLING = 3
"""So many first letters tell classes apart: the official folder of Anger is called ANGRER, elsewhere ANGERE."""


def read(root: Path, task: Task) -> dict[str, Annotation]:
    """The class of every picture, by set. All are annotated.

    Raises InputError as `picture_sets.list_classes`, for a folder of no class, two of one class, and an empty class.
    """
    class_of = _match_classes(root, task)
    results = {}
    for name, video in picture_sets.list_folder(root).items():
        values = np.array([[class_of[picture.partition("/")[0]]] for picture in video.names or ()])
        results[name] = Annotation(name, task.as_truth(values), np.ones(len(values), bool))
    return results


def _match_classes(root: Path, task: Task) -> dict[str, int]:
    """Folder -> class."""
    pictures = picture_sets.list_classes(root)
    known = {output[:TELLING].lower(): number for number, output in enumerate(task.outputs)}
    names = [output.upper() for output in task.outputs]
    results: dict[str, int] = {}
    for folder in pictures:
        number = known.get(folder[:TELLING].lower())
        if number is None:
            hint = did_you_mean(folder.upper(), names)
            raise InputError(
                f"{root / folder}: the folder of no class of task {task.name!r}; expected {', '.join(names)}: rename "
                f"it, or move it away{hint}"
            )
        if number in results.values():
            other = next(name for name, its in results.items() if its == number)
            raise InputError(f"{root / folder}: {other!r} is of {names[number]} too; expected one folder for a class")
        results[folder] = number
    there = {number for folder, number in results.items() if pictures[folder]}
    if lacking := [name for number, name in enumerate(names) if number not in there]:
        raise InputError(f"{root}: no pictures of {', '.join(lacking)}; expected a folder with some for each class")
    return results


def read_labels(path: Path, task: Task) -> dict[str, Annotation]:
    """The same of a test list's pictures, from a list with the class of each behind it: for scores.

    Raises InputError as `picture_sets.read_list`, and with its line for a picture without a class.
    """
    images, cells = picture_sets.read_list(path)
    wrong = {cell: annotations.problem(cell, task) for cell in set(cells)}
    for number, cell in enumerate(cells, start=2):
        if wrong[cell]:
            raise InputError(
                f"{path}: line {number}: {wrong[cell]}; is this a test list? {picture_sets.LAYOUT}, or, for scores "
                f"alone, a list with each picture's class"
            )
    names, set_of, _ = picture_sets.place_listed_pictures(path, len(images))
    numbers = np.array(cells, np.float64)[:, None]
    valid = numbers[:, 0] > task.unlabelled_value
    values = task.as_truth(np.where(valid[:, None], numbers, 0))
    rows = [np.flatnonzero(set_of == v) for v in range(len(names))]
    return {
        name: Annotation(name, values[own], valid[own], int(own[0]) + 2) for name, own in zip(names, rows, strict=True)
    }


def read_list(root: Path, task: Task) -> TestList:
    """All pictures of such a folder, as a list of what to predict. Raises InputError as `picture_sets.list_folder`."""
    sets = picture_sets.list_folder(root)
    names = [video.names or () for video in sets.values()]
    frames = np.concatenate([np.arange(1, len(each) + 1, dtype=np.int32) for each in names])
    video_of = np.repeat(np.arange(len(sets), dtype=np.int32), [len(each) for each in names])
    return TestList(root, task.list_header, [name for each in names for name in each], [*sets], video_of, frames)
