"""`python -m heads.bench`: seconds and memory of the heads on a corpus of Aff-Wild2's size, in one run.

mlp: one epoch of the AU mlp 1280-128-12 (batches of 512) from the feature store, beside Keras's bare `model.fit` on a
float32 array in memory, in turn, each in a process of its own. lightgbm: all twelve units on logits, va and their
temporal columns, with the defaults (early stopping, then a refit on train and dev) but for the number of trees, which
is limited: time grows with it, memory does not. lama: LightAutoML on logits and va with the defaults, for several time
limits; its seconds are those of the head's process, from its start to validation's predictions on disk.
Memory is that of the whole tree of processes, this one included.
"""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from extract import errors, rundir
from extract.console import console
from extract.errors import Failed, InputError
from heads import bench_corpus, processes, threads
from heads.bench_memory import Peak
from heads.tasks import TASKS

PARTS = ("mlp", "lightgbm", "lama")
REAL_FRAMES = Path("../shared/data/affwild2_frames/frames.parquet")
TEMPORAL = [{"of": "logits"}, {"of": "va"}]
ALGORITHMS = {"LinearL2", "LightGBM"}
"""What lama is asked for by default."""
FORMAT = 2
"""Of bench.json: figures of another one are measured again."""
TREES = 20
"""Of lightgbm per unit, at most."""
LEAST_RATIO, MOST_GB, MOST_OVER = 0.7, {"mlp": 8.0, "lightgbm": 10.0}, 1.2
"""What is asked of the heads: rows/s beside bare `model.fit`, memory in GB, seconds beside the time limit."""


def main(
    work: Path,
    scale: float = 1.0,
    frames: Path | None = None,
    only: tuple[str, ...] = PARTS,
    limits: tuple[int, ...] = (60, 600),
    rounds: int = 3,
    trees: int = TREES,
    seed: int = 0,
) -> dict[str, Any]:
    """Make the corpus where it is missing, measure, and keep the figures in `<work>/bench.json`. Returns them."""
    for part in only:
        if part not in PARTS:
            raise InputError(f"--only {part}: no such part; there are {', '.join(PARTS)}")
    config = bench_corpus.make(work, frames, scale, seed)
    path = work / "bench.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if found.get("format") != FORMAT:
        found = {"format": FORMAT}
    found["corpus"] = json.loads((work / "corpus.json").read_text())
    if "mlp" in only:
        found["mlp"] = mlp(work, rounds)
        rundir.write_json(path, found)
    if "lightgbm" in only:
        found["lightgbm"] = lightgbm(config, work, trees, seed)
        rundir.write_json(path, found)
    for limit in limits if "lama" in only else ():
        found.setdefault("lama", {})[str(limit)] = lama(config, work, limit, seed)
        rundir.write_json(path, found)
    return found


def mlp(work: Path, rounds: int) -> dict[str, Any]:
    """Ours and bare `model.fit` in turn: medians of rows/s, and the most memory that ours took."""
    ours, bare, memory = [], [], []
    for _ in range(rounds):
        with Peak() as peak:
            ours.append(_child("ours", work, threads.ENVIRONMENT | {threads.VARIABLE: str(processes.CORES)}))
        memory.append(peak.gigabytes)
        bare.append(_child("bare", work, {}))
    rates = {name: statistics.median(r["rows_per_second"] for r in of) for name, of in (("ours", ours), ("bare", bare))}
    return {
        "rows_per_second": rates["ours"],
        "bare_rows_per_second": rates["bare"],
        "ratio": rates["ours"] / rates["bare"],
        "each": [[r["rows_per_second"] for r in of] for of in (ours, bare)],
        "gigabytes": _most(memory),
        **{key: ours[-1][key] for key in ("rows", "seconds", "val_score", "parameters")},
    }


def _child(what: str, work: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run heads.bench_mlp and read what it found."""
    path = os.pathsep.join(filter(None, (str(processes.ROOT), os.environ.get("PYTHONPATH"))))
    ended = subprocess.run(
        [sys.executable, "-m", "heads.bench_mlp", what, str(work)],
        env=os.environ | environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        raise Failed(f"bench mlp, {what}, ended with exit code {ended.returncode}: {ended.stderr[-1500:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def lightgbm(config: Path, work: Path, trees: int, seed: int) -> dict[str, Any]:
    """The lightgbm head with temporal columns and the defaults; at most `trees` per unit."""
    settings = {"inputs": ["logits", "va"], "temporal": TEMPORAL, "networks": "each", "trees": trees}
    kept = ("rows", "columns", "refit", "val_score", "trees", "constant_outputs")
    found = _head(config, work, "lightgbm", settings, f"lightgbm-{bench_corpus.NETWORK}", seed, kept)
    return {"most_trees": trees, **found}


def lama(config: Path, work: Path, limit: int, seed: int) -> dict[str, Any]:
    """The lama head under a time limit: seconds of learning and of everything, and what each output was made of."""
    settings = {"inputs": ["logits", "va"], "networks": "each", "timeout": limit}
    kept = ("learning_seconds", "val_score", "learnt_rows", "algorithms", "out_of_time", "constant_outputs")
    found = _head(config, work, "lama", settings, f"lama-{bench_corpus.NETWORK}", seed, kept)
    return {"ratio": found["seconds"] / limit, "complete": complete(found["algorithms"]), **found}


def complete(algorithms: dict[str, dict[str, float]]) -> bool:
    """Whether both algorithms finished for every unit; `algorithms` are their shares by output."""
    return algorithms.keys() == set(TASKS["au"].outputs) and all(
        some.keys() == ALGORITHMS for some in algorithms.values()
    )


def _head(
    config: Path, work: Path, name: str, settings: dict[str, Any], folder: str, seed: int, kept: tuple[str, ...]
) -> dict[str, Any]:
    """Make one head as heads.run makes it, from the start; returns the seconds of its process, the processor's seconds
    in all its processes (on a busy machine the ones to look at), those of the whole command, which checks all
    annotations before, the most memory, and what is `kept` of its report.
    """
    from extract import config as extract_config
    from heads import run
    from heads.config import Config

    shutil.rmtree(work / "heads" / "au" / folder, ignore_errors=True)
    loaded = extract_config.load(Config, config, None)
    heads = loaded.heads.model_validate({"au": {"use": [name], name: settings}})
    began, before = time.perf_counter(), _processor()
    with Peak() as peak:
        path = run.main(loaded.model_copy(update={"heads": heads}), "au", work, seed)[folder]
    command = time.perf_counter() - began
    report: dict[str, Any] = json.loads((path / "report.json").read_text())
    return {
        "gigabytes": _most([peak.gigabytes]),
        "seconds": round((path / rundir.DONE).stat().st_mtime - (path / "job.json").stat().st_mtime, 2),
        "processor_seconds": round(_processor() - before, 2),
        "command_seconds": round(command, 2),
        **{key: report[key] for key in kept},
    }


def _processor() -> float:
    """Seconds of processors in all processes that this one has waited for, and those they have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _most(memory: list[float]) -> float | None:
    """The largest, None where it is not known."""
    return None if any(map(math.isnan, memory)) else max(memory)


def rows_of(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """What was measured as (what, figure, asked for, whether it holds)."""

    def line(what: str, value: float | None, unit: str, good: bool, asked: str) -> tuple[str, str, str, str]:
        if value is None:
            return what, "not known here", asked, ""
        return what, f"{value:,.2f} {unit}".strip(), asked, "yes" if good else "no"

    rows = []
    if m := found.get("mlp"):
        for what, rates in zip(("mlp: rows/s in an epoch", "bare model.fit: rows/s"), m["each"], strict=True):
            middle = f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}, {len(rates)} rounds)"
            rows.append((what, middle, "", ""))
        rows.append(line("mlp beside bare, medians", m["ratio"], "", m["ratio"] >= LEAST_RATIO, f">= {LEAST_RATIO}"))
    for name in ("mlp", "lightgbm"):
        if m := found.get(name):
            most = MOST_GB[name]
            fits = m["gigabytes"] is not None and m["gigabytes"] < most
            label = name if name == "mlp" else f"{name}, {m['most_trees']} trees a unit at most, then the refit"
            rows.append(line(f"{label}: memory of all processes", m["gigabytes"], "GB", fits, f"< {most:g} GB"))
            busy = f" ({m['processor_seconds']:,.0f} s of a processor)" if "processor_seconds" in m else ""
            rows.append((f"{label}: the whole head", f"{m['seconds']:,.0f} s{busy}", "", ""))
    for limit, m in found.get("lama", {}).items():
        name, learnt = f"lama, limit {limit} s", m["learnt_rows"].values()
        rows.append(
            line(f"{name}: the head's process / limit", m["ratio"], "", m["ratio"] <= MOST_OVER, f"<= {MOST_OVER}")
        )
        rest = m["seconds"] - m["learning_seconds"]
        rows.append(
            (f"{name}: learning + reading and predicting", f"{m['learning_seconds']:.0f} + {rest:.0f} s", "", "")
        )
        rows.append((f"{name}: a processor's seconds in all processes", f"{m['processor_seconds']:,.0f} s", "", ""))
        finished = f"{len(m['algorithms'])} outputs"
        rows.append((f"{name}: both algorithms finished in", finished, "12 outputs", "yes" if m["complete"] else "no"))
        rows.append((f"{name}: rows per output", f"{min(learnt):,} to {max(learnt):,}", "", ""))
        rows.append(line(f"{name}: memory of all processes", m["gigabytes"], "GB", True, ""))
    return rows


EXAMPLES = """Examples:

python -m heads.bench --scale 0.01                        all parts in small, to see that they work

python -m heads.bench --scale 1 --only mlp,lightgbm       two parts at full size (4.7 GB on disk)

python -m heads.bench --scale 1 --only lama --limits 60"""


def command(
    scale: Annotated[float, typer.Option(help="Part of Aff-Wild2's frames, up to 1.")] = 1.0,
    work: Annotated[Path | None, typer.Option(help="Work folder; default runs/bench-<scale>.")] = None,
    frames: Annotated[
        Path | None, typer.Option(help=f"Parquet of real frames (video, frame); default {REAL_FRAMES}, if there.")
    ] = None,
    only: Annotated[str, typer.Option(help="Parts to measure, with commas between them.")] = ",".join(PARTS),
    limits: Annotated[str, typer.Option(help="Time limits for lama in seconds.")] = "60,600",
    rounds: Annotated[int, typer.Option(help="Rounds of mlp and bare model.fit.", min=1)] = 3,
    trees: Annotated[int, typer.Option(help="Trees per unit of lightgbm, at most.", min=1)] = TREES,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
) -> None:
    """Measure the heads on a corpus of Aff-Wild2's size. Takes the better part of an hour at full size."""
    from rich.table import Table

    with errors.exits():
        seconds = tuple(int(s) for s in limits.split(",") if s.strip().isdecimal() and int(s) > 0)
        if len(seconds) < len(limits.split(",")):
            raise InputError(f"--limits {limits}: expected whole numbers of seconds with commas between them")
        table = frames or (REAL_FRAMES if REAL_FRAMES.exists() else None)
        folder = work or Path("runs") / f"bench-{scale:g}"
        found = main(folder, scale, table, tuple(only.split(",")), seconds, rounds, trees, seed)
        if as_json:
            print(json.dumps(found, indent=2, allow_nan=False))
            return
        sizes = "; ".join(
            f"{part} {found['corpus'][part]['videos']} videos, {found['corpus'][part]['frames']:,} frames"
            for part in ("train", "val")
        )
        shown = Table("what", "measured", "asked for", "holds", title=f"{sizes}; {processes.CORES} cores")
        for row in rows_of(found):
            shown.add_row(*row)
        console().print(shown)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLES)(command)
    app()
