"""Beside a frame with people by number: who is in sight, with number, expression, active units, valence and arousal.

Who appears takes the first free place of the list and keeps it until the end, so that nothing jumps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.film.drawing import DIM, FAINT, INK, Draw, Face, even, font
from heads.abaw.tasks import AU

WIDTH = 230
"""Of a column, where the picture has 360 lines; it grows with them."""
TALL, FLAT = 66, 22
"""Height of a person's place: with all that is predicted, and with the expression alone, where there are many."""
COLUMNS = 3
"""At most; who has no place is told by the box alone."""
FOOT = 26


class PeoplePanel:
    """The list for all frames of a film."""

    def __init__(self, faces: list[Face], height: int, unit: float) -> None:
        """`height` in pixels; `unit` is a pixel of a picture of 360 lines."""
        self.height, self.unit = height, unit
        self.faces, self.places = faces, find_places(faces)
        most = max(self.places) + 1
        tall, flat = (int((height / unit - FOOT) // size) for size in (TALL, FLAT))
        self.flat = most > COLUMNS * tall
        self.rows = flat if self.flat else tall
        columns = min(COLUMNS, -(-most // self.rows))
        self.capacity = columns * self.rows
        self.column = even(WIDTH * unit)
        self.width = self.column * columns

    def draw(self, draw: Draw, row: int, left: int, told: str) -> None:
        """Draw the list of frame `row` (from 0) at x = `left`; `told` stands below it."""
        u, missing = self.unit, 0
        for face, place in zip(self.faces, self.places, strict=True):
            if (at := face.at(row)) is None:
                continue
            if place >= self.capacity:
                missing += 1
                continue
            x = left + place // self.rows * self.column
            y = (4 + place % self.rows * (FLAT if self.flat else TALL)) * u
            self._person(draw, face, at, x, y)
        more = f"   and {missing} more" if missing else ""
        draw.text((left + 10 * u, self.height - 20 * u), told + more, fill=DIM, font=self._font(11))

    def _person(self, draw: Draw, face: Face, at: int, x: float, y: float) -> None:
        """One person's place: the number in its colour, then what is predicted."""
        u, right = self.unit, x + self.column - 10 * self.unit
        draw.rounded_rectangle((x + 8 * u, y + 3 * u, x + 34 * u, y + 19 * u), 3 * u, fill=face.colour)
        draw.text((x + 21 * u, y + 11 * u), str(face.name), fill=(0, 0, 0), font=self._font(13), anchor="mm")
        if face.expression is not None and face.probability is not None:
            draw.text((x + 42 * u, y + 11 * u), face.expression[at], fill=INK, font=self._font(14), anchor="lm")
            part = float(np.clip(face.probability[at], 0, 1))
            draw.text((right, y + 11 * u), f"{part:.0%}", fill=INK, font=self._font(12), anchor="rm")
            low, bar = x + 126 * u, right - 34 * u
            draw.rectangle((low, y + 7 * u, bar, y + 15 * u), outline=FAINT, width=max(1, round(u)))
            draw.rectangle((low, y + 7 * u, low + part * (bar - low), y + 15 * u), fill=face.colour)
        if self.flat:
            return
        line = y + 29 * u
        if face.units is not None:
            draw.text((x + 42 * u, line), self._units(face.units[at]), fill=INK, font=self._font(11), anchor="lm")
            line += 16 * u
        if face.affect is not None:
            valence, arousal = face.affect[at]
            said = f"valence {valence:+.2f}   arousal {arousal:+.2f}"
            draw.text((x + 42 * u, line), said, fill=DIM, font=self._font(11), anchor="lm")
        draw.line((x + 8 * u, y + (TALL - 5) * u, right, y + (TALL - 5) * u), fill=FAINT, width=1)

    def _units(self, active: NDArray[np.float64]) -> str:
        """The active units, as many as there is room for."""
        names = [name for name, on in zip(AU, active, strict=True) if on > 0]
        room = self.column - 52 * self.unit
        for count in range(len(names), 0, -1):
            said = "  ".join(names[:count]) + (f" +{len(names) - count}" if count < len(names) else "")
            if self._font(11).getlength(said) <= room:
                return said
        return "no unit active"

    def _font(self, size: float) -> Any:
        return font(max(10, round(size * self.unit)))


def find_places(faces: list[Face]) -> list[int]:
    """The place of each face in a list, from 0: the first that is free from its first to its last frame."""
    free_from: list[int] = []
    places = [0] * len(faces)
    for i in sorted(range(len(faces)), key=lambda i: (faces[i].first, i)):
        first, last = faces[i].first, faces[i].first + len(faces[i].box)
        place = next((k for k, row in enumerate(free_from) if row <= first), len(free_from))
        free_from[place : place + 1] = [last]
        places[i] = place
    return places
