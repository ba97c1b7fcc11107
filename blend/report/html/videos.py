"""The page's parts with something per video: scores, the worst named, and the timeline."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from blend.report.html import charts, charts_scores
from blend.report.html.thumbnails import Faces
from blend.report.html.timeline import Timeline
from blend.report.pointers import cell, details, figure, paragraph, section, wide
from heads.abaw.tasks import TASKS

Report = dict[str, Any]
HEADER = ("", "score", "influence", "annotated", "filled")
COLUMNS = ("score", "influence", "labelled", "filled")
DIGITS = {"influence": 4}
"""One video of many changes little."""
KEYS = ", ".join(
    f"<span>{' '.join(f'<kbd>{key}</kbd>' for key in keys)} {what}</span>"
    for keys, what in (
        ("←→", "scroll"),
        ("+−", "zoom"),
        ("0", "all"),
        (",.", "step through frames"),
        ("[]", "other video"),
    )
)


def videos(report: Report, has_timeline: bool) -> str:
    """Scores of every video; the ones that pull the score down by name."""
    rows = report.get("videos")
    if not rows:
        return ""
    worst = charts_scores.worst_of(rows)
    number = {row["video"]: i for i, row in enumerate(rows)}
    place = {name: v for v, name in enumerate(sorted(number))}
    ranked = sorted(number, key=lambda name: (rows[number[name]]["influence"] or 0.0, name))
    chart = charts_scores.videos(rows, report["metric"])
    legend = charts.legend(
        [
            (charts.key(0, "mark"), "a video"),
            (charts.key(1, "hollow"), "pulls the score down most (numbered as listed)"),
        ]
    )
    few = _table(report, worst, number, place, has_timeline, True)
    values = TASKS[report["task"]].is_regression
    what = "the mean CCC within the video" if values else "the mean over what occurs in the video"
    scored = "made without it" if report.get("held_out") else "made from it"
    text = (
        f"Each video is decided by a blend that was {scored}. Score: {what}. Influence: the score of all videos less "
        "that of the others; negative ones pull it down. Look first at those: often it is the labels, another "
        "person's face, or frames without one."
    )
    return section(
        "videos",
        "Videos",
        paragraph(text, "soft"),
        '<div class="pair">',
        figure(chart, legend=legend),
        few if worst else paragraph("No video pulls the score down."),
        "</div>",
        details(f"All {len(rows)} videos", _table(report, ranked, number, place, has_timeline, False)),
    )


def _table(
    report: Report, names: list[str], number: dict[str, int], place: dict[str, int], linked: bool, ranked: bool
) -> str:
    head = "".join(f'<th scope="col"{" class=n" if i else ""}>{name}</th>' for i, name in enumerate(HEADER))
    lines = []
    for rank, name in enumerate(names, start=1):
        i = number[name]
        cells = [cell(report, "videos", i, key, digits=DIGITS.get(key, 3)) for key in COLUMNS]
        title = escape(name)
        if linked:
            title = f'<a href="#timeline" data-video="{place[name]}">{title}</a>'
        lines.append(f"<tr><th scope='row'>{f'{rank}. ' if ranked else ''}{title}</th>{''.join(cells)}</tr>")
    return wide(f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>", len(HEADER))


def timeline(report: Report, made: Timeline | None, faces: Faces | None) -> str:
    """Any video to scroll and zoom; what it needs is packed into the page."""
    if made is None:
        return ""
    about = made.about | {"faces": [list(one) for one in faces.frames] if faces is not None else None}
    influence = {row["video"]: row["influence"] or 0.0 for row in report.get("videos", [])}
    ranked = sorted(range(len(made.data)), key=lambda v: (influence.get(about["names"][v], 0.0), about["names"][v]))
    choices = "".join(f'<option value="{v}">{escape(about["names"][v])}</option>' for v in ranked)
    heads = "".join(f'<option value="{h}">{escape(name)}</option>' for h, name in enumerate(about["heads"]))
    packed = [f'<script type="text/plain" id="timeline-{v}">{one}</script>' for v, one in enumerate(made.data)]
    if faces is not None:
        packed += [
            f'<script type="text/plain" id="faces-{v}">{one}</script>' for v, one in enumerate(faces.strips) if one
        ]
    table = json.dumps(about, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    stride = about["stride"]
    coarse = f" To keep the page small, {stride} frames share a value." if stride > 1 else ""
    text = (
        "The videos that pull the score down most come first. The blend is the one in params.json, which was made "
        f"from these videos too; heads are as they predict, before smoothing.{coarse}"
    )
    return section(
        "timeline",
        "Timeline",
        paragraph(text, "soft"),
        _controls(choices, heads),
        charts.legend(_signs(report)),
        '<div id="timeline-scroll" tabindex="0" role="group" aria-label="Timeline" aria-describedby="timeline-keys">'
        '<div id="timeline-inner"><canvas id="timeline-canvas" role="img" aria-label="Curves of the chosen video">'
        "</canvas></div></div>",
        '<p id="timeline-read" class="hint" aria-live="polite"></p>',
        f'<p id="timeline-keys" class="hint">Keys, once the timeline has the focus: {KEYS}. Ctrl and the wheel zoom, '
        "too.</p>",
        f'<script type="application/json" id="timeline-about">{table}</script>',
        *packed,
    )


def _controls(choices: str, heads: str) -> str:
    return (
        '<div class="controls">'
        f'<label>Video <select id="timeline-video">{choices}</select></label>'
        '<span><button type="button" id="timeline-before" aria-label="previous video">‹</button>'
        '<button type="button" id="timeline-after" aria-label="next video">›</button></span>'
        f'<label>Head <select id="timeline-head"><option value="-1">none</option>{heads}</select></label>'
        '<span>Zoom <button type="button" id="timeline-out" aria-label="zoom out">−</button>'
        '<button type="button" id="timeline-in" aria-label="zoom in">+</button>'
        '<button type="button" id="timeline-all">all</button></span></div>'
    )


def _signs(report: Report) -> list[tuple[str, str]]:
    hatch = charts.sign('<path d="M2 12 12 0M8 12 18 0M14 12 24 0" stroke="var(--soft)" stroke-width=".9"/>')
    head = charts.sign('<path d="M1 6H27" stroke="var(--s3)" stroke-dasharray="3 2" stroke-width="1.2"/>')
    blend = (charts.key(0, "plain"), "blend")
    if TASKS[report["task"]].is_regression:
        truth = charts.sign('<path d="M1 6H27" stroke="var(--s2)" stroke-dasharray="7 2" stroke-width="1.7"/>')
        return [(truth, "truth"), blend, (head, "the chosen head"), (hatch, "no face: filled")]
    upper = charts.sign('<path d="M1 3.5H27" stroke="var(--s2)" stroke-width="4"/>')
    lower = charts.sign('<path d="M1 9H27" stroke="var(--s1)" stroke-width="4"/>')
    dots = charts.sign('<path d="M3 6H27" stroke="var(--soft)" stroke-width="1.6" stroke-dasharray="1.6 4.4"/>')
    signs = [(upper, "upper bar: truth"), (lower, "lower bar: decided"), (dots, "not annotated"), blend]
    signs.append((head, "the chosen head"))
    if report.get("thresholds"):
        cut = charts.sign('<path d="M1 6H27" stroke="var(--s1)" stroke-dasharray="4 3"/>')
        signs.append((cut, "threshold"))
    return [*signs, (hatch, "no face: filled")]
