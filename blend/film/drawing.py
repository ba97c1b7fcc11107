"""What drawn frames are made of: faces as arrays, colours, letters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from extract.faces.boxes import SIDES
from heads.abaw.tasks import AU, EXPR, VA

if TYPE_CHECKING:
    import pandas as pd

Draw = ImageDraw.ImageDraw
Colour = tuple[int, int, int]
"""Red, green, blue."""
BACK, INK, DIM, FAINT = (24, 26, 30), (240, 240, 240), (150, 153, 160), (70, 73, 80)
COLOURS: tuple[Colour, ...] = (
    (255, 200, 60), (90, 205, 255), (255, 120, 150), (130, 230, 120), (200, 150, 255),
    (255, 150, 70), (80, 230, 210), (240, 240, 120), (180, 195, 225), (255, 170, 230),
)  # fmt: skip
"""Of the faces: the left or only face, the right one; people with numbers have them in turn, each always the same."""


@dataclass(frozen=True)
class Face:
    """One face's predictions as arrays over all frames (of people with numbers from the first to the last frame with
    them); None for tasks that were not predicted, NaN without a face.
    """

    name: str | int
    box: NDArray[np.float64]
    """[frames, 4]: x, y, width, height."""
    expression: list[str] | None
    """[frames]; empty without a face."""
    probability: NDArray[np.float64] | None
    """[frames]: the score of the expression."""
    units: NDArray[np.float64] | None
    """[frames, 12] of 0 and 1."""
    affect: NDArray[np.float64] | None
    """[frames, 2] in [-1, 1]."""
    first: int = 0
    """The row, from 0, of the frame at which the arrays begin."""

    @staticmethod
    def all_of(table: pd.DataFrame) -> list[Face]:
        """The faces of a table of predictions, in its order."""
        return [Face._of(name, values) for name, values in by_face(table)]

    @staticmethod
    def _of(name: str | int, table: pd.DataFrame) -> Face:
        def numbers(columns: list[str]) -> NDArray[np.float64]:
            return np.stack([table[c].to_numpy(np.float64, na_value=np.nan) for c in columns], axis=1)

        table, first = span(table) if isinstance(name, int) and "frame" in table else (table, 0)
        expression = probability = None
        if "expression" in table:
            expression = table["expression"].fillna("").astype(str).tolist()
            scores = numbers(list(EXPR))
            at = [EXPR.index(item) if item else 0 for item in expression]
            probability = scores[np.arange(len(table)), at]
        units = numbers(list(AU)) if AU[0] in table else None
        affect = numbers(list(VA)) if VA[0] in table else None
        return Face(name, numbers(list(SIDES)), expression, probability, units, affect, first)

    def at(self, row: int) -> int | None:
        """Where the arrays have the frame `row` (from 0); None where the face is not in it."""
        at = row - self.first
        return at if 0 <= at < len(self.box) and np.isfinite(self.box[at, 0]) else None

    @property
    def colour(self) -> Colour:
        """Of the box of somebody with a number: the same from film to film."""
        return colour(int(self.name))


def by_face(table: pd.DataFrame) -> list[tuple[str | int, pd.DataFrame]]:
    """Each face's name with its rows, in the table's order; or its number, rising."""
    numbered = table["face"].dtype.kind == "i"
    parts = table.groupby("face", sort=numbered)
    return [(int(str(name)) if numbered else str(name), values) for name, values in parts]


def span(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """A numbered face's rows of all frames from its first to its last, and the place of the first one, from 0."""
    first, last = int(table["frame"].iloc[0]), int(table["frame"].iloc[-1])
    return table.set_index("frame").reindex(range(first, last + 1)), first - 1


def colour(number: int) -> Colour:
    """The colour of the person with a number from 1."""
    return COLOURS[(number - 1) % len(COLOURS)]


def moment(faces: list[Face], frames: int) -> int:
    """The row of the frame that shows most: most active units, then affect farthest from neutral, then the first."""
    worth = np.zeros(frames)
    for face in faces:
        part = worth[face.first : face.first + len(face.box)]
        part += np.isfinite(face.box[:, 0])
        if face.units is not None:
            part += np.nan_to_num(face.units).sum(1)
        if face.affect is not None:
            part += np.linalg.norm(np.nan_to_num(face.affect), axis=1) / 2
    return int(worth.argmax())


def even(value: float) -> int:
    """The nearest even number: H.264 as browsers play it knows no others."""
    return max(2, 2 * round(value / 2))


@cache
def font(size: int) -> Any:
    """Pillow's built-in font at `size` pixels."""
    return ImageFont.load_default(size)
