"""One video frame with what was predicted: boxes on the picture, and beside it a panel for each face.

A panel shows the expression with its probability, the twelve action units (active ones filled, with a tick) and the
point of valence and arousal in a square, with the way it came in the last second. People with numbers have one list
instead (people_panel.py). Small pictures are enlarged, so that letters stay legible, very large ones made smaller.
Nothing is told by colour alone. A note on what made the predictions, where there is one, stands below.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blend.film.drawing import BACK, COLOURS, DIM, FAINT, INK, Colour, Draw, Face, even, font
from blend.film.people_panel import PeoplePanel
from heads.abaw.tasks import AU

LOWEST, HIGHEST = 360, 1080
"""Lines of the shown picture."""
PANEL = 190
"""Width of one face's panel where the picture has LOWEST lines; it grows with them."""
ACTIVE, NOT_ACTIVE = (245, 245, 245), (32, 34, 39)
TRAIL = 1.0
"""Seconds."""


class Painter:
    """Draws all frames of one video."""

    def __init__(
        self, faces: list[Face], height: int, width: int, seconds: NDArray[np.float64], note: str = "", name: str = ""
    ) -> None:
        """`height` and `width` are the video's, `seconds` [frames] the times of its frames; `note` stands below. Of a
        single picture its `name` is told, not its time.
        """
        self.faces, self.seconds, self.name = faces, seconds, name
        self.scale = max(1, -(-LOWEST // height)) if height < LOWEST else min(1.0, HIGHEST / height)
        self.height, self.width = even(height * self.scale), even(width * self.scale)
        self.unit = self.height / LOWEST
        self.people = PeoplePanel(faces, self.height, self.unit) if faces and isinstance(faces[0].name, int) else None
        self.panel = even(PANEL * self.unit)
        self.side = self.people.width if self.people else self.panel * len(faces)
        self.backs = [] if self.people else [self._background(face) for face in faces]
        self.trail = np.searchsorted(seconds, seconds - TRAIL)
        self.foot = self._footer(note) if note else None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the drawn frames, even numbers."""
        return self.width + self.side, self.height + (self.foot.height if self.foot else 0)

    def frame(self, row: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Frame `row` (from 0), whose pixels are BGR, as RGB [height, width, 3] of `size`."""
        shape = (self.width, self.height)
        way = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_LINEAR
        if picture.shape[1::-1] != shape:
            picture = np.asarray(cv2.resize(picture, shape, interpolation=way), np.uint8)
        image = Image.new("RGB", self.size, BACK)
        image.paste(Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)), (0, 0))
        draw = ImageDraw.Draw(image)
        self._boxes(draw, row)
        if self.people:
            self.people.draw(draw, row, self.width, self._told(row))
        for number in range(len(self.backs)):
            image.paste(self._panel(number, self.faces[number], row), (self.width + number * self.panel, 0))
        if self.foot:
            image.paste(self.foot, (0, self.height))
        return np.asarray(image)

    def _told(self, row: int) -> str:
        return self.name or f"frame {row + 1}   {self.seconds[row]:.2f} s"

    def last_frame(
        self, faces: list[Face], seconds: NDArray[np.float64], name: str, picture: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """The last frame of other predictions of the same faces, at `seconds` [frames]; its `name` is told."""
        self.faces, self.seconds, self.name = faces, seconds, name
        self.trail = np.searchsorted(seconds, seconds - TRAIL)
        return self.frame(len(seconds) - 1, picture)

    def _footer(self, note: str) -> Image.Image:
        """A note in as many lines as it takes, over the whole width."""
        u, letters, wide = self.unit, self._font(12), self.width + self.side
        lines = [""]
        for word in note.split():
            longer = f"{lines[-1]} {word}".lstrip()
            if lines[-1] and letters.getlength(longer) > wide - 16 * u:
                lines.append(word)
            else:
                lines[-1] = longer
        image = Image.new("RGB", (wide, even((16 * len(lines) + 6) * u)), BACK)
        draw = ImageDraw.Draw(image)
        draw.line((0, 0, wide, 0), fill=FAINT, width=max(1, round(u)))
        for number, line in enumerate(lines):
            draw.text((8 * u, (4 + 16 * number) * u), line, fill=INK, font=letters)
        return image

    def _boxes(self, draw: Draw, row: int) -> None:
        """Every face's box in its colour between two dark lines; then, so that no box hides one, the names."""
        thick = max(1, round(2 * self.unit))
        names = []
        for number, face in enumerate(self.faces):
            if (at := face.at(row)) is None:
                continue
            x, y, width, height = face.box[at] * self.scale
            left, top = max(x, thick), max(y, thick)
            right = min(x + width, self.width - 1 - thick)
            bottom = min(y + height, self.height - 1 - thick)
            if right <= left or bottom <= top:
                continue
            colour = face.colour if self.people else COLOURS[number]
            for grow, line, ink in ((thick, 3 * thick, (0, 0, 0)), (0, thick, colour)):
                draw.rectangle((left - grow, top - grow, right + grow, bottom + grow), outline=ink, width=line)
            if text := self._label(face, at):
                names.append((text, left, top, bottom, colour))
        for name in names:
            self._name(draw, *name)

    def _name(self, draw: Draw, text: str, left: float, top: float, bottom: float, colour: Colour) -> None:
        """A box's name above it; below, where there is no room."""
        thick = max(1, round(2 * self.unit))
        font = self._font(12 if self.people else 14)
        _, _, wide, high = draw.textbbox((0, 0), text, font=font)
        pad = round(3 * self.unit)
        at_x = min(max(0, left - thick), max(0, self.width - wide - 2 * pad))
        above = top - 2 * thick - high - 2 * pad
        at_y = above if above >= 0 else min(bottom + 2 * thick, self.height - high - 2 * pad)
        draw.rectangle((at_x, at_y, at_x + wide + 2 * pad, at_y + high + 2 * pad), fill=(0, 0, 0))
        draw.text((at_x + pad, at_y + pad), text, fill=colour, font=font)

    def _label(self, face: Face, row: int) -> str:
        if isinstance(face.name, int):
            return f"{face.name} {face.expression[row]}" if face.expression else str(face.name)
        name = face.name if len(self.faces) > 1 else ""
        if face.expression is None or face.probability is None:
            return name
        said = f"{face.expression[row]} {face.probability[row]:.0%}"
        return f"{name}: {said}" if name else said

    def _font(self, size: float) -> Any:
        return font(max(11, round(size * self.unit)))

    def _background(self, face: Face) -> tuple[Image.Image, dict[str, tuple[float, float]]]:
        """A panel's picture without values, and where its parts begin."""
        u = self.unit
        image = Image.new("RGB", (self.panel, self.height), BACK)
        draw = ImageDraw.Draw(image)
        y, places = 8 * u, {}
        if len(self.faces) > 1:
            draw.text((10 * u, y), f"{face.name} face", fill=DIM, font=self._font(12))
            y += 18 * u
        places["head"] = (10 * u, y)
        y += 44 * u if face.expression is not None else 22 * u
        if face.units is not None:
            places["units"] = (10 * u, y)
            y += 4 * 25 * u + 6 * u
        if face.affect is not None:
            side = min(self.panel - 44 * u, self.height - y - 60 * u)
            places["affect"] = ((self.panel - side) / 2, y + 14 * u)
            places["side"] = (side, side)
            self._square(draw, *places["affect"], side)
        places["foot"] = (10 * u, self.height - 20 * u)
        return image, places

    def _square(self, draw: Draw, x: float, y: float, side: float) -> None:
        """The plane of valence (across) and arousal (up), both from -1 to 1."""
        line = max(1, round(self.unit))
        draw.rectangle((x, y, x + side, y + side), outline=DIM, width=line)
        draw.line((x, y + side / 2, x + side, y + side / 2), fill=FAINT, width=line)
        draw.line((x + side / 2, y, x + side / 2, y + side), fill=FAINT, width=line)
        font = self._font(11)
        draw.text((x + side / 2, y - 2 * self.unit), "aroused", fill=DIM, font=font, anchor="md")
        for text, at, anchor in (("-", x - 4 * self.unit, "rm"), ("+", x + side + 4 * self.unit, "lm")):
            draw.text((at, y + side / 2), text, fill=DIM, font=self._font(14), anchor=anchor)

    def _panel(self, number: int, face: Face, row: int) -> Image.Image:
        """A face's panel at one frame."""
        back, places = self.backs[number]
        image = back.copy()
        draw = ImageDraw.Draw(image)
        seen = face.at(row) is not None
        self._head(draw, places["head"], face, row, COLOURS[number])
        if face.units is not None:
            self._units(draw, places["units"], face.units[row] if seen else np.zeros(len(AU)))
        if face.affect is not None:
            self._affect(draw, places["affect"], places["side"][0], face.affect, row)
        draw.text(places["foot"], self._told(row), fill=DIM, font=self._font(11))
        return image

    def _head(self, draw: Draw, at: tuple[float, float], face: Face, row: int, colour: Colour) -> None:
        """The expression and a bar of its probability, or that there is no face."""
        (x, y), u = at, self.unit
        if face.at(row) is None:
            draw.text((x, y), "no face", fill=DIM, font=self._font(18))
            return
        if face.expression is None or face.probability is None:
            return
        draw.text((x, y), face.expression[row], fill=INK, font=self._font(18))
        part, wide = float(np.clip(face.probability[row], 0, 1)), self.panel - 62 * u
        draw.rectangle((x, y + 26 * u, x + wide, y + 34 * u), outline=DIM, width=max(1, round(u)))
        draw.rectangle((x, y + 26 * u, x + part * wide, y + 34 * u), fill=colour)
        draw.text((x + wide + 6 * u, y + 30 * u), f"{part:.0%}", fill=INK, font=self._font(13), anchor="lm")

    def _units(self, draw: Draw, at: tuple[float, float], active: NDArray[np.float64]) -> None:
        """Twelve fields in three columns; an active one is filled and ticked."""
        u, gap = self.unit, 5 * self.unit
        wide = (self.panel - 20 * u - 2 * gap) / 3
        for i, name in enumerate(AU):
            x, y = at[0] + (i % 3) * (wide + gap), at[1] + (i // 3) * 25 * u
            on = active[i] > 0
            fill, ink = (ACTIVE, (0, 0, 0)) if on else (NOT_ACTIVE, DIM)
            draw.rectangle((x, y, x + wide, y + 20 * u), fill=fill, outline=FAINT, width=max(1, round(u)))
            draw.text((x + 5 * u, y + 10 * u), name, fill=ink, font=self._font(12), anchor="lm")
            if on:
                tick = [(x + wide - dx * u, y + dy * u) for dx, dy in ((12, 10), (9, 13), (4, 6))]
                draw.line(tick, fill=ink, width=max(1, round(1.6 * u)))

    def _affect(self, draw: Draw, at: tuple[float, float], side: float, affect: NDArray[np.float64], row: int) -> None:
        """The point, where it came from, and its numbers."""
        u = self.unit
        values = affect[self.trail[row] : row + 1]
        way = [(at[0] + (v + 1) / 2 * side, at[1] + (1 - a) / 2 * side) for v, a in values if np.isfinite(v)]
        if len(way) > 1:
            draw.line(way, fill=DIM, width=max(1, round(u)))
        said = "valence  -     arousal  -"
        if np.isfinite(affect[row, 0]):
            (x, y), r = way[-1], 4.5 * u
            draw.ellipse((x - r, y - r, x + r, y + r), fill=INK, outline=(0, 0, 0), width=max(1, round(u)))
            said = f"valence {affect[row, 0]:+.2f}   arousal {affect[row, 1]:+.2f}"
        middle = self.panel / 2, at[1] + side + 6 * u
        draw.text(middle, said, fill=INK, font=self._font(11), anchor="ma")


class LivePainter:
    """Draws the frames of a stream, one after the other; it remembers the last second of each face."""

    def __init__(self, note: str = "", numbered: bool = False) -> None:
        """`note` stands below each; `numbered`: several people, told by their numbers."""
        self._note, self._numbered = note, numbered
        self._seen: deque[tuple[float, dict[int, dict[str, Any]]]] = deque()
        self._columns: dict[str, None] = {}
        self._people: list[int] = []
        self._painter: Painter | None = None
        self._drawn: tuple[Any, ...] = ()

    def frame(
        self, number: int, seconds: float, picture: NDArray[np.uint8], rows: list[dict[str, Any]]
    ) -> NDArray[np.uint8]:
        """A frame's pixels, BGR, with the rows of its faces (`face`, a number, and a table's columns), as RGB.

        Where nobody was seen in the last second, the panel of the last one stays and says so.
        """
        self._seen.append((seconds, {row["face"]: row for row in rows}))
        while self._seen[0][0] < seconds - TRAIL:
            self._seen.popleft()
        self._columns |= {column: None for row in rows for column in row}
        self._people = sorted({face for _, at in self._seen for face in at}) or self._people[-1:]
        faces, times = self._faces(), np.array([at for at, _ in self._seen])
        if self._numbered or self._painter is None or self._drawn != (self._people, picture.shape):
            self._painter = Painter(faces, *picture.shape[:2], times, self._note)
            self._drawn = (self._people, picture.shape)
        return self._painter.last_frame(faces, times, f"frame {number}   {seconds:.2f} s", picture)

    def _faces(self) -> list[Face]:
        """The last second of everybody."""
        import pandas as pd

        rows = [at.get(person, {"face": person}) for person in self._people for _, at in self._seen]
        if not rows:
            return []
        table = pd.DataFrame(rows, columns=[*self._columns])
        if not self._numbered:
            table["face"] = table["face"].astype(str)
        if "expression" in table:
            table["expression"] = table["expression"].astype("string")
        return Face.all_of(table)
