"""Imports that no head uses are spared, in processes that do nothing but train: nothing else in them can miss these."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def hide(names: Sequence[str]) -> Iterator[None]:
    """A block in which modules that are not imported yet cannot be, by any thread: libraries that could use them do
    without, for as long as the process lives.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: there is no such module
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
