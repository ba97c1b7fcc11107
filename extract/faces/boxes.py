"""Where the faces were: one row per person and frame, in pixels of the upright frame, beside the crops' record.

Parquet with `person` (int8, from 0, left to right), `frame` (int32, 1-based), and x, y, width, height (float32).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.media import tables
from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_whole

SIDES = ("x", "y", "width", "height")

Boxes = tuple[NDArray[np.int32], NDArray[np.float32]]
"""One person's frames [n], rising, and boxes [n, 4]: x, y, width, height."""


def path(crops: Path, video: str) -> Path:
    """Where the boxes of a video's crops lie, in the folder of all crops."""
    return crops / ".crops" / f"{video}.boxes.parquet"


def write(target: Path, people: list[dict[int, NDArray[np.float64]]]) -> None:
    """Write everybody's boxes by frame, from left to right, whole or not at all."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [(person, frame, *box) for person, values in enumerate(people) for frame, box in sorted(values.items())]
    numbers = np.array(rows, np.float64).reshape(-1, 6)
    columns = {"person": numbers[:, 0].astype(np.int8), "frame": numbers[:, 1].astype(np.int32)}
    columns |= {name: numbers[:, 2 + i].astype(np.float32) for i, name in enumerate(SIDES)}
    with write_whole(target) as temporary:
        parquet.write_table(pa.table(columns), temporary, compression="zstd")


def read(source: Path, people: int) -> list[Boxes]:
    """Everybody's boxes, from left to right. Raises InputError for a file that is missing or damaged."""
    import pyarrow as pa

    try:
        with tables.open_parquet(source) as file:
            table = file.read()
        whose, frames = (table[name].to_numpy() for name in ("person", "frame"))
        values = np.stack([table[name].to_numpy() for name in SIDES], axis=1)
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError, InputError) as error:
        raise InputError(
            f"{source}: the faces' places cannot be read ({error}); delete {source.parents[1]} and start again"
        ) from None
    return [(frames[whose == person], values[whose == person]) for person in range(people)]
