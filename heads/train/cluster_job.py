"""Heads on a cluster: each is a job, done by one process at a time wherever it runs.

    python -m heads.train.cluster_job < JOB.json

is such a job on a worker: `heads.train` on the features that the command saw, while holding the head's folder. A worker
that was cut off may still be at it when another gets the job: that one waits, and finds it finished or the folder free.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from extract.features import store
from extract.jobs import job as cluster_jobs
from extract.jobs.cluster import Cluster
from extract.jobs.job import Needs
from extract.jobs.session import wait_until
from extract.runtime import errors, process, run_folder
from heads.abaw.tasks import find
from heads.base import threads
from heads.data import feature_file
from heads.train import job as training_job
from heads.train.job import Job
from heads.train.provenance import list_videos

LIBRARIES_MEMORY = 1_500_000_000
"""Bytes that a process holds before it has read a row."""
ROWS_MEMORY = 1.5
"""Times the features' bytes on disk: they are held as they are, with labels, and the columns of a batch beside."""


def send(cluster: Cluster, name: str, job: Job) -> cluster_jobs.Job:
    """The job as a cluster is told it: a worker gives it a GPU, or hides all, and its threads."""
    needs = Needs(cluster.settings.threads, memory(job.work, {s.network for s in job.sources}), job.uses_gpu())
    told = json.dumps(absolute(job).as_json())
    log, environment = cluster.log(name), threads.environment(gpu=True)
    return cluster_jobs.Job(name, "heads.train.cluster_job", (), log, needs, environment, told)


def absolute(job: Job) -> Job:
    """The job by paths that hold in any folder."""
    paths = {part: path.absolute() for part, path in job.paths if path is not None}
    return replace(job, work=job.work.absolute(), paths=job.paths.model_copy(update=paths))


def memory(work: Path, networks: Iterable[str]) -> int:
    """About how many bytes a head's process needs, by the size of the features that it reads."""
    files = (path for network in networks for path in store.path(work, network, "x").parent.glob("*.safetensors"))
    return int(LIBRARIES_MEMORY + ROWS_MEMORY * sum(path.stat().st_size for path in files))


def main(told: dict[str, Any], say: Any) -> None:
    """Make a head, unless another process has. Raises as `train.main`, and WorkError where features are not seen
    here.
    """
    job = Job.from_json(told)
    with run_folder.hold_folder(job.folder):
        if run_folder.is_done(job.folder, job.mark):
            return
        parts, marks = list_videos(job.paths, find(job.task)), job.inputs.get("features", {})
        wait_until(  # one that is not seen yet would be taken for no face
            lambda: marks == {n: [feature_file.mark(job.work, n, part) for part in parts] for n in marks},
            job.work / "features",
            feature_file.WAIT_REASON,
        )
        if job.settings.get("bags") and job.bag is None:
            wait_until(lambda: not job.list_bags(), job.folder, "its bags are finished")
        run_folder.begin(job.folder)
        job.write(job.folder / "job.json")
        job.import_libraries()
        training_job.main(job, lambda done, note: say({"done": round(done, 4), "note": note}))


if __name__ == "__main__":
    with errors.exits():
        main(process.job(), process.reserve_stdout())
