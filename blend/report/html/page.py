"""report.html: the report as one page that needs no network and no server. Every number on it is one of report.json.

Charts are SVG by matplotlib; the timeline is drawn by page.js and draw.js from data that the page carries. The
page may load nothing: its content security policy forbids it.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from blend.report.caveats import list_caveats
from blend.report.html import data as page_data
from blend.report.html import outputs as page_outputs
from blend.report.html import scores as page_scores
from blend.report.html import videos as page_videos
from blend.report.html.thumbnails import Faces
from blend.report.html.timeline import Timeline
from blend.report.pointers import mark_numbers, ref
from blend.report.summary import lines

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
PARTS = {
    "scores": "Scores",
    "smoothing": "Smoothing",
    "weights": "Weights",
    "outputs": "Outputs",
    "reliability": "Reliability",
    "videos": "Videos",
    "timeline": "Timeline",
    "search": "Search",
    "data": "Data",
    "unlabelled": "Test",
    "submission": "Submission",
}
TITLES = {"au": "Action units", "expr": "Expressions", "va": "Valence and arousal"}


def render(report: dict[str, Any], timeline: Timeline | None = None, faces: Faces | None = None) -> str:
    """The page of a report, as built by `blend.report` and `blend.report.report` (with "submission", "test" and
    "seconds"). Parts that a report lacks are left out. Equal arguments give equal bytes.
    """
    corpus = f" on {report['corpus']}" if report.get("corpus") else ""
    title = f"{TITLES[report['task']]}{corpus}"
    sections = [
        page_scores.scores(report),
        page_scores.smoothing(report),
        page_scores.weights(report),
        page_outputs.outputs(report),
        page_outputs.reliability(report),
        page_videos.videos(report, timeline is not None),
        page_videos.timeline(report, timeline, faces),
        page_scores.search(report),
        page_data.data(report),
        page_data.unlabelled_test(report),
        page_data.submission(report),
    ]
    links = "".join(
        f'<li><a href="#{name}">{word}</a></li>'
        for name, word in PARTS.items()
        if any(f'<section id="{name}">' in part for part in sections)
    )
    shared = " It holds pictures of faces: pass it on only where the corpus allows that." if faces is not None else ""
    script = f"<script>{_file('draw.js')}{_file('page.js')}</script>" if timeline is not None else ""
    return document(
        f"{title}: {report['metric']}",
        f"<header><h1>{escape(title)}</h1>\n{summary(report)}</header>\n"
        f'<nav aria-label="Parts of the report"><ul>{links}</ul></nav>\n<main>\n'
        + "\n".join(part for part in sections if part)
        + f"\n</main>\n<footer>Every number here stands in report.json beside this file.{shared}</footer>\n{script}",
    )


def document(title: str, body: str) -> str:
    """A whole page in the report's style, which loads nothing; `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_file('page.css')}</style></head>\n<body>\n{body}</body>\n</html>\n"
    )


def summary(report: dict[str, Any]) -> str:
    """In words: what to expect, what was done, what to worry about."""
    found = list_caveats(report)
    alarm = (
        '<ul class="worries">' + "".join(f"<li>{mark_numbers(text, report)}</li>" for text in found) + "</ul>"
        if found
        else '<ul class="worries none"><li>Nothing stands out.</li></ul>'
    )
    told = "".join(f"<p>{mark_numbers(text, report)}</p>" for text in lines(report))
    return f'<div class="expect">{_expected(report)}<div>{told}</div></div><h3>What to worry about</h3>{alarm}'


def _expected(report: dict[str, Any]) -> str:
    """The one number to take home."""
    if report["cross_fitted"] is None:
        number, what, band = ref("submitted"), "on the one video that it was made from", ""
    else:
        number, what = ref("expected"), "to be expected on new videos"
        low, high = ref("interval", 0), ref("interval", 1)
        band = (
            f'<p class="range">95 % interval {mark_numbers(f"{low} to {high}", report)}</p>'
            if report["interval"]
            else ""
        )
    return (
        f'<div><p class="soft">{escape(report["metric"])}</p>'
        f'<div class="big">{mark_numbers(number, report)}</div>{band}'
        f'<p class="soft">{what}</p></div>'
    )


def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
