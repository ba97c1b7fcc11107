"""The page's parts about the data and about what is handed in."""

from __future__ import annotations

from typing import Any

from blend.report.html import charts, charts_outputs
from blend.report.pointers import cell, figure, paragraph, section, table, words
from blend.report.unlabelled import KEY
from heads.abaw.tasks import TASKS

Report = dict[str, Any]
PARTS = ("train", "validation")


def data(report: Report) -> str:
    """Frames, gaps, invalid labels, and how often everything occurs in train and validation."""
    facts = report.get("data")
    if not facts:
        return ""
    parts = [part for part in PARTS if facts[part] is not None]
    lines = [
        (title, [cell(report, "data", part, key) if key in facts[part] else words("–", "n") for part in parts])
        for title, key in (
            ("videos", "videos"),
            ("frames", "frames"),
            ("validly annotated", "labelled"),
            ("not annotated", "unlabelled"),
            ("annotated, but filled: no face", "filled"),
        )
    ]
    text = (
        "Where train and validation differ, test may differ again: heads learn how often things occur, and thresholds "
        "follow validation."
    )
    return section(
        "data",
        "The data",
        paragraph(text, "soft"),
        '<div class="pair">',
        "<div>" + table(("", *parts), lines) + _balance(report, parts) + "</div>",
        _outputs_table(report, parts),
        "</div>",
    )


def _outputs_table(report: Report, parts: list[str]) -> str:
    """Rates and numbers of videos per output, or moments."""
    facts = report["data"]
    va = TASKS[report["task"]].is_regression
    keys = ("mean", "std") if va else ("rate", "videos")
    header = ("", *(title for part in parts for title in (part, "spread" if va else "videos")))
    rows = [
        (name, [cell(report, "data", part, "outputs", name, key) for part in parts for key in keys])
        for name in facts["validation"]["outputs"]
    ]
    says = "Mean and standard deviation." if va else "Part of the annotated frames, and how many videos show it."
    return "<div>" + table(header, rows) + f'<p class="hint">{says}</p></div>'


def _balance(report: Report, parts: list[str]) -> str:
    facts = report["data"]
    outputs = facts["validation"]["outputs"]
    if TASKS[report["task"]].is_regression:
        legend = charts.legend([(_sign(False), "train"), (_sign(True), "validation")])
        drawn = [
            charts_outputs.histogram(name, {part: facts[part]["outputs"][name]["frames"] for part in parts})
            for name in outputs
        ]
        return figure("".join(drawn), "Part of the annotated frames in each fifth of a unit.", legend)
    rows = [
        (name, facts["train"]["outputs"][name]["rate"] if facts["train"] else None, one["rate"])
        for name, one in outputs.items()
    ]
    legend = charts.legend([(charts.key(1, "hollow"), "train"), (charts.key(0, "mark"), "validation")])
    return figure(charts_outputs.balance(rows, "part of the annotated frames"), legend=legend)


def _sign(filled: bool) -> str:
    inside = (
        '<path d="M3 1H25V11H3Z" fill="var(--s0)" opacity=".35"/>'
        if filled
        else '<path d="M2 11V3H26V11" fill="none" stroke="var(--s1)" stroke-width="1.4" stroke-dasharray="4 1.5"/>'
    )
    return charts.sign(inside)


def submission(report: Report) -> str:
    """What is handed in, and the other submissions."""
    sent, sure = report["submission"], report.get("filter")
    counts = sent.get("filled_by_head", {})
    odd = [head for head in counts if counts[head] != sent["filled"]]
    lines = [
        ("lines, header included", [cell(report, "submission", "lines")]),
        ("frames", [cell(report, "submission", "frames")]),
        ("of these filled", [cell(report, "submission", "filled")]),
        *((f"filled for {head}", [cell(report, "submission", "filled_by_head", head)]) for head in odd),
        ("videos without a face", [words(", ".join(sent["videos_without_face"]) or "none", "n")]),
        ("trials of the search", [cell(report, "trials")]),
        ("seed", [cell(report, "seed")]),
        ("seconds", [cell(report, "seconds", digits=1)]),
    ]
    if sure:
        lines.insert(0, (f"{sure['head']} decides where it is above", [cell(report, "filter", "t")]))
    return section(
        "submission",
        "The submission",
        table((sent["path"], ""), lines),
        _others(report),
    )


def _others(report: Report) -> str:
    """The files that were written beside the main one, and what was not."""
    made = report.get("submissions")
    if made is None:
        return ""
    tested = any("test" in one for one in made["files"])
    lines = [
        (
            one["file"],
            [
                words(one["what"]),
                f'<td class="n" data-key="/submissions/files/{i}/differs">{one["differs"]:.1%}</td>',
                *([cell(report, "submissions", "files", i, "test")] if tested else []),
            ],
        )
        for i, one in enumerate(made["files"])
    ]
    header = ("file", "what", "unlike the first", *(["test"] if tested else []))
    left_out = "".join(paragraph(f"Left out: {text}.", "soft") for text in made["left_out"])
    return "<h3>All submissions</h3>" + table(header, lines, left=1) + left_out


def unlabelled_test(report: dict[str, Any]) -> str:
    """A table of every share, mean and spread on validation and on test, and how far draws of validation go."""
    facts = report.get(KEY)
    if not facts or not facts["shares"]:
        return ""
    path = (KEY, "shares", "statistics")
    rows = [
        (
            name,
            [
                cell(report, *path, name, "validation"),
                cell(report, *path, name, "low"),
                cell(report, *path, name, "high"),
                cell(report, *path, name, "test"),
                words("outside" if one["outside"] else ""),
            ],
        )
        for name, one in facts["shares"]["statistics"].items()
    ]
    text = (
        "How often each output is decided (of valence and arousal: mean and spread), how certain scores are, and how "
        "many frames have no face. Lowest and highest are of draws of as many validation videos as test has. Faults "
        "in test's predictions that need no labels to be seen are among what to worry about."
    )
    header = ("", "validation", "lowest", "highest", "test", "")
    return section("unlabelled", "Test beside validation", paragraph(text, "soft"), table(header, rows))
