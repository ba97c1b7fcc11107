"""The processes of a shared search, here or on a cluster: started, watched, replaced when they die."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blend.config import BlendSettings
from blend.pool.pool import Pool
from blend.search.shared_study import SharedStorage, SharedStudy
from blend.search.worker import pack_search
from extract.jobs import record as cluster_record
from extract.jobs.cluster import Cluster
from extract.jobs.job import Job, Needs
from extract.jobs.local import LocalMachine, read_log
from extract.runtime import run_folder
from extract.runtime.errors import WorkError

MEMORY = 1_000_000_000
"""Bytes of a process beside the pool, which it holds three times at most: as it was read and in two orders."""
MOST_DEATHS = 20
"""So many processes may die one after the other without any trial finished in between."""


class _Enough(Exception):
    """As many trials as wanted are finished."""


@dataclass
class WorkerPool:
    """`workers` processes that draw trials until `trials` are finished, by whomever, or until `until` (time.monotonic):
    those that begin late, or once more, end with the others. They run on `cluster` if there is one.
    """

    pool: Pool
    settings: BlendSettings
    seed: int
    storage: SharedStorage
    trials: int
    workers: int
    until: float | None
    cluster: Cluster | None = None
    _finished: int = field(init=False, default=0)
    _deaths: int = field(init=False, default=0)

    def run(self, study: SharedStudy, on_trials: Callable[[int], None]) -> None:
        """Work until it is done; however it ends, no process is left.

        Raises WorkError where processes keep dying, or end with an error; on a cluster as `Cluster.run`.
        """

        def look() -> None:
            finished = study.count()
            on_trials(finished - self._finished)
            self._deaths = 0 if finished > self._finished else self._deaths
            self._finished = finished
            if self.cluster is None and finished >= self.trials:
                raise _Enough

        def end(job: Job, result: dict[str, Any]) -> None:
            if self.cluster is None:
                self._end(job, result["code"])
            look()

        what, machine = f"blend-{self.pool.task.name}", self.cluster or LocalMachine(self.workers)
        with suppress(_Enough):
            look()
            if not self._is_over():
                with self._write_pool(what) as path:
                    machine.run(what, self._jobs(what, path), lambda job, news: None, end, look)
                look()

    def _is_over(self) -> bool:
        """Whether no process is to be started any more."""
        return self._finished >= self.trials or (self.until is not None and time.monotonic() > self.until)

    @contextmanager
    def _write_pool(self, what: str) -> Iterator[Path]:
        """A file of what the processes need to know, which goes with all that lies beside it under its name."""
        name = f"{what}.{secrets.token_hex(8)}"
        if self.cluster is not None:
            path = cluster_record.folder(self.cluster.work).resolve() / f"{name}.pool"
        else:
            path = self.storage.path.parent.resolve() / f".{name}.part"  # run_folder.begin removes what a kill leaves
        with run_folder.write_whole(path) as temporary:
            temporary.touch(0o600)  # a storage's URL may hold a password
            temporary.write_bytes(pack_search(self.pool, self.settings, self.seed, self.storage, self.trials))
        try:
            yield path
        finally:
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink(missing_ok=True)

    def _jobs(self, what: str, path: Path) -> Iterator[Job]:
        """The processes; on this machine as many as it takes: another begins where one has died."""
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        needs = Needs(self.cluster.settings.threads if self.cluster else threads, MEMORY + 3 * path.stat().st_size)
        for number in range(1, self.workers + 1) if self.cluster else itertools.count(1):
            if self._is_over():
                return
            name = f"{what}-{number}"
            log = self.cluster.log(name) if self.cluster else path.with_name(f"{path.name}.{number}.part")
            until = None if self.until is None else time.time() + self.until - time.monotonic()  # by the clock of now
            told = json.dumps({"pool": str(path), "until": until})
            yield Job(name, "blend.search.worker", (), log, needs, stdin=told)

    def _end(self, job: Job, code: int) -> None:
        """A process of this machine is over: done, to be replaced, or with an error of its own."""
        if said := read_log(job.log):
            print("\n".join(said), file=sys.stderr)
        job.log.unlink(missing_ok=True)
        if code > 0:
            raise WorkError(f"a process of the search ended with exit code {code}; what it said is above")
        if code < 0:
            self._deaths += 1
            if self._deaths >= MOST_DEATHS:
                raise WorkError(
                    f"{self._deaths} processes of the search were ended by signals one after the other, the last by "
                    f"{-code} (9 is mostly too little memory: fewer --workers)"
                )
            print(f"warning: a process was ended by signal {-code}; another takes its place", file=sys.stderr)
