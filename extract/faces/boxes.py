"""Where the faces were: one row per person and frame, in pixels of the upright frame, beside the crops' record.

Parquet with `person` (int8, from 0, left to right), `frame` (int32, 1-based), and x, y, width, height (float32). Of
people with numbers (extract.faces.people) `person` is int32, from 1, and score, roll and sharpness stand behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.faces.people import Sighting
from extract.media import tables
from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_whole

SIDES = ("x", "y", "width", "height")

MEASURES = ("score", "sharpness", "roll")
"""What is known of each face of people with numbers, beside its box (extract.faces.people.Sighting)."""

Boxes = tuple[NDArray[np.int32], NDArray[np.float32]]
"""One person's frames [n], rising, and boxes [n, 4]: x, y, width, height."""
Measures = dict[str, NDArray[np.float32]]
"""Each of MEASURES [n], of one person's frames."""


def path(crops: Path, video: str) -> Path:
    """Where the boxes of a video's crops lie, in the folder of all crops."""
    return crops / ".crops" / f"{video}.boxes.parquet"


def write(target: Path, people: list[dict[int, NDArray[np.float64]]]) -> None:
    """Write everybody's boxes by frame, from left to right, whole or not at all."""
    rows = [(person, frame, *box) for person, values in enumerate(people) for frame, box in sorted(values.items())]
    numbers = np.array(rows, np.float64).reshape(-1, 6)
    columns = {"person": numbers[:, 0].astype(np.int8), "frame": numbers[:, 1].astype(np.int32)}
    columns |= {name: numbers[:, 2 + i].astype(np.float32) for i, name in enumerate(SIDES)}
    _write(target, columns)


def write_people(target: Path, people: list[Sighting]) -> None:
    """The same of people with numbers, with the measures of their faces."""
    box = np.concatenate([np.empty((0, 4)), *(person.box for person in people)])
    columns = {
        "person": np.repeat(np.arange(1, len(people) + 1, dtype=np.int32), [len(person.frame) for person in people]),
        "frame": _join([person.frame for person in people], np.int32),
    }
    columns |= {name: box[:, i].astype(np.float32) for i, name in enumerate(SIDES)}
    columns |= {name: _join([getattr(person, name) for person in people], np.float32) for name in MEASURES}
    _write(target, columns)


def _join(parts: list[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.empty(0), *parts]).astype(kind)


def _write(target: Path, columns: dict[str, NDArray[Any]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    with write_whole(target) as temporary:
        parquet.write_table(pa.table(columns), temporary, compression="zstd")


def read(source: Path, people: int) -> list[Boxes]:
    """Everybody's boxes, from left to right. Raises InputError for a file that is missing or damaged."""
    whose, frames, values = _read(source, SIDES)
    return [(frames[whose == person], values[whose == person]) for person in range(people)]


def read_people(source: Path) -> list[tuple[Boxes, Measures]]:
    """The boxes and measures of people with numbers, from 1 on. Raises InputError as `read` does."""
    whose, frames, values = _read(source, (*SIDES, *MEASURES))
    results: list[tuple[Boxes, Measures]] = []
    numbers = np.unique(whose)
    if numbers.tolist() != [*range(1, len(numbers) + 1)]:
        raise InputError(
            f"{source}: found people {numbers[:9].tolist()}, expected 1, 2, ...; delete {source.parents[1]} and start "
            f"again"
        )
    for person in numbers:
        rows = values[whose == person]
        measures = {name: rows[:, len(SIDES) + i] for i, name in enumerate(MEASURES)}
        results.append(((frames[whose == person], rows[:, : len(SIDES)]), measures))
    return results


def _read(source: Path, names: tuple[str, ...]) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.float32]]:
    """Persons [n], frames [n] and some columns [n, names]."""
    import pyarrow as pa

    try:
        with tables.open_parquet(source) as file:
            table = file.read()
        whose, frames = (table[name].to_numpy() for name in ("person", "frame"))
        values = np.stack([table[name].to_numpy() for name in names], axis=1)
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError, InputError) as error:
        raise InputError(
            f"{source}: the faces' places cannot be read ({error}); delete {source.parents[1]} and start again"
        ) from None
    return whose, frames, values
