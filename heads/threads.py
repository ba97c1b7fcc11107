"""How many threads a head may use. What it predicts does not depend on it."""

from __future__ import annotations

import os

VARIABLE = "AFFECT_HEADS_THREADS"
"""Set by heads.processes for each job: all cores for a head that runs alone, fewer where several run side by side."""


def threads() -> int:
    """Threads for this process, 1 where nobody said."""
    said = os.environ.get(VARIABLE, "")
    return max(1, int(said)) if said.isdecimal() else 1
