"""The leaderboard: heads, equal weights, greedy selection and blends, the same on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blend.report.schema import Report, Way

HEADER = ("", "plain", "tuned", "held out", "k")
NAMES = {"tuned": "blend, tuned", "cross_fitted": "blend, cross-fitted"}


def board(report: Report) -> list[dict[str, Any]]:
    """Rows: name, values, and where in the report each stands (`from`: paths, None for a value that a row lacks).

    Heads come first, the best on held-out videos at the top, the submitted blend last but for its score on test.
    """
    alone, plain = report["baselines"], report["heads"]
    heads = sorted(plain, key=lambda head: (*(-(s or 0.0) for s in (alone[head]["cross_fitted"], plain[head])), head))
    rows = [_row(head, plain[head], ("heads", head), alone[head], ("baselines", head)) for head in heads]
    rows.append(_row("equal weights", report["equal"], ("equal",), alone["equal"], ("baselines", "equal")))
    if greedy := report["tuned"].get("greedy"):  # not where weights are given
        item = {"tuned": greedy["score"], "k": greedy["k"]}
        rows.append(_row("greedy selection", None, None, item, ("tuned", "greedy"), "score"))
    for name in sorted(report["ways"], key=lambda name: name == report["select"]):
        submitted = name == report["select"]
        title = NAMES[name] + (" (submitted)" if submitted else "")
        rows.append(_row(title, None, None, report["ways"][name], ("ways", name)) | {"submitted": submitted})
    if report["test"] is not None:
        test = {"cross_fitted": report["test"]["score"]}
        rows.append(_row("the submission, on test", None, None, test, ("test",), held="score"))
    return rows


@dataclass(frozen=True)
class Leader:
    """What is best on held-out videos: in words, where its score stands in the report, the score."""

    name: str
    place: tuple[str, ...]
    score: float
    submitted: bool = False


def leader(report: Report) -> Leader | None:
    """The best on held-out videos of the heads alone, equal weights, and both ways to a blend; None where nothing is
    held out. Of equals, a single head before equal weights before the submitted blend before the other way.
    """
    alone, selected = report["baselines"], report["select"]
    rivals: list[tuple[str, tuple[str, str], Way]] = [
        *((f"the head {name} alone", ("baselines", name), item) for name, item in alone.items() if name != "equal"),
        ("equal weights", ("baselines", "equal"), alone["equal"]),
        *((_way(name, selected), ("ways", name), item) for name, item in report["ways"].items()),
    ]
    rivals.sort(key=lambda rival: rival[1][0] == "ways" and rival[1][1] != selected)  # the submitted way first
    results = [
        Leader(name, (*place, "cross_fitted"), score, place == ("ways", selected))
        for name, place, item in rivals
        if (score := item["cross_fitted"]) is not None
    ]
    return max(results, key=lambda item: item.score, default=None)


def _way(name: str, selected: str) -> str:
    return "the submitted blend" if name == selected else f'the other way to a blend (select = "{name}")'


def _row(
    name: str, plain: float | None, plain_at: tuple[str, ...] | None, item: Mapping[str, Any], place: tuple[str, ...],
    tuned: str = "tuned", held: str = "cross_fitted",
) -> dict[str, Any]:  # fmt: skip
    return {
        "name": name, "plain": plain, "tuned": item.get("tuned"), "held_out": item.get("cross_fitted"),
        "interval": item.get("interval"), "submitted": False,
        "from": {
            "plain": plain_at,
            "tuned": (*place, tuned) if "tuned" in item else None,
            "held_out": (*place, held) if item.get("cross_fitted") is not None else None,
            "k": (*place, "k") if "k" in item else None,
            "interval": (*place, "interval") if item.get("interval") is not None else None,
        },
    }  # fmt: skip


def best_head(report: Report) -> str | None:
    """The head that is best alone on held-out videos; None where nothing is held out."""
    alone = {name: item["cross_fitted"] for name, item in report["baselines"].items() if name != "equal"}
    known = {name: score for name, score in alone.items() if score is not None}
    return max(known, key=lambda head: known[head]) if known else None
