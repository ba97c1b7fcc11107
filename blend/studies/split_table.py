"""The table of random splits: mean test scores, paired differences, how often the interval held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from blend.studies import table
from blend.studies.measure import BEST_HEAD, CROSS_FITTED, EQUAL, PLAIN, SMOOTHED, TUNED, WAYS

SLACK = 0.005
"""How far the default's mean may lie below another way's."""
HELD = 0.9
"""How often the interval should hold the test score."""
HEADER = ("way to a blend", "test score", "default's over it", "default is better in")


def summarise(task: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The table, of splits as `blend.studies.splits.measured` returns them.

    {"task", "splits", "parts": {part: mean counts}, "ways": {way: {"mean", "spread", "under", "se", "better"}},
    "estimates": {"own", "held"}, "inside", "known", "by_split": [...]}: `under` is the default's mean score less the
    way's, with the standard error of that over splits, `better` in how many the default is; `own` is the error of the
    tuned score of select = "tuned", `held` of the default's cross-fitted estimate; `inside` in how many of the `known`
    splits the default's 95 % interval held the test score.
    """
    test = {way: np.array([one["test"]["test"][way] for one in results]) for way in WAYS}
    default = test[CROSS_FITTED]
    intervals = [one["said"][CROSS_FITTED]["interval"] for one in results]
    inside = [i is not None and bool(i[0] <= score <= i[1]) for i, score in zip(intervals, default, strict=True)]
    return {
        "task": task,
        "splits": len(results),
        "parts": {
            part: {key: float(np.mean([one["parts"][part][key] for one in results])) for key in counts}
            for part, counts in results[0]["parts"].items()
        },
        "ways": {
            way: {
                "mean": float(some.mean()),
                "spread": float(some.std(ddof=1)) if len(some) > 1 else None,
                "under": float((default - some).mean()),
                "se": error(default - some),
                "better": int((default > some).sum()),
            }
            for way, some in test.items()
        },
        "estimates": {
            "own": _errors(results, TUNED, "own", test[TUNED]),
            "held": _errors(results, CROSS_FITTED, "held", default),
        },
        "inside": sum(inside),
        "known": sum(i is not None for i in intervals),
        "by_split": [
            {"test": float(score), "held": one["said"][CROSS_FITTED]["held"], "interval": interval, "inside": holds,
             "best_head": one["best_head"], **one["chosen"]}
            for one, score, interval, holds in zip(results, default, intervals, inside, strict=True)
        ],
    }  # fmt: skip


def _errors(results: Sequence[dict[str, Any]], way: str, key: str, test: Any) -> dict[str, Any] | None:
    said = [one["said"][way][key] for one in results]
    values = np.array([np.nan if one is None else one for one in said]) - test
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    facts = {"signed": float(known.mean()), "absolute": float(np.abs(known).mean())}
    return facts | {"se": error(known), "draws": len(known)}


def error(values: Any) -> float | None:
    """Standard error of the mean over splits."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def claims(found: dict[str, Any]) -> dict[str, bool]:
    """What should be true of the table -> whether it is."""
    held = {
        f"the default's mean test score is not below that of {WAYS[way]} by more than {SLACK}": found["ways"][way][
            "under"
        ]
        >= -SLACK
        for way in (BEST_HEAD, PLAIN, SMOOTHED, EQUAL, TUNED)
    }
    return held | {f"the interval holds the test score in {HELD:.0%} or more": found["inside"] >= HELD * found["known"]}


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Cells under HEADER."""
    return [
        [name, f"{one['mean']:.3f}" + (f" ± {one['spread']:.3f}" if one["spread"] is not None else ""),
         "" if way == CROSS_FITTED else table.gain(one),
         "" if way == CROSS_FITTED else f"{one['better']} of {found['splits']}"]
        for way, name in WAYS.items()
        for one in [found["ways"][way]]
    ]  # fmt: skip


def sentence(found: dict[str, Any]) -> str:
    """What the table does not say."""
    sizes = "; ".join(
        f"{part} {counts['people']:.0f} people, {counts['videos']:.0f} videos, {counts['frames']:,.0f} frames"
        for part, counts in found["parts"].items()
    )
    own, held = (table.signed(found["estimates"][key]) for key in ("own", "held"))
    return (
        f"{found['splits']} splits ({sizes}). The 95 % interval held the test score in {found['inside']} of "
        f"{found['known']}. Error of the tuned score {own}, of the cross-fitted estimate {held}."
    )


def show(found: dict[str, Any], as_markdown: bool) -> None:
    """Print the table and what does not hold of it."""
    if as_markdown:
        print(table.markdown(HEADER, rows(found)) + "\n")
    else:
        table.show(HEADER, rows(found))
    print(sentence(found))
    for claim, holds in claims(found).items():
        if not holds:
            print(f"not so: {claim}")
