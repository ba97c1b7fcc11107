"""The blend's outcome in a few lines on the terminal. Reads nothing but the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def number(value: float | None) -> str:
    """A score as people read it; "undefined" where the data do not define it."""
    return "undefined" if value is None else f"{value:.4f}"


def sentences(report: dict[str, Any]) -> list[str]:
    """What to know first, in words."""
    metric, sent = report["metric"], report["submission"]
    best = max(report["heads"], key=lambda head: report["tuned"][head]["score"])
    lines = [
        f"The searched blend reaches a {metric} of {number(report['searched'])} on the validation videos it was chosen "
        f"on; tuned on the same videos, the best head, {best}, reaches {number(report['tuned'][best]['score'])} and "
        f"equal weights {number(report['tuned']['equal']['score'])}."
    ]
    crossed = report["cross_fitted"]
    if crossed is None:
        lines.append(
            "There is only one annotated validation video, so what the blend is worth on others cannot be told."
        )
    else:
        low, high = report["interval"] or (None, None)
        lines.append(
            f"Searched on some videos and scored on the others ({len(crossed['folds'])} folds), the same procedure "
            f"reaches {number(crossed['pooled'])} (95 % of video resamples: {number(low)} to {number(high)}). "
            f"Expect that on new videos, not the first number."
        )
    if report["test"] is not None:
        lines.append(
            f"On the test videos, whose truth is known for this corpus, the submission scores "
            f"{number(report['test']['score'])}."
        )
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


def rows(report: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The leaderboard: (what, plain score, score with tuned smoothing and thresholds, its k)."""

    def row(name: str, plain: str, key: str) -> tuple[str, str, str, str]:
        tuned = report["tuned"][key]
        return name, plain, number(tuned["score"]), str(tuned["k"])

    heads = sorted(report["heads"], key=lambda head: (-(report["heads"][head] or 0.0), head))
    table = [row(head, number(report["heads"][head]), head) for head in heads]
    table.append(row("equal weights", number(report["equal"]), "equal"))
    table.append(row("greedy selection", "", "greedy"))
    table.append(("searched", "", number(report["searched"]), str(report["k"])))
    if report["cross_fitted"] is not None:
        table.append(("searched, cross-fitted", "", number(report["cross_fitted"]["pooled"]), ""))
    if report["test"] is not None:
        table.append(("searched, on test", "", number(report["test"]["score"]), ""))
    return table


def show(report: dict[str, Any], folder: Path) -> None:
    """Print the leaderboard, what it means, and where the files are."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("", "plain", "tuned", "k", title=f"{report['task']}: {report['metric']} on validation")
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
