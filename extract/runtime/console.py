"""Tables for people, and where they are printed: stdout, as it is on a terminal, wide enough elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.table import Table

WIDTH = 120
"""Columns where stdout is a file or a pipe, and COLUMNS does not say otherwise: rich would take 80, and fold names."""


def console() -> Console:
    """A console that prints text as it stands: names may have brackets or colons in them."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def number_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], leader: int | None = None, **options: Any
) -> Table:
    """A table of names and, right of them, numbers; the row `leader` is marked. `options` are those of rich's Table."""
    from rich.table import Table

    table = Table(**options)
    for i, title in enumerate(header):
        table.add_column(title, justify="right" if i else "left")
    for i, (name, *numbers) in enumerate(rows):
        marked = (f"{name}  \u25c2 leads", "bold") if i == leader else (name, None)
        table.add_row(marked[0], *numbers, style=marked[1])
    return table
