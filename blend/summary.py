"""The blend's outcome in a few lines on the terminal. Reads nothing but the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blend.page_values import UNDEFINED, at, plain


def number(value: float | None) -> str:
    """A score as people read it; "undefined" where the data do not define it."""
    return UNDEFINED if value is None else f"{value:.4f}"


WAYS = {
    "cross_fitted": "averaged over folds, its parts chosen by what they reach on held-out videos",
    "tuned": "tuned on all validation videos",
}


def frames_wide(k: int | list[int]) -> str:
    """A k as people read it: a number, or that every output has its own."""
    return "per output" if isinstance(k, list) else str(k)


def sentences(report: dict[str, Any]) -> list[str]:
    """What to know first, in words."""
    return [plain(line, report) for line in lines(report)]


def lines(report: dict[str, Any]) -> list[str]:
    """The same, with places in the report (`blend.page_values.at`) where the numbers go."""
    sent, chosen = report["submission"], report["select"]
    found = [
        f"The blend, {WAYS[chosen]}, reaches a {report['metric']} of {at('searched')} on the validation videos it was "
        f"made from."
    ]
    found += _held_out(report)
    if report["test"] is not None:
        found.append(
            f"On the test videos, whose truth is known for this corpus, the submission scores {at('test', 'score')}."
        )
    for copy, head in report["copies"].items():
        found.append(f"{copy} is a copy of {head}: they were searched as one.")
    of = "listed test frames" if sent["from"] == "test" else "validation frames, because the corpus names no test list"
    found.append(
        f"The submission holds all {at('submission', 'frames')} {of}; {at('submission', 'filled')} had no prediction "
        "of their own and were filled."
    )
    counts = sent.get("filled_by_head", {})
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{head} {at('submission', 'filled_by_head', head)}" for head in counts)
        found.append(f"Heads lack different frames, each filled from its own neighbours: {each}.")
    if faceless := sorted({*sent["videos_without_face"], *report["frames"]["videos_without_face"]}):
        found.append(f"No face was found in {', '.join(faceless)}: predicted from the training prior.")
    return found


def _held_out(report: dict[str, Any]) -> list[str]:
    """What is to be expected on other videos, and whether the search is worth it."""
    crossed, chosen = report["cross_fitted"], report["select"]
    if crossed is None:
        return ["There is only one annotated validation video, so what the blend is worth on others cannot be told."]
    interval = (
        f"95 % interval for {report['interval_of']}: {at('interval', 0)} to {at('interval', 1)}"
        if report["interval"] is not None
        else "its interval is undefined"
    )
    found = [
        f"Made on some of the videos and scored on the others ({len(crossed['folds'])} folds), the same procedure "
        f"reaches {at('cross_fitted', 'pooled')}: expect that on new videos, not the first number ({interval})."
    ]
    alone = {name: one["cross_fitted"] for name, one in report["baselines"].items()}
    if (best := best_head(report)) is not None:
        equal = at("baselines", "equal", "cross_fitted") if "equal" in alone else number(None)
        found.append(
            f"On held-out videos likewise, the best head alone, {best}, reaches "
            f"{at('baselines', best, 'cross_fitted')}, and equal weights reach {equal}."
        )
    for name in report["ways"]:
        if name != chosen:
            found.append(
                f"The other way, {WAYS[name]}, reaches {at('ways', name, 'tuned')} on the videos it was made from and "
                f"{at('ways', name, 'cross_fitted')} on held-out ones."
            )
    return found


def best_head(report: dict[str, Any]) -> str | None:
    """The head that is best alone on held-out videos; None where nothing is held out."""
    alone = {name: one["cross_fitted"] for name, one in report["baselines"].items() if name != "equal"}
    known = {name: score for name, score in alone.items() if score is not None}
    return max(known, key=lambda head: known[head]) if known else None


def rows(report: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """The leaderboard: (what, plain score, score on the videos it was tuned on, on held-out ones, its k)."""

    def row(name: str, one: dict[str, Any], plain: str = "") -> tuple[str, str, str, str, str]:
        held = "" if one["cross_fitted"] is None else number(one["cross_fitted"])
        return name, plain, number(one["tuned"]), held, frames_wide(one["k"])

    alone = report["baselines"]
    heads = sorted(report["heads"], key=lambda head: (-(report["heads"][head] or 0.0), head))
    table = [row(head, alone[head], number(report["heads"][head])) for head in heads]
    table.append(row("equal weights", alone["equal"], number(report["equal"])))
    greedy = report["tuned"]["greedy"]
    table.append(("greedy selection", "", number(greedy["score"]), "", frames_wide(greedy["k"])))
    names = {"tuned": "blend, tuned", "cross_fitted": "blend, cross-fitted"}
    for name in sorted(report["ways"], key=lambda name: name == report["select"]):
        used = " (submitted)" if name == report["select"] else ""
        table.append(row(names[name] + used, report["ways"][name]))
    if report["test"] is not None:
        table.append(("the submission, on test", "", "", number(report["test"]["score"]), ""))
    return table


HEADER = ("", "plain", "tuned", "held out", "k")


def show(report: dict[str, Any], folder: Path) -> None:
    """Print the leaderboard, what it means, what to worry about, and where the files are."""
    from rich.console import Console
    from rich.table import Table

    from blend.worries import worries

    console = Console(highlight=False)
    table = Table(*HEADER, title=f"{report['task']}: {report['metric']} on validation")
    for row in rows(report):
        table.add_row(*row)
    console.print(table)
    for line in sentences(report):
        console.print(line, markup=False)
    for line in worries(report):
        console.print(f"! {plain(line, report)}", markup=False)
    if made := report.get("submissions"):
        for one in made["files"]:
            console.print(f"{one['file']}: {one['what']}", markup=False)
        for text in made["left_out"]:
            console.print(f"left out: {text}", markup=False)
    for name in ("submission.txt", "report.html", "report.json", "params.json", "study.db"):
        print(folder / name)
