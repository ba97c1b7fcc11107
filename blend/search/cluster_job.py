"""The processes of a shared search on a cluster's workers.

    python -m blend.search.cluster_job < JOB.json

is one of them on a worker: it reads the pool from the work folder and draws as `processes.work` does. Trials get to
the storage finished, so a lost worker leaves none half-done there: others draw what it has not handed over.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from blend.config import BlendSettings
from blend.pool import duplicates
from blend.pool.pool import Pool, Truth
from blend.search import processes as search_processes
from blend.search.shared_study import SharedStorage, SharedStudy
from extract.jobs import record as cluster_record
from extract.jobs.cluster import Cluster
from extract.jobs.job import Job, Needs
from extract.runtime import errors, process, run_folder
from heads.abaw.tasks import find

MEMORY = 1_000_000_000
"""Bytes of a process beside the pool, which it holds three times at most: as it was read and in two orders."""


def run(
    machines: Cluster,
    pool: Pool,
    settings: BlendSettings,
    seed: int,
    where: SharedStorage,
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
    path = cluster_record.folder(machines.work).resolve() / f"{what}.{secrets.token_hex(8)}.pool"
    with run_folder.write_whole(path) as temporary:
        temporary.touch(0o600)  # a storage's URL may hold a password
        temporary.write_bytes(_told(*duplicates.to_search(pool, settings), seed, where, wanted))
    end = None if until is None else time.time() + until - time.monotonic()
    told = json.dumps({"pool": str(path), "until": end})
    needs = Needs(machines.settings.threads, MEMORY + 3 * path.stat().st_size)
    names = [f"{what}-{number}" for number in range(1, workers + 1)]
    try:
        values = [Job(name, "blend.search.cluster_job", (), machines.log(name), needs, stdin=told) for name in names]
        machines.run(what, values, lambda job, news: None, lambda job, result: None, look)
        look()
    finally:
        path.unlink(missing_ok=True)


def main(told: dict[str, Any]) -> None:
    """Draw and score until there are enough, or until the moment `until` (time.time) if one is told."""
    pool, settings, seed, where, wanted = _heard(Path(told["pool"]))
    name = f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}"  # drawn: a retried job is another worker
    left = None if told["until"] is None else max(0.0, told["until"] - time.time())
    search_processes.work(pool, settings, seed, where, wanted, name, process.thread_limit() or 1, left)


ARRAYS = ("offsets", "scores", "present", "own")


def _told(pool: Pool, settings: BlendSettings, seed: int, where: SharedStorage, wanted: int) -> bytes:
    """What a process needs to know: arrays and text, nothing that could run."""
    from safetensors.numpy import save

    arrays = {name: getattr(pool, name) for name in ARRAYS if getattr(pool, name) is not None}
    if pool.truth is not None:
        arrays |= {"rows": pool.truth.rows, "values": pool.truth.values}
    about = {
        "pool": {name: getattr(pool, name) for name in ("heads", "videos", "without_face", "people")},
        "task": pool.task.place,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "where": [where.url, str(where.path), where.name, where.facts],
        "wanted": wanted,
    }
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {"about": json.dumps(about)})


def _heard(path: Path) -> tuple[Pool, BlendSettings, int, SharedStorage, int]:
    """The inverse of `_told`."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as handle:
        about = json.loads(handle.metadata()["about"])
        arrays = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    names = {name: None if values is None else tuple(values) for name, values in about["pool"].items()}
    truth = Truth(arrays.pop("rows"), arrays.pop("values")) if "rows" in arrays else None
    url, file, study, facts = about["where"]
    settings = BlendSettings.model_validate(about["settings"])
    pool = Pool(task=find(about["task"]), truth=truth, **arrays, **names)
    return pool, settings, about["seed"], SharedStorage(url, Path(file), study, facts), about["wanted"]


if __name__ == "__main__":
    with errors.exits():
        main(process.job())
