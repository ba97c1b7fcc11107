"""`python -m extract.bench.audio`: what the sound of the longest video takes, and whether every frame hears its moment.

A video is made whose sound is a short click at the time of every so-many-th picture. Its features are made in a process
of its own, whose resident memory is looked at before and after. A click's loudness over the frames around, in their own
times, has its middle at the click: how far it is off is measured in frames, over the whole length.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from extract.audio import step as audio_step
from extract.audio.logmel import BANDS
from extract.media import synthetic, timestamps
from extract.runtime import cli, errors, memory

LONGEST = 47_435
"""Frames of Aff-Wild2's longest video."""
CLICK_PERIOD = 61
"""Clicks are this many pictures apart."""
SIDE = 0.3
"""Seconds around a click in which its loudness is looked at."""
RATES = {"23.976": Fraction(24000, 1001), "29.97": Fraction(30000, 1001), "59.94": Fraction(60000, 1001)}


@dataclass(frozen=True)
class VideoCost:
    """What one video took."""

    frames: int
    minutes: float
    seconds: float
    peak: float
    """Megabytes resident, at most."""
    before: float
    """The same before the first frame: the program alone."""
    features: float
    """Megabytes of the features, which are part of the peak."""
    off: float
    """The largest distance between a click and where its frames hear it, in frames."""


def main(frames: int, fps: Fraction, variable: bool, seed: int) -> VideoCost:
    """Make a video of so many frames and measure. `variable`: a quarter of the pictures is left out, at random."""
    times = picture_times(frames, fps, variable, seed)
    clicks = times[CLICK_PERIOD // 2 :: CLICK_PERIOD]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "video.mp4"
        exact = [Fraction(round(t * synthetic.TICK.denominator), synthetic.TICK.denominator) for t in times]
        sound = synthetic.make_clicks(list(clicks), float(times[-1]) + 1)
        synthetic.write_video(path, exact, sound)
        del sound
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            result = pool.apply(_measured, (path, clicks, float(fps)))
            pool.close()
            pool.join()
    return VideoCost(frames, float(times[-1]) / 60, *result)


def picture_times(frames: int, fps: Fraction, variable: bool, seed: int) -> NDArray[np.float64]:
    """Seconds of each picture."""
    steps = np.ones(frames, np.int64)
    if variable:
        steps = np.random.default_rng(seed).choice([1, 1, 2], size=frames)
    return np.asarray((np.cumsum(steps) - steps[0]) / float(fps), np.float64)


def _measured(path: Path, clicks: NDArray[np.float64], fps: float) -> tuple[float, float, float, float, float]:
    """Seconds, megabytes at most, before and of the features, and the largest distance in frames."""
    before, began = memory.measure_peak() / 1e6, time.perf_counter()
    features, soundless, _ = audio_step.compute_features(audio_step.LogMel(), audio_step.Job("video", path), fps)
    seconds, peak = time.perf_counter() - began, memory.measure_peak() / 1e6
    assert features.embedding is not None and not soundless
    off = distances(timestamps.picture_times(path), features.embedding, clicks)
    return seconds, peak, before, features.embedding.nbytes / 1e6, float(np.abs(off).max() * fps)


def distances(
    times: NDArray[np.float64], embedding: NDArray[np.float16], clicks: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Seconds from each click to the middle of its loudness over the frames, which count by the time they stand for."""
    results = []
    for click in clicks:
        low, high = np.searchsorted(times, [click - SIDE, click + SIDE])
        at = times[low:high]
        loud = np.expm1(embedding[low:high, :BANDS].astype(np.float64)).sum(1) * np.gradient(at)
        results.append(float((loud * at).sum() / loud.sum() - click))
    return np.array(results)


EXAMPLES = """Examples:
python -m extract.bench.audio                                 the length of Aff-Wild2's longest video
python -m extract.bench.audio --frames 3000 --fps 23.976 --variable"""


def command(
    frames: Annotated[int, typer.Option(help="Pictures of the video.", min=2 * CLICK_PERIOD)] = LONGEST,
    fps: Annotated[str, typer.Option(help="Frames per second: a number, 23.976, 29.97 or 59.94.")] = "30",
    variable: Annotated[bool, typer.Option("--variable", help="Leave pictures out at random.")] = False,
    seed: Annotated[int, typer.Option(help="Of the pictures that are left out.", min=0)] = 0,
    as_json: cli.AsJson = False,
) -> None:
    """Measure the features of the sound of one long video. Takes about a minute."""
    with errors.exits():
        taken = main(frames, RATES.get(fps) or Fraction(fps), variable, seed)
        if as_json:
            print(json.dumps(asdict(taken), indent=2))
            return
        print(f"{taken.frames:,} frames, {taken.minutes:.1f} minutes of sound: {taken.seconds:.1f} s")
        print(
            f"resident at most {taken.peak:.0f} MB, {taken.before:.0f} MB of it before the first frame and "
            f"{taken.features:.0f} MB the features"
        )
        print(f"clicks are heard at most {taken.off:.2f} frames off")


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
