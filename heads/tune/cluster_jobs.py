"""The processes of a search on a cluster's workers. They share the study in its storage, as ever."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.jobs.cluster import Cluster
from extract.jobs.job import Job as ClusterJob
from extract.jobs.job import Needs
from extract.runtime.errors import Failed
from extract.runtime.progress import progress
from heads.base import threads
from heads.train.cluster_job import memory
from heads.tune.processes import MOST_ERRORS
from heads.tune.study import Study, find_best, list_finished
from heads.tune.worker import Job

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def run(machines: Cluster, job: Job, study: Study, workers: int, on_look: Callable[[list[FrozenTrial]], None]) -> None:
    """Work until enough trials are finished or the time is over; `on_look` is shown all trials now and then.

    A worker that is lost takes no trial with it: its heart beats no more, and another process retries it. Raises as
    `Cluster.run`, and Failed where trials keep failing.
    """
    counted = len(list_finished(study.trials()))
    total, errors, started = max(0, job.trials - counted), 0, 0
    names: list[str] = []

    def process() -> ClusterJob:
        nonlocal started
        started += 1
        names.append(f"{platform.node()}-{os.getpid()}-{started}")
        train = str(Path(job.train).absolute())
        told = json.dumps(asdict(replace(job, train=train, worker=names[-1])))
        name = f"tune-{job.task}-{job.head}-{started}"
        needs = Needs(machines.settings.threads, memory(Path(job.work), job.has))
        return ClusterJob(name, "heads.tune.worker", (), machines.log(name), needs, threads.environment(gpu=True), told)

    def heard(_: ClusterJob, news: dict[str, Any]) -> None:
        nonlocal errors
        if "error" in news:
            errors += 1
            print(f"warning: trial {news['trial']} failed: {news['error']}", file=sys.stderr)
            if errors >= MOST_ERRORS:
                raise Failed(f"{errors} trials failed, the last with: {news['error']}; narrow the space to what works")

    try:
        with progress(f"tune {job.task} {job.head}", total, "trials") as bar:

            def look() -> None:
                nonlocal counted
                trials = study.trials()
                on_look(trials)
                best, finished = find_best(trials), len(list_finished(trials))
                note = f"best {best.value:.4f} (trial {best.number})" if best is not None else ""
                bar.advance(finished - counted, note)
                counted = finished

            def ended(_: ClusterJob, result: dict[str, Any]) -> ClusterJob | None:
                look()
                return process() if (result["last"] or {}).get("over") == "turn" else None

            if total:
                values = [process() for _ in range(min(workers, total))]
                machines.run(f"tune {job.task} {job.head}", values, heard, ended, look)
    finally:
        for name in names:
            study.release(name, True)
        on_look(study.trials())
