"""Up to five different submissions in one go: which, in what order, and none twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend import combine, submission
from blend.combine import Params
from blend.pool import Pool
from extract import rundir
from heads.testlist import TestList

FOLDER = "submissions"
MOST = 5


@dataclass(frozen=True)
class Candidate:
    """A blend that could be submitted: `name` for its file, `what` for people, decided on `pool`."""

    name: str
    what: str
    params: Params
    pool: Pool


@dataclass(frozen=True)
class Written:
    """The submissions that were written, as the report tells of them, and what was left out and why."""

    files: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]


def write(
    folder: Path, candidates: Sequence[Candidate], count: int, listed: TestList, about: dict[str, Any]
) -> Written:
    """Write the first `count` different candidates as `submissions/<i>_<name>.txt`, each with its params beside it.

    A candidate whose decisions equal those of one before it is left out, and the next takes its place. `about` goes
    into every params file. What an earlier run left in the folder is removed.
    """
    here = folder / FOLDER
    for old in (*here.glob("*.txt"), *here.glob("*.json")):
        old.unlink()
    taken: list[tuple[Candidate, NDArray[np.generic]]] = []
    left_out: list[str] = []
    for candidate in candidates:
        if len(taken) == count:
            break
        decided = combine.combine(candidate.pool, candidate.params)
        own = decided[submission.rows(listed, candidate.pool)]
        twin = next((other.name for other, theirs in taken if np.array_equal(own, theirs)), None)
        if twin is not None:
            left_out.append(f"{candidate.name} decides every frame as {twin} does")
            continue
        taken.append((candidate, own))
        path = here / f"{len(taken)}_{candidate.name}.txt"
        submission.write(path, listed, candidate.pool, decided)
        rundir.write_json(path.with_suffix(".json"), candidate.params.as_json() | about)
    if len(taken) < count:
        left_out.append(f"there are only {len(taken)} different ones, {count} were asked for")
    return Written(
        tuple(
            {
                "file": f"{FOLDER}/{i}_{candidate.name}.txt",
                "name": candidate.name,
                "what": candidate.what,
                "differs": _differing(own, taken[0][1]),
            }
            for i, (candidate, own) in enumerate(taken, start=1)
        ),
        tuple(left_out),
    )


def _differing(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """The part of the lines that differ."""
    differs = one != other
    return float(differs.reshape(len(differs), -1).any(1).mean()) if len(differs) else 0.0
