"""Heads that know nothing: does the cross-fitted estimate promise more of them than new videos give?

    python -m blend.studies.nothing --task expr

Truth and scores drift independently of each other, so whatever a blend seems to be worth on validation is luck; an
estimate that shares labels between the folds shows it. Test is many fresh sets of as many videos, of which the mean
score is taken, so that the sets' size, which F1 depends on, is the same on both sides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from blend.config import BlendSettings
from blend.crossfit.selection import Selection
from blend.decision import combine
from blend.pool import gap_filling
from blend.pool.pool import Pool, Truth
from blend.studies import results
from blend.studies.simulation import table
from extract.runtime import cli, errors
from extract.runtime.progress import progress
from heads.abaw.tasks import TASKS

HEADS, FRAMES, MEMORY = 5, 60, 12
"""Heads, frames of every video, and frames after which drift has lost 63 % of its correlation."""
VIDEOS = (10, 30)
FRESH = 300
"""Test videos of a draw, in sets of as many as validation has."""
RATE = 0.25
"""How often each action unit is on."""
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "auto": {"per_output_k": "auto", "per_output_weights": "auto", "kernels": ["box", "median"]},
}
"""What [blend.<task>] has: the defaults, and every switch that has one on "auto"."""
BOUND = 0.01
OUT = Path("runs/studies/nothing.jsonl")
HEADER = ("task, videos", "settings", "draws", "cross-fitted", "test", "estimate's error", "median k")


def main(tasks: Sequence[str], draws: int, seed: int, workers: int, out: Path) -> list[dict[str, Any]]:
    """A row for each task, number of videos and settings (see `row`); `out` keeps every draw."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {key: [] for key in product(tasks, VIDEOS, SETTINGS)}
    jobs = [
        {"study": "nothing", "task": task, "videos": videos, "settings": settings, "number": number, "seed": seed}
        for number in range(draws)
        for task, videos, settings in groups
    ]
    code = results.code_of("blend.studies.nothing")
    with progress("nothing", len(jobs), "draws") as bar:
        for job, result in results.complete(out, jobs, measure_draw, code, workers):
            groups[job["task"], job["videos"], job["settings"]].append(result)
            bar.advance()
    return [row(*key, group) for key, group in groups.items()]


def measure_draw(job: results.Job) -> dict[str, Any]:
    """One draw: the default's cross-fitted estimate, and what its blend scores on fresh sets on the average."""
    task, videos = job["task"], job["videos"]
    start = [job["seed"], job["number"], sorted(TASKS).index(task), videos]
    settings = BlendSettings(draws=100, k_max=20, **SETTINGS[job["settings"]])
    way = Selection(draw(task, videos, np.random.default_rng(start)), settings, job["number"]).select()
    assert way.cross_fit is not None
    rng = np.random.default_rng([*start, 1])
    fresh = [draw(task, videos, rng) for _ in range(FRESH // videos)]
    scores = [float(np.nan_to_num(item.score(combine.combine(item, way.params)))) for item in fresh]
    return {"held": way.cross_fit.pooled_score, "test": float(np.mean(scores)), "k": float(np.mean(way.params.k))}


def draw(task: str, videos: int, rng: np.random.Generator) -> Pool:
    """Videos whose heads, HEADS of them, know nothing of the truth."""
    facts = TASKS[task]
    frames, outputs = videos * FRAMES, len(facts.outputs)
    signal = _drift(rng.standard_normal((videos, FRAMES, outputs)))
    result = _drift(rng.standard_normal((HEADS * videos, FRAMES, outputs))).reshape(HEADS, frames, outputs)
    signal = signal.reshape(frames, outputs)
    if facts.is_multilabel:
        truth: NDArray[np.generic] = (signal > NormalDist().inv_cdf(1 - RATE)).astype(np.uint8)
        scores = 1 / (1 + np.exp(-result))
    elif facts.is_multiclass:
        truth = signal.argmax(1).astype(np.int8)
        scores = np.exp(result) / np.exp(result).sum(-1, keepdims=True)
    else:
        truth, scores = np.tanh(0.4 * signal).astype(np.float32), np.tanh(0.4 * result)
    heads, names = tuple(f"head{h}" for h in range(HEADS)), tuple(f"video{v:02d}" for v in range(videos))
    offsets, known = gap_filling.find_offsets([FRAMES] * videos), Truth(np.arange(frames), truth)
    return Pool(facts, heads, names, offsets, scores.astype(np.float32), np.ones(frames, bool), known)


def _drift(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stationary first-order autoregression along axis 1, variance 1."""
    keep = np.exp(-1 / MEMORY)
    for t in range(1, noise.shape[1]):
        noise[:, t] = keep * noise[:, t - 1] + np.sqrt(1 - keep * keep) * noise[:, t]
    return noise


def row(task: str, videos: int, settings: str, result: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The estimate's mean error over draws, its standard error, and whether it is within two of them of 0 and smaller
    than BOUND. A draw whose estimate is not defined counts as an estimate of 0, as an undefined test score does.
    """
    held = np.array([entry["held"] or 0.0 for entry in result])
    test = np.array([element["test"] for element in result])
    mean, se = float((held - test).mean()), table.standard_error(held - test)
    holds = abs(mean) < BOUND and (se is None or abs(mean) <= 2 * se)
    facts = {"task": task, "videos": videos, "settings": settings, "draws": len(result)}
    facts |= {"held": float(held.mean()), "test": float(test.mean()), "error": mean, "se": se, "holds": holds}
    return facts | {"k": float(np.median([item["k"] for item in result]))}


def _print(rows: Sequence[dict[str, Any]], as_markdown: bool) -> None:
    cells = [
        [f"{entry['task']}, {entry['videos']}", entry["settings"], str(entry["draws"]), f"{entry['held']:.3f}",
         f"{entry['test']:.3f}", table.format_signed_number({"signed": entry["error"], "se": entry["se"]})
         + ("" if entry["holds"] else "*"),
         f"{entry['k']:g}"]
        for entry in rows
    ]  # fmt: skip
    if as_markdown:
        print(table.markdown(HEADER, cells))
    else:
        table.show(HEADER, cells)
    if not all(item["holds"] for item in rows):
        print(f"*: beyond two standard errors of 0, or not below {BOUND} in size")


EXAMPLES = """Examples:

python -m blend.studies.nothing --task va

python -m blend.studies.nothing --draws 400 --workers 8 --markdown"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}, or all.")] = "all",
    draws: Annotated[int, typer.Option(help="Draws for each task, number of videos and settings.", min=1)] = 40,
    seed: Annotated[int, typer.Option(help="The same seed gives the same table.", min=0)] = 1,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    out: Annotated[Path, typer.Option(help="Every draw is added to this file; what is in it is not made again.")] = OUT,
    as_markdown: cli.AsMarkdown = False,
    as_json: cli.AsJson = False,
) -> None:
    """Compare the estimate with the truth where heads know nothing."""
    with errors.exits():
        rows = main(results.select("task", task, TASKS), draws, seed, workers, out)
        if as_json:
            print(json.dumps(results.as_json_value(rows), indent=2, allow_nan=False))
        else:
            _print(rows, as_markdown)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
