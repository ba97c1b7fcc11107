"""Other people's predictions: `--predictions NAME=FOLDER`, as Parquet, CSV, or official submission text.

A folder holds `val.*` and `test.*` (and `test_trainval.*`, where the model has learnt from validation too, and `oof.*`,
out-of-fold predictions of train); a single file may hold the frames of val and test. What is read is checked as our
own heads' files are (heads.data.predictions).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.config_file import at_home
from extract.media import tables
from extract.runtime import file_names, inputs, limits, run_folder
from extract.runtime.errors import InputError
from heads.abaw import test_list
from heads.abaw.tasks import IMAGE_COLUMN, Task
from heads.data import predictions
from heads.data.predictions import Predictions

SUFFIXES = (".parquet", ".csv", ".txt")
IMAGE_COLUMNS = ("image_location", "image")
RESERVED_NAMES = ("equal", "greedy", "searched", "submitted", "none")
"""Names that mean something else in the report or on the command line."""


def parse(entries: Iterable[str]) -> dict[str, Path]:
    """`NAME=FOLDER` (or `NAME=FILE`) entries -> {name: path}, sorted by name.

    Raises InputError for an entry that has no name or path, a name that is given twice or that cannot be one, and a
    path that does not exist.
    """
    results: dict[str, Path] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        name = name.strip()
        if not (equals and name and text.strip()):
            raise InputError(f"--predictions {entry!r}: expected NAME=FOLDER, as in theirs=predictions/theirs")
        if name in results:
            raise InputError(f"--predictions {entry!r}: the name {name!r} is given twice; each needs its own")
        results[name] = at_home(text.strip())
        check(name, results[name], f"--predictions {entry!r}")
    return dict(sorted(results.items()))


def check(name: str, path: Path, source: str) -> None:
    """Raise InputError, with `source` in front, for a name that no head may have and a path that does not exist."""
    if name in RESERVED_NAMES or set(name) & set(", /\\\n"):
        raise InputError(f"{source}: no head may be called {name!r}; choose another name")
    file_names.check("head", name, source)
    if not os.path.exists(path):
        raise InputError(f"{source}: {path} does not exist")


def find_files(folder: Path, part: str) -> Path | None:
    """The file of one part ("val", "test", "test_trainval", "oof") in a folder; None where there is none. A file is
    itself, for "val" and "test".

    Raises InputError where there are several.
    """
    if not os.path.isdir(folder):
        return None if part in ("test_trainval", "oof") else folder
    named = [path for path in sorted(folder.iterdir()) if path.stem == part and not path.is_dir()]
    results = [path for suffix in SUFFIXES for path in named if path.suffix.lower() == suffix]
    if len(results) > 1:
        raise InputError(f"{folder}: both {results[0].name} and {results[1].name} are there; keep one of them")
    return results[0] if results else None


def find_part(folder: Path, part: str) -> Path:
    """The file of one part in a folder. Raises InputError where there is none, or several."""
    path = find_files(folder, part)
    if path is None:
        raise InputError(
            f"{folder}: no {part} predictions here; expected one of "
            f"{', '.join(part + suffix for suffix in SUFFIXES)} with the columns video, frame and one per output"
        )
    return path


def read_external(path: Path, task: Task) -> Predictions:
    """Read and check one file; text is told from Parquet by its first bytes, not by its name.

    Text is either a table with the columns video, frame and one per output, or an official submission: a picture and
    its values in each line; a class's number becomes 1 for that class and 0 for the others, as do hard 0/1 units.
    Raises InputError that names the file, and the line, or video and frame, of the first problem.
    """
    inputs.require_file(path)
    run_folder.check_result(path, "make it anew; a file of your own belongs in another folder")
    try:
        with open(path, "rb") as handle:
            start = handle.read(4)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not start:
        raise InputError(f"{path}: the file is empty; expected Parquet, or text with the columns video, frame, ...")
    is_text = start != b"PAR1" and path.suffix.lower() != ".parquet"
    result = _read_text(path, task) if is_text else predictions.read(path, task)
    if not result.videos:
        raise InputError(f"{path}: not one prediction in this file")
    return result


def select_videos(result: Predictions, videos: Iterable[str]) -> Predictions:
    """The predictions of some videos."""
    wanted = set(videos)
    return replace(result, videos={name: part for name, part in result.videos.items() if name in wanted})


def _read_text(path: Path, task: Task) -> Predictions:
    tables.check_text(path)
    advice = "expected Parquet, or UTF-8 text"
    data = inputs.read_utf8(path, "prediction file", advice, limits.PREDICTION_BYTES)
    header, body = inputs.head_and_body(data)
    names = [name.strip().strip('"') for name in header.split(",")]
    if not body:
        raise InputError(f"{path}: nothing behind the first line {header[:80]!r}")
    if "video" in names and "frame" in names:
        return predictions.check_rows(path, task, *_join(_table(path, task, names, body)))
    if names[0] in IMAGE_COLUMNS and task.stills:
        raise InputError(
            f"{path}: line 1 is {header[:80]!r}, expected a table with the columns video, frame, "
            f"{', '.join(task.outputs)}: a submission says nothing of how sure it is, and knows no validation pictures"
        )
    if names[0] in IMAGE_COLUMNS:
        return predictions.check_rows(path, task, *_join(_pictures(path, task, names, body)))
    raise InputError(
        f"{path}: line 1 is {header[:80]!r}, expected a header that begins with video,frame "
        f"or {IMAGE_COLUMN}; a table of predictions or an official submission file"
    )


Columns = tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.float32]]
"""Videos, frames and scores [n, outputs] of some lines."""


def _table(path: Path, task: Task, names: list[str], body: memoryview) -> Iterator[Columns]:
    """CSV with the columns of the Parquet files; a column without a name (an index) is left out."""
    import pyarrow as pa

    predictions.check_names(path, names, task)
    kinds = {"video": pa.string(), "frame": pa.float64()} | dict.fromkeys(task.outputs, pa.float64())
    first = _first_line(body).split(",")
    if len(first) == len(names):
        truths = [name for name, cell in zip(names, first, strict=True) if cell.strip().lower() in ("true", "false")]
        kinds |= dict.fromkeys(set(truths) & set(task.outputs), pa.bool_())
    known: dict[str, str] = {}
    row = 2
    for batch in _parse(path, [name or f"#{i}" for i, name in enumerate(names)], kinds, body):
        for name in ("video", "frame"):
            if batch[name].null_count:
                empty = int(np.argmax(batch[name].is_null().to_numpy(zero_copy_only=False)))
                raise InputError(f"{path}: line {empty + row}: column {name!r} is empty")
        coded = batch["video"].dictionary_encode()
        words = [known.setdefault(word, word) for word in coded.dictionary.to_pylist()]
        videos = np.array([None, *words], object)[1:][coded.indices.to_numpy()]
        frames = predictions.check_frames(path, batch["frame"].to_numpy(), row, "line")
        yield videos, frames, _scores(batch, list(task.outputs))
        row += batch.num_rows


def _join(batches: Iterator[Columns]) -> Columns:
    videos, frames, scores = (np.concatenate(column) for column in zip(*batches, strict=True))
    return videos, frames, scores


def _first_line(body: memoryview) -> str:
    return next(io.BytesIO(body[: 1 << 16])).decode(errors="replace").rstrip("\n")


def _pictures(path: Path, task: Task, names: list[str], body: memoryview) -> Iterator[Columns]:
    """Lines `video/00001.jpg,values`: one value per output, or for expr the number of one class."""
    import pyarrow as pa

    if sorted(names[1:]) != sorted(task.outputs):
        raise InputError(
            f"{path}: line 1 is {','.join(names)[:80]!r}, expected the header {task.list_header!r}; "
            f"is this a submission of another task?"
        )
    hard = task.is_multiclass and _first_line(body).count(",") == 1
    columns = ["class"] if hard else names[1:]
    if hard and tuple(names[1:]) != task.outputs:
        raise InputError(f"{path}: line 1 names the classes in another order, so a class's number means nothing")
    row = 2
    kinds = {"image": pa.string()} | dict.fromkeys(columns, pa.float64())
    for batch in _parse(path, ["image", *columns], kinds, body):
        images = batch["image"].to_pylist()
        if (placed := test_list.place(images)) is None:
            number = next(i for i, image in enumerate(images) if test_list.place([image]) is None)
            raise InputError(
                f"{path}: line {number + row} names {images[number][:80]!r}, expected <video>/<frame number from 1>.jpg"
            )
        result = _scores(batch, columns)
        if hard:
            result = _one_hot(path, task, result[:, 0], placed, row)
        elif tuple(columns) != task.outputs:
            result = result[:, [columns.index(output) for output in task.outputs]]
        yield np.array(placed[0], object), placed[1].astype(np.int64), result
        row += len(images)


def _one_hot(
    path: Path, task: Task, chosen: NDArray[np.float32], placed: tuple[list[str], NDArray[np.int32]], first: int
) -> NDArray[np.float32]:
    """Classes' numbers [n] as scores [n, outputs] of 0 and 1; `first` is the line of the first one."""
    wrong = ~np.isin(chosen, np.arange(len(task.outputs)))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: line {row + first} video {placed[0][row]!r} frame {placed[1][row]}: {chosen[row]:g} is no class, "
            f"expected 0 to {len(task.outputs) - 1}"
        )
    return np.eye(len(task.outputs), dtype=np.float32)[chosen.astype(np.int64)]


def _parse(path: Path, names: list[str], kinds: dict[str, Any], body: memoryview) -> Iterator[Any]:
    """The body of a comma-separated text as pyarrow batches of the columns in `kinds`."""
    import pyarrow as pa

    try:
        yield from tables.parse_rows(body, {name: kinds.get(name) for name in names})
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: {_line(path, names, kinds, body) or error}") from None


def _line(path: Path, names: list[str], kinds: dict[str, Any], body: memoryview) -> str:
    """What is wrong with the first line that is no row of the table, found the slow way; empty: cannot say."""
    import csv

    for number, cells in enumerate(csv.reader(map(bytes.decode, io.BytesIO(body))), start=2):
        if len(cells) != len(names):
            return f"line {number} has {len(cells)} values, expected {len(names)}"
        for name, cell in zip(names, cells, strict=True):
            if name in kinds and name not in ("video", "image"):
                try:
                    float(cell)
                except ValueError:
                    return f"line {number}: column {name!r} holds {cell[:40]!r}, which is no number"
    return ""


def _scores(batch: Any, names: list[str]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
        return np.stack([batch[name].to_numpy(zero_copy_only=False).astype(np.float32) for name in names], axis=1)
