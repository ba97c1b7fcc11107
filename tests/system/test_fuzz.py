"""Changed bytes and odd tables for every reader: a value, or a refusal in one line; no other error, hang, warning, or
gigabyte. 300 inputs, and 5,000 with `-m slow`; the same inputs each time.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from support import mutations, readers
from support.refusals import refusal


def inputs(count: int) -> Iterator[tuple[Any, int, bytes]]:
    """So many changed files, the readers in turn: reader, number, bytes."""
    rows = readers.table()
    for number in range(count):
        row = rows[number % len(rows)]
        yield row, number, mutations.mutate_bytes(row.seed, random.Random(f"{row.name} {number}"))


def give(folder: Path, count: int) -> set[str]:
    """Give each changed file to its reader; the names of those that took one, and refused one."""
    outcomes = set()
    for row, number, content in inputs(count):
        place = folder / str(number)
        place.mkdir()
        (place / row.file).write_bytes(content)
        try:
            outcomes.add(f"{row.name}: {'refused' if refusal(row.read, place / row.file) else 'taken'}")
        except BaseException as error:
            error.add_note(f"{row.name}, input {number}: {place / row.file}")
            raise
        for path in sorted(place.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return outcomes


def test_every_reader_takes_its_whole_file(tmp_path: Path) -> None:
    for row in readers.table():
        (tmp_path / row.name).mkdir()
        path = tmp_path / row.name / row.file
        path.write_bytes(row.seed)
        assert refusal(row.read, path) == "", row.name


def test_300_changed_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    assert [one[2] for one in inputs(50)] == [one[2] for one in inputs(50)]
    outcomes = give(tmp_path, 300)
    assert sum("refused" in one for one in outcomes) > len(readers.table()) / 2


@pytest.mark.slow
def test_5000_changed_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    began = time.monotonic()
    outcomes = give(tmp_path, 5000)
    assert time.monotonic() - began < 300
    never = {row.name for row in readers.table() if f"{row.name}: refused" not in outcomes}
    assert never <= {"--set", *(f"{task} submission" for task in readers.TASKS)}, "of these problems are listed"


CELLS: dict[str, st.SearchStrategy[Any]] = {
    "int8": st.integers(-128, 127),
    "int64": st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 9),
    "uint64": st.integers(0, 2**64 - 1) | st.integers(0, 9),
    "float16": st.floats(width=16),
    "float32": st.floats(width=32) | st.sampled_from([1.0, 2.0, 0.5]),
    "float64": st.floats() | st.sampled_from([1.0, 2.0, 3.0, 0.5]),
    "bool": st.booleans(),
    "string": st.text(max_size=9) | st.sampled_from(["one", "two.mp4", "a/00001.jpg", "..", "1", "1.#INF", "50%"]),
    "large_string": st.text(max_size=3),
    "binary": st.binary(max_size=9),
    "null": st.none(),
    "date32": st.dates(),
    "timestamp": st.datetimes(),
    "list": st.lists(st.floats(), max_size=2),
    "struct": st.fixed_dictionaries({"a": st.integers(0, 9)}),
    "dictionary": st.sampled_from(["one", "two"]),
    "decimal": st.decimals(-9, 9, places=2),
    "map": st.just([("a", 1)]),
}


def typed(kind: str) -> Any:
    """pyarrow's type of a kind of cells."""
    import pyarrow as pa

    special = {
        "list": pa.list_(pa.float64()),
        "struct": pa.struct({"a": pa.int64()}),
        "dictionary": pa.dictionary(pa.int8(), pa.string()),
        "decimal": pa.decimal128(9, 2),
        "map": pa.map_(pa.string(), pa.int64()),
        "timestamp": pa.timestamp("us"),
        "bool": pa.bool_(),
    }
    return special.get(kind) or getattr(pa, kind)()


@st.composite
def columns_of(draw: st.DrawFn, seed: bytes) -> bytes:
    """A Parquet file with the columns of another one, of any types, some of them left out, null or named otherwise."""
    import io

    import pyarrow as pa
    from pyarrow import parquet

    whole = parquet.read_table(pa.BufferReader(seed))
    rows = draw(st.integers(0, 4))
    columns, names = [], []
    for name in whole.column_names:
        if (way := draw(st.integers(0, 9))) < 3:
            kind = draw(st.sampled_from(sorted(CELLS)))
            cells = draw(st.lists(CELLS[kind] | st.none(), min_size=rows, max_size=rows))
            columns.append(pa.array(cells, typed(kind)))
        elif way == 3:
            continue
        else:
            columns.append(whole[name].slice(0, rows).combine_chunks())
        names.append(draw(st.sampled_from([name, name, name, name, f" {name}", name.upper(), "video", ""])))
        rows = min(rows, len(columns[-1]))
    table = pa.Table.from_arrays([column.slice(0, rows) for column in columns], names)
    with io.BytesIO() as file:
        parquet.write_table(table, file)
        return file.getvalue()


def tables_of_any_types(folder: Path, count: int) -> None:
    rows = [row for row in readers.table() if row.name.endswith("parquet") or row.name.startswith("boxes")]

    @hypothesis.settings(
        max_examples=count,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(st.data())
    def give_one(data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(rows))
        path = folder / row.file
        path.write_bytes(data.draw(columns_of(row.seed)))
        refusal(row.read, path)

    give_one()


def test_tables_whose_columns_are_of_any_type_are_read_or_refused(tmp_path: Path) -> None:
    tables_of_any_types(tmp_path, 40)


@pytest.mark.slow
def test_1000_tables_whose_columns_are_of_any_type_are_read_or_refused(tmp_path: Path) -> None:
    tables_of_any_types(tmp_path, 1000)


TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)


def test_json_with_any_value_in_any_place_is_read_or_refused(tmp_path: Path) -> None:
    rows = [row for row in readers.table() if row.file.endswith(".json")]
    assert len(rows) >= 3

    @hypothesis.settings(
        max_examples=60, derandomize=True, database=None, report_multiple_bugs=False, phases=[hypothesis.Phase.generate]
    )
    @hypothesis.given(st.data())
    def give_one(data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(rows))
        table = json.loads(row.seed)
        table[data.draw(st.sampled_from(sorted(table)))] = data.draw(TREES)
        (tmp_path / row.file).write_text(json.dumps(table), encoding="utf-8")
        refusal(row.read, tmp_path / row.file)

    give_one()
