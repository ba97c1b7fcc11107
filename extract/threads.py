"""How many threads this process was given by whoever started it."""

from __future__ import annotations

import os

VARIABLE = "AFFECT_HEADS_THREADS"
"""Set for processes that share a machine with others of ours: jobs of a cluster, heads that learn side by side."""


def given() -> int | None:
    """Threads that this process may use; None where nobody said: then every core is its own."""
    said = os.environ.get(VARIABLE, "")
    return max(1, int(said)) if said.isdecimal() else None
