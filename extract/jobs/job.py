"""A job: the program that it is, what it needs, and what it claims of workers that say what they have."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extract.runtime.errors import warn

Resources = Mapping[str, float]
"""THREADS, MEMORY (bytes) and GPU: what a worker has or a job claims."""


@dataclass(frozen=True)
class Needs:
    """What a job needs. Threads and memory count where the workers say what they have (README)."""

    threads: int = 1
    """As many as it can use."""
    memory: int = 1_000_000_000
    """Bytes."""
    gpu: bool = False
    """Whether it is faster on a GPU."""


@dataclass(frozen=True)
class Job:
    """`python -m <module> <arguments>`, here or on some worker. It says on stdout how far it is, as one JSON object a
    line; its stdin stays open for as long as who runs it lives. Paths that a worker is told are absolute: it may run
    anywhere.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    log: Path
    needs: Needs = Needs()
    environment: dict[str, str] = field(default_factory=dict)
    stdin: str = ""
    """A first line of its stdin."""
    imports: tuple[str, ...] = ()
    """What it imports as other jobs do, the first one as more of them do: here one process does so for all
    (fork_server.ForkServer).
    """

    def as_message(self, threads: int) -> dict[str, Any]:
        """What a worker is told."""
        return {
            "name": self.name,
            "module": self.module,
            "arguments": list(self.arguments),
            "log": str(self.log.resolve()),
            "environment": self.environment,
            "stdin": self.stdin,
            "gpu": self.needs.gpu,
            "threads": threads,
            "cwd": os.getcwd(),
        }


def claims(job: Job, workers: Iterable[Resources]) -> tuple[dict[str, float], int]:
    """What a job claims of its worker, by the resources that each of the workers has; and its threads.

    As much of its needs as the worker that meets them best has (with a GPU, if it can use one), so that one at least
    can take it; too little memory is warned of. Nothing where workers do not say what they have.
    """
    has = list(workers)
    if job.needs.gpu:
        has = [offer for offer in has if "GPU" in offer] or has
    known = [name for name in ("THREADS", "MEMORY") if has and all(name in case for case in has)]
    wanted = {"THREADS": float(job.needs.threads), "MEMORY": float(job.needs.memory)}
    offers = [{name: min(wanted[name], offer[name]) for name in known} for offer in has]
    claimed = max(offers, key=lambda offer: [offer[name] for name in reversed(known)], default={})
    if (memory := claimed.get("MEMORY", wanted["MEMORY"])) < wanted["MEMORY"]:
        warn(f"{job.name} may need {job.needs.memory / 1e9:.1f} GB; no worker for it has more than {memory / 1e9:.1f}")
    if has and job.needs.gpu and all("GPU" in item for item in has):
        claimed["GPU"] = 1
    return claimed, max(1, int(claimed.get("THREADS", 1)))


def fits(claimed: Resources, has: Resources) -> bool:
    """Whether a worker that has this much can ever take a job that claims that much."""
    return all(has.get(name, 0) >= amount for name, amount in claimed.items())


OnNews = Callable[[Job, dict[str, Any]], None]
OnEnd = Callable[[Job, dict[str, Any]], "Job | None"]
OnLook = Callable[[], None]
