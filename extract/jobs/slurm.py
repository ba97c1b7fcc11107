"""Batch jobs of SLURM as a cluster's workers: asked for by dask-jobqueue, and again when one has ended meanwhile."""

from __future__ import annotations

import getpass
import re
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from extract.config import ClusterSettings
from extract.jobs import record as cluster_record
from extract.runtime.errors import InputError, warn

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster

SECONDS_UNTIL_ASKED_AGAIN = 60.0
"""After the batch system has refused a job while the run goes on."""
SECONDS_BETWEEN_LOOKS = 20.0
"""At the queue, for batch jobs that have ended before their worker came."""
MOST_SILENT = 3
"""So many of these in a row, each in place of the one before, are no accident."""


class Batch:
    """`settings.nodes` batch jobs, each a worker that does as many jobs at a time as fit its cores, memory and GPUs.
    Their own output is in `<work>/cluster/slurm/`. Nothing is submitted before `keep`. Raises InputError for settings
    that cannot be.
    """

    def __init__(self, settings: ClusterSettings, work: Path) -> None:
        from dask.utils import parse_bytes

        self._settings = settings
        self.logs = cluster_record.folder(work).absolute() / "slurm"
        self._refusals: list[str] = []
        self._refused_at: float | None = None
        self._looked = time.monotonic()
        self._heard_of: set[str] = set()
        self._told: set[str] = set()
        """Batch jobs of whose end the user was told."""
        self._nodes = settings.nodes
        self._silent: Counter[str] = Counter()
        """Of each worker, how many jobs that were to bring it ended one after the other before it came."""
        try:
            self._memory = parse_bytes(settings.memory)
        except ValueError as error:
            raise InputError(f'cluster.memory: {settings.memory!r} is no size; expected one as "16GB"') from error
        try:
            self.cluster = self._make()
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"[cluster]: {' '.join(str(error).split())}") from error

    def _make(self) -> SLURMCluster:
        from dask_jobqueue import SLURMCluster
        from dask_jobqueue.slurm import SLURMJob
        from distributed.core import Status

        refusals = self._refusals

        class Watched(SLURMJob):  # type: ignore[misc]
            """dask-jobqueue keeps to itself what sbatch says, and cannot be closed with a job that was refused."""

            async def _submit_job(self, script: str) -> str:
                try:
                    return str(await super()._submit_job(script))
                except (RuntimeError, OSError) as error:
                    said = str(error).partition("stderr:")[2] or str(error)
                    refusals.append(" ".join(said.split()))
                    self.status = Status.failed
                    raise

        settings = self._settings
        has = f"THREADS={settings.cores} MEMORY={self._memory}" + (f" GPU={settings.gpus}" if settings.gpus else "")
        return SLURMCluster(
            job_cls=Watched,
            queue=settings.queue,
            account=settings.account,
            cores=settings.cores,
            processes=1,
            memory=settings.memory,
            walltime=settings.walltime,
            interface=settings.interface,
            log_directory=str(self.logs),
            job_script_prologue=list(settings.job_script_prologue),
            job_extra_directives=[f"--gpus={settings.gpus}"] if settings.gpus else [],
            worker_extra_args=["--resources", f"'{has}'"],
            scheduler_options={"dashboard_address": ":0"},  # any free port: several runs may start on one machine
        )

    def keep(self) -> None:
        """Ask for batch jobs in place of those that have ended, by their walltime or the batch system's will.

        Raises InputError with what sbatch says where it takes none at all (else that is a warning, and asked again),
        and where jobs end before workers come; with others there, that is a warning, and the run goes on with one
        fewer.
        """
        if self._refusals:
            said, self._refused_at = self._refusals[-1], time.monotonic()
            self._refusals.clear()
            if not any(job.job_id for job in [*self.cluster.workers.values()]):
                raise InputError(f"--cluster slurm: sbatch: {said}")
            warn(f"sbatch: {said}")
        if self._refused_at is not None and time.monotonic() - self._refused_at > SECONDS_UNTIL_ASKED_AGAIN:
            self._refused_at = None
            self._forget(job_id=None)
        self._look_at_the_queue()
        self.cluster.scale(jobs=self._nodes)  # dask-jobqueue itself forgets those whose workers went away

    def _look_at_the_queue(self) -> None:
        """Find jobs of which nothing was ever heard, and that are in the queue no more."""
        # Dask's own thread changes these tables at any time: they are copied before they are walked
        jobs = {name: job.job_id for name, job in [*self.cluster.workers.items()] if job.job_id}
        there = {worker["name"] for worker in [*self.cluster.scheduler_info["workers"].values()]}
        for name in jobs.keys() & there:
            self._heard_of.add(jobs[name])
            del self._silent[name]
        for number in sorted(self._heard_of - {jobs[name] for name in jobs.keys() & there} - self._told):
            if said := explain_end(number):
                self._told.add(number)
                warn(f"batch job {number} ended{said}; another is asked for")
        silent = {name: number for name, number in jobs.items() if number not in self._heard_of}
        if not silent or time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = time.monotonic()
        left = list_batch_jobs(default=set(silent.values()))
        for name, number in silent.items():
            if number in left:
                continue
            self._silent[name] += 1
            if self._silent[name] >= MOST_SILENT:
                said = f"{self._silent[name]} batch jobs ended before their workers came{explain_end(number)}"
                if not there:
                    raise InputError(f"--cluster slurm: {said}; their own output in {self.logs} says why")
                warn(f"{said}, and no more are asked for in their place; {self.logs} says why")
                self._nodes -= 1
                del self.cluster.worker_spec[name]
            self._forget(number)

    def _forget(self, job_id: str | None) -> None:
        """Let the next `scale` ask anew for what a job (None: each that was refused) was to be."""

        async def forget() -> None:
            for name in [name for name, job in self.cluster.workers.items() if job.job_id == job_id]:
                del self.cluster.workers[name]

        self.cluster.sync(forget)

    def close(self) -> None:
        """Cancel the batch jobs."""
        self._forget(job_id=None)
        self.cluster.close()


ADVICE = {
    "OUT_OF_MEMORY": "more than cluster.memory was used: give it more",
    "TIMEOUT": "cluster.walltime was over",
    "NODE_FAIL": "its node failed",
    "PREEMPTED": "another job took its place",
    "CANCELLED": "scancel, or an administrator",
}
"""What states of SLURM's jobs mean for the user; what is not here needs no words."""
OVER_MEMORY = "exceeded memory limit"
"""What slurmstepd writes where memory is watched without cgroups: the state is FAILED then."""


def explain_end(number: str) -> str:
    """Why a batch job has ended, as `" (SLURM says TIMEOUT: ...)"`; empty where it runs, ended well or is forgotten."""
    said = _ask("scontrol", "--oneliner", "show", "job", number) or ""
    facts = dict(re.findall(r"\b(JobState|StdErr)=(\S+)", said))
    state = facts.get("JobState", "")
    if state == "FAILED" and OVER_MEMORY in _end_of(Path(facts.get("StdErr", "").replace("%J", number))):
        state = "OUT_OF_MEMORY"
    return f" (SLURM says {state}: {ADVICE[state]})" if state in ADVICE else ""


def _end_of(path: Path) -> str:
    """The last lines of a batch job's own output; nothing where it has none here."""
    try:
        return path.read_bytes()[-4000:].decode(errors="replace")
    except OSError:
        return ""


def list_batch_jobs(default: set[str]) -> set[str]:
    """The numbers of this user's batch jobs that wait or run; `default` where squeue does not say."""
    try:
        user = getpass.getuser()
    except OSError:
        return default
    said = _ask("squeue", "--noheader", "--format=%A", f"--user={user}")
    return default if said is None else set(said.split())


def _ask(*command: str) -> str | None:
    """What one of SLURM's programs prints; None where it does not say."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
