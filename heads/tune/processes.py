"""The processes of a search, here or on a cluster: watched, and replaced when they die, behind one display."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from extract.features import pipeline
from extract.jobs import job as machine_jobs
from extract.jobs.cluster import Cluster
from extract.jobs.job import Needs
from extract.jobs.local import TAIL, LocalMachine, read_log
from extract.runtime import run_folder
from extract.runtime.errors import InputError, WorkError
from extract.runtime.progress import Progress, progress
from heads.base import threads
from heads.train.cluster_job import memory
from heads.tune.study import Study, find_best, list_finished_trials
from heads.tune.worker import Job

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

MOST_DEATHS = 10
"""So many processes may die one after the other without any trial finished in between."""
MOST_ERRORS = 5
"""So many trials may fail with an error of their own before the search is stopped."""
OnLook = Callable[[list["FrozenTrial"]], None]


@dataclass
class WorkerPool:
    """`workers` processes on one search, on `cluster` if there is one. `on_look` is shown all trials now and then, and
    at the end. Processes share the study in its storage, wherever they run.
    """

    job: Job
    study: Study
    workers: int
    on_look: OnLook
    cluster: Cluster | None = None
    _bar: Progress = field(init=False)
    _names: dict[str, str] = field(init=False, default_factory=dict)
    """Of each job, the worker whose trials are its."""
    _doing, _started, _deaths, _errors, _counted = "", 0, 0, 0, 0

    def run(self) -> None:
        """Work until enough trials are finished or the time is over.

        However it ends, no process is left and their unfinished trials are free to be retried; where a cluster's worker
        is lost, its heart beats no more, and another process retries its trial. Raises InputError for bad input,
        WorkError where processes keep dying or trials keep failing, RuntimeError for a bug in a process, and as
        `Cluster.run`.
        """
        self._counted = len(list_finished_trials(self.study.trials()))
        total = max(0, self.job.trials - self._counted)
        what, at_once = f"tune {self.job.task} {self.job.head}", min(self.workers, total)
        try:
            with progress(what, total, "trials") as self._bar:
                jobs = [self._next() for _ in range(at_once)]
                if self.cluster is None:
                    with _ending_well():
                        LocalMachine(at_once, alone=True).run(what, jobs, self._hear, self._end, self._look)
                elif jobs:
                    self.cluster.run(what, jobs, self._hear, self._follow, self._look)
        finally:
            for name in self._names.values():
                self.study.release(name, True)
            self.on_look(self.study.trials())

    def _next(self) -> machine_jobs.Job:
        """A process that is to begin."""
        self._started += 1
        name = f"tune-{self.job.task}-{self.job.head}-{self._started}"
        self._names[name] = worker = f"{platform.node()}-{os.getpid()}-{self._started}"
        told = replace(self.job, worker=worker)
        if self.cluster is not None:
            log, environment = self.cluster.log(name), threads.environment(gpu=True)
            needs = Needs(self.cluster.settings.threads, memory(Path(told.work), told.has))
            told = replace(told, train=str(Path(told.train).absolute()))
        else:
            log, needs = Path(told.folder) / "logs" / f"{worker}.txt", Needs(max(1, pipeline.cores() // self.workers))
            # the limit is for heads whose own settings ask for more
            environment = threads.ENVIRONMENT | {"OMP_THREAD_LIMIT": str(needs.threads)}
        return machine_jobs.Job(name, "heads.tune.worker", (), log, needs, environment, json.dumps(asdict(told)))

    def _hear(self, job: machine_jobs.Job, news: dict[str, Any]) -> None:
        """Take in what a process says."""
        if "note" in news:
            self._doing = f"trial {news['trial']}, {news['note']}"
        if "error" in news:
            self._errors += 1
            print(f"warning: trial {news['trial']} failed: {news['error']}", file=sys.stderr)
            if self._errors >= MOST_ERRORS:
                raise WorkError(
                    f"{self._errors} trials failed, the last with: {news['error']}; narrow the space to what works; "
                    f"the log is {job.log}"
                )
        if news.get("state") == "LATE":
            print(
                f"warning: trial {news['trial']} was taken for dead and is done again; raise --heartbeat if this "
                f"happens often",
                file=sys.stderr,
            )
        if "state" in news:
            self._deaths = 0
            self._look()

    def _look(self) -> None:
        """Count what is finished, on all machines."""
        trials = self.study.trials()
        self.on_look(trials)
        finished, best = len(list_finished_trials(trials)), find_best(trials)
        note = f"best {best.value:.4f} (trial {best.number})" if best is not None else self._doing
        self._bar.advance(finished - self._counted, note)
        self._counted = finished

    def _follow(self, _: machine_jobs.Job, result: dict[str, Any]) -> machine_jobs.Job | None:
        """What goes on from a process that has ended well: nothing, where there is no more to do."""
        self._look()
        return self._next() if (result["last"] or {}).get("over") == "turn" else None

    def _end(self, job: machine_jobs.Job, result: dict[str, Any]) -> machine_jobs.Job | None:
        """A process of this machine is over: well, to be replaced, or with a reason to stop."""
        self.study.release(self._names.pop(job.name), False)
        code = result["code"]
        if code == 0 and (over := (result["last"] or {}).get("over")):
            if over != "turn":
                job.log.unlink(missing_ok=True)
            return self._follow(job, result)
        text = read_log(job.log)
        for kind, mark in ((InputError, "error: "), (WorkError, "failed: ")):
            if said := [line for line in text if line.startswith(mark)]:
                raise kind(said[-1].removeprefix(mark))
        if code >= 0:
            run_folder.refuse_if_full(job.log.parent)
            end = "\n".join(text[-TAIL:])
            raise RuntimeError(
                f"a process of the search ended with exit code {code}; the end of its log {job.log}:\n{end}"
            )
        self._deaths += 1
        if self._deaths >= MOST_DEATHS:
            raise WorkError(
                f"{self._deaths} processes of the search were ended by signals one after the other, the last by "
                f"{-code} (9 is mostly too little memory: fewer --workers, or a head with fewer inputs); the log is "
                f"{job.log}"
            )
        print(f"warning: a process was ended by signal {-code}: its trial is retried", file=sys.stderr)
        return self._next()


@contextmanager
def _ending_well() -> Iterator[None]:
    """SIGTERM, which batch systems send before they kill, acts as Ctrl-C: trials are freed for others at once."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
