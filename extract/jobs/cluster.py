"""Jobs on the machines of a cluster: handed over, watched, handed over again, and recorded; steps hear of each end.

A job is a program with paths, not arrays: it reads and writes the work folder, which all machines share, under locks
and with the same atomic writes as a run on one machine. So a lost worker costs one job, and a job that is done again
is harmless. Dask hands the jobs out; which steps use a cluster is decided once, by `session.use_cluster`. What becomes
of a job is told by its worker as news; the future says only what the worker cannot say any more. So a job that has
ended is known to have ended, even if its worker is lost in the moment after.
"""

from __future__ import annotations

import json
import math
import os
import queue
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.config import ClusterSettings
from extract.jobs import job as cluster_jobs
from extract.jobs import record as cluster_record
from extract.jobs.job import Job, OnEnd, OnLook, OnNews
from extract.jobs.record import Record, bad_input, result_without_worker
from extract.runtime.errors import InputError, WorkError, warn

if TYPE_CHECKING:
    from distributed import Client, Future


LOCAL = "local"
SECONDS_OF_A_MOMENT = 0.5
"""Thousands of jobs are handed over at once; the scheduler is not asked for each."""
MOST_TRIES = 3
"""Workers that a job may fail on before it is given up."""
MOST_STARTS = 10
"""Starts of a job whose workers were lost: by it, or by a batch system that needs them elsewhere."""
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_FOR_WORKERS = 30.0
"""How long a job may find no worker but such as do not belong to the run, before it is given up; and how long it may
claim what no worker has, before it is handed over with other claims."""
SECONDS_FOR_A_RESULT = 30.0
"""How long one is asked for: a worker that held it may be lost just then; Dask does the job again."""
SECONDS_UNTIL_NOTICE = 10.0
"""A worker that was killed comes back in less; then it is said what a job waits for."""
Workers = dict[str, dict[str, Any]]
"""What the scheduler knows of each, by address."""


class Cluster:
    """The workers behind one scheduler, all of them seen to belong to this run: `expected` is what a worker must find
    (cluster_worker.differs). `keep` is called now and then, as long as jobs run.
    """

    def __init__(
        self, client: Client, place: str, settings: ClusterSettings, work: Path, expected: dict[str, Any], keep: OnLook
    ) -> None:
        self.client, self.place, self.settings, self.work, self.keep = client, place, settings, work, keep
        self.news: queue.Queue[tuple[str, Any]] = queue.Queue()
        """("news", what a worker says of a job) or ("ended", the name of a job whose future has ended)"""
        self.refused_workers: dict[str, dict[str, Any]] = {}
        """What workers said that came later and do not belong to the run, by address."""
        self._expected = expected
        self._topic = f"affect-heads-{expected['secret']}"
        self._slots, self._asked = 1, -math.inf
        self._workers: Workers = {}
        self.workers()
        client.subscribe_topic(self._topic, lambda event: self.news.put(("news", event[1])))

    def slots(self) -> int:
        """Jobs that run at the same time, at least 1."""
        return self._slots

    def log(self, name: str) -> Path:
        """Where a job of this run keeps its log: no other run's job of the same name does."""
        logs = cluster_record.folder(self.work) / "logs"
        return logs / f"{cluster_record.slug(name)}.{self._expected['secret'][:6]}.txt"

    def run(
        self, title: str, jobs: Iterable[Job], on_news: OnNews, on_end: OnEnd, on_look: OnLook = lambda: None
    ) -> None:
        """Run the jobs; `on_end(job, result)` as each ends well, which may return one that goes on from there;
        `on_news` with what a job says meanwhile, `on_look` now and then. Leaves `<work>/cluster/<title>.json`.

        A job that fails is tried on other workers, the others go on. At the end raises InputError where one found bad
        input, on two workers if there are two (a full disk may be one's own), and WorkError where one failed three
        times, on as many workers as there are; WorkError at once where the scheduler is gone.
        """
        Dispatcher(self, Record(self.place, self.work, title), on_news, on_end, on_look).work(jobs)

    def workers(self) -> Workers:
        """What the scheduler knew of each worker a moment ago, by address. Raises what Dask raises."""
        if time.monotonic() - self._asked > SECONDS_OF_A_MOMENT:
            self._workers = self.client.scheduler_info(n_workers=-1)["workers"]
            self._slots = max(1, sum(worker["nthreads"] for worker in self._workers.values()))
            self._asked = time.monotonic()
        return self._workers

    def submit(self, job: Job, threads: int, claimed: dict[str, float], only: Sequence[str]) -> Future:
        """Hand a job over; `only`: to one of these workers, empty: to any. Raises what Dask raises."""

        def start(job: dict[str, Any], expected: dict[str, Any], topic: str) -> dict[str, Any]:
            import platform

            from distributed import get_worker

            here = {"worker": str(get_worker().name), "address": get_worker().address, "host": platform.node()}
            try:
                try:  # sent by value: a worker that came later may not have the project at all
                    from extract.jobs import worker as cluster_worker
                except ImportError as error:
                    return here | {"refused": f"it cannot import the project ({error})"}
                return cluster_worker.run(job, expected, topic)
            except Exception as error:  # its folders, its processes: told with its address, others are tried
                return here | {"code": 1, "tail": [f"{type(error).__name__}: {' '.join(str(error).split())}"]}

        future = self.client.submit(
            start,
            job.as_message(threads),
            self._expected,
            self._topic,
            key=f"affect-heads-{job.name}-{os.urandom(6).hex()}",
            pure=False,
            resources=claimed,
            workers=[*only] or None,
        )
        future.add_done_callback(lambda _: self.news.put(("ended", job.name)))
        return future

    def refuse(self, result: dict[str, Any]) -> None:
        """Leave a worker out from now on."""
        if result["address"] not in self.refused_workers:
            warn(f"worker {result['worker']} is left out: {result['refused']}")
        self.refused_workers[result["address"]] = result


class Dispatcher:
    """The jobs of one step, from the first that is handed over to the last that has ended."""

    def __init__(self, cluster: Cluster, record: Record, on_news: OnNews, on_end: OnEnd, on_look: OnLook) -> None:
        self._cluster, self._record = cluster, record
        self._on_news, self._on_end, self._on_look = on_news, on_end, on_look
        self._open: dict[str, PendingJob] = {}
        self._bad: list[InputError] = []
        self._lacking: tuple[str, float, bool] = "", 0.0, False

    def work(self, jobs: Iterable[Job]) -> None:
        """Run all jobs to their end, or raise; either way none is left on the cluster, and the record is written."""
        looked = time.monotonic()
        try:
            for job in jobs:
                self._add(job)
            news = self._cluster.news
            while self._open:
                if time.monotonic() - looked <= SECONDS_BETWEEN_LOOKS:
                    with suppress(queue.Empty):
                        self._hear(*news.get(timeout=SECONDS_BETWEEN_LOOKS))
                    continue
                for _ in range(news.qsize()):  # what was told counts, whatever became of its worker since
                    self._hear(*news.get())
                looked = time.monotonic()
                if self._open:
                    self._look()
                    self._on_look()
        finally:
            with suppress(WorkError):
                self._cancel([*self._open.values()])
            self._record.write([*self._open])
        if self._bad:
            raise self._bad[0]
        self._record.raise_failures()

    def _add(self, job: Job) -> None:
        self._open[job.name] = item = PendingJob(job)
        self._submit(item)

    def _submit(self, item: PendingJob) -> None:
        """Hand a job over, if possible to a worker that it has not failed on; where there is none at all, it waits."""
        with self._answering():
            workers = self._cluster.workers()
            able = self._able(item, workers)
            item.future, item.has_started, item.unfit_since = None, False, 0.0
            if not able:
                item.waits_since = (item.waits_since or time.monotonic()) if workers else 0.0
                return
            item.waits_since = 0.0
            item.only = able if item.failures or self._cluster.refused_workers else []
            item.claims, threads = cluster_jobs.claims(item.job, [_has(workers[address]) for address in able])
            item.future = self._cluster.submit(item.job, threads, item.claims, item.only)

    def _belong(self, workers: Workers) -> list[str]:
        return [address for address in workers if address not in self._cluster.refused_workers]

    def _untried(self, item: PendingJob, workers: Workers) -> list[str]:
        failed = {failure["address"] for failure in item.failures}
        return [address for address in self._belong(workers) if address not in failed]

    def _able(self, item: PendingJob, workers: Workers) -> list[str]:
        return self._untried(item, workers) or self._belong(workers)

    def _cancel(self, values: Sequence[PendingJob]) -> None:
        futures = [item.future for item in values if item.future is not None]
        if futures and self._cluster.client.status == "running":
            with self._answering():
                self._cluster.client.cancel(futures, force=True)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Whatever Dask raises while its scheduler goes is one line."""
        from distributed.client import ClosedClientError

        try:
            yield
        except (OSError, TimeoutError, CancelledError, ClosedClientError) as error:
            raise self._gone() from error

    def _gone(self) -> WorkError:
        return WorkError(
            f"the scheduler {self._cluster.place} is gone; what was finished is kept: start it and its workers again, "
            f"and the same command goes on"
        )

    def _look(self) -> None:
        """Is the scheduler still there, and some worker for every job? If not, the job is handed over anew."""
        if self._cluster.client.status != "running":
            raise self._gone()
        self._cluster.keep()
        with self._answering():
            workers = self._cluster.workers()
        for entry in self._open.values():  # Dask tells an end once, and not that of one done again
            if entry.future is not None and entry.future.done():
                self._cluster.news.put(("ended", entry.job.name))
        again = [item for item in self._open.values() if self._astray(item, workers)]
        self._cancel(again)
        for entry in again:
            self._submit(entry)
            if entry.waits_since and time.monotonic() - entry.waits_since > SECONDS_FOR_WORKERS:
                self._give_up(entry, [*self._cluster.refused_workers.values()][-1])
        self._say_what_lacks(workers)

    def _astray(self, item: PendingJob, workers: Workers) -> bool:
        """Whether a job waits for workers, is tied to others than those able now, or claims for long what none has."""
        if item.future is None:
            return True
        if item.future.done():
            return False
        gone = workers.keys().isdisjoint(item.only)
        if item.only and (gone or (not item.has_started and {*item.only} != {*self._able(item, workers)})):
            return True
        if not self._unfit(item, workers):
            item.unfit_since = 0.0
            return False
        item.unfit_since = item.unfit_since or time.monotonic()
        return time.monotonic() - item.unfit_since > SECONDS_FOR_WORKERS

    def _unfit(self, item: PendingJob, workers: Workers) -> bool:
        """Whether none of the workers it was handed to has what it claims."""
        belong = self._belong(workers)
        able = {*belong}.intersection(item.only) if item.only else belong
        return not any(cluster_jobs.fits(item.claims, _has(workers[address])) for address in able)

    def _say_what_lacks(self, workers: Workers) -> None:
        """Say once what jobs wait for if that lasts: any worker at all, or one with what a job claims."""
        unfit = [item for item in self._open.values() if item.future is not None and self._unfit(item, workers)]
        lacks = ""
        if not self._belong(workers):
            lacks = f"{self._cluster.place} has no workers left; waiting for some"
        elif unfit:
            claimed = " ".join(f"{name}={amount:g}" for name, amount in unfit[0].claims.items())
            lacks = f"no worker of {self._cluster.place} has {claimed}; {unfit[0].job.name} waits for one"
        before, since, said = self._lacking
        if lacks != before:
            since, said = time.monotonic(), False
        if lacks and not said and time.monotonic() - since > SECONDS_UNTIL_NOTICE:
            warn(f"{lacks}")
            said = True
        self._lacking = lacks, since, said

    def _hear(self, kind: str, said: Any) -> None:
        """Take in what a worker says, or that a future has ended."""
        if kind == "ended":
            item = self._open.get(said)
            if item is not None and item.future is not None and item.future.done():
                self._future_ended(item, item.future)
            return
        if (item := self._open.get(said["job"])) is None:
            return
        ours = item.future is not None and said["key"] == item.future.key
        if "result" in said:
            result = json.loads(said["result"])
            if ours or result["code"] == 0:  # one that was cut off may finish what was given to another
                if not ours:
                    self._cancel([item])
                self._ended(item, result)
        elif "started" in said["news"]:
            item.has_started = item.has_started or ours
            self._record.note_start(item.job, said["by"])
        else:
            self._on_news(item.job, said["news"])

    def _future_ended(self, item: PendingJob, future: Future) -> None:
        """A job ended without a word: mostly its worker was lost. Dask may be about to do it again by now."""
        from distributed import KilledWorker

        status = future.status
        if status == "finished":
            with self._answering():
                try:
                    result = future.result(timeout=SECONDS_FOR_A_RESULT)
                except TimeoutError:
                    return
            if result is None or "unwanted" in result:
                self._lost(item, "its workers went away")
            else:
                self._ended(item, result)
        elif status == "error":
            error = future.exception()
            why = " ".join(str(error).split())
            if isinstance(error, KilledWorker):
                self._lost(item, why)
            else:
                self._ended(item, result_without_worker(why))
        elif status == "cancelled":
            self._look()
            raise WorkError(
                f"the scheduler {self._cluster.place} has dropped {item.job.name}; the same command goes on"
            )

    def _lost(self, item: PendingJob, why: str) -> None:
        """Once more, unless it was often enough."""
        if self._record.starts(item.job) < MOST_STARTS:
            self._submit(item)
        else:
            self._record.note_failure(item.job, result_without_worker(why), why)
            self._give_up(item, result_without_worker(why))

    def _ended(self, item: PendingJob, result: dict[str, Any]) -> None:
        """A job's process has ended: done, bad input, or once more elsewhere.

        Bad input is believed when another worker says the same, or there is no other: one may lack rights, or space.
        """
        job = item.job
        if result.get("code") == 0:
            self._record.note_success(job, result)
            job.log.unlink(missing_ok=True)
            del self._open[job.name]
            if (after := self._on_end(job, result)) is not None:
                self._add(after)
        elif "refused" in result:
            self._record.note_failure(job, result, result["refused"])
            self._cluster.refuse(result)
            self._submit(item)
        else:
            said = bad_input(result)
            self._record.note_failure(job, result, said or " ".join(result["tail"][-1:]))
            item.failures.append(result)
            with self._answering():
                rest = self._untried(item, self._cluster.workers())
            same = {failure["worker"] for failure in item.failures if bad_input(failure) == said}
            if said and (len(same) > 1 or not rest):
                on = f"worker{'s' * (len(same) > 1)} {', '.join(sorted(same))}"
                self._bad.append(InputError(f"{said.removeprefix('error: ')} (on {on})"))
                del self._open[job.name]
            elif len(item.failures) < MOST_TRIES:
                self._submit(item)
            else:
                self._give_up(item, result)

    def _give_up(self, item: PendingJob, result: dict[str, Any]) -> None:
        self._record.note_loss(item.job, item.failures or [result])
        del self._open[item.job.name]


def _has(worker: dict[str, Any]) -> dict[str, float]:
    return worker.get("resources") or {}


@dataclass
class PendingJob:
    """A job on its way."""

    job: Job
    future: Future | None = None
    """None: it waits for a worker that belongs to the run."""
    claims: dict[str, float] = field(default_factory=dict)
    only: list[str] = field(default_factory=list)
    """Workers it may run on; empty: any."""
    has_started: bool = False
    """Whether a worker has begun what was handed over last."""
    failures: list[dict[str, Any]] = field(default_factory=list)
    waits_since: float = 0.0
    """Since when there are none but refused workers."""
    unfit_since: float = 0.0
    """Since when no worker has what it claims."""
