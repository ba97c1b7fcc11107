"""The jobs of one step on a cluster: handed over, watched, handed over again, and recorded.

What becomes of a job is told by its worker as news; the future says only what the worker cannot say any more. So a
job that has ended is known to have ended, even if its worker is lost in the moment after.
"""

from __future__ import annotations

import json
import queue
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from extract import cluster_jobs
from extract.cluster_jobs import Job
from extract.cluster_report import Record
from extract.errors import Failed, InputError

if TYPE_CHECKING:
    from distributed import Future

    from extract.cluster import Cluster

MOST_TRIES = 3
"""Workers that a job may fail on before it is given up."""
MOST_STARTS = 10
"""Starts of a job whose workers were lost: by it, or by a batch system that needs them elsewhere."""
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_FOR_OTHERS = 30.0
"""How long a job may find no worker but such as do not belong to the run, before it is given up."""
SECONDS_UNTIL_SAID = 10.0
"""A worker that was killed comes back in less; then it is said what a job waits for."""
OnNews = Callable[[Job, dict[str, Any]], None]
OnEnd = Callable[[Job, dict[str, Any]], "Job | None"]
OnLook = Callable[[], None]


@dataclass
class _Open:
    """A job on its way."""

    job: Job
    future: Future | None = None
    """None: it waits for a worker that belongs to the run."""
    claimed: dict[str, float] = field(default_factory=dict)
    only: list[str] = field(default_factory=list)
    """Workers it may run on; empty: any."""
    failures: list[dict[str, Any]] = field(default_factory=list)
    refusal: dict[str, Any] = field(default_factory=dict)
    """What the last worker said that does not belong to the run."""
    waits_since: float = 0.0


class Run:
    """One step's jobs; see `Cluster.run`."""

    def __init__(self, cluster: Cluster, record: Record, on_news: OnNews, on_end: OnEnd, on_look: OnLook) -> None:
        self._cluster, self._record = cluster, record
        self._on_news, self._on_end, self._on_look = on_news, on_end, on_look
        self._open: dict[str, _Open] = {}
        self._bad: list[InputError] = []
        self._lacking: tuple[str, float, bool] = "", 0.0, False

    def work(self, jobs: Sequence[Job]) -> None:
        """Run all jobs to their end, or raise; either way none is left on the cluster, and the record is written."""
        looked = time.monotonic()
        try:
            for job in jobs:
                self._add(job)
            while self._open:
                if time.monotonic() - looked > SECONDS_BETWEEN_LOOKS:
                    looked = time.monotonic()
                    self._look()
                    self._on_look()
                with suppress(queue.Empty):
                    self._hear(*self._cluster.news.get(timeout=SECONDS_BETWEEN_LOOKS))
        finally:
            with suppress(Failed):
                self._cancel([*self._open.values()])
            self._record.write([*self._open])
        if self._bad:
            raise self._bad[0]
        self._record.raise_failures()

    def _add(self, job: Job) -> None:
        self._open[job.name] = one = _Open(job)
        self._submit(one)

    def _submit(self, one: _Open) -> None:
        """Hand a job over, to another worker than those that it failed on if there is one."""
        with self._answering():
            workers = self._cluster.workers()
            belong = [address for address in workers if address not in self._cluster.refused]
            if not belong and self._cluster.refused:
                one.future, one.waits_since = None, one.waits_since or time.monotonic()
                return
            failed = {failure["address"] for failure in one.failures}
            one.waits_since = 0.0
            one.only = ([a for a in belong if a not in failed] or belong) if failed or self._cluster.refused else []
            one.claimed, threads = cluster_jobs.claims(one.job, [workers[a].get("resources") or {} for a in belong])
            one.future = self._cluster.submit(one.job, threads, one.claimed, one.only)

    def _cancel(self, some: Sequence[_Open]) -> None:
        futures = [one.future for one in some if one.future is not None]
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

    def _gone(self) -> Failed:
        return Failed(
            f"the scheduler {self._cluster.where} is gone; what was finished is kept: start it and its workers again, "
            f"and the same command goes on"
        )

    def _look(self) -> None:
        """Is the scheduler still there, and some worker for every job?"""
        futures = [one.future for one in self._open.values() if one.future is not None]
        if self._cluster.client.status != "running" or any(future.status == "lost" for future in futures):
            raise self._gone()
        self._cluster.keep()
        with self._answering():
            workers = self._cluster.workers()
        for one in [*self._open.values()]:
            if one.future is None:
                self._submit(one)
                if one.waits_since and time.monotonic() - one.waits_since > SECONDS_FOR_OTHERS:
                    self._give_up(one, one.refusal)
            elif one.only and not one.future.done() and workers.keys().isdisjoint(one.only):
                self._cancel([one])
                self._submit(one)
        self._say_what_lacks([worker.get("resources") or {} for worker in workers.values()])

    def _say_what_lacks(self, has: list[dict[str, float]]) -> None:
        """Say once what jobs wait for if that lasts: any worker at all, or one with what a job claims."""
        unfit = [one for one in self._open.values() if not any(cluster_jobs.fits(one.claimed, some) for some in has)]
        lacks = ""
        if not has:
            lacks = f"{self._cluster.where} has no workers left; waiting for some"
        elif unfit:
            claimed = " ".join(f"{name}={amount:g}" for name, amount in unfit[0].claimed.items())
            lacks = f"no worker of {self._cluster.where} has {claimed}; {unfit[0].job.name} waits for one"
        before, since, said = self._lacking
        if lacks != before:
            since, said = time.monotonic(), False
        if lacks and not said and time.monotonic() - since > SECONDS_UNTIL_SAID:
            print(f"warning: {lacks}", file=sys.stderr)
            said = True
        self._lacking = lacks, since, said

    def _hear(self, kind: str, said: Any) -> None:
        """Take in what a worker says, or that a future has ended."""
        if kind == "ended":
            one = self._open.get(said)
            if one is not None and one.future is not None and one.future.done():
                self._future_ended(one, one.future)
            return
        if (one := self._open.get(said["job"])) is None:
            return
        if "result" in said:
            ours, result = one.future is not None and said["key"] == one.future.key, json.loads(said["result"])
            if ours or result["code"] == 0:  # one that was cut off may finish what was given to another
                if not ours:
                    self._cancel([one])
                self._ended(one, result)
        elif "started" in said["news"]:
            self._record.started(one.job, said["by"])
        else:
            self._on_news(one.job, said["news"])

    def _future_ended(self, one: _Open, future: Future) -> None:
        """A job ended without a word: mostly its worker was lost."""
        from distributed import KilledWorker

        if future.status == "finished":
            with self._answering():
                result = future.result()
            if result is None or "unwanted" in result:
                self._lost(one, "its workers went away")
            else:
                self._ended(one, result)
        elif future.status == "error":
            error = future.exception()
            why = " ".join(str(error).split())
            if isinstance(error, KilledWorker):
                self._lost(one, why)
            else:
                self._ended(one, _without_worker(why))
        else:
            self._look()
            raise Failed(f"the scheduler {self._cluster.where} has dropped {one.job.name}; the same command goes on")

    def _lost(self, one: _Open, why: str) -> None:
        """Once more, unless it was often enough."""
        if self._record.starts(one.job) < MOST_STARTS:
            self._submit(one)
        else:
            self._record.failed(one.job, _without_worker(why), why)
            self._give_up(one, _without_worker(why))

    def _ended(self, one: _Open, result: dict[str, Any]) -> None:
        """A job's process has ended: done, bad input, or once more elsewhere."""
        job = one.job
        if result.get("code") == 0:
            self._record.done(job, result)
            job.log.unlink(missing_ok=True)
            del self._open[job.name]
            if (after := self._on_end(job, result)) is not None:
                self._add(after)
        elif "refused" in result:
            self._record.failed(job, result, result["refused"])
            self._cluster.refuse(result)
            one.refusal = result
            self._submit(one)
        elif result["code"] == 2 and (said := [line for line in result["tail"] if line.startswith("error: ")]):
            self._bad.append(InputError(said[-1].removeprefix("error: ")))
            self._record.failed(job, result, said[-1])
            del self._open[job.name]
        else:
            self._record.failed(job, result, " ".join(result["tail"][-1:]))
            one.failures.append(result)
            if len(one.failures) < MOST_TRIES:
                self._submit(one)
            else:
                self._give_up(one, result)

    def _give_up(self, one: _Open, result: dict[str, Any]) -> None:
        self._record.given_up(one.job, one.failures or [result])
        del self._open[one.job.name]


def _without_worker(why: str) -> dict[str, Any]:
    """A result that no worker told."""
    return {"worker": "?", "address": "", "host": "?", "code": None, "tail": [why], "seconds": 0.0}
