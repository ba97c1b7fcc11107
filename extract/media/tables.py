"""Per-frame tables of other people, CSV or Parquet, read a piece at a time: memory does not grow with the file."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.runtime import inputs, limits
from extract.runtime.errors import InputError, warn

SUFFIXES = (".csv", ".parquet")
CSV_BLOCK = 8 << 20
"""Bytes; also the most that one line may have. Types are guessed from the first block."""
PARQUET_ROWS = 4096
ROW_NUMBERS = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Names of the column in which pandas keeps row numbers: no data."""
MISSING = ("", "NA", "N/A", "NaN", "nan", "-nan", "-nan(ind)", "nan(ind)", "-1.#IND", "1.#QNAN", "NULL", "null", "None")
"""How programs write a number that is not there."""
LIKE_NUMBER = re.compile(
    r"[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?\s*%?|[-+]?1[.,]#\w+|[-+]?(inf|infinity|nan)\S*", re.IGNORECASE
)
"""A cell that is meant as a number, well written or not: `0.5`, `50%`, `1,5`, `1.#INF`."""
BYTES_OF_STRINGS = 2**31 - 1
"""That pyarrow's strings of 32-bit offsets can have."""
SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'"}


@dataclass(frozen=True)
class Table:
    """A table's columns, in order, by name without the blanks around it; `raw` is the name in the file."""

    path: Path
    raw: dict[str, str]
    numeric: frozenset[str]
    flags: frozenset[str] = frozenset()
    """Those of the numeric columns that hold true and false."""
    odd: dict[str, str] = field(default_factory=dict)
    """Columns that hold numbers but for some cells: where the first such cell is, and what it says."""


def find(source: Path) -> list[Path]:
    """The table files of a file or folder, sorted by name. Raises InputError where there is none."""
    if os.path.isdir(source):
        files = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
        if not files:
            raise InputError(f"{source}: no tables in it; expected files ending in {' or '.join(SUFFIXES)}")
        if inner := sorted(path.name for path in source.iterdir() if path.is_dir() and path.name[0] != "."):
            warn(f"{source}: folders in it are not looked into: {', '.join(inner[:10])}")
        return files
    inputs.require_file(source, "table", f"expected a file ending in {' or '.join(SUFFIXES)}, or a folder of them")
    if source.suffix.lower() not in SUFFIXES:
        raise InputError(f"{source}: expected a table ending in {' or '.join(SUFFIXES)}")
    return [source]


def read_columns(path: Path) -> Table:
    """The columns of a table. Raises InputError for a file that is no table, or names a column twice."""
    import pyarrow as pa

    csv_file = path.suffix.lower() == ".csv"
    inputs.require_file(path, "table")
    try:
        if not csv_file:
            with open_parquet(path) as file:
                schema = file.schema_arrow
        else:
            check_text(path)
            with _open_csv(path, {}) as reader:
                schema = reader.schema
        stripped = [name.strip() for name in schema.names]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: line 1: a column's name is not UTF-8 ({error.reason}); save it as UTF-8") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: no table that can be read ({_line(error)})") from None
    if twice := sorted(name for name in set(stripped) if stripped.count(name) > 1):
        raise InputError(f"{path}: column {twice[0]!r} is there twice; expected a name of its own for each")
    raw = {name: each for name, each in zip(stripped, schema.names, strict=True) if not ROW_NUMBERS.fullmatch(name)}
    kinds = {name: schema.field(each).type for name, each in raw.items()}
    flags = frozenset(name for name, kind in kinds.items() if pa.types.is_boolean(kind))
    empty = {name for name, kind in kinds.items() if csv_file and pa.types.is_null(kind)}  # in the first block alone
    numeric = flags | empty | {name for name, kind in kinds.items() if _is_number(kind)}
    words = [name for name, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]
    return Table(path, raw, numeric, flags, _odd(Table(path, raw, numeric, flags), words))


def open_parquet(path: Path, text: str | None = None, **options: Any) -> Any:
    """An open Parquet file; a long string that the column `text` repeats will be in memory once.

    Raises InputError for more rows than limits.ROWS, and where it unpacks to more than limits.CELL_BYTES and
    limits.UNPACK_FACTOR times its size: on disk, a constant column takes a few bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(inputs.require_file(path, "table"), **options)
    if file.schema_arrow.names.count(text) == 1 and pa.types.is_string(file.schema_arrow.field(text).type):
        file.close()
        file = pq.ParquetFile(path, read_dictionary=[text], **options)
    facts = file.metadata
    groups = [facts.row_group(i) for i in range(facts.num_row_groups)]  # what they say of columns may end the process
    rows = max(facts.num_rows, sum(max(0, group.num_rows) for group in groups))
    size = sum(group.total_byte_size for group in groups)
    large = max(limits.CELL_BYTES, limits.UNPACK_FACTOR * path.stat().st_size)
    for result, most, what in ((rows, limits.ROWS, "rows"), (size, large, "bytes, unpacked")):
        if result > most:
            file.close()
            raise InputError(f"{path}: {result:,} {what}, expected {most:,} at most: divide it into several files")
    return file


def check_text(path: Path) -> None:
    """Raise InputError for a CSV file that is written in another way than UTF-8 with commas."""
    with open(path, "rb") as handle:
        start = handle.read(1 << 16)
    if start.startswith(inputs.UTF_16):
        raise InputError(f"{path}: UTF-16 text; expected UTF-8: save it as 'CSV UTF-8', or convert it with iconv")
    header = start.split(b"\n")[0].decode(errors="replace")
    if "," not in header and (result := [name for sign, name in SEPARATORS.items() if sign in header]):
        raise InputError(
            f"{path}: line 1 is {header.strip()[:80]!r}: its columns are separated by {result[0]}; expected commas, "
            f"and decimal points: save it that way"
        )


def _odd(table: Table, words: list[str]) -> dict[str, str]:
    """Columns of text that, as far as the first piece goes, are mostly numbers: where their first other cell is."""
    results = {}
    for name in words:
        cells, _ = next(read(table, name, []), (None, None))
        values = [] if cells is None else [str(cell).strip() for cell in cells if cell not in (None, *MISSING)]
        numbers = sum(LIKE_NUMBER.fullmatch(cell) is not None for cell in values)
        if numbers and numbers >= len(values) / 2 and (where := _place(table, [name])):
            results[name] = where
    return results


def _place(table: Table, names: list[str]) -> str:
    """The first cell of these columns that is no number, and its line (of a Parquet file, its row); empty: none."""
    if table.path.suffix.lower() == ".parquet":
        for name in names:
            pieces = (cells for cells, _ in read(table, name, []) if cells is not None)
            for row, cell in enumerate(chain.from_iterable(pieces), 1):
                if cell is not None and not _is_good(str(cell)):
                    return f"row {row}: {str(cell)[:40]!r}"
        return ""
    with (
        open(table.path, newline="", encoding="utf-8-sig", errors="replace") as handle,
        suppress(csv.Error),  # a cell of 128 kB and more
    ):
        rows = csv.reader(handle)
        header = next(rows, [])
        wanted = [header.index(table.raw[name]) for name in names if table.raw[name] in header]
        for row in rows:
            for column in wanted:
                if column < len(row) and not _is_good(row[column]):
                    return f"line {rows.line_num}: {row[column][:40]!r}"
    return ""


def _is_good(cell: str) -> bool:
    """Whether a cell is a number, or says that there is none."""
    if cell.strip() in MISSING:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def read(
    table: Table, text: str | None, numbers: list[str]
) -> Iterator[tuple[NDArray[np.object_] | None, NDArray[np.float64]]]:
    """Yield pieces of a table, in order: column `text` as strings [n] (None where empty), `numbers` as [n, columns],
    NaN where one is missing. Raises InputError where a value is no number, or the file is damaged.
    """
    import pyarrow as pa

    wanted = [table.raw[name] for name in dict.fromkeys(([text] if text else []) + numbers)]
    rows = 0
    try:
        for batch in _batches(table, wanted, table.raw[text] if text else None):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            names = None
            if text:
                names = strings(table.path, columns[table.raw[text]], rows + 1)
            values = np.empty((batch.num_rows, len(numbers)))
            for i, name in enumerate(numbers):
                column = columns[table.raw[name]].cast(pa.float64(), safe=False)
                values[:, i] = column.to_numpy(zero_copy_only=False)
            yield names, values
            rows += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        where = ""
        for name in numbers:
            if name not in table.flags and (where := _place(table, [name])):
                where = f"{where} in column {name!r}, expected a number; "
                break
        raise InputError(f"{table.path}: cannot be read as a table of numbers ({where}{_line(error)})") from None


def as_numbers(column: Any) -> NDArray[Any]:
    """pyarrow's numbers, an array or one in chunks, as numpy's: read-only, one chunk without a copy.

    `to_numpy`, for columns with gaps, imports pandas, which takes longer than to read a small corpus.
    """
    chunks = getattr(column, "chunks", [column])
    if column.null_count or not len(column):
        return column.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    parts = [np.from_dlpack(chunk) for chunk in chunks]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def as_column(values: NDArray[Any]) -> Any:
    """Numbers [n] (no bools, which pyarrow packs) as pyarrow's, without `pyarrow.array`, which imports pandas."""
    import pyarrow as pa

    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def as_strings(words: Sequence[str], counts: Sequence[int]) -> Any:
    """Each word so many times, as pyarrow's strings; large ones where they have more than 2 GiB."""
    import pyarrow as pa

    raw = [word.encode() for word in words]
    ends = np.cumsum([0, *np.repeat([len(word) for word in raw], counts)])
    text = pa.py_buffer(b"".join(word * count for word, count in zip(raw, counts, strict=True)))
    if ends[-1] > BYTES_OF_STRINGS:
        return pa.LargeStringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends.astype(np.int64)), text)
    return pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends.astype(np.int32)), text)


def strings(path: Path, column: Any, first: int = 1) -> NDArray[np.object_]:
    """A column as strings [n], None where it is empty; equal ones are one object.

    Raises InputError with the row (the column's first is row `first`) for one that is not UTF-8: Parquet's strings are
    not checked when they are read.
    """
    import pyarrow as pa

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    try:
        coded = column if pa.types.is_dictionary(column.type) else column.cast(pa.string()).dictionary_encode()
        codes = coded.indices.cast(pa.int64())
        codes = codes.fill_null(-1) if codes.null_count else codes  # that imports pandas, too
        used, place = np.unique(as_numbers(codes), return_inverse=True)
        words = coded.dictionary.take(as_column(used[used >= 0])).cast(pa.string()).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError):
        plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for row, cell in enumerate(plain.cast(pa.binary()).to_pylist(), first):
            try:
                (cell or b"").decode()
            except UnicodeDecodeError as error:
                why = f"row {row}: {cell[:40]!r} is not UTF-8 ({error.reason})"
                raise InputError(f"{path}: {why}; write the table anew with UTF-8 text") from None
        raise
    return np.array([None] * (len(used) - len(words)) + words, object)[place]


def _batches(table: Table, wanted: list[str], text: str | None) -> Iterator[Any]:
    import pyarrow as pa

    if table.path.suffix.lower() == ".parquet":
        with open_parquet(table.path, text, pre_buffer=False, buffer_size=1 << 20) as file:
            yield from file.iter_batches(PARQUET_ROWS, columns=wanted)
        return
    flags = {table.raw[name] for name in table.flags}
    types = {name: pa.string() if name == text else pa.bool_() if name in flags else pa.float64() for name in wanted}
    with _open_csv(table.path, types) as reader:
        yield from reader


def parse_rows(body: memoryview, types: dict[str, Any], **options: Any) -> Iterator[Any]:
    """Comma-separated lines without a header as pyarrow batches of `types` (name -> type), in the order of their cells;
    `options` are pyarrow's ParseOptions. Raises pyarrow.ArrowInvalid.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    wanted = {name: kind for name, kind in types.items() if kind is not None}
    reader = arrow.open_csv(
        pa.BufferReader(pa.py_buffer(body)),
        arrow.ReadOptions(column_names=list(types), block_size=CSV_BLOCK, use_threads=False),
        arrow.ParseOptions(ignore_empty_lines=False, **options),
        arrow.ConvertOptions(column_types=wanted, include_columns=list(wanted), strings_can_be_null=False),
    )
    with reader:
        yield from reader


def _open_csv(path: Path, types: dict[str, Any]) -> Any:
    """A streaming CSV reader of the columns in `types` (all, with guessed types, where that is empty)."""
    from pyarrow import csv as arrow

    return arrow.open_csv(
        path,
        arrow.ReadOptions(block_size=CSV_BLOCK, use_threads=False),
        arrow.ParseOptions(),
        arrow.ConvertOptions(
            column_types=types or None,
            include_columns=list(types) or None,
            null_values=MISSING,
            strings_can_be_null=True,
        ),
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
