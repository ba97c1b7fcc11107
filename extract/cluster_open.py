"""What is known of a job that was handed to a cluster and has not ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from extract.cluster_jobs import Job

if TYPE_CHECKING:
    from distributed import Future


@dataclass
class Open:
    """A job on its way."""

    job: Job
    future: Future | None = None
    """None: it waits for a worker that belongs to the run."""
    claimed: dict[str, float] = field(default_factory=dict)
    only: list[str] = field(default_factory=list)
    """Workers it may run on; empty: any."""
    started: bool = False
    """Whether a worker has begun what was handed over last."""
    failures: list[dict[str, Any]] = field(default_factory=list)
    waits_since: float = 0.0
    """Since when there are none but refused workers."""
    unfit_since: float = 0.0
    """Since when no worker has what it claims."""
