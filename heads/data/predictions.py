"""Prediction files: the contract between heads (ours or anybody's) and blend.

Parquet with `video` (string), `frame` (1-based int32) and one float32 column per output, named as in the official
header. Probabilities for au and expr, values in [-1, 1] for va. A video without any face has no rows. float64, integer
and boolean scores are read too (0 and 1 are probabilities as well), and columns come in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.media import tables
from extract.runtime import inputs, limits
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose
from extract.runtime.run_folder import write_whole
from heads.abaw.tasks import Task

SLACK = 1e-6
"""How far rounding may carry a value out of its range; such values are clipped."""


@dataclass(frozen=True)
class Predictions:
    """Scores of one split by one head; videos sorted by name, frames rising."""

    outputs: tuple[str, ...]
    videos: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]]
    """video -> (frames [n], scores [n, outputs])."""
    path: Path | None = None
    """The file they were read from, for messages."""


def write(path: Path, predictions: Predictions) -> None:
    """Write a prediction file, whole or not at all. Equal predictions give equal bytes."""
    import pyarrow as pa
    from pyarrow import parquet

    names = sorted(predictions.videos)
    parts = [predictions.videos[name] for name in names]
    counts = [len(frames) for frames, _ in parts]
    frames = np.concatenate([np.empty(0, np.int32), *(frames for frames, _ in parts)])
    scores = np.concatenate([np.empty((0, len(predictions.outputs)), np.float32), *(scores for _, scores in parts)])
    columns = {
        "video": tables.as_strings(names, counts),
        "frame": tables.as_column(frames.astype(np.int32)),
        **{output: tables.as_column(scores[:, i].astype(np.float32)) for i, output in enumerate(predictions.outputs)},
    }
    with write_whole(path) as temporary:
        parquet.write_table(pa.table(columns), temporary, compression="zstd")


def read(path: Path, task: Task) -> Predictions:
    """Read and check a prediction file. Columns are taken by name, rows may come in any order.

    Raises InputError, naming the file and the first bad video and frame, for a file that is no Parquet, a missing or
    unknown column, a column of another type, a doubled frame, and a score that is not finite or out of range.
    """
    return check_rows(path, task, *_columns(path, task))


def check_rows(
    path: Path, task: Task, videos: NDArray[np.object_], frames: NDArray[np.int64], scores: NDArray[np.float32]
) -> Predictions:
    """Predictions from columns in any order of rows: video [N], frame [N], scores [N, outputs] (changed in place).

    Raises InputError as `read` does; `path` is the file to name.
    """
    names, number = np.unique(videos, return_inverse=True)
    if not all(str(name).isascii() for name in names):
        names, same = np.unique(np.array([compose(str(name)) for name in names], object), return_inverse=True)
        number = same[number]
    order = np.lexsort((frames, number))
    number, frames, scores = number[order], frames[order], scores[order]
    _check(path, task, names, number, frames, scores)
    whole = frames.astype(np.int32)
    ends = np.searchsorted(number, np.arange(len(names) + 1))
    spans = zip(names, ends[:-1], ends[1:], strict=True)
    return Predictions(task.outputs, {str(name): (whole[a:b], scores[a:b]) for name, a, b in spans}, path)


def check_names(path: Path, result: list[str], task: Task) -> None:
    """Raise InputError where a table's columns are not `video`, `frame` and the outputs, beside pandas' row numbers."""
    result = [name for name in result if not tables.ROW_NUMBERS.fullmatch(name)]
    expected = ["video", "frame", *task.outputs]
    missing = [name for name in expected if name not in result]
    unknown = [name for name in result if name not in expected]
    doubled = [name for name in expected if result.count(name) > 1]
    for wrong, what in ((missing, "is missing"), (unknown, "is unknown"), (doubled, "is there twice")):
        if wrong:
            raise InputError(
                f"{path}: column {wrong[0]!r} {what}; expected exactly {', '.join(expected)}, for task {task.name!r}"
            )


def _columns(path: Path, task: Task) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.float32]]:
    """The columns (video [N], frame [N], scores [N, outputs]) as arrays, with their names and types checked."""
    import pyarrow as pa

    inputs.require_file(path, "prediction file")
    try:
        with tables.open_parquet(path, "video") as file:
            table = file.read()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error})") from error
    table = table.select([i for i, name in enumerate(table.column_names) if not tables.ROW_NUMBERS.fullmatch(name)])
    check_names(path, table.column_names, task)
    is_a = pa.types
    numbers = (is_a.is_integer, is_a.is_floating)
    known = {"video": ("string", (is_a.is_string, is_a.is_large_string)), "frame": ("int32", numbers)}
    for name in table.column_names:
        kind = table.schema.field(name).type
        kind = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
        want, right = known.get(name, ("float32", (*numbers, is_a.is_boolean)))
        if not any(is_kind(kind) for is_kind in right):
            raise InputError(f"{path}: column {name!r} is {kind}, expected {want}")
        if name in ("video", "frame") and table[name].null_count:
            raise InputError(f"{path}: column {name!r} has empty cells")
    scores = np.empty((table.num_rows, len(task.outputs)), np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is refused as such
        for i, output in enumerate(task.outputs):
            scores[:, i] = tables.as_numbers(table[output].cast(pa.float64(), safe=False))
    return tables.strings(path, table["video"]), check_frames(path, tables.as_numbers(table["frame"])), scores


def check_frames(path: Path, frames: NDArray[np.generic], first: int = 1, unit: str = "row") -> NDArray[np.int64]:
    """Frame numbers [N] as whole numbers: programs that know of missing values write 1.0 for 1.

    Raises InputError that names the first one that is none; the first of them is on `unit` number `first`.
    """
    if frames.dtype.kind == "f":
        bad = np.flatnonzero(~(np.abs(frames) < 2**62) | (frames != np.floor(frames)))
        if len(bad):
            wrong = f"frame is {frames[bad[0]]:g}, expected a whole number from 1"
            raise InputError(f"{path}: {unit} {first + bad[0]}: {wrong}")
    return frames.astype(np.int64)


def _check(
    path: Path,
    task: Task,
    names: NDArray[np.object_],
    number: NDArray[np.int64],
    frames: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> None:
    """Raise InputError for the first bad row of a sorted table; clip what rounding carried out of range."""
    lowest = task.lowest

    def at(bad: NDArray[np.bool_]) -> str:
        row = int(bad.argmax())
        return f"{path}: video {str(names[number[row]])!r} frame {frames[row]}"

    if (bad := frames < 1).any():
        raise InputError(f"{at(bad)}: frames are numbered from 1")
    if (bad := frames > limits.FRAMES).any():
        raise InputError(f"{at(bad)}: no video has so many frames, expected {limits.FRAMES:,} at most")
    if (bad := np.append(False, (number[1:] == number[:-1]) & (frames[1:] == frames[:-1]))).any():
        raise InputError(f"{at(bad)} occurs more than once ({int(bad.sum())} rows too many)")
    if (bad := ~np.isfinite(scores).all(1)).any():
        raise InputError(
            f"{at(bad)}: a score is not finite ({int(bad.sum())} such rows): leave out the rows of frames without a "
            f"prediction, they are filled from their neighbours"
        )
    if (bad := ((scores < lowest - SLACK) | (scores > 1 + SLACK)).any(1)).any():
        row = int(bad.argmax())
        output = int(((scores[row] < lowest - SLACK) | (scores[row] > 1 + SLACK)).argmax())
        raise InputError(
            f"{at(bad)}: a score is outside [{lowest:g}, 1]: {task.outputs[output]} is {scores[row, output]:g} "
            f"({int(bad.sum())} such rows)"
        )
    np.clip(scores, lowest, 1, out=scores)
