"""Reading other people's tables: names, types, missing values, bounded memory."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extract.media import tables
from extract.runtime.errors import InputError


def read(path, text, numbers):
    pieces = list(tables.read(tables.read_columns(path), text, numbers))
    names = None if text is None else [name for piece in pieces for name in piece[0]]
    return names, np.concatenate([piece[1] for piece in pieces])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_values_equal_what_pandas_reads(tmp_path, suffix):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"video": [f"{k:03d}" for k in range(9000)], "frame": range(9000), "x": rng.normal(size=9000)})
    frame["flag"] = rng.random(9000) < 0.5
    frame.loc[rng.random(9000) < 0.1, "x"] = np.nan
    path = tmp_path / f"t{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    names, values = read(path, "video", ["x", "frame", "flag"])
    assert names == frame["video"].tolist()  # leading zeros are kept
    np.testing.assert_array_equal(values, frame[["x", "frame", "flag"]].to_numpy(float))
    assert tables.read_columns(path).numeric == {"frame", "x", "flag"} | ({"video"} if suffix == ".csv" else set())


def test_blanks_around_names_and_ways_to_write_nothing(tmp_path):
    (tmp_path / "t.csv").write_text("frame, AU01_r , n\n1, 0.5, -nan(ind)\n2,nan,3\n3,,NA\n")
    assert list(tables.read_columns(tmp_path / "t.csv").raw) == ["frame", "AU01_r", "n"]
    _, values = read(tmp_path / "t.csv", None, ["AU01_r", "n"])
    np.testing.assert_array_equal(values, [[0.5, np.nan], [np.nan, 3], [np.nan, np.nan]])


def test_a_column_that_is_empty_at_first_or_whole_at_first_is_still_a_column_of_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "CSV_BLOCK", 200)
    lines = [f"{k},{'' if k < 40 else k / 2},{k if k < 40 else k / 2}" for k in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["frame,late,whole", *lines]))
    assert tables.read_columns(tmp_path / "t.csv").numeric == {"frame", "late", "whole"}
    _, values = read(tmp_path / "t.csv", None, ["late", "whole"])
    assert np.isnan(values[:40, 0]).all() and values[79].tolist() == [39.5, 39.5]


def test_parquet_categories_and_whole_numbers_are_names_too(tmp_path):
    frame = pd.DataFrame({"a": pd.Categorical(["x", "y", "x"]), "b": [1, 2, 3]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet", "a", [])[0] == ["x", "y", "x"]
    assert read(tmp_path / "t.parquet", "b", [])[0] == ["1", "2", "3"]


def test_text_where_numbers_are_expected_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("frame,x\n1,2\n2,surprised\n")
    assert tables.read_columns(tmp_path / "t.csv").numeric == {"frame"}
    with pytest.raises(InputError, match=r"t\.csv: cannot be read as a table of numbers .*surprised"):
        read(tmp_path / "t.csv", None, ["x"])


def test_a_column_of_numbers_with_an_odd_cell_is_known_with_its_place_and_words_are_not(tmp_path):
    path = tmp_path / "t.csv"
    for odd in ("1.#INF", "37%", '"2,25"', "-1.#SNAN", "0.5?"):
        rows = [f"{k},{k / 8},{odd if k == 70 else k / 4},{'happy' if k % 3 else '7'}" for k in range(1, 90)]
        rows[40] = '41,1,2,"two\nlines"'  # so that lines are not rows
        path.write_text("\n".join(["frame,a,b,word", *rows]) + "\n")
        table = tables.read_columns(path)
        assert table.numeric == {"frame", "a"} and list(table.odd) == ["b"], odd
        assert table.odd["b"] == f"line 72: {odd.strip(chr(34))!r}"
    path.write_text("frame,a\n" + "".join(f'{k},"{k},5"\n' for k in range(1, 9)))  # decimal commas throughout
    assert tables.read_columns(path).odd == {"a": "line 2: '1,5'"}
    frame = pd.DataFrame({"frame": range(1, 5), "a": ["1.5", "2", "oops", "3"], "b": list("wxyz")})
    frame.to_parquet(tmp_path / "t.parquet")
    assert tables.read_columns(tmp_path / "t.parquet").odd == {"a": "row 3: 'oops'"}


def test_an_odd_cell_far_behind_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "CSV_BLOCK", 200)
    rows = [f"{k},{'1.#INF' if k == 90 else k / 2}" for k in range(1, 100)]
    (tmp_path / "t.csv").write_text("\n".join(["frame,x", *rows]))
    with pytest.raises(InputError, match=r"line 91: '1.#INF' in column 'x', expected a number"):
        read(tmp_path / "t.csv", None, ["frame", "x"])


def test_other_separators_and_utf_16_are_told_as_that(tmp_path):
    path = tmp_path / "t.csv"
    for sign, name in ((";", "';'"), ("\t", "tabs")):
        path.write_text(f"frame{sign}x\n1{sign}0,5\n")
        with pytest.raises(InputError, match=f"line 1 is .* separated by {name}; expected commas"):
            tables.read_columns(path)
    for encoding in ("utf-16", "utf-16-be"):
        bom = b"" if encoding == "utf-16" else b"\xfe\xff"
        path.write_bytes(bom + "frame,x\n1,0.5\n".encode(encoding))
        with pytest.raises(InputError, match="UTF-16 text; expected UTF-8"):
            tables.read_columns(path)
    path.write_bytes("frame,x\n1,0.5\n".encode("utf-8-sig"))
    assert tables.read_columns(path).numeric == {"frame", "x"}


@pytest.mark.parametrize(("name", "content"), [("t.csv", b""), ("t.csv", b"frame,x"), ("t.parquet", b"PAR1 cut short")])
def test_what_is_no_table_is_one_clear_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="no table that can be read"):
        tables.read_columns(tmp_path / name)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_row_numbers_that_pandas_wrote_are_no_data(tmp_path, suffix):
    frame = pd.DataFrame({"frame": [1, 2], "x": [0.5, 1]}, index=[7, 3])
    path = tmp_path / f"t{suffix}"
    frame.to_csv(path) if suffix == ".csv" else frame.to_parquet(path)
    assert list(tables.read_columns(path).raw) == ["frame", "x"]


def test_a_line_with_too_few_fields_and_a_column_named_twice_are_refused(tmp_path):
    (tmp_path / "short.csv").write_text("frame,x\n" + "1,2\n" * 3 + "4\n")
    with pytest.raises(InputError, match=r"short\.csv: .*Expected 2 columns, got 1"):
        read(tmp_path / "short.csv", None, ["x"])
    (tmp_path / "twice.csv").write_text("frame, x,x\n1,2,3\n")
    with pytest.raises(InputError, match=r"column 'x' is there twice"):
        tables.read_columns(tmp_path / "twice.csv")


def test_files_are_found_in_a_folder_by_name(tmp_path):
    for name in ["b.csv", "a.CSV", "c.parquet", ".hidden.csv", "notes.txt"]:
        (tmp_path / name).touch()
    assert [path.name for path in tables.find(tmp_path)] == ["a.CSV", "b.csv", "c.parquet"]
    assert tables.find(tmp_path / "b.csv") == [tmp_path / "b.csv"]
    (tmp_path / "none").mkdir()
    for wrong, text in [
        ("none", "no tables in it"),
        ("missing.csv", "no such table"),
        ("notes.txt", "expected a table"),
    ]:
        with pytest.raises(InputError, match=text):
            tables.find(tmp_path / wrong)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    columns = 64
    schema = pa.schema([("frame", pa.int32()), *((f"f{i}", pa.float32()) for i in range(columns))])
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(tmp_path / "big.parquet", schema) as writer:
        for start in range(0, 300_000, 50_000):
            values = rng.normal(size=(columns, 50_000)).astype(np.float32)
            frame = np.arange(start, start + 50_000, dtype=np.int32)
            writer.write_table(pa.table([frame, *values], schema=schema))
    code = f"""
import resource, sys
from pathlib import Path
from extract.media import tables as reader
table = reader.read_columns(Path({str(tmp_path / "big.parquet")!r}))
numbers = [f"f{{i}}" for i in range({columns})]
pieces = reader.read(table, None, numbers)
next(pieces)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(len(values) for _, values in pieces)
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    rows, grown = map(int, out.split())
    assert rows == 300_000 - tables.PARQUET_ROWS
    assert grown < 40  # MB; the table has 154 as doubles


def broken_texts(*cells):
    """An Arrow column of strings whose bytes are whatever they are."""
    raw = pa.array(cells, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(cells), raw.buffers())


def test_text_that_is_no_utf_8_is_named_with_its_row(tmp_path):
    path = tmp_path / "t.parquet"
    names = broken_texts(*[b"good"] * 5000, b"Zo\xeb", b"good")
    pq.write_table(pa.table({"video": names, "frame": range(1, 5003)}), path)
    with pytest.raises(InputError, match=r"t\.parquet: row 5001: b'Zo\\xeb' is not UTF-8"):
        read(path, "video", ["frame"])
    (tmp_path / "t.csv").write_bytes("fr\xe4me,x\n1,2\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"t\.csv: line 1: a column's name is not UTF-8"):
        tables.read_columns(tmp_path / "t.csv")


def test_a_named_pipe_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    [found] = tables.find(tmp_path)
    with pytest.raises(InputError, match="a named pipe, expected a table"):
        tables.read_columns(found)


def test_numbers_are_those_of_pyarrow_in_chunks_with_gaps_and_of_nothing():
    whole = pa.array([1.5, -2.0, 1e300])
    columns = [whole, whole[1:], whole[:0], pa.array([1, None, 3]), pa.chunked_array([whole, whole[2:], whole[:0]])]
    columns += [pa.array([3, 1], pa.int32()), pa.chunked_array([], pa.float64())]
    for column in columns:
        got, expected = tables.as_numbers(column), column.to_numpy(zero_copy_only=False)
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype


def test_columns_and_words_are_those_of_pyarrow(monkeypatch):
    for values in (np.arange(7, dtype=np.int32)[::2], np.empty(0, np.float32), np.array([0.5, np.nan])):
        assert tables.as_column(values).equals(pa.array(values)) or np.isnan(values).any()
        np.testing.assert_array_equal(tables.as_column(values).to_numpy(), values)
    words, counts = ["a", "höhe", "", "z"], [2, 3, 1, 0]
    assert tables.as_strings(words, counts).equals(pa.array(["a", "a", *3 * ["höhe"], ""], pa.string()))
    assert tables.as_strings([], []).equals(pa.array([], pa.string()))
    monkeypatch.setattr(tables, "BYTES_OF_STRINGS", 16)
    assert tables.as_strings(words, counts).equals(pa.array(["a", "a", *3 * ["höhe"], ""], pa.large_string()))
