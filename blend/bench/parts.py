"""Each part of the benchmark, in a process of its own: `python -m blend.bench.parts JOB` prints JSON."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import njit
from numpy.typing import NDArray

from blend.bench import pools as bench_pools
from blend.bench import reference
from blend.config import BlendSettings
from blend.crossfit.outcome import ResultBuilder
from blend.decision import smooth
from blend.pool.pool import Pool
from blend.search import objective
from blend.search import search as searching
from blend.search.journal import TrialJournal
from blend.submission import write as submission
from extract.runtime import errors
from extract.runtime.memory import measure_peak
from extract.runtime.run_folder import file_hash, write_json
from heads.abaw import test_list
from heads.abaw.tasks import TASKS
from heads.data import predictions

PART_FRAMES = 30_000
"""Frames on which the published way is measured."""
WIDTHS = {"au": 10, "expr": 50, "va": 50}
TRIALS = 300


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Measure one part; `job` holds part, table, scale, rounds and seed."""
    table, scale, rounds, seed = Path(job["table"]) if job["table"] else None, job["scale"], job["rounds"], job["seed"]
    if job["part"] == "write":
        return write(table, scale, rounds, seed)
    return search(table, scale, seed) if job["part"] == "search" else trial(job["part"], table, scale, rounds, seed)


def trial(task: str, table: Path | None, scale: float, rounds: int, seed: int) -> dict[str, Any]:
    """Milliseconds of a trial's objective, of reading the pool once, and of the published way, taken in turn."""
    pool, sparse = bench_pools.make(task, table, scale, seed)
    score, values = objective.make(pool), pool.scores.reshape(-1)
    rng = np.random.default_rng(seed)
    widths = list(dict.fromkeys(rng.integers(1, 2 * WIDTHS[task] + 1, rounds).tolist()))
    took: dict[str, list[float]] = {"first": [], "trial": [], "floor": [], "reference": []}
    with smooth.threads(pool.scores.size):
        score(_weights(rng), "box", 0)
        _read(values)
        for k in widths:
            took["first"].append(_ms(score, _weights(rng), "box", k))
        for i in range(rounds):
            took["trial"].append(_ms(score, _weights(rng), "box", widths[i % len(widths)]))
            took["floor"].append(_ms(_read, values))
    memory = peak()
    for k in widths[:3]:
        seconds = reference.seconds(task, sparse, np.array(_weights(rng)), k, PART_FRAMES)
        took["reference"].append(1000 * seconds)
    ms = {name: statistics.median(values) for name, values in took.items()}
    return {
        "frames": len(pool.known_truth.rows), "timeline": int(pool.offsets[-1]), "videos": len(pool.videos),
        "outputs": len(pool.task.outputs), "heads": len(pool.heads),
        "ms": ms["trial"], "fastest_ms": min(took["trial"]), "ms_first": ms["first"], "floor_ms": ms["floor"],
        "reference_ms": ms["reference"], "ratio_to_floor": ms["trial"] / ms["floor"],
        "times_faster": ms["reference"] / ms["trial"], "gigabytes": memory,
    }  # fmt: skip


def _weights(rng: np.random.Generator) -> tuple[float, ...]:
    """Of all heads, on the simplex."""
    return tuple(rng.dirichlet(np.ones(bench_pools.HEADS)).tolist())


def search(table: Path | None, scale: float, seed: int) -> dict[str, Any]:
    """Seconds from the start of a search of 300 au trials to the params.json of the defaults, and to the report."""
    pool, sparse = bench_pools.make("au", table, scale, seed)
    with tempfile.TemporaryDirectory() as name:
        return {"checking_seconds": _checking(pool, sparse, Path(name))} | _until_params(pool, Path(name), seed)


def _checking(pool: Pool, sparse: dict[str, bench_pools.Sparse], folder: Path) -> float:
    """Seconds of hashing the heads' predictions before they are read and after (blend.pool.provenance)."""
    paths = [folder / f"{head}.parquet" for head in pool.heads]
    for h, path in enumerate(paths):
        videos = {video: (part.frames, part.scores[h]) for video, part in sparse.items()}
        predictions.write(path, predictions.Predictions(pool.task.outputs, videos))
    return sum(_ms(file_hash, path) for path in (*paths, *paths)) / 1000


def _until_params(pool: Pool, folder: Path, seed: int) -> dict[str, Any]:
    """As `blend.pipeline` does it: the search, kept in a study, then what the defaults select among, then params.json;
    at last what the report needs: the search inside the folds, and every head alone.
    """
    settings = BlendSettings(trials=TRIALS)
    began = time.perf_counter()
    with TrialJournal(folder / "study.db", pool.task.name, {"seed": seed}) as journal:
        result = searching.search(pool, settings, TRIALS, seed, journal)
    searched = time.perf_counter() - began
    finding = ResultBuilder(pool, settings, seed, result)
    write_json(folder / "params.json", finding.params.as_json())
    written = time.perf_counter() - began
    finding.finish()
    reported = time.perf_counter() - began
    return {
        "trials": len(result.trials), "search_seconds": searched, "seconds": written, "report_seconds": reported,
        "score": result.score, "gigabytes": peak(),
    }  # fmt: skip


def write(table: Path | None, scale: float, rounds: int, seed: int) -> dict[str, Any]:
    """Seconds of writing and checking the au submission of ABAW-5's size."""
    task, (videos, lines) = TASKS["au"], bench_pools.TEST
    there = bench_pools.draw_frames(table, max(2, round(videos * scale)), round(lines * scale), seed)
    lengths = {video: len(frames) for video, frames in there.items()}
    offsets = np.concatenate([[0], np.cumsum(list(lengths.values()))])
    total = int(offsets[-1])
    empty = np.empty((1, total, 0), np.float32)
    pool = Pool(task, ("head",), tuple(lengths), offsets, empty, np.ones(total, bool))
    decided = (np.random.default_rng(seed).random((total, 12)) < 0.2).astype(np.uint8)
    listed = test_list.from_lengths(lengths, task, Path("list.txt"))
    with tempfile.TemporaryDirectory() as name:
        written = Path(name) / "submission.txt", listed, pool, decided
        took = [_ms(submission.write, *written) / 1000 for _ in range(max(3, rounds // 5))]
    return {"pictures": total, "seconds": statistics.median(took), "gigabytes": peak()}


def peak() -> float:
    """The most memory that this process has had so far, in GB."""
    return measure_peak() / 1e9


def _ms(call: Callable[..., object], *arguments: Any) -> float:
    began = time.perf_counter()
    call(*arguments)
    return 1000 * (time.perf_counter() - began)


def _read(values: NDArray[np.float32]) -> float:
    """The sum of all values: what reading them once costs at least, with the threads that a trial has."""
    parts = np.array_split(values, numba.get_num_threads())
    sums = np.zeros(len(parts), np.float32)

    def add(part: int) -> None:
        sums[part] = _sum(parts[part])

    smooth.run(add, len(parts))
    return float(sums.sum())


@njit(cache=True, fastmath=True, nogil=True)
def _sum(values):  # type: ignore[no-untyped-def]
    """A loop over a whole array of its own is one that the compiler makes wide."""
    total = np.float32(0.0)
    for i in range(len(values)):
        total += values[i]
    return total


if __name__ == "__main__":
    with errors.exits():
        print(json.dumps(main(json.loads(sys.argv[1]))))
