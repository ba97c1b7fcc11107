from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from extract.runtime.errors import InputError
from heads.abaw import annotations as annotation_files
from heads.abaw import read as labels
from heads.abaw.tasks import TASKS

AU_LINE = "0,1,0,0,0,0,1,0,0,0,1,0"


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_bytes((end.join(lines) + end).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_au_rows_with_any_invalid_unit_are_invalid(tmp_path: Path, end: str) -> None:
    read = annotation_files.read(
        write(tmp_path / "v.txt", TASKS["au"].header, AU_LINE, "-1" + AU_LINE[1:], AU_LINE, end=end), TASKS["au"]
    )
    assert read.video == "v" and read.values.dtype == np.uint8 and read.values.shape == (3, 12)
    np.testing.assert_array_equal(read.valid, [True, False, True])
    np.testing.assert_array_equal(read.values[0], list(map(int, AU_LINE.split(","))))
    assert not read.values[1].any(), "rows that are not annotated hold 0"


def test_expr(tmp_path: Path) -> None:
    read = annotation_files.read(write(tmp_path / "v.txt", TASKS["expr"].header, "7", "-1", "0", ""), TASKS["expr"])
    assert read.values.dtype == np.int8 and read.values.shape == (3,)
    np.testing.assert_array_equal(read.values, [7, 0, 0])
    np.testing.assert_array_equal(read.valid, [True, False, True])


def test_va_with_spaces_and_one_side_unlabelled(tmp_path: Path) -> None:
    path = write(tmp_path / "v.txt", "valence, arousal", "0.25, -1", "-5,-5", "0.5,-5", "1,1.0")
    read = annotation_files.read(path, TASKS["va"])
    assert read.values.dtype == np.float32
    np.testing.assert_array_equal(read.valid, [True, False, False, True])
    np.testing.assert_array_equal(read.values, np.array([[0.25, -1], [0, 0], [0, 0], [1, 1]], np.float32))


def test_random_files_against_a_naive_reader(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    raw = np.where(rng.random((300, 12)) < 0.02, -1, rng.random((300, 12)) < 0.3).astype(int)
    path = write(tmp_path / "v.txt", TASKS["au"].header, *(",".join(map(str, row)) for row in raw))
    read = annotation_files.read(path, TASKS["au"])
    for line, row, valid in zip(path.read_text().splitlines()[1:], read.values, read.valid, strict=True):
        numbers = [int(x) for x in line.split(",")]
        assert valid == (min(numbers) >= 0)
        assert not valid or row.tolist() == numbers


@pytest.mark.parametrize(
    ("task", "lines", "said"),
    [
        ("au", ["Neutral,Anger", AU_LINE], r"line 1 is 'Neutral,Anger', expected the header 'AU1,AU2"),
        ("au", [TASKS["au"].header], "nothing behind the header"),
        ("au", [TASKS["au"].header, AU_LINE, AU_LINE[:-2]], "line 3 has 11 values .* expected 12"),
        ("au", [TASKS["au"].header, AU_LINE, AU_LINE[:-1] + "2"], "line 3: 2 is out of range; expected -1, 0 or 1"),
        ("au", [TASKS["au"].header, AU_LINE[:-1] + "0.5"], "line 2: 0.5 is out of range"),
        ("expr", [TASKS["expr"].header, "0", "", "1"], "line 3 has 0 values"),
        ("expr", [TASKS["expr"].header, "0", "happy"], "line 3: 'happy' is no number; expected a whole number"),
        ("expr", [TASKS["expr"].header, "8"], "line 2: 8 is out of range"),
        ("expr", [TASKS["expr"].header, "1", "nan"], "line 3: nan is out of range"),
        ("va", [TASKS["va"].header, "0,0", "0.1"], "line 3 has 1 values .* expected 2"),
        ("va", [TASKS["va"].header, "0,0", "0.1,-2"], "line 3: -2 is out of range; expected a number in"),
        ("va", [TASKS["va"].header, "0,0", "0.1,inf"], "line 3: inf is out of range"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, task: str, lines: list[str], said: str) -> None:
    path = write(tmp_path / "video7.txt", *lines)
    with pytest.raises(InputError, match=said) as error:
        annotation_files.read(path, TASKS[task])
    assert str(path) in str(error.value)


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        labels.read_folder(tmp_path / "nowhere", TASKS["au"])
    (tmp_path / "._junk.txt").touch()
    with pytest.raises(InputError, match="no annotation files here"):
        labels.read_folder(tmp_path, TASKS["au"])
    with pytest.raises(InputError, match="no such annotation file"):
        annotation_files.read(tmp_path / "v.txt", TASKS["au"])
    (tmp_path / "v.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"v\.txt: cannot be read as text"):
        annotation_files.read(tmp_path / "v.txt", TASKS["au"])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_end_of_a_line_ends_it(tmp_path: Path, end: str) -> None:
    (tmp_path / "v.txt").write_bytes(end.join((TASKS["expr"].header, "0", "7", "-1", "")).encode())
    found = annotation_files.read(tmp_path / "v.txt", TASKS["expr"])
    assert found.values.tolist() == [0, 7, 0] and found.valid.tolist() == [True, True, False]
    (tmp_path / "v.txt").write_bytes(f"{TASKS['expr'].header}\n0\r7\n".encode())  # one that an editor left
    assert annotation_files.read(tmp_path / "v.txt", TASKS["expr"]).values.tolist() == [0, 7]


def test_a_folder_is_read_sorted_by_video(tmp_path: Path) -> None:
    for name in ("b", "a_left", "a"):
        write(tmp_path / f"{name}.txt", TASKS["expr"].header, "0")
    assert list(labels.read_folder(tmp_path, TASKS["expr"])) == ["a", "a_left", "b"]


def test_full_size_is_read(tmp_path: Path) -> None:
    write(tmp_path / "v.txt", TASKS["au"].header, *[AU_LINE] * 200_000)
    assert len(annotation_files.read(tmp_path / "v.txt", TASKS["au"]).valid) == 200_000
