"""One network's part of the feature store: which videos are missing of it, and who makes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic

from extract.features import provenance, store
from extract.runtime import locks
from extract.runtime.locks import J
from extract.runtime.progress import progress

OnProgress = Callable[[int], None]


class FeatureStep(ABC, Generic[J]):
    """The videos of `jobs` through one network.

    `version` is that of an embedded corpus, else empty. A kind of network says what is current (`is_current`), what a
    video costs (`size`, in `unit`s) and how it is made.
    """

    unit = "videos"
    frames_of_unit = 1
    """How many frames through a network cost as much as one unit."""

    def __init__(self, name: str, jobs: Sequence[J], work: Path, version: str, redo: bool) -> None:
        self.name, self.jobs, self.work, self.version, self.redo = name, list(jobs), work, version, redo
        self.folder = work / "features" / name
        self.about: dict[str, str] = {}
        """As `describe` says it; after `todo`."""
        self._since: int | None = None

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """What decides the features; "mark" is its fingerprint. Raises InputError for weights that cannot be had."""

    @property
    def gpu(self) -> bool:
        """Whether a GPU makes it faster."""
        return False

    def size(self, job: J) -> int:
        """How much of the work a video is."""
        return 1

    @abstractmethod
    def is_current(self, path: Path, job: J) -> bool:
        """Whether a file holds what would be made now. Raises InputError where it is of other settings."""

    @abstractmethod
    def make_videos(self, stream: Iterator[J | None], release: Callable[[str], None], advance: OnProgress) -> None:
        """Make and write the videos that come; None among them: finish what is open first. `release` each by name."""

    @abstractmethod
    def report(self) -> None:
        """Say and keep what could not be read."""

    def todo(self) -> list[J]:
        """The videos that are missing or out of date. Raises InputError for weights that cannot be had."""
        self.about = self.describe()
        self._since = provenance.redo_since(self.folder, self.about["mark"], self.redo)
        return [job for job in self.jobs if not self.is_done(job)]

    def is_done(self, job: J) -> bool:
        """Whether a video's features stand; after `todo`."""
        file = store.path(self.work, self.name, job.video)
        if self._since is not None and not (file.exists() and file.stat().st_mtime_ns >= self._since):
            return False
        return self.is_current(file, job)

    def make(self) -> None:
        """Bring it up to date, together with whoever else works on it."""
        if todo := self.todo():
            with progress(f"extract {self.name}", total=sum(map(self.size, todo)), unit=self.unit) as bar:
                self.make_of(todo, bar.advance)

    def make_of(self, todo: list[J], advance: OnProgress) -> None:
        """The work itself, on the videos that no other process does; after `todo`."""
        claims = locks.Claims(self.folder / ".locks")
        ours = locks.take_turns(todo, claims, self.is_done, passed=lambda job: advance(self.size(job)))
        self.make_videos(ours, claims.release, advance)

    def finish(self) -> None:
        """All of it is there: end a redo, and report."""
        provenance.finish_redo(self.folder)
        self.report()
