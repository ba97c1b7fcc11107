"""One way to show progress: bars on a terminal, sparse plain lines elsewhere.

A run of several steps opens one display (`steps`); whatever shows progress while it is open joins it, with the number
of its step: the one that `step` named last, or that its own name begins with, as "heads au" does. Nothing of this
reaches stdout, which is for results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

SECONDS_BETWEEN_LINES = 15.0
KEPT = 8
"""Finished bars that stay on a display."""


class Progress:
    """Counts work done; `advance` from anywhere in the loop."""

    def __init__(
        self, what: str, total: int, unit: str, bar: object | None, parts: int = 1, step: Display | None = None
    ) -> None:
        self.what, self.total, self.unit, self.parts = f"{step.prefix}{what}" if step else what, total, unit, parts
        self.done = 0
        self._bar: Any = bar
        self._task = bar.add_task(self.what, total=total, rate="", count="") if bar is not None else None  # type: ignore[attr-defined]
        self._began = self._said = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Add `count` finished parts; `note` (if any) replaces the description."""
        self.done += count
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = speed(self.done / self.parts / seconds, self.unit)
        if self._bar is not None:
            text = f"{self.what}: {note}" if note else self.what
            self._bar.update(
                self._task, completed=self.done, total=self.total, rate=rate, count=self._count(), description=text
            )
        elif time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            left = (self.total - self.done) * seconds / max(self.done, 1)
            said = [f"{self.what}: {self._count()} {self.unit}", rate, f"{duration(left)} left", note]
            print(", ".join(filter(None, said)), file=sys.stderr, flush=True)

    def _count(self) -> str:
        if self.parts == 1:
            return f"{self.done:,} of {self.total:,}"
        return f"{self.done / self.parts:,.1f} of {self.total / self.parts:,.0f}"


def speed(per_second: float, unit: str) -> str:
    """How fast: "81.7 frames/s", or, where a unit takes longer than a second, "95 s a head"."""
    if per_second >= 1 or per_second <= 0:
        return f"{per_second:,.1f} {unit}/s"
    seconds = 1 / per_second
    return f"{f'{seconds:.1f} s' if seconds < 10 else duration(seconds)} a {unit.removesuffix('s')}"


def duration(seconds: float) -> str:
    """In a unit that people read: 95 s, 7 min, 3.2 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class Stopwatch:
    """What the pieces of some work took, and all of it."""

    def __init__(self, before: dict[str, float]) -> None:
        """`before`: seconds by name of what went before, which is no part of the total."""
        self._laps = dict(before)
        self._began = self._last = time.monotonic()

    def lap(self, name: str) -> dict[str, float]:
        """A piece is over; seconds of all pieces until now, by name, in order."""
        now = time.monotonic()
        self._laps[name] = self._laps.get(name, 0.0) + now - self._last
        self._last = now
        return {name: round(seconds, 2) for name, seconds in self._laps.items()}

    def total(self) -> float:
        """Seconds since the beginning."""
        return round(time.monotonic() - self._began, 2)


class Display:
    """One display for a whole run: which step it is at, and a bar for each piece of work."""

    def __init__(self, what: str, names: Sequence[str], bar: Any, outer: Display | None = None) -> None:
        self.what, self.names, self.bar = what, tuple(names), bar
        self.at = 0
        self._took: dict[str, float] = {}
        self._since = time.monotonic()
        self._finished: list[Any] = outer._finished if outer is not None else []
        self._head = bar.add_task(what, total=None, count="", rate="") if bar is not None else None

    @property
    def prefix(self) -> str:
        """What stands before everything shown in this step, as in "2/3 "."""
        return f"{self.at}/{len(self.names)} " if self.at else ""

    def begin(self, name: str) -> None:
        """Go to a step, by its name; one that was not announced changes nothing."""
        if name in self.names and self.names.index(name) + 1 != self.at:
            self.seconds()
            self.at = self.names.index(name) + 1
            if self.bar is not None:
                self.bar.update(self._head, description=f"{self.what}: {self.prefix}{name}")

    def seconds(self) -> dict[str, float]:
        """What each step that has begun took until now, by its name."""
        now = time.monotonic()
        if self.at:
            name = self.names[self.at - 1]
            self._took[name] = self._took.get(name, 0.0) + now - self._since
        self._since = now
        return dict(self._took)

    def ended(self, task: Any) -> None:
        """A piece of work is finished: its bar stays until there are too many."""
        self._finished.append(task)
        while len(self._finished) > KEPT:
            self.bar.remove_task(self._finished.pop(0))

    def close(self) -> None:
        """The run is over."""
        if self.bar is not None:
            self.bar.remove_task(self._head)


_open: Display | None = None


def step(name: str) -> None:
    """Say that a step begins. Nothing happens where no run has announced it."""
    if _open is not None:
        _open.begin(name)


def step_seconds() -> dict[str, float]:
    """Seconds that the steps of the run took until now; empty where no run has announced any."""
    return _open.seconds() if _open is not None else {}


@contextmanager
def steps(what: str, names: Sequence[str]) -> Iterator[None]:
    """Show everything inside the block on one display, with the step it belongs to; `step` says which begins.

    Inside another such block the outer one's display is used, and its steps count again behind it.

    >>> with steps("blend au", ("extract", "heads", "blend")):
    ...     step("extract")
    """
    global _open
    outer = _open
    if outer is not None:
        _open = Display(what, names, outer.bar, outer)
        try:
            yield
        finally:
            _open.close()
            _open = outer
        return
    with _bars() as bar:
        _open = Display(what, names, bar)
        try:
            yield
        finally:
            _open.close()
            _open = None


@contextmanager
def progress(what: str, total: int, unit: str = "steps", parts: int = 1) -> Iterator[Progress]:
    """Show progress on stderr while the block runs. `total` counts parts, of which `parts` make one `unit`.

    >>> with progress("extract", total=3, unit="frames") as bar:
    ...     bar.advance()
    """
    if _open is not None:
        here = _open
        here.begin(what.split()[0])
        shown = Progress(what, total, unit, here.bar, parts, here)
        try:
            yield shown
        finally:
            if here.bar is not None:
                here.ended(shown._task)
        return
    with _bars() as bar:
        yield Progress(what, total, unit, bar, parts)


@contextmanager
def _bars() -> Iterator[Any]:
    """rich's bars on a terminal, None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        yield bar
