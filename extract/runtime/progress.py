"""One way to show progress: bars on a terminal, sparse plain lines elsewhere.

A run of several steps opens one display (`steps`); whatever shows progress while it is open joins it, with the number
of its step: the one that `step` named last, or that its own name begins with, as "heads au" does. Nothing of this
reaches stdout, which is for results.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

SECONDS_BETWEEN_LINES = 15.0
KEPT_MARKS = 400
WINDOW = 20.0
"""Seconds at least over which a pace is taken."""
TIME_WIDTH = len("took 119 s, 119 s left")
SECONDS_TO_STOP = 1.0
"""For rich's thread, which is told to and does so at once."""
MAX_FINISHED_BARS = 8
"""Finished bars that stay on a display."""


class Pace:
    """How fast work goes now: over the last half of the time since the first piece, but WINDOW at least, of at most
    some KEPT_MARKS times. What comes before it (imports, compiling) is no part: estimates do not begin too high.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float]] = deque()
        self._first: float | None = None

    def mark(self, done: float) -> None:
        """So much is done now."""
        now = time.monotonic()
        if done <= 0:
            return
        if len(self._marks) > 2 and now - self._marks[-2][0] < max(WINDOW, (now - self._marks[0][0])) / KEPT_MARKS:
            self._marks.pop()
        self._marks.append((now, done))
        self._first = now if self._first is None else self._first
        while len(self._marks) > 2 and now - self._marks[1][0] > max(WINDOW, (now - self._first) / 2):
            self._marks.popleft()

    def per_second(self) -> float | None:
        """None while nothing can be said."""
        if not self._marks:
            return None
        (began, before), (now, done) = self._marks[0], self._marks[-1]
        return (done - before) / (now - began) if now - began >= 1 and done > before else None


class Progress:
    """Counts work done; `advance` from anywhere in the loop."""

    def __init__(self, title: str, total: int, unit: str, bar: Any, parts: int, step: Display | None) -> None:
        """`bar`: rich's bars, None off a terminal; the rest as of `progress`."""
        self.title, self.total, self.unit, self.parts = f"{step.prefix}{title}" if step else title, total, unit, parts
        self.count = 0
        self._bar = bar
        self._pace = Pace()
        self._task = bar and bar.add_task(self.title, total=total, rate="", count="", ends=None)
        self._began = self._said = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Add `count` finished parts; `note` (if any) replaces the description."""
        self.count += count
        self._pace.mark(self.count)
        per_second, now = self._pace.per_second(), time.monotonic()
        rate = "" if per_second is None else speed(per_second / self.parts, self.unit)
        left = None if per_second is None or self.total <= 0 else (self.total - self.count) / per_second
        if self._bar is not None:
            shown = {"description": f"{self.title}: {note}" if note else self.title, "count": self._count()}
            ends = None if left is None else now + left
            self._bar.update(self._task, completed=self.count, total=self.total, rate=rate, ends=ends, **shown)
        elif now - self._said > SECONDS_BETWEEN_LINES:
            self._said = now
            said = [f"{self.title}: {self._count()} {self.unit}", rate, describe_time(now - self._began, left), note]
            print(", ".join(filter(None, said)), file=sys.stderr, flush=True)

    def close(self) -> None:
        """All is done: off a terminal, say what took long."""
        took = time.monotonic() - self._began
        if self._bar is None and took > SECONDS_BETWEEN_LINES and 0 < self.total <= self.count:
            print(f"{self.title}: {self._count()} {self.unit}, took {duration(took)}", file=sys.stderr, flush=True)

    def _count(self) -> str:
        done, total = f"{self.count // self.parts:,}", f"{self.total // self.parts:,}"
        if self.total <= 0:
            return done
        return f"{done:>{len(total)}} of {total}" if self._bar is not None else f"{done} of {total}"


def describe_time(took: float, left: float | None) -> str:
    """What work took until now and how long it goes on: "took 9 s, 12 s left"."""
    return f"took {duration(took)}" + ("" if left is None else f", {duration(max(0.0, left))} left")


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

    def __init__(self, title: str, names: Sequence[str], bar: Any, outer: Display | None = None) -> None:
        self.title, self.names, self.bar = title, tuple(names), bar
        self.at = 0
        self._took: dict[str, float] = {}
        self._since = time.monotonic()
        self._finished: list[Any] = outer._finished if outer is not None else []
        self._head = bar and bar.add_task(title, total=None, count="", rate="", ends=None)

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
                self.bar.update(self._head, description=f"{self.title}: {self.prefix}{name}")

    def seconds(self) -> dict[str, float]:
        """What each step that has begun took until now, by its name."""
        now = time.monotonic()
        if self.at:
            name = self.names[self.at - 1]
            self._took[name] = self._took.get(name, 0.0) + now - self._since
        self._since = now
        return dict(self._took)

    def end(self, task: Any) -> None:
        """A piece of work is finished: its bar stays until there are too many."""
        self._finished.append(task)
        while len(self._finished) > MAX_FINISHED_BARS:
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
def pause() -> Iterator[None]:
    """A block in which no thread shows progress: a process that is forked there has none."""
    bar = _open and _open.bar
    if bar:
        bar.live.transient = True  # nothing of it stays: it is drawn again at once
        bar.stop()
        for thread in threading.enumerate():
            if type(thread).__module__.startswith("rich."):
                thread.join(SECONDS_TO_STOP)
    try:
        yield
    finally:
        if bar:
            bar.live.transient = False
            bar.start()


@contextmanager
def steps(title: str, names: Sequence[str]) -> Iterator[None]:
    """Show everything inside the block on one display, with the step it belongs to; `step` says which begins.

    Inside another such block the outer one's display is used, and its steps count again behind it.

    >>> with steps("blend au", ("extract", "heads", "blend")):
    ...     step("extract")
    """
    global _open
    outer = _open
    with _bars() as bar:
        _open = Display(title, names, bar, outer)
        try:
            yield
        finally:
            _open.close()
            _open = outer


@contextmanager
def progress(title: str, total: int, unit: str = "steps", parts: int = 1) -> Iterator[Progress]:
    """Show progress on stderr while the block runs. `total` counts parts, of which `parts` make one `unit`.

    >>> with progress("extract", total=3, unit="frames") as bar:
    ...     bar.advance()
    """
    here = _open
    if here is not None:
        here.begin(title.split()[0])
    with _bars() as bar:
        shown = Progress(title, total, unit, bar, parts, here)
        try:
            yield shown
            shown.close()
        finally:
            if here is not None and bar is not None:
                here.end(shown._task)


@contextmanager
def _bars() -> Iterator[Any]:
    """rich's bars on a terminal, None elsewhere: those of the display that is open, if one is."""
    if _open is not None or not sys.stderr.isatty():
        yield _open and _open.bar
        return
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column
    from rich.text import Text

    class TimeColumn(ProgressColumn):
        """ "took 9 s, 12 s left", which goes on between two pieces."""

        def render(self, task: Task) -> Text:
            ends = task.fields.get("ends")
            left = None if ends is None or task.finished else ends - time.monotonic()
            return Text(describe_time(task.elapsed or 0.0, left).ljust(TIME_WIDTH))

    whole = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    with Bar(
        TextColumn("{task.description}", markup=False, table_column=whole),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}", justify="right"),
        TextColumn("{task.fields[rate]}", justify="right"),
        TimeColumn(),
        console=Console(stderr=True),
        expand=True,
    ) as bar:
        yield bar
