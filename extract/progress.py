"""One way to show progress: a bar on a terminal, sparse plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts work done; `advance` from anywhere in the loop."""

    def __init__(self, what: str, total: int, unit: str, bar: object | None, parts: int = 1) -> None:
        self.what, self.total, self.unit, self.parts = what, total, unit, parts
        self.done = 0
        self._bar = bar
        self._task = bar.add_task(what, total=total, rate="", count="") if bar is not None else None  # type: ignore[attr-defined]
        self._began = self._said = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Add `count` finished parts; `note` (if any) replaces the description."""
        self.done += count
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = f"{self.done / self.parts / seconds:,.1f} {self.unit}/s"
        if self._bar is not None:
            text = f"{self.what}: {note}" if note else self.what
            self._bar.update(
                self._task, completed=self.done, total=self.total, rate=rate, count=self._count(), description=text
            )  # type: ignore[attr-defined]
        elif time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            left = (self.total - self.done) * seconds / max(self.done, 1)
            said = [f"{self.what}: {self._count()} {self.unit}", rate, f"{left:,.0f} s left", note]
            print(", ".join(filter(None, said)), file=sys.stderr, flush=True)

    def _count(self) -> str:
        if self.parts == 1:
            return f"{self.done:,} of {self.total:,}"
        return f"{self.done / self.parts:.1f} of {self.total / self.parts:.0f}"


@contextmanager
def progress(what: str, total: int, unit: str = "steps", parts: int = 1) -> Iterator[Progress]:
    """Show progress on stderr while the block runs. `total` counts parts, of which `parts` make one `unit`.

    >>> with progress("extract", total=3, unit="frames") as bar:
    ...     bar.advance()
    """
    if not sys.stderr.isatty():
        yield Progress(what, total, unit, None, parts)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        yield Progress(what, total, unit, bar, parts)
