"""What ran where on a cluster, how long it took and what failed: `<work>/cluster/<title>.json`."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.runtime.errors import InputError, WorkError, warn
from extract.runtime.run_folder import write_json

if TYPE_CHECKING:
    from extract.jobs.job import Job


def folder(work: Path) -> Path:
    """Where jobs are described, and their logs."""
    return work / "cluster"


def slug(name: str) -> str:
    """A name as a file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


def bad_input(result: dict[str, Any]) -> str:
    """The line of a job's log that says so; empty: it failed in another way."""
    said = [line for line in result["tail"] if line.startswith("error: ")]
    return said[-1] if said and result["code"] == 2 else ""


def result_without_worker(reason: str) -> dict[str, Any]:
    """A result that no worker told."""
    return {"worker": "?", "address": "", "host": "?", "code": None, "tail": [reason], "seconds": 0.0}


class Record:
    """The jobs of one step, as they start and end."""

    def __init__(self, place: str, work: Path, title: str) -> None:
        self._path = folder(work) / f"{slug(title)}.json"
        self._where, self._what, self._began = place, title, time.monotonic()
        self._jobs: dict[str, dict[str, Any]] = {}
        self._lost: list[tuple[Job, list[dict[str, Any]]]] = []

    def _of(self, job: Job) -> dict[str, Any]:
        return self._jobs.setdefault(job.name, {"job": job.name, "starts": [], "failures": []})

    def note_start(self, job: Job, worker: str) -> None:
        """A worker has begun it. More starts than failures and an end: a worker was lost."""
        self._of(job)["starts"].append(worker)

    def starts(self, job: Job) -> int:
        """How often it was begun."""
        return len(self._of(job)["starts"])

    def note_success(self, job: Job, result: dict[str, Any]) -> None:
        """It has ended well."""
        self._of(job).update({key: result[key] for key in ("worker", "host", "seconds")})

    def note_failure(self, job: Job, result: dict[str, Any], reason: str) -> None:
        """It has failed on a worker."""
        self._of(job)["failures"].append({"worker": result["worker"], "host": result["host"], "why": reason})

    def note_loss(self, job: Job, failures: list[dict[str, Any]]) -> None:
        """It has failed too often."""
        self._of(job)  # it may never have begun
        self._lost.append((job, failures))
        warn(f"{job.name} failed on {_workers(failures)}; its log is {job.log}")

    def write(self, unfinished: list[str]) -> None:
        """Leave the record."""
        results = [{**job, "seconds": job.get("seconds")} for job in self._jobs.values()]
        by_host: dict[str, float] = {}
        for job in results:
            if job["seconds"] is not None:
                by_host[job["host"]] = round(by_host.get(job["host"], 0.0) + job["seconds"], 2)
        record = {
            "step": self._what,
            "cluster": self._where,
            "seconds": round(time.monotonic() - self._began, 2),
            "seconds_by_host": by_host,
            "jobs": results,
            "given_up": [job.name for job, _ in self._lost],
            "unfinished": unfinished,
        }
        with suppress(InputError):  # a full disk is the step's to tell
            write_json(self._path, record)

    def raise_failures(self) -> None:
        """Raise WorkError where jobs were given up, with the end of the first one's log."""
        if not self._lost:
            return
        job, failures = self._lost[0]
        said = failures[-1].get("refused") or "\n".join(failures[-1]["tail"][-10:])
        raise WorkError(
            f"{len(self._lost)} of {len(self._jobs)} jobs failed on every worker they were tried on; the first, "
            f"{job.name}, on {_workers(failures)}; the end of its log {job.log}:\n{said}"
        )


def _workers(failures: list[dict[str, Any]]) -> str:
    return ", ".join(failure["worker"] for failure in failures)
