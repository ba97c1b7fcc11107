"""The annotation file of the multi-task challenge (s-Aff-Wild2): one line per picture, all three tasks on it.

A header, then `video/00001.jpg,valence,arousal,expression,AU1,...,AU26`. Each task is annotated on its own: valence and
arousal unless one of them is -5, the expression unless it is -1, the units unless one of them is -1. So each line is a
row of the tasks it is annotated for, and of no other. Any selection of a video's frames, in any order.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.media import tables
from extract.runtime import inputs, limits
from extract.runtime.errors import InputError
from heads.abaw import annotations as annotation_files
from heads.abaw import test_list
from heads.abaw.tasks import AU, MTL_COLUMNS, MTL_EXAMPLE, MTL_HEADER, TASKS, Task, is_mtl_header

PARTS = {"va": slice(0, 2), "expr": slice(2, 3), "au": slice(3, 15)}
"""The numbers of each task among the fifteen of a line."""


def read(path: Path, task: Task) -> dict[str, annotation_files.Annotation]:
    """One task's annotation of every video in the file, sorted by video; frames that are not in it are not annotated.

    About a second for 150,000 lines. Raises InputError, with the line's number (the header is line 1), for a file that
    cannot be read, a missing or other header, a line that names no picture or does not hold fifteen legal numbers
    (of whichever task), a picture that occurs twice, and a frame number that must be a typo.
    """
    images, numbers = _table(path)
    names, video_of, frame_of = _placed(path, images)
    own = numbers[:, PARTS[task.name]]
    valid = (own > task.unlabelled_value).all(1)
    values = np.where(valid[:, None], own, 0).astype(task.dtype)
    order = np.argsort(video_of, kind="stable")
    ends = np.searchsorted(video_of[order], np.arange(len(names) + 1))
    results = {}
    for name, start, end in zip(names, ends[:-1], ends[1:], strict=True):
        rows = order[start:end]
        at = frame_of[rows] - 1
        dense = np.zeros((int(at.max()) + 1, own.shape[1]), values.dtype)
        annotated = np.zeros(len(dense), bool)
        dense[at], annotated[at] = values[rows], valid[rows]
        results[name] = annotation_files.Annotation(name, task.as_truth(dense), annotated, int(rows.min()) + 2)
    return results


def join(parts: Sequence[Mapping[str, annotation_files.Annotation]]) -> dict[str, annotation_files.Annotation]:
    """The annotations that `read` gives of each of some tasks as those of all together (`tasks.JointTask`): a frame
    counts as annotated that is so for any of them.
    """
    results = {}
    for video, first in parts[0].items():
        own = [annotations[video] for annotations in parts]
        valid = np.stack([annotation.valid for annotation in own])
        columns = [annotation.values.reshape(len(first.valid), -1).astype(np.float32) for annotation in own]
        values = [np.where(there[:, None], given, np.nan) for there, given in zip(valid, columns, strict=True)]
        results[video] = annotation_files.Annotation(video, np.concatenate(values, axis=1), valid.any(0), first.line)
    return results


def read_list(path: Path, task: Task) -> test_list.TestList:
    """The file's pictures, in its order, as a list of what to predict. Raises InputError as `read` does."""
    images = _table(path)[0]
    names, video_of, frame_of = _placed(path, images)
    return test_list.TestList(path, task.list_header, images, names, video_of, frame_of)


def _table(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """The pictures, and the fifteen numbers of each line [N, 15], all legal."""
    import pyarrow as pa

    header, body = inputs.head_and_body(inputs.read_utf8(path, "annotation file"))
    if not is_mtl_header(header):
        what = "the header is missing: line 1 is" if test_list.place([header.split(",")[0].strip()]) else "line 1 is"
        raise InputError(f"{path}: {what} {header.strip()[:80]!r}, expected the header {MTL_HEADER!r}")
    if not body:
        raise InputError(f"{path}: nothing behind the header; expected lines such as {MTL_EXAMPLE}")
    names = [str(i) for i in range(MTL_COLUMNS)]
    types = {"image": pa.string(), **dict.fromkeys(names, pa.float64())}
    images, parts = [], []
    try:
        for batch in tables.parse_rows(body, types, quote_char=False):
            numbers = np.stack([tables.as_numbers(batch[name]) for name in names], axis=1)
            if not all(TASKS[name].is_legal(numbers[:, part]).all() for name, part in PARTS.items()):
                raise _first_problem(path, body)
            images += [image.strip() for image in batch["image"].to_pylist()]
            parts.append(numbers.astype(np.float32))
    except pa.ArrowInvalid:
        raise _first_problem(path, body) from None
    return images, np.concatenate(parts)


def _placed(path: Path, images: list[str]) -> tuple[list[str], NDArray[np.int32], NDArray[np.int32]]:
    """Videos (sorted), and of each line the number of its video and its frame."""
    if (placed := test_list.place(images)) is None:
        line, image = next((i, image) for i, image in enumerate(images, start=2) if test_list.place([image]) is None)
        raise InputError(
            f"{path}: line {line} begins with {image[:80]!r}, expected <video>/<frame number from 1>.jpg, "
            f"as in {MTL_EXAMPLE}"
        )
    videos, frame_of = placed
    names, video_of = test_list.number_videos(path, videos)
    order = np.lexsort((frame_of, video_of))
    same = (np.diff(video_of[order]) == 0) & (np.diff(frame_of[order]) == 0)
    if same.any():
        again, before = min((order[i + 1], order[i]) for i in np.flatnonzero(same))  # the sort keeps the lines' order
        raise InputError(f"{path}: line {again + 2} annotates {images[again]} again; it was on line {before + 2}")
    count = np.bincount(video_of)
    if (far := np.flatnonzero(frame_of > np.minimum(test_list.IMPLAUSIBLE * count, limits.FRAMES)[video_of])).size:
        raise InputError(
            f"{path}: line {far[0] + 2} is of frame {frame_of[far[0]]}, but only {count[video_of[far[0]]]} frames of "
            f"the video {videos[far[0]]!r} are annotated; is it a typo?"
        )
    return names, video_of, frame_of


def _first_problem(path: Path, body: memoryview) -> InputError:
    """Find the first bad line the slow way, and say what is wrong with it."""
    for number, line in enumerate(map(bytes.decode, io.BytesIO(body)), start=2):
        _, *cells = line.split(",")
        where = f"{path}: line {number}"
        if len(cells) != MTL_COLUMNS:
            return InputError(
                f"{where} has {len(cells) + bool(line.strip())} values ({line.strip()[:60]!r}), expected "
                f"{MTL_COLUMNS + 1}: a picture, valence, arousal, expression and {len(AU)} units"
            )
        for task, part in PARTS.items():
            for cell in cells[part]:
                if problem := annotation_files.problem(cell, TASKS[task]):
                    return InputError(f"{where}: {task}: {problem}")
    return InputError(f"{path}: not a table of a picture and {MTL_COLUMNS} numbers per line")
