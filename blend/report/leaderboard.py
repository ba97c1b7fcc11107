"""The leaderboard: heads, equal weights, greedy selection and blends, the same on the terminal and on the page; and the
five numbers that stand above it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blend.report.pointers import pointer, ref, value
from blend.report.schema import Report, Way

HEADER = ("", "plain", "tuned", "held out", "k")
NAMES = {"tuned": "blend, tuned", "cross_fitted": "blend, cross-fitted"}


def board(report: Report) -> list[dict[str, Any]]:
    """Rows: name, values, and where in the report each stands (`from`: paths, None for a value that a row lacks).

    Heads come first, the best on held-out videos at the top, the submitted blend last but for its score on test.
    """
    alone, plain = report["baselines"], report["heads"]
    heads = sorted(plain, key=lambda head: (*(-(s or 0.0) for s in (alone[head]["cross_fitted"], plain[head])), head))
    rows = [_row(report, head, ("baselines", head), ("heads", head)) for head in heads]
    rows.append(_row(report, "equal weights", ("baselines", "equal"), ("equal",)))
    if "greedy" in report["tuned"]:  # not where weights are given
        rows.append(_row(report, "greedy selection", ("tuned", "greedy"), tuned="score"))
    for name in sorted(report["ways"], key=lambda name: name == report["select"]):
        submitted = name == report["select"]
        title = NAMES[name] + (" (submitted)" if submitted else "")
        rows.append(_row(report, title, ("ways", name)) | {"submitted": submitted})
    if report["test"] is not None:
        rows.append(_row(report, "the submission, on test", ("test",), held="score"))
    return rows


def _row(
    report: Report, name: str, place: tuple[str, ...], plain: tuple[str, ...] | None = None, tuned: str = "tuned",
    held: str = "cross_fitted",
) -> dict[str, Any]:  # fmt: skip
    """A row of what the report has at `place`, by the keys `tuned` and `held`; its plain score is elsewhere."""
    item = value(report, pointer(*place))
    at = {"plain": plain, "tuned": (*place, tuned) if tuned in item else None}
    for column, key in {"held_out": held, "k": "k", "interval": "interval"}.items():
        at[column] = (*place, key) if item.get(key) is not None else None
    values = {column: None if path is None else value(report, pointer(*path)) for column, path in at.items()}
    return {"name": name, "submitted": False, **values, "from": at}


@dataclass(frozen=True)
class Leader:
    """What is best on held-out videos: in words, where its score stands in the report, the score."""

    name: str
    place: tuple[str, ...]
    score: float
    is_submission: bool = False


def leader(report: Report) -> Leader | None:
    """The best on held-out videos of the heads alone, equal weights, and both ways to a blend; None where nothing is
    held out. Of equals, a single head before equal weights before the submitted blend before the other way.
    """
    alone, selected = report["baselines"], report["select"]
    names = {name: f'the other way to a blend (select = "{name}")' for name in report["ways"]}
    names[selected] = "the submitted blend"
    rivals: list[tuple[str, tuple[str, str], Way]] = [
        *((f"the head {name} alone", ("baselines", name), item) for name, item in alone.items() if name != "equal"),
        ("equal weights", ("baselines", "equal"), alone["equal"]),
        *((names[name], ("ways", name), item) for name, item in report["ways"].items()),
    ]
    rivals.sort(key=lambda rival: rival[1][0] == "ways" and rival[1][1] != selected)  # the submitted way first
    results = [
        Leader(name, (*place, "cross_fitted"), score, place == ("ways", selected))
        for name, place, item in rivals
        if (score := item["cross_fitted"]) is not None
    ]
    return max(results, key=lambda item: item.score, default=None)


def best_head(report: Report) -> str | None:
    """The head that is best alone on held-out videos; None where nothing is held out."""
    alone = {name: item["cross_fitted"] for name, item in report["baselines"].items() if name != "equal"}
    known = [name for name, score in alone.items() if score is not None]
    return max(known, key=lambda head: alone[head], default=None)


@dataclass(frozen=True)
class Card:
    """A number of the report: its name, its place, a note below it, and what it means, shown where a mouse rests."""

    name: str
    place: tuple[str | int, ...]
    note: str
    meaning: str
    leads: bool = False
    """Whether it is the best of those on held-out videos."""


def list_cards(report: Report) -> list[Card]:
    """What to expect, the score on the blend's own videos, the best head, equal weights, and test where it is known.

    Where nothing can be held out, the score on its own videos alone (and test).
    """
    cards, first, held_out = [], leader(report), report["cross_fitted"] is not None
    if held_out:
        band = f"95 % interval {ref('interval', 0)} to {ref('interval', 1)}"
        note = "no interval" if report["interval"] is None else band
        meaning = "The score to be expected on new videos: each video is decided by a blend that was made without it."
        cards.append(Card("expected", ("expected",), note, meaning, first is not None and first.is_submission))
    note = "on the videos it was made from" if held_out else "on the one video that it was made from"
    meaning = "Weights, smoothing and thresholds were tuned on these very videos: too good a number to promise."
    cards.append(Card("fitted", ("submitted",), note, meaning))
    best = best_head(report)
    for name, title, note, of in (
        (best, "best head", best or "", "One head"), ("equal", "equal weights", "of all heads", "All heads alike")
    ):  # fmt: skip
        if held_out and name in report["baselines"]:
            place = ("baselines", name, "cross_fitted")
            meaning = (
                "with smoothing and thresholds tuned, each video decided without it: to be held against “expected”."
            )
            leads = first is not None and first.place == place
            cards.append(Card(title, place, note, f"{of}, {meaning}", leads))
    if report["test"] is not None:
        meaning = "The submission's score on the test videos, whose labels nothing but this number has seen."
        cards.append(Card("test", ("test", "score"), "its labels are known here", meaning))
    return cards
