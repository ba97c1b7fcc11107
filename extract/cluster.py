"""Jobs on the machines of a cluster: steps hand over a list of independent ones and hear of each as it ends.

A job is a program with paths, not arrays: it reads and writes the work folder, which all machines share, under locks
and with the same atomic writes as a run on one machine. So a lost worker costs one job, and a job that is done again
is harmless. Dask hands the jobs out; which steps use a cluster is decided once, by `at`, as with the display.
"""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract import cluster_report
from extract.config import ClusterSettings
from extract.errors import Failed, InputError

if TYPE_CHECKING:
    from distributed import Client, Future

LOCAL = "local"
MOST_TRIES = 3
"""Workers that a job may fail on before it is given up."""
MOST_STARTS = 10
"""Starts of a job whose workers were lost: by it, or by a batch system that needs them elsewhere."""
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_UNTIL_SEEN = 90.0
"""Shared file systems show other machines' files with a delay: NFS of a directory up to a minute."""
HELP = "Where the jobs run: local, dask://HOST:PORT (a scheduler), or slurm (as the config's cluster.* says)."
OnNews = Callable[["Job", dict[str, Any]], None]
OnEnd = Callable[["Job", dict[str, Any]], "Job | None"]
OnLook = Callable[[], None]


@dataclass(frozen=True)
class Needs:
    """What a job needs. Threads and memory count where the workers say what they have (README)."""

    threads: int = 1
    """As many as it can use."""
    memory: int = 1_000_000_000
    """Bytes."""
    gpu: bool = False
    """Whether it is faster on a GPU."""


@dataclass(frozen=True)
class Job:
    """`python -m <module> <arguments>` on some worker. It says on stdout how far it is, as one JSON object a line; its
    stdin stays open for as long as the worker lives.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    log: Path
    needs: Needs = Needs()
    environment: dict[str, str] = field(default_factory=dict)
    stdin: str = ""
    """A first line of its stdin."""

    def sent(self, threads: int) -> dict[str, Any]:
        """What a worker is told."""
        return {
            "name": self.name,
            "module": self.module,
            "arguments": list(self.arguments),
            "log": str(self.log.resolve()),
            "environment": self.environment,
            "stdin": self.stdin,
            "gpu": self.needs.gpu,
            "threads": threads,
            "cwd": os.getcwd(),
        }


@dataclass
class _Open:
    """A job on its way."""

    job: Job
    future: Future
    only: list[str]
    """Workers it may run on; empty: any."""
    failures: list[dict[str, Any]] = field(default_factory=list)


class Cluster:
    """The workers behind one scheduler, all of them seen to belong to this run."""

    def __init__(self, client: Client, where: str, settings: ClusterSettings, work: Path, expected: dict[str, Any]):
        self.client, self.where, self.settings, self.work = client, where, settings, work
        self._expected = expected
        self._topic = f"affect-heads-{expected['secret']}"
        self._news: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._refused: set[str] = set()
        self._slots = max(1, sum(client.nthreads().values()))
        client.subscribe_topic(self._topic, lambda event: self._news.put(("news", event[1])))

    def slots(self) -> int:
        """Jobs that run at the same time, at least 1."""
        return self._slots

    def log(self, name: str) -> Path:
        """Where a job of this run keeps its log: no other run's job of the same name does."""
        logs = cluster_report.folder(self.work) / "logs"
        return logs / f"{cluster_report.slug(name)}.{self._expected['secret'][:6]}.txt"

    def run(
        self, what: str, jobs: Sequence[Job], on_news: OnNews, on_end: OnEnd, on_look: OnLook = lambda: None
    ) -> None:
        """Run the jobs; `on_end(job, result)` as each ends well, which may return one that goes on from there;
        `on_news` with what a job says meanwhile, `on_look` now and then.

        A job that fails is tried on other workers, the others go on. At the end raises InputError where one found bad
        input, Failed where one failed on three workers; Failed at once where the scheduler is gone. Leaves
        `<work>/cluster/<what>.json`.
        """
        record = cluster_report.Record(self.where, self.work, what)
        opened: dict[str, _Open] = {}
        bad: list[InputError] = []
        looked = time.monotonic()
        try:
            for job in jobs:
                opened[job.name] = _Open(job, *self._submit(job, []))
            while opened:
                if time.monotonic() - looked > SECONDS_BETWEEN_LOOKS:
                    looked = time.monotonic()
                    self._look(opened)
                    on_look()
                try:
                    kind, said = self._news.get(timeout=SECONDS_BETWEEN_LOOKS)
                except queue.Empty:
                    continue
                if kind == "news":
                    if one := opened.get(said["job"]):
                        if "started" in said["news"]:
                            record.started(one.job, said["by"])
                        else:
                            on_news(one.job, said["news"])
                elif (one := opened.get(said)) is not None and one.future.done():
                    self._ended(one, opened, record, bad, on_end)
        finally:
            if opened and self.client.status == "running":
                self.client.cancel([one.future for one in opened.values()], force=True)
            record.write([one.job.name for one in opened.values()])
        if bad:
            raise bad[0]
        record.raise_failures()

    def _submit(self, job: Job, avoid: Sequence[dict[str, Any]]) -> tuple[Future, list[str]]:
        """Hand a job over, to another worker than those that it failed on if there is one; to which it may go."""
        from extract import cluster_worker

        claims, threads = self._claims(job)
        past = self._refused | {failure["address"] for failure in avoid}
        only = [address for address in self.client.nthreads() if address not in past] if past else []
        future = self.client.submit(
            cluster_worker.run,
            job.sent(threads),
            self._expected,
            self._topic,
            key=f"affect-heads-{job.name}-{os.urandom(6).hex()}",
            pure=False,
            resources=claims,
            workers=only or None,
        )
        future.add_done_callback(lambda _: self._news.put(("ended", job.name)))
        return future, only

    def _claims(self, job: Job) -> tuple[dict[str, float], int]:
        """What a job claims of its worker, of what workers say they have, and its threads."""
        workers = list(self.client.scheduler_info(n_workers=-1)["workers"].values())
        has = [worker.get("resources") or {} for worker in workers]
        claims: dict[str, float] = {}
        if has and all("THREADS" in one for one in has):
            claims["THREADS"] = min(job.needs.threads, int(max(one["THREADS"] for one in has)))
        if has and all("MEMORY" in one for one in has):
            most = max(one["MEMORY"] for one in has)
            if job.needs.memory > most:
                print(
                    f"warning: {job.name} may need {job.needs.memory / 1e9:.1f} GB; no worker has more than "
                    f"{most / 1e9:.1f}",
                    file=sys.stderr,
                )
            claims["MEMORY"] = min(job.needs.memory, most)
        if job.needs.gpu and any("GPU" in one for one in has):
            claims["GPU"] = 1
        return claims, int(claims.get("THREADS", 1))

    def _look(self, opened: dict[str, _Open]) -> None:
        """Is the scheduler still there, and some worker for every job?"""
        if self.client.status != "running" or any(one.future.status == "lost" for one in opened.values()):
            raise Failed(
                f"the scheduler {self.where} is gone; what was finished is kept: start it and its workers again, and "
                f"the same command goes on"
            )
        there = self.client.nthreads()
        self._slots = max(1, sum(there.values()))
        for one in opened.values():
            if one.only and not one.future.done() and there.keys().isdisjoint(one.only):
                self.client.cancel([one.future], force=True)
                one.future, one.only = self._submit(one.job, one.failures)

    def _ended(
        self, one: _Open, opened: dict[str, _Open], record: cluster_report.Record, bad: list[InputError], on_end: OnEnd
    ) -> None:
        """A job's process, or its worker, has ended: done, once more elsewhere, or given up."""
        job, future, lost = one.job, one.future, False
        if future.status == "finished":
            result = future.result()
        elif future.status == "error":
            if (lost := _worker_lost(future)) and record.starts(job) < MOST_STARTS:
                one.future, one.only = self._submit(job, one.failures)
                return
            why = " ".join(str(future.exception()).split())
            result = {"worker": "?", "address": "", "host": "?", "code": None, "tail": [why], "seconds": 0.0}
        else:
            self._look(opened)
            raise Failed(f"the scheduler {self.where} has dropped {job.name}; the same command goes on")
        if result.get("code") == 0:
            record.done(job, result)
            job.log.unlink(missing_ok=True)
            del opened[job.name]
            if (after := on_end(job, result)) is not None:
                opened[after.name] = _Open(after, *self._submit(after, []))
            return
        if result.get("code") == 2 and (said := [line for line in result["tail"] if line.startswith("error: ")]):
            bad.append(InputError(said[-1].removeprefix("error: ")))
            record.failed(job, result, said[-1])
            del opened[job.name]
            return
        record.failed(job, result, result.get("refused") or " ".join(result["tail"][-1:]))
        if "refused" in result:
            if result["address"] not in self._refused:
                print(f"warning: worker {result['worker']} is left out: {result['refused']}", file=sys.stderr)
            self._refused.add(result["address"])
            hopeless = self._refused.issuperset(self.client.nthreads())
        else:
            one.failures.append(result)
            hopeless = lost or len(one.failures) >= MOST_TRIES
        if hopeless:
            record.given_up(job, one.failures or [result])
            del opened[job.name]
        else:
            one.future, one.only = self._submit(job, one.failures)


def _worker_lost(future: Future) -> bool:
    """Whether Dask gave a job up because the workers that had it were lost, be it in their queue."""
    from distributed import KilledWorker

    return isinstance(future.exception(), KilledWorker)


_current: Cluster | None = None


def current() -> Cluster | None:
    """The cluster that this run uses; None: this machine alone."""
    return _current


@contextmanager
def at(where: str, settings: ClusterSettings, work: Path) -> Iterator[None]:
    """Let the steps inside the block use a cluster: "local", "dask://HOST:PORT" or "slurm".

    Raises InputError for any other, for a scheduler that does not answer, for workers that do not belong to the run.
    """
    global _current
    if where == LOCAL:
        yield
        return
    from extract import cluster_start

    with cluster_start.connect(where, settings, work) as cluster:
        _current = cluster
        try:
            yield
        finally:
            _current = None


def wait_until(seen: Callable[[], bool], what: Path) -> None:
    """Wait until this machine sees what another has written. Raises Failed where it does not come."""
    until = time.monotonic() + SECONDS_UNTIL_SEEN
    while not seen():
        if time.monotonic() > until:
            raise Failed(f"{what}: a worker has finished it, but it is not seen here; is the work folder shared?")
        time.sleep(0.5)
