"""How much memory and time `blend.predict` takes on a long video: made here, a drawn face that moves on a grey picture.

python -m blend.bench.predict --blend runs/demo/blend/au --blend runs/demo/blend/expr --minutes 20
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from blend.predict import trained_blends
from blend.predict.trained_blends import MODEL
from extract.runtime import cli, errors, run_folder
from extract.runtime.errors import WorkError
from extract.runtime.memory import Peak
from extract.runtime.process import python_path

RATE, WIDTH, HEIGHT = 25, 320, 240
PICTURES = 200
"""Different ones; they come again and again."""
SIDE = 112
VIDEO = "demo-01"


def main(blends: list[Path], minutes: float, detector: Path | None) -> dict[str, Any]:
    """Make the video, predict it in a process of its own, look at its memory. Returns figures: frames, seconds, the
    peak in 10^9 bytes, the sizes of what came out in bytes, and the part of the time that hashing the models takes.
    Raises WorkError where predicting fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = round(60 * minutes * RATE)
        make(folder / "long.mp4", frames)
        command = [sys.executable, "-m", "blend.predict", str(folder / "long.mp4"), "--out", str(folder), "--json"]
        command += [part for blend in blends for part in ("--blend", str(blend))]
        command += ["--detector", str(detector)] if detector is not None else []
        began = time.monotonic()
        with Peak() as peak:
            done = subprocess.run(command, env=os.environ | python_path(), stdout=subprocess.PIPE, text=True)
        seconds = time.monotonic() - began
        if done.returncode:
            raise WorkError(f"blend.predict ended with exit code {done.returncode}")
        [said] = json.loads(done.stdout)["videos"]
        sizes = {kind: Path(path).stat().st_size for kind, path in said["files"].items()}
        faces = said["faces"][0]["frames"]
    said = {"frames": frames, "faces": faces, "seconds": seconds, "gigabytes": peak.gigabytes, "bytes": sizes}
    return said | {"checking": _checking(blends) / seconds}


def _checking(blends: list[Path]) -> float:
    """Seconds of hashing the models of the blends' heads, before they are read and after."""
    models = [folder / MODEL for item in trained_blends.find(blends) for folder in item.heads.values()]
    began = time.perf_counter()
    for model in (*models, *models):
        run_folder.damage(model, beside=False)
    return time.perf_counter() - began


def make(path: Path, frames: int) -> None:
    """Write the video of so many frames."""
    from blend.predict import video_writer
    from blend.predict.source import Timing
    from extract.demo import corpus, plan

    pictures = [picture[:, :, ::-1] for _, picture in islice(corpus.pictures(plan.SEED, VIDEO), PICTURES)]
    timing = Timing(Fraction(RATE), np.arange(frames) / RATE)
    video_writer.write(path, _frames(pictures, frames), (WIDTH, HEIGHT), timing)


def _frames(pictures: list[NDArray[np.uint8]], count: int) -> Iterator[NDArray[np.uint8]]:
    """RGB: the face goes round slowly; of every minute it is away for two seconds."""
    for number in range(count):
        pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        if number % (60 * RATE) >= 2 * RATE:
            turn = 2 * np.pi * number / (20 * RATE)
            x, y = round(104 + 80 * np.sin(turn)), round(64 + 40 * np.cos(turn))
            pixels[y : y + SIDE, x : x + SIDE] = pictures[number % len(pictures)]
        yield pixels


EXAMPLES = """Examples:

python -m blend.bench.predict --blend runs/demo/blend/au --blend runs/demo/blend/expr --blend runs/demo/blend/va"""


def command(
    blend: Annotated[list[Path], typer.Option(help="The folder of a blend; can be repeated.", show_default=False)],
    minutes: Annotated[float, typer.Option(help="Length of the video.", min=0.01)] = 20.0,
    detector: Annotated[Path | None, typer.Option(help="The face detector's file, as of blend.predict.")] = None,
    as_json: cli.AsJson = False,
) -> None:
    """Measure blend.predict on a long video."""
    with errors.exits():
        result = main(blend, minutes, detector)
        if as_json:
            print(json.dumps(result))
            return
        sizes = ", ".join(f"{kind} {size / 1e6:.1f} MB" for kind, size in result["bytes"].items())
        print(
            f"{result['frames']:,} frames ({result['faces']:,} with a face) of {WIDTH}x{HEIGHT}: "
            f"{result['gigabytes']:.2f} GB at most in all processes, {result['seconds']:.0f} s; {sizes}; "
            f"hashing the models {result['checking']:.2%} of the time"
        )


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
