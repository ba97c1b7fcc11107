"""`python -m extract.bench.cluster`: frames/s of two one-thread workers of a Dask scheduler beside two local processes.

Both ways run the real `extract.run` on the same crops in an empty work folder, taking turns: two processes that share
the folder, and one that hands jobs to two workers on this machine. The scheduler and the workers run already, as on a
cluster; everything else, from the start of Python to the last file, counts.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import tomli_w
import typer

from extract.bench import fixtures, long_run
from extract.networks import weights
from extract.runtime import cli, errors
from extract.runtime.errors import WorkError
from extract.runtime.process import ROOT, python_path

VIDEO = 500
"""Frames of each video."""
WORKERS = 2
SECONDS_TO_START = 60.0
LOCAL, SPREAD = f"{WORKERS} local processes", f"{WORKERS} workers, 1 thread each"


def main(pictures: int, repeats: int, network: str, seed: int) -> dict[str, float]:
    """Median frames/s of both ways over `repeats` rounds, and their ratio under "ratio". Raises WorkError if one
    fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lengths = [min(VIDEO, pictures - begin) for begin in range(0, pictures, VIDEO)]
        seconds: dict[str, list[float]] = {LOCAL: [], SPREAD: []}
        environment = prepare_corpus(folder, lengths, network, seed)
        with start_scheduler(folder, environment, WORKERS) as where:
            for _ in range(repeats):
                seconds[LOCAL].append(time_commands(folder, environment, WORKERS, []))
                seconds[SPREAD].append(time_commands(folder, environment, 1, ["--cluster", where]))
    rates = {way: pictures / statistics.median(values) for way, values in seconds.items()}
    return rates | {"ratio": rates[SPREAD] / rates[LOCAL]}


def prepare_corpus(folder: Path, lengths: Sequence[int], network: str, seed: int) -> dict[str, str]:
    """Make crops in videos of these lengths, a config, and the network, which is converted once.

    Returns:
        The environment of the commands that `time_commands` starts in `folder`.
    """
    long_run._make_corpus(folder, [*lengths], seed)
    settings = long_run._settings(folder, network, seed)
    (folder / "config.toml").write_text(tomli_w.dumps(settings), encoding="utf-8")
    environment = os.environ | python_path()
    if "networks" in settings:
        environment[weights.CACHE_VARIABLE] = str(folder / "cache")
    single = folder / "single" / "video0000"  # one picture is enough for the conversion
    single.mkdir(parents=True)
    (single / "00001.jpg").hardlink_to(folder / "crops" / "video0000" / "00001.jpg")
    time_commands(folder, environment, 1, ["--set", f"corpus.frames={single.parent}"])
    return environment


def time_commands(folder: Path, environment: dict[str, str], processes: int, arguments: list[str]) -> float:
    """Seconds that so many `extract.run` take together, on an empty work folder. Raises WorkError if one fails."""
    shutil.rmtree(folder / "work", ignore_errors=True)
    command = [sys.executable, "-m", "extract.run", "--config", str(folder / "config.toml")]
    command += ["--work", str(folder / "work"), *arguments]
    began = time.perf_counter()
    options: dict[str, Any] = {"env": environment, "cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    values = [subprocess.Popen(command, **options) for _ in range(processes)]
    for process in values:
        _, said = process.communicate()
        if process.returncode:
            raise WorkError(f"extract.run ended with exit code {process.returncode}: {said.decode(errors='replace')}")
    return time.perf_counter() - began


@contextmanager
def start_scheduler(folder: Path, environment: dict[str, str], workers: int) -> Iterator[str]:
    """A scheduler and so many workers of one thread; where they are, for `--cluster`."""
    from distributed import Client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = [sys.executable, "-m"]
    worker = [*python, "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-dashboard"]
    worker += ["--local-directory", str(folder / "dask")]
    scheduler = [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    commands = [[*scheduler, "--no-dashboard"], *[worker] * workers]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    values = [subprocess.Popen(command, env=environment, cwd=ROOT, **quiet) for command in commands]
    try:
        with Client(f"tcp://127.0.0.1:{port}", timeout=SECONDS_TO_START, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=SECONDS_TO_START)
        yield f"dask://127.0.0.1:{port}"
    finally:
        for process in reversed(values):
            process.terminate()
        for process in values:
            process.wait()


def command(
    pictures: Annotated[int, typer.Option(help="Generated crops of 112x112.", min=1)] = 20_000,
    repeats: Annotated[int, typer.Option(help="Rounds; medians are printed.", min=1)] = 3,
    network: Annotated[
        str, typer.Option(help=f"{fixtures.ARCH} (random weights), or a known network.")
    ] = fixtures.ARCH,
    seed: int = 0,
    as_json: cli.AsJson = False,
) -> None:
    """Measure extraction by a cluster's workers on this machine. Takes some minutes a round."""
    with errors.exits():
        result = main(pictures, repeats, network, seed)
        if as_json:
            print(json.dumps(result))
            return
        print(f"| way | frames/s |\n|---|---|\n| {LOCAL} | {result[LOCAL]:.0f} |\n| {SPREAD} | {result[SPREAD]:.0f} |")
        print(f"\nratio {result['ratio']:.2f}")


EXAMPLES = """Examples:
python -m extract.bench.cluster --pictures 20000 --repeats 3"""


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
