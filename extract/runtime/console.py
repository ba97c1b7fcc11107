"""Where tables for people are printed: stdout, as it is on a terminal, wide enough elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120
"""Columns where stdout is a file or a pipe, and COLUMNS does not say otherwise: rich would take 80, and fold names."""


def console() -> Console:
    """A console that prints text as it stands: names may have brackets or colons in them."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)
