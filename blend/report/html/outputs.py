"""The page's parts with something per output: scores, thresholds, confusion, reliability, density."""

from __future__ import annotations

from html import escape
from typing import Any

from blend.report.html import charts, charts_outputs
from blend.report.pointers import cell, details, figure, panels, paragraph, pointer, section, table, wide
from heads.abaw.tasks import TASKS

Report = dict[str, Any]
OWN = {"threshold": "thresholds", "bias": "bias", "scale": "scale", "shift": "shift", "k": "k"}
"""Numbers of which every output may have its own."""
UNITS = {"au": "action unit", "expr": "expression", "va": "dimension"}


def outputs(report: Report) -> str:
    """Score of every output, with the numbers that it has of its own, and the task's own pictures."""
    held = report.get("per_output_held_out")
    lists = {name: key for name, key in OWN.items() if isinstance(report.get(key), list)}
    tested = report["test"]["per_output"] if report["test"] is not None else None
    lines = []
    for i, name in enumerate(report["per_output"]):
        cells = [cell(report, "per_output", name)]
        cells += [cell(report, "per_output_held_out", name)] if held else []
        cells += [cell(report, key, i) for key in lists.values()]
        cells += [cell(report, "test", "per_output", name)] if tested is not None else []
        lines.append((name, cells))
    header = ("", "made from", *(["held out"] if held else []), *lists, *(["test"] if tested is not None else []))
    text = (
        f"The score is the plain mean over these, so the weakest {UNITS[report['task']]} is where most can be gained. "
        f'"Made from" is on the videos that the blend was made from.'
    )
    own = {"au": thresholds, "expr": confusion, "va": density}[report["task"]](report)
    return section("outputs", f"Every {UNITS[report['task']]}", paragraph(text, "soft"), table(header, lines), own)


def thresholds(report: Report) -> str:
    """au: F1 over the threshold, per unit."""
    curves = report.get("threshold_curves")
    if curves is None or not report.get("thresholds"):
        return ""
    names = list(report["per_output"])
    drawn = [charts_outputs.threshold(i, name, curves, report["thresholds"][i]) for i, name in enumerate(names)]
    legend = charts.legend(
        [
            (charts.key(0, "plain"), "F1, all validation videos"),
            (charts.sign('<path d="M1 6H27" stroke="var(--soft)" stroke-width=".8"/>'), "each fold's videos alone"),
            (charts.key(1), "threshold in use (beside the name)"),
            (
                charts.sign(
                    '<path d="M4 0V12H24V0Z" fill="var(--s1)" opacity=".16"/><path d="M5 7V12M12 7V12M23 7V12" '
                    'stroke="var(--s1)" stroke-width="1.3"/>'
                ),
                "thresholds found without a fold",
            ),
        ]
    )
    text = paragraph(
        "A flat top forgives any threshold. A narrow peak, or ticks far apart, say that the threshold is luck of these "
        "videos: more videos of this unit would help, other thresholds would not.",
        "soft",
    )
    rows = [
        (
            name,
            [
                cell(report, "thresholds", i),
                *(cell(report, "threshold_curves", "found_without_fold", f, i) for f in range(len(found))),
            ],
        )
        for found in [curves["found_without_fold"]]
        for i, name in enumerate(names)
    ]
    header = ("", "in use", *(f"without fold {f + 1}" for f in range(len(curves["found_without_fold"]))))
    return (
        "<h3>F1 against the threshold</h3>"
        + text
        + legend
        + panels(drawn)
        + details("The thresholds", table(header, rows))
    )


def confusion(report: Report) -> str:
    """expr: what is decided for what is shown, as a table shaded by share of the row."""
    cells = report.get("confusion")
    if cells is None:
        return ""
    names = list(report["per_output"])
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = []
    for i, (name, row) in enumerate(zip(names, cells, strict=True)):
        total = max(sum(row), 1)
        line = "".join(
            f'<td style="--v:{n / total:.2f}" data-key="{pointer("confusion", i, j)}"{_same(i == j)}>{n:,}</td>'
            for j, n in enumerate(row)
        )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{line}</tr>')
    scored = "held-out frames" if report.get("held_out") else "frames, on the video that the blend was made from"
    text = paragraph(
        f"Rows: what the annotators saw; columns: what is decided; {scored}. Shade: share of the row. The rim marks "
        "what is right. Two classes that take from each other in both directions are hard to tell; a column that "
        "takes from all is favoured by its bias.",
        "soft",
    )
    return (
        "<h3>Confusion</h3>"
        + text
        + wide(
            f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody>",
            len(names),
            "Confusion matrix",
            "heat",
        )
    )


def _decided(report: Report) -> str:
    """What is predicted by which blend."""
    return f"Each video is predicted by a blend that was made {'without it' if report.get('held_out') else 'from it'}."


def _same(is_it: bool) -> str:
    return ' class="same"' if is_it else ""


def density(report: Report) -> str:
    """va: where the frames are in the valence-arousal plane, and prediction against truth."""
    cells = report.get("density")
    if cells is None:
        return ""
    drawn = [
        charts_outputs.density("truth", "truth", cells["truth"], "valence", "arousal", False),
        charts_outputs.density("blend", "blend", cells["blend"], "valence", "arousal", False),
        charts_outputs.density("valence", "valence", cells["valence"], "truth", "blend", True),
        charts_outputs.density("arousal", "arousal", cells["arousal"], "truth", "blend", True),
    ]
    text = paragraph(
        f"The stronger a cell's colour, the more frames. {_decided(report)} A blend that covers less of the plane than "
        "the truth is too timid, which CCC punishes; frames far from the dashed line are wrong by much.",
        "soft",
    )
    return "<h3>Where the frames are: truth and prediction</h3>" + text + panels(drawn)


def reliability(report: Report) -> str:
    """Predicted against observed, per output."""
    bins = report.get("reliability")
    if not bins:
        return ""
    va = TASKS[report["task"]].is_regression
    drawn = [
        charts_outputs.reliability(i, name, one, -1.0 if va else 0.0) for i, (name, one) in enumerate(bins.items())
    ]
    if va:
        text = (
            "Mean annotated value over the mean prediction, in bins; the larger a dot, the more frames. Steeper "
            "than the dashed diagonal: predictions are too timid; flatter: too bold."
        )
    else:
        text = (
            "How often it is so, over the predicted probability, in bins; the larger a dot, the more frames. Below "
            "the dashed diagonal the blend is too sure, above it too careful. That does no harm where thresholds "
            "are tuned, but a probability is then not to be read as one."
        )
    rows = [(name, [cell(report, "reliability", name, "error")]) for name in bins]
    numbers = details("The distances as a table", table(("", "mean distance"), rows))
    legend = f"The number beside the name is the mean distance from the diagonal. {_decided(report)}"
    return section("reliability", "Reliability", paragraph(f"{text} {legend}", "soft"), figure(panels(drawn)), numbers)
