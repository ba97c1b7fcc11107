"""What each estimate promises and each way of selecting reaches, over many draws of validation and test videos.

    python -m blend.simulate --task va                  one task, 200 draws of official size and 200 of few videos
    python -m blend.simulate --draws 20 --out out.json

Both sets of a draw come from one made population (`blend.simulate_population`). The validation set goes through the
same code as in blend.run; the test set is then scored. The defaults of [blend.<task>] follow from this table.
"""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from extract import errors, rundir
from extract.errors import InputError
from extract.progress import progress
from heads.tasks import TASKS

SIZES = ("official", "few")
TRIALS = 40
"""Trials of each search: the starts, then a few; more change little on so few videos."""


def main(tasks: list[str], draws: int, seed: int, workers: int, trials: int) -> dict[str, Any]:
    """{task: {size: summary}} of `draws` draws each; see `blend.simulate_table.summarise`."""
    from blend import simulate_table

    pairs = max(1, round(draws / 2))
    jobs = [(task, size, number) for task in tasks for size in SIZES for number in range(pairs)]
    made: dict[tuple[str, str], list[dict[str, Any]]] = {(task, size): [] for task in tasks for size in SIZES}
    with progress("simulate", 2 * len(jobs), "draws") as bar:
        for (task, size, _), results in zip(jobs, _run(jobs, pairs, seed, workers, trials), strict=True):
            made[task, size] += results
            bar.advance(len(results), f"{task}, {size}")
    return {task: {size: simulate_table.summarise(made[task, size]) for size in SIZES} for task in tasks}


def _run(
    jobs: list[tuple[str, str, int]], pairs: int, seed: int, workers: int, trials: int
) -> Iterator[list[dict[str, Any]]]:
    """Results in the jobs' order, whatever the number of workers."""
    full = [(*job, pairs, seed, trials) for job in jobs]
    if workers == 1:
        yield from map(_pair, full)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_pair, full)


def _pair(job: tuple[str, str, int, int, int, int]) -> list[dict[str, Any]]:
    """One pair, on one thread: the processes share the machine."""
    import numba

    from blend import simulate_draw

    numba.set_num_threads(1)
    return simulate_draw.pair(*job)


def as_json_value(value: Any) -> Any:
    """JSON has no NaN: what so few draws do not define is null."""
    if isinstance(value, dict):
        return {key: as_json_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_json_value(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


EXAMPLES = """Examples:

python -m blend.simulate --task va --draws 50                one task, fewer draws

python -m blend.simulate --workers 8 --out simulated.json    everything, the numbers also in a file"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}, or all.")] = "all",
    draws: Annotated[int, typer.Option(help="Draws for each task and size.", min=2)] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same table.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    trials: Annotated[int, typer.Option(help="Trials of each search.", min=1)] = TRIALS,
    out: Annotated[Path | None, typer.Option(help="Also write the numbers to this file, as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
) -> None:
    """Compare estimates with what test gives, and ways of selecting with each other, on made videos."""
    with errors.exits():
        if task not in (*TASKS, "all"):
            raise InputError(f"--task {task}: no such task; there are {', '.join(TASKS)} and all")
        found = main(list(TASKS) if task == "all" else [task], draws, seed, workers, trials)
        if out is not None:
            rundir.write_json(out, as_json_value(found))
        if as_json:
            print(json.dumps(as_json_value(found), indent=2, allow_nan=False))
            return
        from blend.simulate_table import show

        show(found)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLES)(command)
    app()
