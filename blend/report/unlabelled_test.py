"""What `blend.unlabelled_test` found, as sentences for people: what is odd, the figures, and what to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blend.report.pointers import ref

KEY = "unlabelled_test"
"""Where the facts stand in report.json."""
MAX_SENTENCES = 4
"""Sentences on faults, and on shares; the rest is counted."""


def sentences(report: Mapping[str, Any]) -> list[str]:
    """One sentence for each fault and each share outside, with places in the report; none where nothing is odd."""
    facts = report.get(KEY)
    if not facts:
        return []
    faults = [_fault(fault, i) for i, fault in enumerate(facts["faults"])]
    statistics = (facts["shares"] or {}).get("statistics", {})
    return _few(faults) + _few([_share(name, item) for name, item in statistics.items() if item["outside"]])


def _few(values: list[str]) -> list[str]:
    more = len(values) - MAX_SENTENCES
    return values[:MAX_SENTENCES] + ([f"So it is with {more} more."] if more > 0 else [])


FAULTS = {
    "columns": "On test {of} goes with other columns of {against}: {pairs} (correlation {other}, with their own {own}"
    "{known}): are columns swapped?",
    "constant": "On test {of} gives every frame the same scores, which it does not on validation: is its file broken?",
    "order": "On test {of} does not go with {against} (correlation {own}{known}): is argmin in place of argmax, are "
    "signs turned, or are lines in another order?",
    "sign": "On test {output} of {of} goes against {against} (correlation {own}{known}): is its sign turned?",
    "frames": "On test {of} fits {against} better when it is taken to be {shift} (correlation {other}, in place {own}"
    "{known}): are frame numbers shifted?",
    "video": "On test {of} does not go with {against} in the video {video} (correlation {own}, {usual} in other videos"
    "{like}): are these another video's predictions?",
}


def _fault(fault: dict[str, Any], i: int) -> str:
    told = fault | {key: ref(KEY, "faults", i, key) for key in ("own", "other", "usual")}
    told["known"] = f", {told['usual']} on validation" if fault["usual"] is not None else ""
    if fault["kind"] == "columns":
        told["pairs"] = ", ".join(f"{a} with {b}" for a, b in zip(fault["outputs"], fault["others"], strict=True))
    if fault["kind"] == "frames":
        told["shift"] = f"{abs(fault['lag'])} frames {'late' if fault['lag'] > 0 else 'early'}"
    if fault["kind"] == "video":
        told["like"] = f"; it fits what they say of {fault['like']}" if fault["like"] is not None else ""
    return FAULTS[fault["kind"]].format(**told)


def _share(name: str, item: dict[str, Any]) -> str:
    here, low, high = (ref(KEY, "shares", "statistics", name, key) for key in ("test", "low", "high"))
    drawn = f"draws of as many validation videos give {low} to {high}"
    if name.startswith(("mean ", "spread ")):
        what, _, output = name.partition(" ")
        return f"On test the {what} of {output} is {here}; {drawn}: are columns swapped, or is test unlike validation?"
    if name == "certainty":
        return f"On test the scores' certainty is {here}; {drawn}: is test unlike validation, or predicted otherwise?"
    if name == "without a face":
        return f"On test {here} of the frames have no face; {drawn}: were faces looked for as in validation?"
    often = "more" if item["test"] > item["validation"] else "less"
    return (
        f"Test decides {name} in {here} of the frames, {often} often than validation; {drawn}: are columns swapped, or "
        f"is test unlike validation?"
    )
