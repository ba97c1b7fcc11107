"""The page's first look: five numbers, what each means, and which of them leads."""

from __future__ import annotations

from dataclasses import dataclass

from blend.report import leaderboard
from blend.report.pointers import ref
from blend.report.schema import Report


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
    if report["cross_fitted"] is None:
        cards = [_fitted("on the one video that it was made from")]
    else:
        first = leaderboard.leader(report)
        cards = [_expected(report, first), _fitted("on the videos it was made from")]
        best = leaderboard.best_head(report)
        for name, row in ((best, "best head"), ("equal", "equal weights")):
            place = ("baselines", name or "", "cross_fitted")
            if name is not None and name in report["baselines"]:
                cards.append(_alone(row, "" if name == "equal" else name, place, first))
    if report["test"] is not None:
        meaning = "The submission's score on the test videos, whose labels nothing but this number has seen."
        cards.append(Card("test", ("test", "score"), "its labels are known here", meaning))
    return cards


def _expected(report: Report, first: leaderboard.Leader | None) -> Card:
    note = (
        "no interval" if report["interval"] is None else f"95 % interval {ref('interval', 0)} to {ref('interval', 1)}"
    )
    meaning = "The score to be expected on new videos: each video is decided by a blend that was made without it."
    return Card("expected", ("expected",), note, meaning, first is not None and first.submitted)


def _fitted(note: str) -> Card:
    meaning = "Weights, smoothing and thresholds were tuned on these very videos: too good a number to promise."
    return Card("fitted", ("submitted",), note, meaning)


def _alone(name: str, head: str, place: tuple[str, ...], first: leaderboard.Leader | None) -> Card:
    of = "One head" if head else "All heads alike"
    meaning = (
        f"{of}, with smoothing and thresholds tuned, each video decided without it: to be held against “expected”."
    )
    return Card(name, place, head or "of all heads", meaning, first is not None and first.place == place)
