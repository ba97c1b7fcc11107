"""The processes of a shared search on a cluster's workers.

    python -m blend.crew_job < JOB.json

is one of them on a worker: it reads the pool from the work folder and draws as `blend.crew.work` does. Trials get to
the storage finished, so a lost worker leaves none half-done there: others draw what it has not handed over.
"""

from __future__ import annotations

import json
import os
import pickle
import platform
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blend import copies, crew
from blend.config import BlendSettings
from blend.pool import Pool
from blend.shared import SharedStudy, Where
from extract import cluster_report, errors, parent, rundir, threads
from extract.cluster import Cluster
from extract.cluster_jobs import Job, Needs

MEMORY = 1_000_000_000
"""Bytes of a process beside the pool, which it holds three times at most: as it was read and in two orders."""


def run(
    machines: Cluster,
    pool: Pool,
    settings: BlendSettings,
    seed: int,
    where: Where,
    wanted: int,
    workers: int,
    until: float | None,
    study: SharedStudy,
    on_trials: Callable[[int], None],
) -> None:
    """Let `workers` processes draw until `wanted` trials are finished, or until `until` (time.monotonic).

    Processes that begin late, or once more, end with the others. Raises as `Cluster.run`.
    """
    counted = 0

    def look() -> None:
        nonlocal counted
        finished = study.count()
        on_trials(finished - counted)
        counted = finished

    look()
    if counted >= wanted or (until is not None and time.monotonic() > until):
        return
    what = f"blend-{pool.task.name}"
    path = cluster_report.folder(machines.work).resolve() / f"{what}.{secrets.token_hex(8)}.pool"
    with rundir.writing(path) as temporary:
        temporary.touch(0o600)  # a storage's URL may hold a password
        temporary.write_bytes(pickle.dumps((*copies.to_search(pool, settings), seed, where, wanted)))
    end = None if until is None else time.time() + until - time.monotonic()
    told = json.dumps({"pool": str(path), "until": end})
    needs = Needs(machines.settings.threads, MEMORY + 3 * path.stat().st_size)
    names = [f"{what}-{number}" for number in range(1, workers + 1)]
    try:
        some = [Job(name, "blend.crew_job", (), machines.log(name), needs, stdin=told) for name in names]
        machines.run(what, some, lambda job, news: None, lambda job, result: None, look)
        look()
    finally:
        path.unlink(missing_ok=True)


def main(told: dict[str, Any]) -> None:
    """Draw and score until there are enough, or until the moment `until` (time.time) if one is told."""
    pool, settings, seed, where, wanted = pickle.loads(Path(told["pool"]).read_bytes())  # our own run's file
    name = f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}"  # drawn: a retried job is another worker
    left = None if told["until"] is None else max(0.0, told["until"] - time.time())
    crew.work(pool, settings, seed, where, wanted, name, threads.given() or 1, left)


if __name__ == "__main__":
    with errors.exits():
        main(parent.job())
