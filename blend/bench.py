"""`python -m blend.bench`: what the blend costs at Aff-Wild2's size, beside the published way, in one run.

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

from extract import errors, rundir
from extract.errors import Failed, InputError
from heads.processes import ROOT

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
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "blend.bench_parts", json.dumps(job)]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    if said := [line for line in ended.stderr.splitlines() if line.startswith("error: ")]:
        raise InputError(said[-1].removeprefix("error: "))
    if ended.returncode:
        raise Failed(f"bench {job['part']} ended with exit code {ended.returncode}: {ended.stderr[-1500:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def rows(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(what, measured, asked, the published way) of every part."""
    lines = []
    for part, one in found.items():
        if part in MOST_MS:
            what = f"{part}: a trial at {one['frames']:,} x {one['outputs']} x {one['heads']} heads"
            more = f"{one['ratio_to_floor']:.1f} times the floor of {one['floor_ms']:.2f} ms"
            other = f"{one['reference_ms'] / 1000:.1f} s: {one['times_faster']:,.0f} times"
            lines.append((what, f"{one['ms']:.2f} ms ({more})", f"<= {MOST_MS[part]:g} ms", other))
            if part == "va":
                lines.append(("va: at a k not seen before", f"{one['ms_first']:.1f} ms", "", ""))
        elif part == "search":
            what = f"au: from the start of {one['trials']} trials until params.json"
            took = f"{one['seconds']:.1f} s (the trials {one['search_seconds']:.1f} s)"
            lines.append((what, took, f"<= {MOST_SECONDS[part]:g} s", ""))
            more = "... and until the report's numbers: the search in five folds, heads alone"
            lines.append((more, f"{one['report_seconds']:.1f} s", "", ""))
            part_of = one["checking_seconds"] / one["report_seconds"]
            took = f"{one['checking_seconds']:.2f} s, {part_of:.2%} of it"
            lines.append(("... hashing what the heads predict, twice", took, f"< {MOST_CHECKING:.0%}", ""))
        else:
            what = f"au: {one['pictures']:,} pictures written and checked"
            lines.append((what, f"{one['seconds']:.2f} s", f"< {MOST_SECONDS[part]:g} s", ""))
    if found:
        most = max(found, key=lambda part: found[part]["gigabytes"])
        lines.append((f"memory, at most ({most})", f"{found[most]['gigabytes']:.2f} GB", f"< {MOST_GB:g} GB", ""))
    return lines


EXAMPLES = """Examples:

python -m blend.bench                          everything; some minutes

python -m blend.bench --only au --only va      parts of it

python -m blend.bench --frames frames.parquet  real lengths and gaps: a table with the columns video and frame"""


def command(
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(PARTS)}; can be repeated.")] = None,
    frames: Annotated[
        Path | None,
        typer.Option(help=f"A table of real frames with a face; default {REAL_FRAMES}, or invented ones without it."),
    ] = None,
    scale: Annotated[float, typer.Option(help="Part of the size, for a quick look.")] = 1.0,
    rounds: Annotated[int, typer.Option(help="Trials timed.", min=1)] = 31,
    seed: Annotated[int, typer.Option(help="Of the invented scores.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the numbers to this file, as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
) -> None:
    """Measure trials, a search and a submission at Aff-Wild2's size."""
    with errors.exits():
        table = frames or (REAL_FRAMES if REAL_FRAMES.exists() else None)
        found = main(tuple(only) if only else PARTS, table, scale, rounds, seed)
        if out is not None:
            rundir.write_json(out, found)
        if as_json:
            print(json.dumps(found, indent=2, allow_nan=False))
        else:
            _print(found, table)


def _print(found: dict[str, Any], table: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table("", "measured", "asked", "published way", title=f"frames: {table or 'invented'}")
    for row in rows(found):
        shown.add_row(*row)
    Console(width=150).print(shown)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLES)(command)
    app()
