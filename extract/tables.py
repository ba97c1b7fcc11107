"""Per-frame tables of other people, CSV or Parquet, read a piece at a time: memory does not grow with the file."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.errors import InputError
from extract.video import EXTENSIONS

SUFFIXES = (".csv", ".parquet")
CSV_BLOCK = 8 << 20
"""Bytes; also the most that one line may have. Types are guessed from the first block."""
PARQUET_ROWS = 4096
ROW_NUMBERS = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Names of the column in which pandas keeps row numbers: no data."""
MISSING = ("", "NA", "N/A", "NaN", "nan", "-nan", "-nan(ind)", "nan(ind)", "-1.#IND", "1.#QNAN", "NULL", "null", "None")
"""How programs write a number that is not there."""


@dataclass(frozen=True)
class Table:
    """A table's columns, in order, by name without the blanks around it; `raw` is the name in the file."""

    path: Path
    raw: dict[str, str]
    numeric: frozenset[str]
    flags: frozenset[str] = frozenset()
    """Those of the numeric columns that hold true and false."""


def find(source: Path) -> list[Path]:
    """The table files of a file or folder, sorted by name. Raises InputError where there is none."""
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
        if not files:
            raise InputError(f"{source}: no tables in it; expected files ending in {' or '.join(SUFFIXES)}")
        return files
    if not source.is_file():
        raise InputError(
            f"{source}: no such table; expected a file ending in {' or '.join(SUFFIXES)}, or a folder of them"
        )
    if source.suffix.lower() not in SUFFIXES:
        raise InputError(f"{source}: expected a table ending in {' or '.join(SUFFIXES)}")
    return [source]


def look(path: Path) -> Table:
    """The columns of a table. Raises InputError for a file that is no table, or names a column twice."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
        else:
            with _open_csv(path, {}) as reader:
                schema = reader.schema
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: no table that can be read ({_line(error)})") from None
    stripped = [name.strip() for name in schema.names]
    if twice := sorted(name for name in set(stripped) if stripped.count(name) > 1):
        raise InputError(f"{path}: column {twice[0]!r} is there twice; expected a name of its own for each")
    raw = {name: each for name, each in zip(stripped, schema.names, strict=True) if not ROW_NUMBERS.fullmatch(name)}
    kinds = {name: schema.field(each).type for name, each in raw.items()}
    flags = frozenset(name for name, kind in kinds.items() if pa.types.is_boolean(kind))
    empty = path.suffix.lower() == ".csv"  # as far as the first block goes; numbers may follow
    numeric = frozenset(name for name, kind in kinds.items() if _is_number(kind) or (empty and pa.types.is_null(kind)))
    return Table(path, raw, flags | numeric, flags)


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind))


def read(
    table: Table, text: str | None, numbers: list[str]
) -> Iterator[tuple[NDArray[np.object_] | None, NDArray[np.float64]]]:
    """Yield pieces of a table, in order: column `text` as strings [n] (None where empty), `numbers` as [n, columns].

    Missing numbers are NaN. Raises InputError where a value is no number, or the file is damaged.
    """
    import pyarrow as pa

    wanted = [table.raw[name] for name in dict.fromkeys(([text] if text else []) + numbers)]
    try:
        for batch in _batches(table, wanted, table.raw[text] if text else None):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            names = None
            if text:
                names = np.asarray(columns[table.raw[text]].cast(pa.string()).to_pylist(), object)
            values = np.empty((batch.num_rows, len(numbers)))
            for i, name in enumerate(numbers):
                column = columns[table.raw[name]].cast(pa.float64(), safe=False)
                values[:, i] = column.to_numpy(zero_copy_only=False)
            yield names, values
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{table.path}: cannot be read as a table of numbers ({_line(error)})") from None


def _batches(table: Table, wanted: list[str], text: str | None) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if table.path.suffix.lower() == ".parquet":
        with pq.ParquetFile(table.path, pre_buffer=False, buffer_size=1 << 20) as file:
            yield from file.iter_batches(PARQUET_ROWS, columns=wanted)
        return
    flags = {table.raw[name] for name in table.flags}
    types = {name: pa.string() if name == text else pa.bool_() if name in flags else pa.float64() for name in wanted}
    with _open_csv(table.path, types) as reader:
        yield from reader


def _open_csv(path: Path, types: dict[str, Any]) -> Any:
    """A streaming CSV reader of the columns in `types` (all, with guessed types, where that is empty)."""
    from pyarrow import csv

    return csv.open_csv(
        path,
        csv.ReadOptions(block_size=CSV_BLOCK, use_threads=False),
        csv.ParseOptions(),
        csv.ConvertOptions(
            column_types=types or None,
            include_columns=list(types) or None,
            null_values=MISSING,
            strings_can_be_null=True,
        ),
    )


def by_video(names: NDArray[np.object_], path: Path, row: int) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield (video, rows of the piece); a video's name is without folder and extension."""
    rows: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        rows[name].append(i)
    for name, at in rows.items():
        if name is None:
            raise InputError(f"{path}: row {row + at[0]}: the video's name is missing")
        plain = PurePath(name.replace("\\", "/")).name
        if PurePath(plain).suffix.lower() in EXTENSIONS:
            plain = PurePath(plain).stem
        if not plain or plain[0] == "." or "\0" in plain:
            raise InputError(
                f"{path}: row {row + at[0]}: {name!r} is no video's name; expected that of its crops' folder"
            )
        yield plain, np.array(at)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
