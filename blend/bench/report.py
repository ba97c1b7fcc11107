"""`python -m blend.bench.report`: what report.html costs at Aff-Wild2's size.

Pools as in `blend.bench`, annotations of as many training frames, a picture for every frame with a face. Timed are the
report's numbers, its timeline, faces and charts, not the search before. Where Chromium and Playwright are there, it is
also timed until the page is open with its timeline drawn.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from blend.bench.__main__ import Frames, Scale, Seed, check_scale, real_frames
from extract.config import Corpus
from extract.runtime import cli, errors, memory, run_folder
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS

TRAIN = {"au": (295, 1_356_694), "expr": (248, 585_317), "va": (356, 1_653_757)}
"""Videos and annotated frames of Aff-Wild2's training parts, as published."""
TRIALS = 300
LEAST_FRAMES = 60
PARTS = ("numbers", "faces", "timeline", "page")
"""What is timed."""


def main(task: str, table: Path | None, scale: float, seed: int, out: Path | None = None) -> dict[str, Any]:
    """Make a report of invented predictions; returns the figures. `out`: also keep the page."""
    from blend.bench import pools as bench_pools
    from blend.config import BlendSettings
    from blend.crossfit.outcome import ResultBuilder
    from blend.search import search

    pool, _ = bench_pools.make(task, table, scale, seed)
    settings = BlendSettings(trials=max(1, round(TRIALS * scale)), fold_trials=1)
    result = search.search(pool, settings, settings.trials, seed)
    outcome = ResultBuilder(pool, settings, seed, result).finish()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train = _annotations(folder / "train", task, scale, seed)
        _pictures(folder / "frames", pool)
        before = memory.measure_peak() / 1e9
        seconds, page = _report(pool, outcome, settings, seed, train, folder / "frames")
        path = out or folder / "report.html"
        run_folder.write_text(path, page)
        opens = _opens(path)
    return {
        "task": task, "frames": len(pool.known_truth.rows), "videos": len(pool.videos), **seconds,
        "seconds": sum(seconds.values()), "gigabytes_before": before, "gigabytes": memory.measure_peak() / 1e9,
        "megabytes": len(page.encode()) / 1e6, "opens": opens,
    }  # fmt: skip


def _report(
    pool: Any, outcome: Any, settings: Any, seed: int, train: Path, frames: Path
) -> tuple[dict[str, float], str]:
    """Seconds of each part, and the page."""
    from blend.report import report
    from blend.report.html import page, thumbnails
    from blend.report.html import timeline as page_timeline
    from extract.runtime.progress import Stopwatch
    from heads.abaw import test_list

    lengths = dict(zip(pool.videos, np.diff(pool.offsets).tolist(), strict=True))
    listed = test_list.from_lengths(lengths, pool.task, Path("list.txt"))
    sent = report.describe_submission(listed, pool, "test")
    watch = Stopwatch({})
    made = report.build(pool, outcome, settings, seed, sent, corpus="affwild2", train=train)
    watch.lap("numbers")
    faces = thumbnails.make(pool, Corpus(name="bench", frames=[frames]))
    watch.lap("faces")
    timeline = page_timeline.make(pool, outcome)
    watch.lap("timeline")
    html = page.render(made, timeline, faces)
    return watch.lap("page"), html


def _annotations(folder: Path, task: str, scale: float, seed: int) -> Path:
    """Training annotations in the official format."""
    videos, frames = TRAIN[task]
    rng, few = np.random.default_rng(seed), max(2, round(videos * scale))
    each = max(LEAST_FRAMES, round(frames * scale / few))
    folder.mkdir(parents=True)
    for v in range(few):
        if TASKS[task].is_regression:
            lines = "\n".join(f"{a:.3f},{b:.3f}" for a, b in rng.uniform(-1, 1, (each, 2)).tolist())
        else:
            columns = TASKS[task].columns
            body = np.full((each, 2 * columns), ord(","), np.uint8)
            body[:, ::2] = rng.integers(0, 2 if TASKS[task].is_multilabel else 8, (each, columns)) + ord("0")
            body[:, -1] = ord("\n")
            lines = body.tobytes().decode().rstrip("\n")
        (folder / f"train{v:03d}.txt").write_text(f"{TASKS[task].header}\n{lines}\n")
    return folder


def _pictures(folder: Path, pool: Any) -> None:
    """A picture for every frame with a face: one per video, under many names."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for v, video in enumerate(pool.videos):
        here = folder / video
        here.mkdir(parents=True)
        coarse = rng.integers(0, 256, (14, 14, 3), np.uint8)
        picture = folder / f"{v}.jpg"
        Image.fromarray(coarse).resize((112, 112), Image.Resampling.BICUBIC).save(picture, quality=90)
        for frame in np.flatnonzero(pool.present[pool.offsets[v] : pool.offsets[v + 1]]).tolist():
            os.link(picture, here / f"{frame + 1:05d}.jpg")


def _opens(path: Path) -> float | None:
    """Seconds until Chromium has the page open and the timeline drawn, the middle of three; None without Chromium."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None or find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    took = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for _ in range(3):
            page = browser.new_page()
            began = time.perf_counter()
            page.goto(path.resolve().as_uri())
            while not page.evaluate("document.getElementById('timeline-read').textContent.includes('frames')"):
                time.sleep(0.01)
            took.append(time.perf_counter() - began)
            page.close()
        browser.close()
    return float(np.median(took))


EXAMPLES = """Examples:

python -m blend.bench.report --task va                                    at full size

python -m blend.bench.report --task au --scale 0.02 --page report.html    a quick look, and the page to look at"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}.")] = "au",
    frames: Frames = None,
    scale: Scale = 1.0,
    seed: Seed = 0,
    page: Annotated[Path | None, typer.Option(help="Keep the page here.")] = None,
    as_json: cli.AsJson = False,
) -> None:
    """Measure report.html at Aff-Wild2's size: seconds, memory, bytes, and how long Chromium takes to open it."""
    with errors.exits():
        if task not in TASKS:
            raise InputError(f"--task {task}: no such task; there are {', '.join(TASKS)}")
        check_scale(scale)
        result = main(task, real_frames(frames), scale, seed, page)
        if as_json:
            print(json.dumps(result, indent=2, allow_nan=False))
            return
        opens = "not measured (no Chromium or no Playwright)" if result["opens"] is None else f"{result['opens']:.2f} s"
        made = f"made in {result['seconds']:.1f} s, {result['gigabytes']:.2f} GB; {result['megabytes']:.2f} MB"
        parts = ", ".join(f"{part} {result[part]:.1f} s" for part in PARTS)
        print(f"{task}: {result['frames']:,} frames of {result['videos']} videos; {parts}")
        print(f"{made}; opens in {opens}")


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
