"""What `python -m heads.bench` measures: seconds and memory on a corpus of Aff-Wild2's size, in one run.

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

from extract.runtime import run_folder
from extract.runtime.errors import InputError, WorkError
from extract.runtime.memory import Peak
from extract.runtime.process import python_path
from heads.abaw.tasks import TASKS
from heads.base import threads
from heads.bench import corpus as bench_corpus
from heads.families.tabm.settings import TabmSettings
from heads.train import processes

PARTS = ("mlp", "lightgbm", "lama", "linear", "tabm")
REAL_FRAMES = Path("../shared/data/affwild2_frames/frames.parquet")
Scale = Annotated[float, typer.Option(help="Part of Aff-Wild2's frames, up to 1.")]
FramesTable = Annotated[
    Path | None, typer.Option(help=f"Parquet of real frames (video, frame); default {REAL_FRAMES}, if there.")
]
TEMPORAL = [{"of": "logits"}, {"of": "va"}]
ALGORITHMS = {"LinearL2", "LightGBM"}
"""What lama is asked for by default."""
FORMAT = 2
"""Of bench.json: figures of another one are measured again."""
TREES = 20
"""Of lightgbm per unit, at most."""


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
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if results.get("format") != FORMAT:
        results = {"format": FORMAT}
    results["corpus"] = json.loads((work / "corpus.json").read_text())
    if "mlp" in only:
        results["mlp"] = mlp(work, rounds)
        run_folder.write_json(path, results)
    if "lightgbm" in only:
        results["lightgbm"] = lightgbm(config, work, trees, seed)
        run_folder.write_json(path, results)
    if "linear" in only:
        kept = ("rows", "columns", "val_score", "learnt_rows", "penalty")
        results["linear"] = _head(config, work, "linear", {"inputs": ["embedding", "logits", "va"]}, seed, kept)
        run_folder.write_json(path, results)
    if "tabm" in only:
        results["tabm"] = tabm(work)
        run_folder.write_json(path, results)
    for limit in limits if "lama" in only else ():
        results.setdefault("lama", {})[str(limit)] = lama(config, work, limit, seed)
        run_folder.write_json(path, results)
    return results


def find_frames(given: Path | None) -> Path | None:
    """The table of real frames: the one that is given, or REAL_FRAMES, if there."""
    return given or (REAL_FRAMES if REAL_FRAMES.exists() else None)


def mlp(work: Path, rounds: int) -> dict[str, Any]:
    """Ours and bare `model.fit` in turn: medians of rows/s, and the most memory that ours took."""
    ours, bare, memory = [], [], []
    learning = threads.ENVIRONMENT | {threads.VARIABLE: str(processes.CORES)}
    for _ in range(rounds):
        for what, environment, results in (("ours", learning, ours), ("bare", {}, bare)):
            result, gigabytes = run_child(f"mlp, {what}", ["-m", "heads.bench.mlp", what, str(work)], environment)
            results.append(result)
            memory += [gigabytes] if what == "ours" else []
    each = [[result["rows_per_second"] for result in results] for results in (ours, bare)]
    rates = [statistics.median(rows) for rows in each]
    return {
        "rows_per_second": rates[0],
        "bare_rows_per_second": rates[1],
        "ratio": rates[0] / rates[1],
        "each": each,
        "gigabytes": None if None in memory else max(memory),
        **{key: ours[-1][key] for key in ("rows", "seconds", "val_score", "parameters")},
    }


def tabm(work: Path) -> dict[str, Any]:
    """One epoch, a look at dev and validation's predictions, and the seconds of a run of as many as are usual, all of
    them learnt twice: the refit ends with the best epoch.
    """
    learning = threads.ENVIRONMENT | {threads.VARIABLE: str(processes.CORES)}
    result, gigabytes = run_child("tabm", ["-m", "heads.bench.mlp", "tabm", str(work)], learning)
    epochs = int(TabmSettings.model_fields["epochs"].default)
    once = result["reading_seconds"] + result["predicting_seconds"]
    most = once + epochs * (2 * result["epoch_seconds"] + result["dev_seconds"])
    return {"gigabytes": gigabytes, "epochs": epochs, "run_seconds": most, **result}


def run_child(name: str, arguments: list[str], environment: dict[str, str]) -> tuple[Any, float | None]:
    """What a process of Python's prints at last, as JSON, and the most memory of all processes meanwhile."""
    with Peak() as peak:
        ended = subprocess.run(
            [sys.executable, *arguments], env=os.environ | environment | python_path(), capture_output=True, text=True
        )
    if ended.returncode:
        raise WorkError(f"bench {name}, ended with exit code {ended.returncode}: {ended.stderr[-1500:]}")
    return json.loads(ended.stdout.splitlines()[-1]), _known(peak)


def _known(peak: Peak) -> float | None:
    """Gigabytes, None where they are not known here."""
    return None if math.isnan(peak.gigabytes) else peak.gigabytes


def lightgbm(config: Path, work: Path, trees: int, seed: int) -> dict[str, Any]:
    """The lightgbm head with temporal columns and the defaults; at most `trees` per unit."""
    kept = ("rows", "columns", "refit", "val_score", "trees", "constant_outputs")
    result = _head(config, work, "lightgbm", {"temporal": TEMPORAL, "trees": trees}, seed, kept)
    return {"most_trees": trees, **result}


def lama(config: Path, work: Path, limit: int, seed: int) -> dict[str, Any]:
    """The lama head under a time limit: seconds of learning and of everything, and what each output was made of."""
    kept = ("learning_seconds", "val_score", "learnt_rows", "algorithms", "out_of_time", "constant_outputs")
    result = _head(config, work, "lama", {"timeout": limit}, seed, kept)
    return {"ratio": result["seconds"] / limit, "complete": complete(result["algorithms"]), **result}


def complete(algorithms: dict[str, dict[str, float]]) -> bool:
    """Whether both algorithms finished for every unit; `algorithms` are their shares by output."""
    return algorithms.keys() == set(TASKS["au"].outputs) and all(
        algorithm.keys() == ALGORITHMS for algorithm in algorithms.values()
    )


def _head(
    config: Path, work: Path, name: str, settings: dict[str, Any], seed: int, kept: tuple[str, ...]
) -> dict[str, Any]:
    """Make one head on logits and va as heads.run makes it, from the start; returns the seconds of its process, the
    processor's seconds in all its processes (on a busy machine the ones to look at), those of the whole command, which
    checks all annotations before, the most memory, and what is `kept` of its report.
    """
    from extract import config as extract_config
    from heads import run
    from heads.config import Config

    folder = f"{name}-{bench_corpus.NETWORK}"
    shutil.rmtree(work / "heads" / "au" / folder, ignore_errors=True)
    loaded = extract_config.load(Config, config, None)
    settings = {"inputs": ["logits", "va"], "networks": "each", **settings}
    heads = loaded.heads.model_validate({"au": {"use": [name], name: settings}})
    began, before = time.perf_counter(), _processor()
    with Peak() as peak:
        path = run.main(loaded.model_copy(update={"heads": heads}), "au", work, seed)[folder]
    command = time.perf_counter() - began
    report: dict[str, Any] = json.loads((path / "report.json").read_text())
    return {
        "gigabytes": _known(peak),
        "seconds": round((path / run_folder.DONE_FILE).stat().st_mtime - (path / "job.json").stat().st_mtime, 2),
        "processor_seconds": round(_processor() - before, 2),
        "command_seconds": round(command, 2),
        **{key: report[key] for key in kept},
    }


def _processor() -> float:
    """Seconds of processors in all processes that this one has waited for, and those they have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
