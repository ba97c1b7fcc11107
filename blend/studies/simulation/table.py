"""The simulation's table: errors of the estimates, coverage of the intervals, test scores, and claims about them.

Draws come in pairs that share their sets: all standard errors are those of pair means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from blend.crossfit import interval
from blend.studies.simulation.measure import CROSS_FITTED_WAY, EQUAL_WAY, PLAIN_WAY, SMOOTHED_WAY, TUNED_WAY, WAYS
from extract.runtime.console import console
from heads.abaw.tasks import TASKS

VIDEOS = {"fewest": "6 to 15", "few": "20 to 70", "official": "as the official set"}
COVERAGE_RANGE = (0.92, 0.98)
"""How often a 95 % interval should hold the test score, without shift."""
COMPARED_WAYS = (TUNED_WAY, PLAIN_WAY, SMOOTHED_WAY, EQUAL_WAY)
"""Ways that the default should not lie below."""


def summarise(task: str, kind: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One line of the table, of draws as `blend.studies.simulation.measure` returns them, pairs side by side.

    {"draws", "videos": [least, most], "test": {way: {"mean", "under", "se"}}, "said": {way: {"own", "held": {"signed",
    "absolute", "se", "draws"}, "inside", "inside_se", "width", "in_range"}}}: `under` is the default's score less the
    way's, `own` the error (estimate less test score) of the score on the videos searched on, `held` that of the
    cross-fitted one, `inside` how often the 95 % interval held the test score (of all test sets of a draw, each draw
    counting once), `in_range` whether all of its bounds are scores that there can be. What only some pairs have is of
    those; None where none has.
    """
    test = {way: np.array([result["test"][kind][way] for result in results]) for way in results[0]["test"][kind]}
    default, videos = test[CROSS_FITTED_WAY], [item["videos"] for item in results]
    return {
        "draws": len(results),
        "videos": [min(videos), max(videos)],
        "test": {
            way: {"mean": float(x.mean()), "under": float((default - x).mean()), "se": error(default - x)}
            for way, x in test.items()
        },
        "said": {
            way: _estimates(task, [_said(task, kind, entry, way) for entry in results], _tests(kind, results, way))
            for way in results[0]["said"]
        },
    }


def _tests(kind: str, results: Sequence[dict[str, Any]], way: str) -> list[list[float]]:
    """Of each draw a way's scores on its test sets of a kind; the first is the one that errors are of."""
    further = [item.get("further", {}).get(kind, []) if way == CROSS_FITTED_WAY else [] for item in results]
    return [[item["test"][kind][way], *scores] for item, scores in zip(results, further, strict=True)]


def _said(task: str, kind: str, item: dict[str, Any], way: str) -> dict[str, Any]:
    """What a way promised in a draw, its interval for a test set as large as that of `kind`."""
    said, groups = item["said"][way], item["groups"]
    if said["interval"] is None:
        return said | {"promised": None}
    bounds = interval.resize(task, said["interval"], said["held"], groups["validation"], groups[kind])
    return said | {"interval": list(bounds), "promised": said["interval"]}


def _estimates(task: str, said: list[dict[str, Any]], tests: list[list[float]]) -> dict[str, Any]:
    test = np.array([scores[0] for scores in tests])
    own, held = (np.array([np.nan if entry[key] is None else entry[key] for entry in said]) for key in ("own", "held"))
    results: dict[str, Any] = {"own": errors(own - test), "held": errors(held - test)}
    known = np.array([element["interval"] is not None for element in said])
    if not known.any():
        return results | dict.fromkeys(("inside", "inside_se", "width", "in_range"))
    low, high = np.array([case["interval"] for case in said if case["interval"] is not None]).T
    scores = [np.array(tests[d]) for d in np.flatnonzero(known)]
    inside = np.array([((a <= s) & (s <= b)).mean() for a, b, s in zip(low, high, scores, strict=True)])
    bounds = np.array([item["promised"] for item in said if item["promised"] is not None])
    return results | {
        "inside": float(inside.mean()),
        "inside_se": error(inside),
        "width": float((high - low).mean()),
        "in_range": bool(bounds.min() >= TASKS[task].lowest and bounds.max() <= 1),
    }


def errors(values: NDArray[np.float64], paired: bool = True) -> dict[str, Any] | None:
    """Mean, mean size and standard error of what is known of values [draws]; None where nothing is."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    facts = {"signed": float(known.mean()), "absolute": float(np.abs(known).mean())}
    return facts | {"se": (error if paired else standard_error)(known), "draws": len(known)}


def error(values: NDArray[np.float64]) -> float | None:
    """Standard error of the mean, from the means of pairs (of single values where their number is odd)."""
    return standard_error(values.reshape(-1, 2).mean(1) if len(values) % 2 == 0 else values)


def standard_error(values: NDArray[np.float64]) -> float | None:
    """Standard error of the mean of independent values; None for a single one."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def claims(kind: str, line: dict[str, Any]) -> dict[str, bool]:
    """What should be true of a line -> whether it is. The first two are asked only where nothing shifts."""
    said, result = line["said"], {}
    if kind == "same":
        held, own = said[CROSS_FITTED_WAY]["held"]["signed"], said[TUNED_WAY]["own"]["signed"]
        text = "the cross-fitted estimate's mean error is at most a third of the tuned score's"
        result[text] = abs(held) <= abs(own) / 3
        low, high = COVERAGE_RANGE
        inside = said[CROSS_FITTED_WAY]["inside"]
        result[f"the interval holds the test score in {low:.0%} to {high:.0%}"] = low <= inside <= high
    for way in COMPARED_WAYS:
        text = f"the default's test score is not below that of {WAYS[way]} by more than a standard error"
        result[text] = not _above(line, way)
    bounds = [item["in_range"] for item in said.values() if item["in_range"] is not None]
    result["no interval leaves the metric's range"] = all(bounds)
    return result


def list_broken_claims(result: dict[str, Any]) -> list[str]:
    """A line of text for each claim that does not hold in {task: {size: {kind: line}}}."""
    return [
        f"{task}, {VIDEOS[size]} videos, {kind}: not so: {claim}"
        for task, size, kind, line in _lines(result)
        for claim, holds in claims(kind, line).items()
        if not holds
    ]


ESTIMATES = ("task, validation videos", "test", "tuned score's error", "cross-fitted estimate's error")
ESTIMATES += ("mean size, tuned / cross-fitted", "95 % held test", "width")
SCORES = ("task, validation videos", "test", "plain", "smoothed", "equal", "best head", "tuned", "default")
"""Ways in the order of measure.WAYS."""


def estimates(result: dict[str, Any]) -> list[list[str]]:
    """Cells under ESTIMATES. An interval's coverage is marked with * where it lies outside of COVERAGE_RANGE."""
    made = []
    for task, size, kind, line in _lines(result):
        default, own = line["said"][CROSS_FITTED_WAY], line["said"][TUNED_WAY]["own"]
        held, inside = default["held"], default["inside"]
        size_of = f"{own['absolute']:.3f} / {held['absolute']:.3f}"
        share = f"{100 * inside:.1f} %" + ("" if COVERAGE_RANGE[0] <= inside <= COVERAGE_RANGE[1] else "*")
        cells = (format_signed_number(own), format_signed_number(held), size_of, share, f"{default['width']:.3f}")
        made.append([_which(task, size, line), kind, *cells])
    return made


def scores(result: dict[str, Any]) -> list[list[str]]:
    """Cells under SCORES. A way's is marked with * where the default lies below it by more than a standard error."""
    made = []
    for task, size, kind, line in _lines(result):
        cells = [f"{line['test'][way]['mean']:.3f}" + ("*" if _above(line, way) else "") for way in WAYS]
        made.append([_which(task, size, line), kind, *cells])
    return made


def _above(line: dict[str, Any], way: str) -> bool:
    """Whether a way's test score lies above the default's by more than a standard error."""
    facts = line["test"][way]
    return bool(facts["under"] < -(facts["se"] or 0.0))


def _lines(result: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for task, sizes in result.items():
        for size, kinds in sizes.items():
            for kind, line in kinds.items():
                yield task, size, kind, line


def _which(task: str, size: str, line: dict[str, Any]) -> str:
    return f"{task}, {line['videos'][0]}" if size == "official" else f"{task}, {VIDEOS[size]}"


def parts(result: dict[str, Any]) -> list[list[str]]:
    """Cells under PARTS: where parts were fixed one by one."""
    return [
        [_which(task, size, line), kind, way.removeprefix("part "), f"{item['mean']:.4f}", gain(item)]
        for task, size, kind, line in _lines(result)
        for way, item in line["test"].items()
        if way.startswith("part ")
    ]


PARTS = ("task, validation videos", "test", "part fixed", "test score", "default's over it")


def format_signed_number(facts: dict[str, Any] | None) -> str:
    """+.0123 ± .0045, or a dash."""
    if facts is None:
        return "–"
    return f"{facts['signed']:+.4f}" + (f" ± {facts['se']:.4f}" if facts["se"] is not None else "")


def gain(item: dict[str, Any]) -> str:
    """The default's score less a way's."""
    return format_signed_number({"signed": item["under"], "se": item["se"]})


def markdown(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A table for a README."""
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show(header: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """A table for people."""
    table = Table(*header)
    for line in cells:
        table.add_row(*line)
    console().print(table)
