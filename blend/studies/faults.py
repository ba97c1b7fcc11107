"""How often `blend.unlabelled_test` warns of made predictions of test: of honest ones, and of such with a planted
fault.

    python -m blend.studies.faults --task va --draws 30 --videos 6 --videos 40

Validation and test of a draw come from one made population (`blend.studies.simulation`), decided by equal weights. The
faults are those of published submissions: two columns swapped, argmin in place of argmax (of units the other decision,
of values their negatives), frames 5 late, one video's predictions in place of another's; once in the decisions, once in
the scores of one head.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from blend.decision import combine
from blend.decision.params import Params
from blend.pool.pool import Pool
from blend.studies import results
from blend.studies.simulation import population, table
from blend.unlabelled_test import compare as unlabelled
from extract.runtime import cli, errors
from extract.runtime.progress import progress
from heads.abaw.tasks import TASKS

FAULTS = ("columns", "argmin", "frames", "video")
LATE = 5
KS = (0, 3, 8)
"""Frames of smoothing, in turn."""
FAULT_PLACES = ("decisions", "head")


def main(tasks: list[str], sizes: list[int], draws: int, seed: int) -> dict[str, Any]:
    """{task: {number of videos: what `count` finds}}."""
    return {task: {str(size): count(task, size, draws, seed) for size in sizes} for task in tasks}


def count(task: str, videos: int, draws: int, seed: int) -> dict[str, Any]:
    """Of so many draws of `videos` validation and as many test videos: in how many an honest test raised a warning
    (`false_faults`, `false_shares`), by fault and place in how many it was seen (`seen`), and in how many of all faulty
    heads another head was named, too (`blamed`).
    """
    counts: dict[str, Any] = {"draws": draws, "false_faults": 0, "false_shares": 0, "blamed": 0}
    counts["seen"] = {place: dict.fromkeys(FAULTS, 0) for place in FAULT_PLACES}
    with progress(f"{task}, {videos} videos", draws, "draws") as bar:
        for number in range(draws):
            rng = np.random.default_rng([seed, videos, number])
            pair = population.draw(task, videos, rng), population.draw(task, videos, rng)
            params = _params(pair[0], KS[number % len(KS)])
            honest = unlabelled.facts(*pair, params, number)
            counts["false_faults"] += bool(honest["faults"])
            counts["false_shares"] += any(item["outside"] for item in honest["shares"]["statistics"].values())
            for fault in FAULTS:
                counts["seen"]["decisions"][fault] += _decisions(*pair, params, fault, rng)
                named, blamed = _head(*pair, fault, rng)
                counts["seen"]["head"][fault] += named
                counts["blamed"] += blamed
            bar.advance()
    return counts


def _params(validation: Pool, k: int) -> Params:
    """Equal weights; a unit is decided as often as it is annotated."""
    task, heads = validation.task, validation.heads
    params = Params(task.name, task.outputs, heads, (1 / len(heads),) * len(heads), "box", k)
    if not task.is_multilabel:
        return params
    scores, rates = combine.scores(validation, params.weights, "box", k), validation.known_truth.values.mean(0)
    cuts = [np.quantile(column, 1 - max(rate, 0.001)) for column, rate in zip(scores.T, rates, strict=True)]
    return replace(params, thresholds=tuple(map(float, cuts)))


def _decisions(validation: Pool, test: Pool, params: Params, fault: str, rng: np.random.Generator) -> bool:
    usual, decided = (combine.combine(pool, params) for pool in (validation, test))
    if fault == "argmin" and test.task.is_multiclass:
        wrong = combine.scores(test, params.weights, params.kernel, params.k).argmin(1).astype(decided.dtype)
    else:
        wrong = plant(decided, test, fault, rng)
    return bool(unlabelled.of_decisions(validation, test, usual, wrong, list(test.heads), 0))


def _head(validation: Pool, test: Pool, fault: str, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether the head with the fault was named, and whether another one was."""
    wrong, scores = int(rng.integers(len(test.heads))), test.scores.copy()
    scores[wrong] = plant(scores[wrong], test, fault, rng)
    faults, _ = unlabelled.of_heads(validation, replace(test, scores=scores), 0)
    named = {item["of"] for item in faults}
    return f"the head {test.heads[wrong]}" in named, bool(named - {f"the head {test.heads[wrong]}"})


def plant(x: NDArray[Any], pool: Pool, fault: str, rng: np.random.Generator) -> NDArray[Any]:
    """Scores [T, C] or decisions of a pool with a fault; which columns or videos, `rng` says."""
    offsets, outputs = pool.offsets, len(pool.task.outputs)
    if fault == "columns":
        a, b = rng.choice(outputs, 2, replace=False)
        if x.ndim == 1:
            return np.select([x == a, x == b], [b, a], x).astype(x.dtype)
        out = x.copy()
        out[:, [a, b]] = x[:, [b, a]]
        return out
    if fault == "argmin":
        return 1 + pool.task.lowest - x
    if fault == "frames":
        return np.concatenate([x[np.maximum(np.arange(a, b) - LATE, a)] for a, b in pairwise(offsets)])
    lengths, out = np.diff(offsets), x.copy()
    to = int(rng.choice(np.flatnonzero(lengths >= np.median(lengths))))
    source = int(rng.choice([v for v in range(len(lengths)) if v != to]))
    rows = np.minimum(np.arange(lengths[to]), lengths[source] - 1) + offsets[source]
    out[offsets[to] : offsets[to + 1]] = x[rows]
    return out


EXAMPLES = """Examples:

python -m blend.studies.faults --task au --draws 30 --videos 6 --videos 40"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}, or all.")] = "all",
    draws: Annotated[int, typer.Option(help="Draws for each task and number of videos.", min=1)] = 30,
    videos: Annotated[list[int] | None, typer.Option(help="Videos on each side; default 6, 20 and 60.", min=2)] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same table.", min=0)] = 0,
    as_json: cli.AsJson = False,
) -> None:
    """Count warnings of what the unlabelled test says, honest and with planted faults, on made videos."""
    with errors.exits():
        result = main(results.select("task", task, TASKS), videos or [6, 20, 60], draws, seed)
        if as_json:
            print(json.dumps(result, indent=2))
            return
        planted = [f"{place}: {fault}" for place in FAULT_PLACES for fault in FAULTS]
        cells = []
        for name, by_size in result.items():
            for size, item in by_size.items():
                seen = [f"{item['seen'][place][fault]} of {draws}" for place in FAULT_PLACES for fault in FAULTS]
                honest = f"{item['false_faults']}, {item['false_shares']} of {draws}"
                cells.append([name, size, honest, *seen, f"{item['blamed']} of {draws * len(FAULTS)}"])
        table.show(["task", "videos", "honest: faults, shares", *planted, "blamed"], cells)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
