"""Up to five different submissions in one go: which, in what order, and none twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.decision import combine
from blend.decision.combine import Params
from blend.pool.pool import Pool
from blend.submission import write as submission
from extract.runtime import run_folder
from heads.abaw.test_list import TestList

FOLDER = "submissions"
MAX_CANDIDATES = 5


@dataclass(frozen=True)
class Candidate:
    """A blend that could be submitted: `name` for its file, `description` for people, decided on `pool`."""

    name: str
    description: str
    params: Params
    pool: Pool
    test_from: str = "train"
    """What the pool's heads have learnt from, for `blend.apply`."""


def clear(folder: Path) -> None:
    """Remove what an earlier run left."""
    for old in (*(folder / FOLDER).glob("*.txt"), *(folder / FOLDER).glob("*.json")):
        old.unlink()


def write(
    folder: Path, entries: Sequence[Candidate], count: int, listed: TestList, prior: dict[str, float]
) -> dict[str, list[Any]]:
    """Write the first `count` different entries as `submissions/<i>_<name>.txt`, each with its params beside it.

    An entry whose decisions equal those of one before it is left out, and the next takes its place. Returns what the
    report tells: `files` that were written, and what was `left_out` and why.
    """
    here = folder / FOLDER
    taken: list[tuple[Candidate, NDArray[np.generic]]] = []
    left_out: list[str] = []
    for entry in entries:
        if len(taken) == count:
            break
        decided = combine.combine(entry.pool, entry.params)
        own = decided[submission.rows(listed, entry.pool)]
        twin = next((other.name for other, theirs in taken if np.array_equal(own, theirs)), None)
        if twin is not None:
            left_out.append(f"{entry.name} decides every frame as {twin} does")
            continue
        taken.append((entry, own))
        path = here / f"{len(taken)}_{entry.name}.txt"
        submission.write(path, listed, entry.pool, decided)
        run_folder.write_json(path.with_suffix(".json"), entry.params.as_json() | describe(prior, entry.test_from))
    if len(taken) < count:
        left_out.append(f"{count} were asked for, only {len(taken)} differ from each other")
    files = [
        {"file": f"{FOLDER}/{i}_{entry.name}.txt", "name": entry.name, "what": entry.description,
         "differs": _differing(own, taken[0][1])}
        for i, (entry, own) in enumerate(taken, start=1)
    ]  # fmt: skip
    return {"files": files, "left_out": left_out}


def describe(prior: dict[str, float], test_from: str) -> dict[str, Any]:
    """What a params.json holds beside the blend itself: enough for `blend.apply` to need no annotations."""
    return {"prior": prior, "test_from": test_from}


def _differing(item: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """The part of the lines that differ."""
    differs = item != other
    return float(differs.reshape(len(differs), -1).any(1).mean()) if len(differs) else 0.0
