"""The organisers' file formats as facts: which header belongs to which task, and what may stand behind a picture.

ABAW-3 to ABAW-8: one file for all frames or pictures of a task (au, expr, va, lsd), and the multi-task file (mtl).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from blend.tasks.lookup import BLEND_TASKS
from blend.tasks.protocol import Legal
from heads.abaw.tasks import AU, MTL, MTL_SHORT, SUBTASKS


@dataclass(frozen=True)
class Kind:
    """A kind of submission: the columns behind the picture's in its header, and what each value may be."""

    name: str
    header: tuple[str, ...]
    values: tuple[Legal, ...]

    def problem(self, tail: str) -> str:
        """What is wrong with the text behind a picture and its comma; empty: nothing."""
        cells = tail.split(",") if tail else []
        if len(cells) != len(self.values):
            return self._count(cells)
        for cell, legal in zip(cells, self.values, strict=True):
            if legal is None:
                if wrong := _not_in_range(cell):
                    return wrong
            elif cell not in legal:
                return _not_among(cell, legal)
        return ""

    def _count(self, cells: list[str]) -> str:
        text, want = f"{len(cells)} values, expected {len(self.values)}", len(self.values)
        if len(cells) == want + 1 and not cells[-1].strip():
            return "a comma too many at the end of the line"
        if len(cells) == 1 and want > 1 and ";" in cells[0]:
            return f"{text}; they are divided by ';' instead of ','"
        if len(cells) > want and None in self.values:
            return f"{text}; is a decimal point written as a comma?"
        return text


_IN_MTL = tuple(legal for part in SUBTASKS.values() for legal in BLEND_TASKS[part.name].legal_texts)
KINDS = {
    name: Kind(name, tuple(item.task.list_header.split(",")[1:]), item.legal_texts)
    for name, item in BLEND_TASKS.items()
} | {MTL: Kind(MTL, MTL_SHORT, _IN_MTL)}
"""By name; `recognise` finds one by its header."""


def recognise(columns: Sequence[str]) -> Kind | None:
    """The kind with these columns behind the picture's (blanks and case do not matter), or None."""
    names = [column.strip().lower() for column in columns]
    if names == [column.lower() for column in (*MTL_SHORT[:3], *AU)]:
        return KINDS[MTL]
    return next((kind for kind in KINDS.values() if [column.lower() for column in kind.header] == names), None)


def _not_in_range(cell: str) -> str:
    """What is wrong with a number that should be in [-1, 1]."""
    try:
        number = float(cell)
    except ValueError:
        return _no_number(cell)
    if not cell.isascii() or "_" in cell or cell != cell.strip():
        return _no_number(cell)
    if not math.isfinite(number):
        return f"{cell[:40]} is not finite"
    return "" if -1 <= number <= 1 else f"{cell[:40]} is not in [-1, 1]"


def _no_number(cell: str) -> str:
    if any(letter.isspace() for letter in cell):
        return f"blanks in {cell[:40]!r}"
    if '"' in cell or "'" in cell:
        return f"quotes around {cell[:40]}"
    return f"{cell[:40]!r} is no number" if cell else "an empty value"


def _not_among(cell: str, legal: tuple[str, ...]) -> str:
    """What is wrong with a text that is none of the whole numbers it could be."""
    among = f"expected {' or '.join(legal)}" if len(legal) == 2 else f"expected {legal[0]} to {legal[-1]}"
    try:
        number = float(cell) if cell.isascii() and cell == cell.strip() else None
    except ValueError:
        number = None
    if number is None:
        return f"{_no_number(cell)}, {among}"
    if not math.isfinite(number):
        return f"{cell[:40]} is not finite, {among}"
    if cell != f"{number:.0f}":
        return f"{cell[:40]} is not written as a whole number, {among}"
    hint = "; are the classes counted from 1?" if number == len(legal) > 2 else ""
    return f"{cell[:40]} is out of range, {among}{hint}"
