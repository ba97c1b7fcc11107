"""`python -m blend.bench.scale`: the time of a run on many nodes, simulated and checked against real workers.

The rates are measured: extraction by one and by two workers of one thread on this machine, job by job. From them the
simulation of `makespan` foretells two other runs, which are then made: that table says how far it can be believed.
Heads' and the blend's seconds are those of `heads.bench` and `blend.bench`, and can be given.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from blend.bench.makespan import Disturbances, Machines, Stage, Task, simulate
from extract.bench import cluster, fixtures, long_run
from extract.cluster_job import divide_videos
from extract.runtime import cli, errors, run_folder

TINY, CALIBRATION, JOBS = 50, 700, 6
"""Frames of the video whose job is nearly all start, and of each of the JOBS that are timed, for one worker and two."""
AFF_WILD2, LARGE = 2_900_000, 100_000_000
NETWORKS, HEADS, THREADS = 6, 12, 4
NODES = (1, 4, 16, 64)
TROUBLE = Disturbances(spread=0.1, stragglers=0.05, failures=0.02)
"""Nodes of unlike speed, one of twenty half as fast, a failure in fifty node hours."""
DRAWS = 3


@dataclass(frozen=True)
class Rates:
    """What was measured on this machine, in seconds."""

    command: float
    """Of a run beside its jobs: Python's start, listing the pictures, the last file."""
    start: float
    """Until a job works: its process, its imports, its network."""
    frame: float
    """Of one frame on a core."""
    slowdown: float
    """How much longer a job takes with a second one beside it."""
    bytes_of_frame: float


def measure_rates(folder: Path, network: str, seed: int) -> Rates:
    """Time jobs of one worker, and of two side by side. Raises WorkError where a run fails."""
    tiny = run_workers(folder / "tiny", [TINY], 1, network, seed)
    lengths = [CALIBRATION] * JOBS
    alone = run_workers(folder / "alone", lengths, 1, network, seed)
    beside = run_workers(folder / "beside", lengths, 2, network, seed)
    one, two = (statistics.median(run["jobs"]) for run in (alone, beside))
    frame = (one - tiny["jobs"][0]) / (CALIBRATION - TINY)
    pictures = [*(folder / "alone" / "different").iterdir()]
    return Rates(
        command=alone["seconds"] - sum(alone["jobs"]),
        start=one - CALIBRATION * frame,
        frame=frame,
        slowdown=max(1.0, two / one),
        bytes_of_frame=statistics.mean(picture.stat().st_size for picture in pictures),
    )


def run_workers(folder: Path, lengths: Sequence[int], workers: int, network: str, seed: int) -> dict[str, Any]:
    """Extract videos of these lengths by so many workers of one thread.

    Returns:
        {"seconds": of the whole command, "jobs": seconds of each job}.
    """
    folder.mkdir()
    environment = cluster.prepare_corpus(folder, lengths, network, seed)
    with cluster.start_scheduler(folder, environment, workers) as where:
        seconds = cluster.time_commands(folder, environment, 1, ["--cluster", where])
    record = json.loads((folder / "work" / "cluster" / "extract.json").read_text(encoding="utf-8"))
    return {"seconds": seconds, "jobs": [job["seconds"] for job in record["jobs"]]}


def extraction(lengths: Sequence[int], slots: int, rates: Rates, networks: int = 1) -> Stage:
    """The jobs that `extract.run` hands to so many slots, the longest first, as it does."""
    sizes = [sum(lengths[i] for i in job) for job in divide_videos([*lengths], slots)] * networks
    tasks = [Task(size * rates.frame, rates.start, size) for size in sorted(sizes, reverse=True)]
    return Stage("extraction", tasks)


def check_prediction(folder: Path, rates: Rates, pictures: int, network: str, seed: int) -> list[dict[str, float]]:
    """Foretell a run of `pictures` in videos of realistic lengths on one and two workers, then make it."""
    lengths = long_run.video_lengths(pictures, seed)
    rows = []
    for workers in (1, 2):
        machines = Machines(1, workers, rates.slowdown)
        predicted = rates.command + simulate([extraction(lengths, workers, rates)], machines, Disturbances()).seconds
        measured = run_workers(folder / f"check{workers}", lengths, workers, network, seed)["seconds"]
        rows.append({"workers": workers, "predicted": predicted, "measured": measured, "ratio": predicted / measured})
    return rows


def predict_makespans(
    frames: int, rates: Rates, seconds_of_heads: Sequence[float], seconds_of_blend: float, cores: int, disk: float
) -> list[dict[str, float]]:
    """Hours of a whole run on 1, 4, 16 and 64 nodes: NETWORKS networks, HEADS heads with five folds, the blend.

    Args:
        frames: Pictures of the corpus, in videos of Aff-Wild2's lengths.
        rates: Measured.
        seconds_of_heads: Of one fit of each kind of head at Aff-Wild2's size with THREADS threads; six fits are a job.
        seconds_of_blend: From predictions to the report at Aff-Wild2's size.
        cores: Of each node.
        disk: Bytes per second of the shared disk.
    """
    lengths, scale = long_run.video_lengths(frames, 0), frames / AFF_WILD2
    kinds = [seconds * scale * 6 for seconds in seconds_of_heads]
    heads = Stage("heads", [Task(kinds[i % len(kinds)], rates.start) for i in range(HEADS)], THREADS)
    blend = Stage("blend", [Task(seconds_of_blend * scale)], THREADS)
    rows = []
    for nodes in NODES:
        machines = Machines(nodes, cores, rates.slowdown, disk, rates.bytes_of_frame)
        stages = [extraction(lengths, nodes * cores, rates, NETWORKS), heads, blend]
        smooth = simulate(stages, machines, Disturbances())
        troubled = [simulate(stages, machines, TROUBLE, seed) for seed in range(DRAWS)]
        hours = smooth.seconds / 3600
        rows.append(
            {"nodes": nodes}
            | {name: seconds / 3600 for name, seconds in smooth.stages.items()}
            | {"hours": hours, "longest_video": max(lengths) * rates.frame * rates.slowdown / 3600}
            | {"troubled": statistics.mean(run.seconds for run in troubled) / 3600}
            | {"lost": statistics.mean(run.lost_jobs for run in troubled), "core_hours": hours * nodes * cores}
        )
    return rows


def main(
    pictures: int,
    network: str,
    seed: int,
    seconds_of_heads: Sequence[float],
    seconds_of_blend: float,
    cores: int,
    disk: float,
) -> dict[str, Any]:
    """Measure, check the simulation against real workers, and foretell. Raises WorkError where a run fails."""
    if importlib.util.find_spec("simpy") is None:
        raise errors.InputError("the simulation needs simpy: pip install 'affect-heads[bench]'")
    with tempfile.TemporaryDirectory() as name:
        rates = measure_rates(Path(name), network, seed)
        check = check_prediction(Path(name), rates, pictures, network, seed + 1)
    makespans = {
        size: predict_makespans(size, rates, seconds_of_heads, seconds_of_blend, cores, disk)
        for size in (AFF_WILD2, LARGE)
    }
    return {"rates": asdict(rates), "check": check, "makespans": makespans}


def table(result: dict[str, Any], price: float) -> str:
    """The result as Markdown; `price` of a core hour."""
    rates = result["rates"]
    lines = [
        f"{1 / rates['frame']:.0f} frames/s on a core, {1 / rates['frame'] / rates['slowdown']:.0f} with a second job "
        f"beside it; a job starts in {rates['start']:.1f} s, a command takes {rates['command']:.1f} s beside its jobs",
        "",
        "| workers | foretold | measured | foretold / measured |\n|---|---|---|---|",
    ]
    lines += [
        f"| {row['workers']} | {row['predicted']:.1f} s | {row['measured']:.1f} s | {row['ratio']:.2f} |"
        for row in result["check"]
    ]
    for frames, rows in result["makespans"].items():
        lines += [
            "",
            f"{frames:,} frames, {NETWORKS} networks, {HEADS} heads with five folds; the longest video alone takes "
            f"{rows[0]['longest_video']:.2f} h of a network's extraction",
            "",
            "| nodes | extraction | heads | blend | all | with stragglers and failures | core hours | cost |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['nodes']} | {row['extraction']:.2f} h | {row['heads']:.2f} h | {row['blend']:.2f} h | "
            f"{row['hours']:.2f} h | {row['troubled']:.2f} h, {row['lost']:.1f} jobs again | {row['core_hours']:.0f} | "
            f"{row['core_hours'] * price:.0f} |"
            for row in rows
        ]
    return "\n".join(lines)


def command(
    pictures: Annotated[int, typer.Option(help="Generated crops of the runs that are foretold.", min=2000)] = 8000,
    network: Annotated[
        str, typer.Option(help=f"{fixtures.ARCH} (random weights), or a known network.")
    ] = fixtures.ARCH,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    seconds_of_heads: Annotated[
        str, typer.Option(help="One fit of mlp, lightgbm and lama at Aff-Wild2's size, from heads.bench.")
    ] = "32,104,97",
    seconds_of_blend: Annotated[float, typer.Option(help="Until the report, from blend.bench.")] = 70.0,
    cores: Annotated[int, typer.Option(help="Of each node.", min=1)] = 2,
    disk: Annotated[float, typer.Option(help="Bytes per second of the shared disk.")] = 200e6,
    price: Annotated[float, typer.Option(help="Of a core hour.")] = 0.04,
    out: Annotated[Path | None, typer.Option(help="Also write the numbers to this file, as JSON.")] = None,
    as_json: cli.AsJson = False,
) -> None:
    """Foretell a run on many nodes from what is measured here. Takes some minutes."""
    with errors.exits():
        try:
            kinds = [float(part) for part in seconds_of_heads.split(",")]
        except ValueError:
            raise errors.InputError(
                f"--seconds-of-heads {seconds_of_heads}: expected numbers and commas, as 32,104,97"
            ) from None
        result = main(pictures, network, seed, kinds, seconds_of_blend, cores, disk)
        if out is not None:
            run_folder.write_json(out, result)
        print(json.dumps(result) if as_json else table(result, price))


EXAMPLES = """Examples:

python -m blend.bench.scale                       2 cores a node

python -m blend.bench.scale --cores 16 --disk 2e9"""


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
