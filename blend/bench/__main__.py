"""`python -m blend.bench`: what the blend costs at Aff-Wild2's size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from blend.bench.measure import MOST_CHECKING, MOST_GB, MOST_MS, MOST_SECONDS, PARTS, REAL_FRAMES, main
from extract.runtime import cli, errors, run_folder
from heads.abaw.tasks import TASKS


def rows(result: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(what, measured, asked, the published way) of every part."""
    lines = []
    for part, item in result.items():
        if part in MOST_MS:
            what = f"{part}: a trial at {item['frames']:,} x {item['outputs']} x {item['heads']} heads"
            more = f"{item['ratio_to_floor']:.1f} times the floor of {item['floor_ms']:.2f} ms"
            other = f"{item['reference_ms'] / 1000:.1f} s: {item['times_faster']:,.0f} times"
            lines.append((what, f"{item['ms']:.2f} ms ({more})", f"<= {MOST_MS[part]:g} ms", other))
            if TASKS[part].is_regression:
                lines.append(("va: at a k not seen before", f"{item['ms_first']:.1f} ms", "", ""))
        elif part == "search":
            what = f"au: from the start of {item['trials']} trials until params.json"
            took = f"{item['seconds']:.1f} s (the trials {item['search_seconds']:.1f} s)"
            lines.append((what, took, f"<= {MOST_SECONDS[part]:g} s", ""))
            more = "... and until the report's numbers: the search in five folds, heads alone"
            lines.append((more, f"{item['report_seconds']:.1f} s", "", ""))
            part_of = item["checking_seconds"] / item["report_seconds"]
            took = f"{item['checking_seconds']:.2f} s, {part_of:.2%} of it"
            lines.append(("... hashing what the heads predict, twice", took, f"< {MOST_CHECKING:.0%}", ""))
        else:
            what = f"au: {item['pictures']:,} pictures written and checked"
            lines.append((what, f"{item['seconds']:.2f} s", f"< {MOST_SECONDS[part]:g} s", ""))
    if result:
        most = max(result, key=lambda part: result[part]["gigabytes"])
        lines.append((f"memory, at most ({most})", f"{result[most]['gigabytes']:.2f} GB", f"< {MOST_GB:g} GB", ""))
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
    as_json: cli.AsJson = False,
) -> None:
    """Measure trials, a search and a submission at Aff-Wild2's size."""
    with errors.exits():
        table = frames or (REAL_FRAMES if REAL_FRAMES.exists() else None)
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

    shown = Table("", "measured", "asked", "published way", title=f"frames: {table or 'invented'}")
    for row in rows(result):
        shown.add_row(*row)
    Console(width=150).print(shown)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
