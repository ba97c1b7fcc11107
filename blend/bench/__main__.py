"""`python -m blend.bench`: what the blend costs at Aff-Wild2's size, beside the published way; each part in a process.

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
from typing import Annotated, Any

import typer

from extract.runtime import cli, errors, run_folder
from extract.runtime.errors import InputError, WorkError
from extract.runtime.process import python_path
from heads.abaw.tasks import TASKS

PARTS = ("au", "expr", "va", "search", "write")
REAL_FRAMES = Path("../shared/data/affwild2_frames/frames.parquet")
Frames = Annotated[
    Path | None,
    typer.Option(help=f"A table of real frames with a face; default {REAL_FRAMES}, or invented ones without it."),
]
Scale = Annotated[float, typer.Option(help="Part of the size, for a quick look.")]
Seed = Annotated[int, typer.Option(help="Of the invented scores.", min=0)]


def main(
    only: tuple[str, ...] = PARTS, table: Path | None = None, scale: float = 1.0, rounds: int = 31, seed: int = 0
) -> dict[str, Any]:
    """Measure some parts, each in a process of its own; returns part -> figures."""
    for part in only:
        if part not in PARTS:
            raise InputError(f"--only {part}: no such part; there are {', '.join(PARTS)}")
    check_scale(scale)
    job = {"table": str(table) if table else "", "scale": scale, "rounds": rounds, "seed": seed}
    return {part: _child(job | {"part": part}) for part in only}


def check_scale(scale: float) -> None:
    """Raise InputError for a part of the size that is none."""
    if not 0 < scale <= 1:
        raise InputError(f"--scale {scale:g}: expected a number above 0, at most 1")


def real_frames(given: Path | None) -> Path | None:
    """The table of real frames: the one given, else the usual one where it is there."""
    return given or (REAL_FRAMES if REAL_FRAMES.exists() else None)


def _child(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "blend.bench.parts", json.dumps(job)]
    ended = subprocess.run(command, env=os.environ | python_path(), capture_output=True, text=True)
    if said := [line for line in ended.stderr.splitlines() if line.startswith("error: ")]:
        raise InputError(said[-1].removeprefix("error: "))
    if ended.returncode:
        raise WorkError(f"bench {job['part']} ended with exit code {ended.returncode}: {ended.stderr[-1500:]}")
    results: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return results


def rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what, measured, what it is compared with) of every part."""
    lines = []
    for part, item in result.items():
        if part in TASKS:
            what = f"{part}: a trial at {item['frames']:,} x {item['outputs']} x {item['heads']} heads"
            floor = f"one read of the pool: {item['floor_ms']:.2f} ms, {item['ratio_to_floor']:.1f} times"
            other = f"the published way: {item['reference_ms'] / 1000:.1f} s, 1 / {item['times_faster']:,.0f}"
            lines.append((what, f"{item['ms']:.2f} ms", f"{floor}; {other}"))
            if TASKS[part].is_regression:
                lines.append(("va: at a k not seen before", f"{item['ms_first']:.1f} ms", ""))
        elif part == "search":
            what = f"au: from the start of {item['trials']} trials until params.json"
            took = f"{item['seconds']:.1f} s (the trials {item['search_seconds']:.1f} s)"
            lines.append((what, took, ""))
            more = "... and until the report's numbers: the search in five folds, heads alone"
            lines.append((more, f"{item['report_seconds']:.1f} s", ""))
            part_of = item["checking_seconds"] / item["report_seconds"]
            took = f"{item['checking_seconds']:.2f} s"
            lines.append(("... hashing what the heads predict, twice", took, f"{part_of:.2%} of these seconds"))
        else:
            what = f"au: {item['pictures']:,} pictures written and checked"
            lines.append((what, f"{item['seconds']:.2f} s", ""))
    if result:
        most = max(result, key=lambda part: result[part]["gigabytes"])
        lines.append((f"memory, at most ({most})", f"{result[most]['gigabytes']:.2f} GB", ""))
    return lines


EXAMPLES = """Examples:

python -m blend.bench                          everything; some minutes

python -m blend.bench --only au --only va      parts of it

python -m blend.bench --frames frames.parquet  real lengths and gaps: a table with the columns video and frame"""


def command(
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(PARTS)}; can be repeated.")] = None,
    frames: Frames = None,
    scale: Scale = 1.0,
    rounds: Annotated[int, typer.Option(help="Trials timed.", min=1)] = 31,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the numbers to this file, as JSON.")] = None,
    as_json: cli.AsJson = False,
) -> None:
    """Measure trials, a search and a submission at Aff-Wild2's size."""
    with errors.exits():
        table = real_frames(frames)
        result = main(tuple(only) if only else PARTS, table, scale, rounds, seed)
        if out is not None:
            run_folder.write_json(out, result)
        if as_json:
            print(json.dumps(result, indent=2, allow_nan=False))
        else:
            _print(result, table)


def _print(result: dict[str, Any], table: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table("", "measured", "compared with", title=f"frames: {table or 'invented'}")
    for row in rows(result):
        shown.add_row(*row)
    Console(width=150).print(shown)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
