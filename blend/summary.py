"""The blend's outcome in a few lines on the terminal. Reads nothing but the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def number(value: float | None) -> str:
    """A score as people read it; "undefined" where the data do not define it."""
    return "undefined" if value is None else f"{value:.4f}"


WAYS = {
    "cross_fitted": "averaged over folds, its parts chosen by what they reach on held-out videos",
    "tuned": "tuned on all validation videos",
}


def frames_wide(k: int | list[int]) -> str:
    """A k as people read it: a number, or that every output has its own."""
    return "per output" if isinstance(k, list) else str(k)


def sentences(report: dict[str, Any]) -> list[str]:
    """What to know first, in words."""
    sent, chosen = report["submission"], report["select"]
    lines = [
        f"The blend, {WAYS[chosen]}, reaches a {report['metric']} of {number(report['searched'])} on the validation "
        f"videos it was made from."
    ]
    lines += _held_out(report)
    if report["test"] is not None:
        lines.append(
            f"On the test videos, whose truth is known for this corpus, the submission scores "
            f"{number(report['test']['score'])}."
        )
    for copy, head in report["copies"].items():
        lines.append(f"{copy} is a copy of {head}: they were searched as one.")
    of = "listed test frames" if sent["from"] == "test" else "validation frames, because the corpus names no test list"
    lines.append(
        f"The submission holds all {sent['frames']:,} {of}; {sent['filled']:,} had no prediction of their own and "
        f"were filled."
    )
    counts = sent.get("filled_by_head", {})
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{head} {count:,}" for head, count in counts.items())
        lines.append(f"Heads lack different frames, each filled from its own neighbours: {each}.")
    if faceless := sorted({*sent["videos_without_face"], *report["frames"]["videos_without_face"]}):
        lines.append(f"No face was found in {', '.join(faceless)}: predicted from the training prior.")
    return lines


def _held_out(report: dict[str, Any]) -> list[str]:
    """What is to be expected on other videos, and whether the search is worth it."""
    crossed, chosen = report["cross_fitted"], report["select"]
    if crossed is None:
        return ["There is only one annotated validation video, so what the blend is worth on others cannot be told."]
    low, high = report["interval"] or (None, None)
    lines = [
        f"Made on some of the videos and scored on the others ({len(crossed['folds'])} folds), the same procedure "
        f"reaches {number(crossed['pooled'])}: expect that on new videos, not the first number "
        f"(95 % interval for {report['interval_of']}: {number(low)} to {number(high)})."
    ]
    alone = {name: one["cross_fitted"] for name, one in report["baselines"].items()}
    heads = {name: value for name, value in alone.items() if name != "equal" and value is not None}
    if heads:
        best = max(heads, key=lambda head: heads[head])
        lines.append(
            f"On held-out videos likewise, the best head alone, {best}, reaches {number(heads[best])}, and equal "
            f"weights reach {number(alone.get('equal'))}."
        )
    for name, way in report["ways"].items():
        if name != chosen:
            lines.append(
                f"The other way, {WAYS[name]}, reaches {number(way['tuned'])} on the videos it was made from and "
                f"{number(way['cross_fitted'])} on held-out ones."
            )
    return lines


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
    """Print the leaderboard, what it means, and where the files are."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(*HEADER, title=f"{report['task']}: {report['metric']} on validation")
    for row in rows(report):
        table.add_row(*row)
    console.print(table)
    for line in sentences(report):
        console.print(line, markup=False)
    if made := report.get("submissions"):
        for one in made["files"]:
            console.print(f"{one['file']}: {one['what']}", markup=False)
        for text in made["left_out"]:
            console.print(f"left out: {text}", markup=False)
    for name in ("submission.txt", "report.html", "report.json", "params.json", "study.db"):
        print(folder / name)
