"""How a search is done, which decides nothing of what it is asked for: processes, a shared storage, time."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class How:
    """The defaults are one process that keeps its trials in the run folder, for as long as it takes."""

    workers: int = 1
    storage: str = ""
    """URL of a PostgreSQL server; empty: the run folder."""
    study: str = "blend"
    """The study's name in a shared storage."""
    timeout: float | None = None
    """Seconds after which no trial is drawn."""

    @property
    def shared(self) -> bool:
        """Whether several processes draw."""
        return self.workers > 1 or bool(self.storage)

    def until(self) -> float | None:
        """The time (`time.monotonic`) after which no trial is drawn, for a search that begins now."""
        return None if self.timeout is None else time.monotonic() + self.timeout


ALONE = How()
