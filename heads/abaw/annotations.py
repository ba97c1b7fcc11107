"""Official annotation files: one per video, a header, then one line per frame (line i behind the header is frame i).

The formats of the ABAW organisers: au has twelve 0/1 per line and -1 for "not annotated", expr one class 0..7 or -1,
va two numbers in [-1, 1] or -5. A frame counts as annotated only if all of its numbers are.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.media import tables
from extract.runtime import file_names, inputs
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose
from heads.abaw.tasks import Task


@dataclass(frozen=True)
class Annotation:
    """One video's annotation; row i is frame i + 1. Rows that are not annotated hold 0."""

    video: str
    values: NDArray[np.generic]
    """au uint8 [F, 12] of 0/1; expr int8 [F] of 0..7; va float32 [F, 2] in [-1, 1]."""
    valid: NDArray[np.bool_]
    """[F]: whether the frame is annotated."""
    line: int = 0
    """In a file of several videos: this one's first line."""

    def place(self, source: Path, frame: int = 0) -> str:
        """Where the annotation (or that of a frame) was read from: file and line. `source` is the folder or file."""
        if self.line:
            return f"{source}: line {self.line}"
        path = source / f"{self.video}.txt"
        return f"{path}: line {frame + 1}" if frame else str(path)


def files(folder: Path) -> list[Path]:
    """The annotation files of a folder, sorted by name; a file is itself. Raises InputError where there are none."""
    if os.path.isfile(folder):
        return [folder]
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder; it should hold one annotation file <video>.txt per video")
    result = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".txt" and path.name[0] != ".")
    if not result:
        raise InputError(f"{folder}: no annotation files here; expected one <video>.txt per video")
    by_video: dict[str, Path] = {}
    for path in result:
        file_names.check(file_names.VIDEO, compose(path.stem), folder)
        if (other := by_video.setdefault(compose(path.stem), path)) is not path:
            raise InputError(
                f"{path}: {other.name} is of the same video {compose(path.stem)!r}; expected one file a video: remove "
                f"or rename one of them"
            )
    return result


def read(path: Path, task: Task) -> Annotation:
    """Read one annotation file of `task`.

    Raises InputError, with the line's number (the header is line 1), for a file that cannot be read, another
    header than the task's, and a line that has too few or too many numbers, no number, or one out of range.
    """
    header, body = inputs.head_and_body(inputs.read_utf8(path, "annotation file"))
    if "".join(header.split()) != task.header:
        raise InputError(f"{path}: line 1 is {header.strip()[:80]!r}, expected the header {task.header!r}")
    if not body:
        raise InputError(f"{path}: nothing behind the header; expected one line per frame")
    values, valid = [], []
    for numbers in _parse(body, task.columns):
        if numbers is None or not task.is_legal(numbers).all():
            raise _first_problem(path, body, task)
        valid.append((numbers > task.unlabelled_value).all(1))
        numbers[~valid[-1]] = 0
        values.append(task.as_truth(numbers))
    return Annotation(compose(path.stem), np.concatenate(values), np.concatenate(valid))


def _parse(body: memoryview, columns: int) -> Iterator[NDArray[np.float64] | None]:
    """Numbers of a comma-separated table, some lines [n, columns] at a time, an empty cell NaN; None where it is not
    one. Fast: 1.8 million lines in seconds.
    """
    import pyarrow as pa

    types = {str(i): pa.float64() for i in range(columns)}
    try:
        for batch in tables.parse_rows(body, types, quote_char=False):
            yield np.stack([tables.as_numbers(column) for column in batch.columns], axis=1)
    except pa.ArrowInvalid:
        yield None


def _first_problem(path: Path, body: memoryview, task: Task) -> InputError:
    """Find the first bad line the slow way, and say what is wrong with it."""
    for number, line in enumerate(map(bytes.decode, io.BytesIO(body)), start=2):
        where = f"{path}: line {number}"
        parts = line.split(",") if line.strip() else []
        if len(parts) != task.columns:
            return InputError(
                f"{where} has {len(parts)} values ({line.strip()[:60]!r}), expected {task.columns}: {task.header}"
            )
        for part in parts:
            if wrong := problem(part, task):
                return InputError(f"{where}: {wrong}")
    return InputError(f"{path}: not a table of {task.columns} comma-separated numbers per line")


def problem(text: str, task: Task) -> str:
    """What is wrong with one value of an official file; empty: nothing."""
    shown, expected = text.strip()[:40], f"expected {task.legal_values}"
    try:
        value = float(text)
    except ValueError:
        return f"{shown!r} is no number; {expected}"
    return "" if task.is_legal(np.array([value]))[0] else f"{shown} is out of range; {expected}"
