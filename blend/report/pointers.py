"""Numbers on the page and where they come from: each is marked with its place in report.json (a JSON pointer).

A text may hold such numbers: `f"reaches {ref('searched')}"` is written for people on the terminal by `plain`, and as
HTML that names the place from its `pieces`.
"""

from __future__ import annotations

import re
from typing import Any

OPEN, CLOSE = "\ue000", "\ue001"
"""Around a pointer in a text: characters that no name has."""
SLOT = re.compile(f"{OPEN}(.*?){CLOSE}", re.DOTALL)
UNDEFINED_TEXT = "undefined"


def pointer(*path: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def ref(*path: str | int) -> str:
    """A number of the report within a text."""
    return OPEN + pointer(*path) + CLOSE


def value(report: Any, place: str) -> Any:
    """What a JSON pointer points at. Raises KeyError or IndexError where there is nothing."""
    for part in place.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        report = report[int(name)] if isinstance(report, list) else report[name]
    return report


def format_number(number: Any, digits: int) -> str:
    """A number as people read it: None is not defined, whole numbers have no fraction."""
    if number is None:
        return UNDEFINED_TEXT
    if isinstance(number, list):
        return "per output"
    if isinstance(number, int):
        return f"{number:,}"
    text = f"{number:.{digits}f}"
    return text.replace("-", "", 1) if float(text) == 0 else text


def plain(text: str, report: Any, digits: int = 4) -> str:
    """A text for the terminal."""
    return SLOT.sub(lambda slot: format_number(value(report, slot[1]), digits), text)


def pieces(text: str) -> list[tuple[str, str]]:
    """A text as (words, the pointer of the number after them); the last words have none."""
    split = [*SLOT.split(text), ""]
    return list(zip(split[::2], split[1::2], strict=True))


def move(text: str, *path: str | int) -> str:
    """A text about a report that is now at `path` of another."""
    return text.replace(OPEN, OPEN + pointer(*path))
