"""Numbers on the page and where they come from: each is marked with its place in report.json (a JSON pointer).

A text may hold such numbers: `f"reaches {at('searched')}"` is written for people on the terminal by `plain`, and as
HTML that names the place by `marked`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

OPEN, CLOSE = "\ue000", "\ue001"
"""Around a pointer in a text: characters that no name has."""
SLOT = re.compile(f"{OPEN}(.*?){CLOSE}", re.DOTALL)
UNDEFINED = "undefined"
MANY = 6
"""Columns that do not fit on the screen of a telephone."""


def pointer(*path: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def ref(*path: str | int) -> str:
    """A number of the report within a text."""
    return OPEN + pointer(*path) + CLOSE


def value(report: Any, where: str) -> Any:
    """What a JSON pointer points at. Raises KeyError or IndexError where there is nothing."""
    for part in where.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        report = report[int(name)] if isinstance(report, list) else report[name]
    return report


def format_number(number: Any, digits: int) -> str:
    """A number as people read it: None is not defined, whole numbers have no fraction."""
    if number is None:
        return UNDEFINED
    if isinstance(number, list):
        return "per output"
    if isinstance(number, int):
        return f"{number:,}"
    text = f"{number:.{digits}f}"
    return text.replace("-", "", 1) if float(text) == 0 else text


def plain(text: str, report: Any, digits: int = 4) -> str:
    """A text for the terminal."""
    return SLOT.sub(lambda slot: format_number(value(report, slot[1]), digits), text)


def mark_numbers(text: str, report: Any, digits: int = 3) -> str:
    """A text as HTML: its numbers name their place."""
    pieces = SLOT.split(text)
    return "".join(
        f'<span data-key="{escape(piece)}">{format_number(value(report, piece), digits)}</span>'
        if i % 2
        else escape(piece)
        for i, piece in enumerate(pieces)
    )


def cell(report: Any, *path: str | int, digits: int = 3, kind: str = "n") -> str:
    """A table's cell with a number of the report; lists are said to be so."""
    place = pointer(*path)
    return f'<td class="{kind}" data-key="{escape(place)}">{format_number(value(report, place), digits)}</td>'


def words(text: str = "", kind: str = "") -> str:
    """A table's cell with words."""
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def table(header: Sequence[str], lines: Iterable[tuple[str, Sequence[str]]], chosen: str = "", left: int = 0) -> str:
    """A table: the first column is each row's name, the other cells are ready HTML (`cell`, `words`).

    `chosen` is the name of a row to stand out. All columns but the first and `left` more hold numbers.
    """
    head = "".join(f'<th scope="col"{_right(i > left)}>{escape(name)}</th>' for i, name in enumerate(header))
    body = "\n".join(
        f"<tr{_chosen(name == chosen)}><th scope='row'>{escape(name)}</th>{''.join(cells)}</tr>"
        for name, cells in lines
    )
    return wide(f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>", len(header))


def wide(inside: str, columns: int, label: str = "table", kind: str = "") -> str:
    """A table that scrolls sideways where it does not fit; one of many columns is reached by keyboard for that."""
    reach = f' tabindex="0" role="region" aria-label="{escape(label)}"' if columns >= MANY else ""
    named = f' class="{kind}"' if kind else ""
    return f'<div class="wide"{reach}><table{named}>{inside}</table></div>'


def _right(numbers: bool) -> str:
    return ' class="n"' if numbers else ""


def _chosen(is_it: bool) -> str:
    return ' class="chosen"' if is_it else ""


def figure(chart: str, caption: str = "", legend: str = "") -> str:
    """A chart with its legend above and what it says below; the caption is HTML."""
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{legend}{chart}{below}</figure>"


def panels(charts: Sequence[str]) -> str:
    """Small charts side by side."""
    return '<div class="panels">' + "".join(charts) + "</div>"


def details(summary: str, body: str) -> str:
    """Something to open."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def section(name: str, title: str, *parts: str) -> str:
    """A part of the page with a heading."""
    return f'<section id="{name}"><h2>{escape(title)}</h2>\n' + "\n".join(part for part in parts if part) + "</section>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of words."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"
