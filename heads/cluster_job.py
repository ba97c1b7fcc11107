"""Heads on a cluster: each is a job, done by one process at a time wherever it runs.

    python -m heads.cluster_job < JOB.json

is such a job on a worker: `heads.train` while holding the head's folder. A worker that was cut off may still be at
it when the job is given to another: that one waits, and finds the head finished or the folder free.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from extract import cluster, errors, parent, rundir, store
from extract.cluster import Cluster, Needs, wait_until
from extract.progress import Progress
from heads import threads, train
from heads.base import FAMILIES, family
from heads.train import Job

LIBRARIES_MEMORY = 1_500_000_000
"""Bytes that a process holds before it has read a row."""
ROWS_MEMORY = 1.5
"""Times the features' bytes on disk: they are held as they are, with labels, and the columns of a batch beside."""


def run(machines: Cluster, jobs: list[Job], what: str, bar: Progress) -> None:
    """Run the jobs on a cluster. Raises as `Cluster.run`; heads that were finished stay."""
    ours = {f"head-{job.task}-{job.name}": job for job in jobs}
    done = dict.fromkeys(ours, 0)

    def at(name: str, now: int, note: str) -> None:
        bar.advance(max(0, now - done[name]), f"{ours[name].name}: {note}")
        done[name] = max(done[name], now)

    def heard(job: cluster.Job, news: dict[str, Any]) -> None:
        if isinstance(part := news.get("done"), int | float):
            at(job.name, min(int(100 * part), 99), str(news.get("note", "")))

    def ended(job: cluster.Job, _: dict[str, Any]) -> None:
        mine = ours[job.name]
        wait_until(lambda: rundir.is_done(mine.folder, mine.mark), mine.folder)
        at(job.name, 100, "done")

    sent = []
    for name, job in ours.items():
        gpu = job.settings.get("family") in FAMILIES and family(str(job.settings["family"])).gpu
        needs = Needs(machines.settings.threads, memory(job.work, {s.network for s in job.sources}), gpu)
        told = json.dumps(job.as_json())
        sent.append(
            cluster.Job(
                name, "heads.cluster_job", (), machines.log(name), needs, environment=threads.ENVIRONMENT, stdin=told
            )
        )
    machines.run(what, sent, heard, ended)


def memory(work: Path, networks: Iterable[str]) -> int:
    """About how many bytes a head's process needs, by the size of the features that it reads."""
    files = (path for network in networks for path in store.path(work, network, "x").parent.glob("*.safetensors"))
    return int(LIBRARIES_MEMORY + ROWS_MEMORY * sum(path.stat().st_size for path in files))


def main(told: dict[str, Any], say: Any) -> None:
    """Make a head, unless another process has made it meanwhile."""
    job = Job.of(told)
    with rundir.holding(job.folder):
        if rundir.is_done(job.folder, job.mark):
            return
        rundir.begin(job.folder)
        job.write(Path(job.folder) / "job.json")
        train.main(job, lambda done, note: say({"done": round(done, 4), "note": note}))


if __name__ == "__main__":
    with errors.exits():
        main(parent.job(), parent.own_stdout())
