"""Pictures through one network, and which of them could not be read."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from extract.config import Features
from extract.engines import check as network_check
from extract.engines import create
from extract.engines.graph import Engine
from extract.features import pipeline, provenance, store
from extract.features.base import FeatureStep, OnProgress
from extract.networks import facts, registry, weights
from extract.runtime import inputs, locks
from extract.runtime.errors import InputError, warn
from extract.runtime.file_names import printable
from extract.runtime.run_folder import file_hash, sweep, write_json

MAX_NAMES = 5
"""Unreadable pictures named on screen; all of them are in failures.json."""


class NetworkStep(FeatureStep[pipeline.Job]):
    """The pictures of `jobs` through one network; of `engines`, where they are kept from call to call."""

    unit = "frames"

    def __init__(
        self,
        network: registry.Network,
        jobs: Sequence[pipeline.Job],
        work: Path,
        settings: Features,
        version: str,
        redo: bool,
        engines: create.EngineCache | None = None,
        corpus: str = "",
    ) -> None:
        """`corpus`: the name of the one that the videos are of; videos of another may be called as a fold's are."""
        super().__init__(network.name, jobs, work, version, redo)
        self.network, self.settings, self._path, self._engines = network, settings, Path(), engines
        self._corpus = corpus
        self._fold_of: dict[str, Path] = {}
        self._frames = Counter[Path]()
        self.companions: Sequence[NetworkStep] = ()
        """Steps on the same videos that get the decoded pictures of these, too, where they lack them."""

    def describe(self) -> dict[str, str]:
        """What decides the features: the network's weights, those of its folds, and how it is run."""
        self._path = weights.find(self.network)
        own = self.network.path is not None
        corpus, folds = facts.read_folds(self._path) if own else ("", [])
        ours = reversed(folds) if corpus == self._corpus else ()
        self._fold_of = {video: fold.path for fold in ours for video in fold.held_out}
        hashes = ",".join([file_hash(self._path), *(fold.sha256 for fold in folds)])
        unknown = own and self.network.name not in registry.NETWORKS  # those take real numbers
        whole = unknown and network_check.takes_whole_numbers(self._path)
        return provenance.describe(self.network, hashes, self.settings.precision, whole)

    def todo(self) -> list[pipeline.Job]:
        """As of every step; videos of one fold follow each other."""
        todo = sorted(super().todo(), key=lambda job: str(self._fold_of.get(job.video, "")))
        self._frames = Counter[Path]()
        for job in todo:
            self._frames[self._fold_of.get(job.video, self._path)] += self.size(job)
        return todo

    @property
    def gpu(self) -> bool:
        """Whether a GPU makes it faster."""
        return self.settings.engine != "openvino"

    def size(self, job: pipeline.Job) -> int:
        """Its frames."""
        return len(job.frames.names)

    def is_current(self, path: Path, job: pipeline.Job) -> bool:
        """Whether a file holds what would be made now."""
        return provenance.is_current(path, self.about, job, self.version)

    def make_videos(
        self, stream: Iterator[pipeline.Job | None], release: Callable[[str], None], advance: OnProgress
    ) -> None:
        """Run the pictures of the videos that come through the network, and through its companions."""
        engines = self._engines or create.EngineCache()
        companions = [consumer for step in self.companions if (consumer := step.accompany(engines))]
        for path, jobs in itertools.groupby(stream, self._choose_file()):
            runner = self._create_engine(engines, path)
            beside = [] if runner.by_batch else companions
            pipeline.extract(runner, jobs, self._writer(runner, release), advance, beside)

    def shares_pictures(self, step: NetworkStep) -> bool:
        """Whether both networks take the same pixels."""
        return (self.network.size, self.network.colour) == (step.network.size, step.network.colour)

    def accompany(self, engines: create.EngineCache) -> pipeline.Consumer | None:
        """What takes decoded pictures of the videos that are missing here, and that no other process makes; None where
        none is missing, they are of several files, or pictures would wait for those of later videos. What is wrong with
        this network, or what it says of a video, is left to its own turn.
        """
        try:
            if not self.todo() or self._fold_of:
                return None
            runner = self._create_engine(engines, self._path)
        except InputError:
            return None
        if runner.by_batch:
            return None
        claims, refused = locks.Claims(self.folder / ".locks"), set[str]()

        def takes(job: pipeline.Job) -> bool:
            if refused or not claims.take(job.video):
                return False
            if done := self.is_done(job):
                claims.release(job.video)
            return not done

        def leave_out(job: pipeline.Job) -> None:
            refused.add(job.video)
            claims.release(job.video)

        return pipeline.Consumer(runner, self._writer(runner, claims.release), takes, leave_out)

    def _create_engine(self, engines: create.EngineCache, path: Path) -> Engine:
        return engines.create(self.settings.engine, path, self.network, self.settings.precision, self._frames[path])

    def _writer(
        self, runner: Engine, release: Callable[[str], None]
    ) -> Callable[[pipeline.Job, store.VideoFeatures, list[pipeline.Failure]], None]:
        """What writes a video's features by an engine, and then lets go of it."""
        made_by = provenance.describe_engine(runner.runs)

        def write(job: pipeline.Job, features: store.VideoFeatures, failed: list[pipeline.Failure]) -> None:
            file = store.path(self.work, self.name, job.video)
            store.write(file, features, self.about | made_by | provenance.describe_video(job, failed, self.version))
            sweep(file)
            release(job.video)

        return write

    def _choose_file(self) -> Callable[[pipeline.Job | None], Path]:
        """Each job's file: of the fold that has not learnt from the video, else the network's; None's is the last."""
        last = self._path

        def choose(job: pipeline.Job | None) -> Path:
            nonlocal last
            last = last if job is None else self._fold_of.get(job.video, self._path)
            return last

        return choose

    def measure_pace(self, todo: Sequence[pipeline.Job], seconds: float) -> tuple[float, int]:
        """Frames a second on this machine and bytes a frame in the store, of the first of the missing pictures, after
        `todo`. Writes nothing, takes about as long as it is given and what the network needs to begin.
        """
        runner = create.create(self.settings.engine, self._path, self.network, self.settings.precision)
        began, done = 0.0, 0

        def advance(count: int) -> None:
            nonlocal began, done
            began, done = began or time.monotonic(), done + count

        def pieces() -> Iterator[pipeline.Job]:
            for job in todo:
                for first in range(0, len(job.frames.names), pipeline.AHEAD):
                    if began and time.monotonic() - began > seconds:
                        return
                    part = slice(first, first + pipeline.AHEAD)
                    frames = replace(job.frames, numbers=job.frames.numbers[part], names=job.frames.names[part], odd=())
                    yield replace(job, frames=frames)

        pipeline.extract(runner, pieces(), lambda *_: None, advance)
        size = sum(width * np.dtype(store.KINDS[kind]).itemsize for kind, width in runner.widths.items())
        return max(1, done - 1) / max(time.monotonic() - began, 1e-6), size

    def report(self) -> None:
        """Say which pictures could not be read; `failures.json` has all of them."""
        failures, path = provenance.failures(self.work, self.name, self.jobs), self.folder / "failures.json"
        if not failures:
            if path.exists():
                path.unlink(missing_ok=True)
            return
        listed = [{"picture": str(failure.path), "reason": failure.reason} for failure in failures]
        if inputs.load_json(path) != listed:
            write_json(path, listed)
        for failure in failures[:MAX_NAMES]:
            warn(f"{printable(str(failure.path))}: {failure.reason}; counted as a frame without a face")
        if len(failures) > MAX_NAMES:
            warn(f"{len(failures) - MAX_NAMES} more unreadable pictures are listed in {path}")
