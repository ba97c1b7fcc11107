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
    cards, first, held_out = [], leaderboard.leader(report), report["cross_fitted"] is not None
    if held_out:
        band = f"95 % interval {ref('interval', 0)} to {ref('interval', 1)}"
        note = "no interval" if report["interval"] is None else band
        meaning = "The score to be expected on new videos: each video is decided by a blend that was made without it."
        cards.append(Card("expected", ("expected",), note, meaning, first is not None and first.submitted))
    note = "on the videos it was made from" if held_out else "on the one video that it was made from"
    meaning = "Weights, smoothing and thresholds were tuned on these very videos: too good a number to promise."
    cards.append(Card("fitted", ("submitted",), note, meaning))
    best = leaderboard.best_head(report)
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
