"""One way to show progress: a bar on a terminal, sparse plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts work done; `advance` from anywhere in the loop."""

    def __init__(self, what: str, total: int, unit: str, bar: object | None) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0
        self._bar = bar
        self._task = bar.add_task(what, total=total, rate="") if bar is not None else None  # type: ignore[attr-defined]
        self._began = self._said = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Add `count` finished units; `note` (if any) replaces the description."""
        self.done += count
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = f"{self.done / seconds:,.0f} {self.unit}/s" if seconds > 1 else ""
        if self._bar is not None:
            text = f"{self.what}: {note}" if note else self.what
            self._bar.update(self._task, completed=self.done, rate=rate, description=text)  # type: ignore[attr-defined]
        elif time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            left = (self.total - self.done) * seconds / max(self.done, 1)
            print(
                f"{self.what}: {self.done:,} of {self.total:,} {self.unit}, {rate}, {left:,.0f} s left"
                f"{', ' + note if note else ''}",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def progress(what: str, total: int, unit: str = "steps") -> Iterator[Progress]:
    """Show progress of `total` units on stderr while the block runs.

    >>> with progress("extract", total=3, unit="frames") as bar:
    ...     bar.advance()
    """
    if not sys.stderr.isatty():
        yield Progress(what, total, unit, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        yield Progress(what, total, unit, bar)
