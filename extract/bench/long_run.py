"""`python -m extract.bench --long N`: does extraction of N crops stay within its memory and keep its speed?

The real `extract.run` works in a process of its own on N generated crops in videos of realistic lengths; this one looks
at the resident memory of that process and of all that it starts. What the network alone takes is measured before, in
another process: loaded, and run on one picture.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extract.bench import fixtures
from extract.networks import registry, weights
from extract.runtime import errors, memory
from extract.runtime.errors import InputError, WorkError
from extract.runtime.process import python_path
from extract.runtime.run_folder import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

DIFFERENT = 400
"""Pictures that differ; the others are links to them."""
MEDIAN_LENGTH, SPREAD = 3300, 0.96
"""Frames of a video: log-normal, as fits Aff-Wild2 (594 videos of 31 to 46,949 frames)."""
TENTHS = 10
SECONDS_BETWEEN_LOOKS = 0.1
LIMIT = 2e9
"""Bytes that extraction may take beside the network."""


@dataclass(frozen=True)
class LongRun:
    """What a long run took. Memory in bytes, resident; rates in frames per second, wall clock and processor time."""

    frames: int
    videos: int
    peak: int
    network: int
    rates: tuple[float, ...]
    per_cpu_second: tuple[float, ...]

    @property
    def peak_without_network(self) -> int:
        """Peak without the network's part."""
        return self.peak - self.network


def main(count: int, network: str, seed: int) -> LongRun:
    """Extract `count` (at least TENTHS) generated crops by a known network, or "tf_efficientnet_b0" with random
    weights, and measure. Raises WorkError where the run fails.
    """
    if count < TENTHS:
        raise InputError(f"--long {count}: expected at least {TENTHS}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lengths = video_lengths(count, seed)
        _make_corpus(folder, lengths, seed)
        settings = _settings(folder, network, seed)
        _, alone = _watched(folder, settings | {"only": "network"})
        peak, said = _watched(folder, settings)
    timeline = np.array(said["timeline"]).reshape(-1, 3)
    marks = np.searchsorted(timeline[:, 0], np.arange(TENTHS + 1) * count / TENTHS)
    frames, wall, cpu = np.diff(timeline[marks], axis=0).T
    return LongRun(count, len(lengths), peak, alone["network"], tuple(frames / wall), tuple(frames / cpu))


def video_lengths(count: int, seed: int) -> list[int]:
    """Lengths of videos, in frames, that sum up to `count`."""
    rng, lengths = np.random.default_rng(seed), list[int]()
    while (left := count - sum(lengths)) > 0:
        lengths.append(min(left, max(1, round(rng.lognormal(np.log(MEDIAN_LENGTH), SPREAD)))))
    return lengths


def _make_corpus(folder: Path, lengths: list[int], seed: int) -> None:
    job = fixtures.make_crops(folder / "different", min(DIFFERENT, sum(lengths)), seed)
    pictures = [job.folder / name for name in job.frames.names]
    at = 0
    for video, length in enumerate(lengths):
        (folder / "crops" / f"video{video:04d}").mkdir(parents=True)
        for number in range(1, length + 1):
            (folder / "crops" / f"video{video:04d}" / f"{number:05d}.jpg").hardlink_to(pictures[at % len(pictures)])
            at += 1


def _settings(folder: Path, network: str, seed: int) -> dict[str, Any]:
    """The config of the run, with a network of random weights where that is asked for."""
    config: dict[str, Any] = {
        "corpus": {"name": "long", "frames": str(folder / "crops")},
        "features": {"networks": [network]},
    }
    if network == fixtures.ARCH:
        fixtures.random_network(folder, seed)
        config["features"]["networks"] = ["random_b0"]
        config["networks"] = {
            "random_b0": {
                "path": str(folder / fixtures.CHECKPOINT),
                "arch": fixtures.ARCH,
                "classes": list(fixtures.NETWORK.classes or ()),
                "size": fixtures.NETWORK.size,
                "mean": list(fixtures.NETWORK.mean),
                "std": list(fixtures.NETWORK.std),
            }
        }
    elif network not in registry.NETWORKS:
        raise InputError(f"--network {network}: expected {fixtures.ARCH} or one of {', '.join(registry.NETWORKS)}")
    else:
        weights.find(registry.NETWORKS[network])
    return config


def _watched(folder: Path, settings: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Run this module on `settings` in a process; its peak resident bytes, children included, and what it found."""
    write_json(folder / "long.json", settings)
    cache = folder if "networks" in settings else weights.cache()
    environment = os.environ | python_path() | {weights.CACHE_VARIABLE: str(cache)}
    with subprocess.Popen([sys.executable, "-m", "extract.bench.long_run", str(folder)], env=environment) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, memory.tree(process.pid))
            time.sleep(SECONDS_BETWEEN_LOOKS)
    if process.returncode:
        raise WorkError(f"the run ended with exit code {process.returncode}")
    said = dict(json.loads((folder / "found.json").read_text(encoding="utf-8")))
    return max(peak, said.get("peak", 0)), said


def _run(folder: Path) -> None:
    """In the watched process: the network alone, or the whole run with a note of the time every now and then."""
    from extract import config, run
    from extract.engines import openvino_engine
    from extract.features import base as feature_step

    settings = json.loads((folder / "long.json").read_text(encoding="utf-8"))
    only = settings.pop("only", None)
    checked = config.check(config.Config, settings, "long run")
    results: dict[str, Any] = {}
    if only:
        network = registry.find(checked.features.networks[0], checked)
        path = weights.find(network)
        before = memory.tree(os.getpid())
        runner = openvino_engine.OpenVinoEngine(path, network)  # this runs one picture
        results["network"] = memory.tree(os.getpid()) - before
        del runner
    else:
        with _noting(feature_step) as timeline:
            run.main(checked, folder / "work")
        results |= {"timeline": list(timeline), "peak": memory.measure_peak()}
    write_json(folder / "found.json", results)


@contextmanager
def _noting(step: Any) -> Iterator[array[float]]:
    """Note frames done, seconds and seconds of processor time, one after the other, of what `step` shows."""
    shown, timeline = step.progress, array("d")

    @contextmanager
    def noted(*args: Any, **options: Any) -> Iterator[Any]:
        with shown(*args, **options) as bar:
            advance = bar.advance

            def note(count: int = 1, text: str = "") -> None:
                advance(count, text)
                timeline.extend((bar.count, time.perf_counter(), time.process_time()))

            timeline.extend((0, time.perf_counter(), time.process_time()))
            bar.advance = note
            yield bar

    step.progress = noted
    try:
        yield timeline
    finally:
        step.progress = shown


def table(result: LongRun) -> str:
    """The result as Markdown."""
    rows = [
        f"| {k}. tenth | {rate:.1f} | {cpu:.1f} |"
        for k, (rate, cpu) in enumerate(zip(result.rates, result.per_cpu_second, strict=True), 1)
    ]
    fits = "under" if result.peak_without_network < LIMIT else "NOT under"
    return "\n".join(
        [
            f"{result.frames:,} crops in {result.videos} videos",
            "",
            "| part | frames/s | frames per processor second |\n|---|---|---|",
            *rows,
            "",
            f"last tenth to first: {result.rates[-1] / result.rates[0]:.2f}; per processor second "
            f"{result.per_cpu_second[-1] / result.per_cpu_second[0]:.2f}",
            f"resident at most: {result.peak / 1e6:,.0f} MB in all processes, of which the network "
            f"{result.network / 1e6:,.0f} MB; the rest is {result.peak_without_network / 1e6:,.0f} MB, {fits} "
            f"{LIMIT / 1e6:,.0f} MB",
        ]
    )


if __name__ == "__main__":
    with errors.exits():
        _run(Path(sys.argv[1]))
