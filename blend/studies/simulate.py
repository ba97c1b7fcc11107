"""What each estimate promises and each way of selecting reaches, over many draws of validation and test videos.

    python -m blend.studies.simulate --task va --size few     one line's draws
    python -m blend.studies.simulate                          everything; killed, the same command goes on
    python -m blend.studies.simulate --show FILE --markdown   the table of what is finished

Validation goes through the same code as in blend.run; test sets of its population, of shifted ones and of other sizes
are then scored (`blend.studies.simulation`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, product
from pathlib import Path
from typing import Annotated, Any

import typer

from blend.studies import draw, results
from blend.studies.simulation import table
from blend.studies.simulation.population import CHECKING_SEED, SETTING_SEED, TEST_KINDS
from extract.runtime import cli, errors
from extract.runtime.errors import InputError
from extract.runtime.progress import progress
from heads.abaw.tasks import TASKS

TRIALS = 40
"""Trials of each search: the starts, then a few; more change little on so few videos."""
OUT = Path("runs/studies/simulate.jsonl")


def main(
    tasks: Sequence[str],
    sizes: Sequence[str],
    populations: Sequence[str],
    draws: int,
    seed: int,
    workers: int,
    trials: int,
    out: Path,
    parts: bool = False,
) -> dict[str, Any]:
    """{task: {size: {kind: line}}} (see `simulation.table.summarise`) of `draws` draws each; `out` keeps every pair.

    Raises InputError for a file that is no results file.
    """
    jobs = [
        {"task": task, "size": size, "of": of, "number": number, "seed": seed, "trials": trials, "parts": parts}
        for number in range(max(1, round(draws / 2)))  # all lines grow together
        for task in tasks
        for size in sizes
        for of in populations
    ]
    code, made = results.code_of("blend.studies.draw"), []
    with progress("simulate", len(jobs), "pairs") as bar:
        for job, result in results.complete(out, jobs, pair, code, workers):
            made.append((job, result))
            bar.advance(1, "{task}, {size}, {of}".format(**job))
    return _tables(made)


def pair(job: results.Job) -> list[dict[str, Any]]:
    """One pair of draws."""
    return draw.pair(**job)


def read_finished_table(path: Path) -> dict[str, Any]:
    """The table of what a results file holds, of the seed that its last line is of."""
    lines = results.read(path)
    if not lines:
        raise InputError(f"{path}: holds no results; python -m blend.studies.simulate --out {path} makes them")
    seed = lines[-1]["job"].get("seed")
    return _tables([(line["job"], line["results"]) for line in lines if line["job"].get("seed") == seed])


def _tables(made: list[tuple[results.Job, Any]]) -> dict[str, Any]:
    """Pairs in order of their numbers, whichever was finished first, and lines in the order of tasks, sizes, kinds."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for job, both in sorted(made, key=lambda item: item[0]["number"]):
        for kind in TEST_KINDS[job["of"]]:
            groups.setdefault((job["task"], job["size"], kind), []).extend(both)
    entries: dict[str, Any] = {}
    for task, size, kind in product(TASKS, draw.SIZES, chain.from_iterable(TEST_KINDS.values())):
        if (task, size, kind) in groups:
            line = table.summarise(task, kind, groups[task, size, kind])
            entries.setdefault(task, {}).setdefault(size, {})[kind] = line
    return entries


def _print(result: dict[str, Any], as_markdown: bool) -> None:
    for header, cells in (
        (table.ESTIMATES, table.estimates(result)),
        (table.SCORES, table.scores(result)),
        (table.PARTS, table.parts(result)),
    ):
        if cells and as_markdown:
            print(table.markdown(header, cells) + "\n")
        elif cells:
            table.show(header, cells)
    for line in table.list_broken_claims(result):
        print(line)


EXAMPLES = f"""Examples:

python -m blend.studies.simulate --task va --draws 50                one task, fewer draws

python -m blend.studies.simulate --size fewest --kind same           one size, one population

python -m blend.studies.simulate --seed {SETTING_SEED} --parts                    the draws that may set constants

python -m blend.studies.simulate --show {OUT} --markdown"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}, or all.")] = "all",
    size: Annotated[str, typer.Option(help="fewest (6 to 15 videos), few (20 to 70), official, or all.")] = "all",
    kind: Annotated[
        str, typer.Option(help="Population: same (its test sets also shifted, half, triple), heavy, people, or all.")
    ] = "all",
    draws: Annotated[int, typer.Option(help="Draws for each task, size and population.", min=2)] = 200,
    seed: Annotated[
        int, typer.Option(help=f"{CHECKING_SEED} checks; {SETTING_SEED} is for setting constants.", min=0)
    ] = CHECKING_SEED,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    trials: Annotated[int, typer.Option(help="Trials of each search.", min=1)] = TRIALS,
    parts: Annotated[bool, typer.Option("--parts", help="Also select with each optional part fixed.")] = False,
    out: Annotated[Path, typer.Option(help="Every pair is added to this file; what is in it is not made again.")] = OUT,
    show: Annotated[Path | None, typer.Option(help="Only print the table of this file.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print tables for a README.")] = False,
    as_json: cli.AsJson = False,
) -> None:
    """Compare estimates with what test gives, and ways of selecting with each other, on made videos."""
    with errors.exits():
        if show is not None:
            result = read_finished_table(show)
        else:
            tasks, sizes = results.select("task", task, TASKS), results.select("size", size, draw.SIZES)
            kinds = results.select("kind", kind, TEST_KINDS)
            result = main(tasks, sizes, kinds, draws, seed, workers, trials, out, parts)
        if as_json:
            print(json.dumps(results.as_json_value(result), indent=2, allow_nan=False))
        else:
            _print(result, as_markdown)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
