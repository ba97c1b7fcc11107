"""What `python -m blend.bench` measures: each part of a blend at Aff-Wild2's size, beside the published way.

au, expr, va: one trial's objective at 445,836 x 12, 280,532 x 8 and 376,323 x 2 frames x outputs, 6 heads; the floor is
reading the pool's scores once. search: 300 au trials until params.json. write: the 729,736 lines of an au submission,
written and checked. The published way (Python loops over frames, scikit-learn's F1 on nine thresholds) is measured on
some of the videos and scaled to all frames.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from extract.runtime.errors import Failed, InputError
from extract.runtime.process import python_path

PARTS = ("au", "expr", "va", "search", "write")
REAL_FRAMES = Path("../shared/data/affwild2_frames/frames.parquet")
MOST_MS, LEAST_FASTER = {"au": 40.0, "expr": 30.0, "va": 2.0}, {"au": 100.0, "expr": 100.0, "va": 1000.0}
MOST_SECONDS, MOST_GB, MOST_CHECKING = {"search": 30.0, "write": 3.0}, 3.0, 0.02
"""What is asked of the blend."""


def main(
    only: tuple[str, ...] = PARTS, table: Path | None = None, scale: float = 1.0, rounds: int = 31, seed: int = 0
) -> dict[str, Any]:
    """Measure some parts, each in a process of its own; returns part -> figures."""
    for part in only:
        if part not in PARTS:
            raise InputError(f"--only {part}: no such part; there are {', '.join(PARTS)}")
    if not 0 < scale <= 1:
        raise InputError(f"--scale {scale:g}: expected a number above 0, at most 1")
    job = {"table": str(table) if table else "", "scale": scale, "rounds": rounds, "seed": seed}
    return {part: _child(job | {"part": part}) for part in only}


def _child(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "blend.bench.parts", json.dumps(job)]
    ended = subprocess.run(command, env=os.environ | python_path(), capture_output=True, text=True)
    if said := [line for line in ended.stderr.splitlines() if line.startswith("error: ")]:
        raise InputError(said[-1].removeprefix("error: "))
    if ended.returncode:
        raise Failed(f"bench {job['part']} ended with exit code {ended.returncode}: {ended.stderr[-1500:]}")
    results: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return results
