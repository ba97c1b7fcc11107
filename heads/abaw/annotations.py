"""Official annotation files: one per video, a header, then one line per frame (line i behind the header is frame i).

The formats of the ABAW organisers: au has twelve 0/1 per line and -1 for "not annotated", expr one class 0..7 or -1,
va two numbers in [-1, 1] or -5. A frame counts as annotated only if all of its numbers are.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".txt" and path.name[0] != ".")
    if not found:
        raise InputError(f"{folder}: no annotation files here; expected one <video>.txt per video")
    by_video: dict[str, Path] = {}
    for path in found:
        file_names.check(file_names.VIDEO, compose(path.stem), folder)
        if (other := by_video.setdefault(compose(path.stem), path)) is not path:
            raise InputError(
                f"{path}: {other.name} is of the same video {compose(path.stem)!r}; expected one file a video: remove "
                f"or rename one of them"
            )
    return found


def read_text(path: Path) -> str:
    """What an annotation file says. Raises InputError for one that is missing or no text."""
    return inputs.read_text(path, "annotation file")


def read(path: Path, task: Task) -> Annotation:
    """Read one annotation file of `task`.

    Raises InputError, with the line's number (the header is line 1), for a file that cannot be read, another
    header than the task's, and a line that has too few or too many numbers, no number, or one out of range.
    """
    text = read_text(path)
    header, _, body = text.partition("\n")
    if "".join(header.split()) != task.header:
        raise InputError(f"{path}: line 1 is {header.strip()[:80]!r}, expected the header {task.header!r}")
    body = body.rstrip()
    if not body:
        raise InputError(f"{path}: nothing behind the header; expected one line per frame")
    numbers = _parse(body, task.columns)
    if numbers is None or not task.is_legal(numbers).all():
        raise _first_problem(path, body, task)
    valid = (numbers > task.unlabelled).all(1)
    numbers[~valid] = 0
    return Annotation(compose(path.stem), task.as_truth(numbers), valid)


def _parse(body: str, columns: int) -> NDArray[np.float64] | None:
    """Numbers of a comma-separated table [F, columns], or None if it is not one. Fast: 1.8 million lines in seconds."""
    import pyarrow as pa
    from pyarrow import csv

    names = [str(i) for i in range(columns)]
    try:
        table = csv.read_csv(
            io.BytesIO(body.encode() + b"\n"),
            read_options=csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=csv.ParseOptions(delimiter=",", quote_char=False, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float64())),
        )
    except pa.ArrowInvalid:
        return None
    if any(column.null_count for column in table.columns):
        return None
    return np.stack([column.to_numpy() for column in table.columns], axis=1)


def _first_problem(path: Path, body: str, task: Task) -> InputError:
    """Find the first bad line the slow way, and say what is wrong with it."""
    for number, line in enumerate(body.split("\n"), start=2):
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
