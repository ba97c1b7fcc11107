"""`python -m heads.bench`: seconds and memory of the heads on a corpus of Aff-Wild2's size."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Annotated, Any

import typer

from extract.runtime import cli, errors
from extract.runtime.console import console
from extract.runtime.errors import InputError
from heads.bench.measure import ALGORITHMS, PARTS, TREES, FramesTable, Scale, find_frames, main
from heads.train import processes


def list_rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What was measured as (what, figure, what it is compared with)."""

    def memory(part: dict[str, Any]) -> str:
        return "not known here" if part["gigabytes"] is None else f"{part['gigabytes']:.2f} GB"

    rows = []
    if m := result.get("mlp"):
        ours, bare = (
            f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}, {len(rates)} rounds)"
            for rates in m["each"]
        )
        rows.append(("mlp: rows/s in an epoch", ours, f"bare model.fit: {bare}; {m['ratio']:.2f} times"))
    if m := result.get("tabm"):
        rows.append(("tabm: rows/s in an epoch", f"{m['rows_per_second']:,.0f}", f"{m['rows']:,} rows an epoch"))
        rows.append(("tabm: rows/s of processor time", f"{m['rows_per_processor_second']:,.0f}", ""))
        rows.append((f"tabm: a run of {m['epochs']} epochs and the refit, at most", f"{m['run_seconds']:,.0f} s", ""))
    labels = {"tabm": "tabm, one epoch, no refit"}
    for name in ("mlp", "lightgbm", "linear", "tabm"):
        if m := result.get(name):
            trees = f"{name}, {m.get('most_trees')} trees a unit at most, then the refit"
            label = trees if name == "lightgbm" else labels.get(name, name)
            rows.append((f"{label}: memory of all processes", memory(m), ""))
            busy = f"{m['processor_seconds']:,.0f} s of a processor" if "processor_seconds" in m else ""
            rows.append((f"{label}: the whole head", f"{m['seconds']:,.0f} s", busy))
    for limit, m in result.get("lama", {}).items():
        name, learnt = f"lama, limit {limit} s", m["learnt_rows"].values()
        rows.append((f"{name}: the head's process", f"{m['seconds']:.0f} s", f"the limit: {m['ratio']:.2f} times"))
        seconds = f"{m['learning_seconds']:.0f} + {m['seconds'] - m['learning_seconds']:.0f} s"
        rows.append((f"{name}: learning + reading and predicting", seconds, ""))
        rows.append((f"{name}: a processor's seconds in all processes", f"{m['processor_seconds']:,.0f} s", ""))
        finished = f"{sum(shares.keys() == ALGORITHMS for shares in m['algorithms'].values())} outputs"
        rows.append((f"{name}: both algorithms finished in", finished, "12 outputs"))
        rows.append((f"{name}: rows per output", f"{min(learnt):,} to {max(learnt):,}", ""))
        rows.append((f"{name}: memory of all processes", memory(m), ""))
    return rows


EXAMPLES = """Examples:

python -m heads.bench --scale 0.01                        all parts in small, to see that they work

python -m heads.bench --scale 1 --only mlp,lightgbm       two parts at full size (4.7 GB on disk)

python -m heads.bench --scale 1 --only linear,tabm

python -m heads.bench --scale 1 --only lama --limits 60"""


def command(
    scale: Scale = 1.0,
    work: Annotated[Path | None, typer.Option(help="Work folder; default runs/bench-<scale>.")] = None,
    frames: FramesTable = None,
    only: Annotated[str, typer.Option(help="Parts to measure, with commas between them.")] = ",".join(PARTS),
    limits: Annotated[str, typer.Option(help="Time limits for lama in seconds.")] = "60,600",
    rounds: Annotated[int, typer.Option(help="Rounds of mlp and bare model.fit.", min=1)] = 3,
    trees: Annotated[int, typer.Option(help="Trees per unit of lightgbm, at most.", min=1)] = TREES,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: cli.AsJson = False,
) -> None:
    """Measure the heads on a corpus of Aff-Wild2's size. Takes the better part of an hour at full size."""
    from rich.table import Table

    with errors.exits():
        seconds = tuple(int(s) for s in limits.split(",") if s.strip().isdecimal() and int(s) > 0)
        if len(seconds) < len(limits.split(",")):
            raise InputError(f"--limits {limits}: expected whole numbers of seconds with commas between them")
        folder = work or Path("runs") / f"bench-{scale:g}"
        result = main(folder, scale, find_frames(frames), tuple(only.split(",")), seconds, rounds, trees, seed)
        if as_json:
            print(json.dumps(result, indent=2, allow_nan=False))
            return
        parts = ((part, result["corpus"][part]) for part in ("train", "val"))
        sizes = "; ".join(f"{part} {size['videos']} videos, {size['frames']:,} frames" for part, size in parts)
        shown = Table("what", "measured", "compared with", title=f"{sizes}; {processes.CORES} cores")
        for row in list_rows(result):
            shown.add_row(*row)
        console().print(shown)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
