"""The simulation's table: errors of the estimates, coverage of the intervals, test scores of the ways of selecting."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WAYS = {
    "plain": "equal weights, unsmoothed, plain decisions",
    "smoothed": "equal weights, smoothing cross-fitted, plain decisions",
    "equal": "equal weights, smoothing and thresholds tuned",
    "tuned": 'select = "tuned"',
    "cross_fitted": 'select = "cross_fitted"',
}
RULES = {
    "au": "thresholds = {}",
    "expr": "bias = {}",
    "va": "{}",
}


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Of draws that come in pairs: test scores, and each way's estimates. Standard errors are those of pair means.

    {"draws", "test": {way: {"mean", "over_tuned", "se"}}, "tuned" and "cross_fitted": {"own": {"signed", "absolute",
    "se", "draws"}, "held": likewise, "inside", "width"}}: `own` is the score on the videos searched on, `held` the
    cross-fitted one, both less the test score; `inside` how often the 95 % interval held the test score. What only some
    of the draws have is of those.
    """
    test = {name: np.array([one["test"][name] for one in results]) for name in results[0]["test"]}
    table: dict[str, Any] = {"draws": len(results), "test": {}}
    for name, scores in test.items():
        over = scores - test["tuned"]
        table["test"][name] = {"mean": float(scores.mean()), "over_tuned": float(over.mean()), "se": _error(over)}
    table["over_plain"] = float((test["cross_fitted"] - test["plain"]).mean())
    for way in ("tuned", "cross_fitted"):
        known = [one[way] for one in results if "held" in one[way]]
        table[way] = {
            "own": _errors([one[way]["own"] for one in results]),
            "held": _errors([one["held"] for one in known]),
            "inside": float(np.mean([one["inside"] for one in known])),
            "width": float(np.mean([one["width"] for one in known])),
        }
    return table


def _errors(found: list[float]) -> dict[str, float]:
    values = np.array(found)
    facts = {"signed": float(values.mean()), "absolute": float(np.abs(values).mean()), "se": _error(values)}
    return facts | {"draws": len(values)}


def _error(values: NDArray[np.float64]) -> float:
    """Standard error of the mean, from the means of pairs."""
    pairs = values.reshape(-1, 2).mean(1)
    return float(pairs.std(ddof=1) / np.sqrt(len(pairs))) if len(pairs) > 1 else float("nan")


def way(task: str, name: str) -> str:
    """A way of selecting in words."""
    if not name.startswith("rule "):
        return WAYS[name]
    rule = name.removeprefix("rule ")
    shown = RULES[task].format(rule or "neither scale nor shift")
    return f"  cross-fitted, {shown}"


def show(found: dict[str, Any]) -> None:
    """Print what `blend.simulate.main` returns."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    for task, sizes in found.items():
        for size, facts in sizes.items():
            videos = "as many videos as the official validation set" if size == "official" else "20 to 70 videos"
            title = f"{task}, {videos}, {facts['draws']} draws"
            table = Table(
                "estimate of the test score", "mean error", "mean |error|", "95 % held it", "draws", title=title
            )
            for name in ("tuned", "cross_fitted"):
                for key, what in (("own", "on its own videos"), ("held", "cross-fitted")):
                    one = facts[name][key]
                    held = f"{100 * facts[name]['inside']:.1f} %" if key == "held" else ""
                    error = f"{one['signed']:+.4f} ± {one['se']:.4f}"
                    row = f"{WAYS[name]}, {what}", error, f"{one['absolute']:.4f}", held, str(one["draws"])
                    table.add_row(*row)
            console.print(table)
            reached = Table("way of selecting", "test score", 'over "tuned"')
            for name, one in facts["test"].items():
                over = "" if name == "tuned" else f"{one['over_tuned']:+.4f} ± {one['se']:.4f}"
                reached.add_row(way(task, name), f"{one['mean']:.4f}", over)
            console.print(reached)
