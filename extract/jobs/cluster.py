"""Jobs on the machines of a cluster: steps hand over a list of independent ones and hear of each as it ends.

A job is a program with paths, not arrays: it reads and writes the work folder, which all machines share, under locks
and with the same atomic writes as a run on one machine. So a lost worker costs one job, and a job that is done again
is harmless. Dask hands the jobs out; which steps use a cluster is decided once, by `at`, as with the display.
"""

from __future__ import annotations

import math
import os
import queue
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.config import ClusterSettings
from extract.jobs import record as cluster_record
from extract.jobs.dispatcher import Dispatcher
from extract.jobs.job import Job, OnEnd, OnLook, OnNews
from extract.runtime.errors import warn

if TYPE_CHECKING:
    from distributed import Client, Future


LOCAL = "local"
SECONDS_OF_A_MOMENT = 0.5
"""Thousands of jobs are handed over at once; the scheduler is not asked for each."""


class Cluster:
    """The workers behind one scheduler, all of them seen to belong to this run: `expected` is what a worker must find
    (cluster_worker.differs). `keep` is called now and then, as long as jobs run.
    """

    def __init__(
        self, client: Client, where: str, settings: ClusterSettings, work: Path, expected: dict[str, Any], keep: OnLook
    ) -> None:
        self.client, self.where, self.settings, self.work, self.keep = client, where, settings, work, keep
        self.news: queue.Queue[tuple[str, Any]] = queue.Queue()
        """("news", what a worker says of a job) or ("ended", the name of a job whose future has ended)"""
        self.refused: dict[str, dict[str, Any]] = {}
        """What workers said that came later and do not belong to the run, by address."""
        self._expected = expected
        self._topic = f"affect-heads-{expected['secret']}"
        self._slots, self._asked = 1, -math.inf
        self._workers: dict[str, dict[str, Any]] = {}
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
        self, what: str, jobs: Iterable[Job], on_news: OnNews, on_end: OnEnd, on_look: OnLook = lambda: None
    ) -> None:
        """Run the jobs; `on_end(job, result)` as each ends well, which may return one that goes on from there;
        `on_news` with what a job says meanwhile, `on_look` now and then. Leaves `<work>/cluster/<what>.json`.

        A job that fails is tried on other workers, the others go on. At the end raises InputError where one found bad
        input, on two workers if there are two (a full disk may be one's own), and Failed where one failed three times,
        on as many workers as there are; Failed at once where the scheduler is gone.
        """
        Dispatcher(self, cluster_record.Record(self.where, self.work, what), on_news, on_end, on_look).work(jobs)

    def workers(self) -> dict[str, dict[str, Any]]:
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
            job.sent(threads),
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
        if result["address"] not in self.refused:
            warn(f"worker {result['worker']} is left out: {result['refused']}")
        self.refused[result["address"]] = result
