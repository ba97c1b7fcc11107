"""One network's part of the feature store: what is missing of it, made here or by jobs elsewhere, and its failures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from extract.config import Features
from extract.engines import check as network_check
from extract.engines import create
from extract.features import pipeline, provenance, store
from extract.networks import registry, weights
from extract.runtime import inputs, locks
from extract.runtime.file_names import printable
from extract.runtime.progress import progress
from extract.runtime.run_folder import file_hash, sweep, write_json

MOST_NAMED = 5
"""Unreadable pictures named on screen; all of them are in failures.json."""
OnFrames = Callable[[int], None]


@dataclass
class NetworkStep:
    """The videos of `jobs` through one network. `corpus` is the version of an embedded corpus, else empty."""

    network: registry.Network
    jobs: list[pipeline.Job]
    work: Path
    settings: Features
    corpus: str
    redo: bool
    _about: dict[str, str] = field(init=False, default_factory=dict)
    _path: Path = field(init=False, default=Path())
    _since: int | None = field(init=False, default=None)

    unit = "frames"

    @property
    def name(self) -> str:
        """The network's."""
        return self.network.name

    @property
    def gpu(self) -> bool:
        """Whether a GPU makes it faster."""
        return self.settings.engine != "openvino"

    def size(self, job: pipeline.Job) -> int:
        """How much of the work a video is."""
        return len(job.frames.names)

    def todo(self) -> list[pipeline.Job]:
        """The videos that are missing or out of date. Raises InputError for weights that cannot be had."""
        self._path = weights.find(self.network)
        whole = self.network.path is not None and network_check.takes_whole_numbers(self._path)
        self._about = provenance.describe(self.network, file_hash(self._path), self.settings.precision, whole)
        self._since = provenance.redo_since(self.work / "features" / self.name, self._about["mark"], self.redo)
        return [job for job in self.jobs if not self.is_done(job)]

    def is_done(self, job: pipeline.Job) -> bool:
        """Whether a video's features stand; after `todo`."""
        file = store.path(self.work, self.name, job.video)
        if self._since is not None and not (file.exists() and file.stat().st_mtime_ns >= self._since):
            return False
        return provenance.is_current(file, self._about, job, self.corpus)

    def make(self) -> None:
        """Bring it up to date, together with whoever else works on it."""
        if todo := self.todo():
            total = sum(self.size(job) for job in todo)
            with progress(f"extract {self.name}", total=total, unit=self.unit) as bar:
                self.make_of(todo, bar.advance)

    def make_of(self, todo: list[pipeline.Job], advance: OnFrames) -> None:
        """The work itself, on the videos that no other process does; after `todo`."""
        claims = locks.Claims(self.work / "features" / self.name / ".locks")

        def write(job: pipeline.Job, features: store.VideoFeatures, failed: list[pipeline.Failure]) -> None:
            file = store.path(self.work, self.name, job.video)
            store.write(file, features, self._about | made_by | provenance.describe_video(job, failed, self.corpus))
            sweep(file)
            claims.release(job.video)

        runner = create.create(self.settings.engine, self._path, self.network, self.settings.precision)
        made_by = provenance.describe_engine(runner.runs)
        ours = locks.take_turns(todo, claims, self.is_done, passed=lambda job: advance(self.size(job)))
        pipeline.extract(runner, ours, write, advance)

    def finish(self) -> None:
        """All of it is there: end a redo, and say which pictures could not be read."""
        folder = self.work / "features" / self.name
        provenance.finish_redo(folder)
        _report(provenance.failures(self.work, self.name, self.jobs), folder / "failures.json")


def _report(failures: list[pipeline.Failure], path: Path) -> None:
    if not failures:
        if path.exists():
            path.unlink(missing_ok=True)
        return
    listed = [{"picture": str(failure.path), "reason": failure.reason} for failure in failures]
    with suppress(OSError, ValueError):
        if inputs.parse_json(path.read_text(encoding="utf-8")) == listed:
            listed = []
    if listed:
        write_json(path, listed)
    for failure in failures[:MOST_NAMED]:
        print(
            f"warning: {printable(str(failure.path))}: {failure.reason}; counted as a frame without a face",
            file=sys.stderr,
        )
    if len(failures) > MOST_NAMED:
        print(f"warning: {len(failures) - MOST_NAMED} more unreadable pictures are listed in {path}", file=sys.stderr)
