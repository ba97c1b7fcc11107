"""report.html: the report as one page that needs no network and no server. Every number on it is one of report.json.

Charts are SVG by matplotlib, and say their numbers (tips.js); the timeline is drawn by report.js from data that the
page carries. The page may load nothing: its content security policy forbids it.
"""

from __future__ import annotations

from blend.report import summary
from blend.report.caveats import list_caveats
from blend.report.html import sections
from blend.report.html.thumbnails import Faces
from blend.report.html.timeline import Timeline
from blend.report.leaderboard import list_cards
from blend.report.schema import Report
from heads.abaw.tasks import SINGLE_TASKS


def render(report: Report, timeline: Timeline | None = None, faces: Faces | None = None) -> str:
    """The page of a report. Equal arguments give equal bytes."""
    corpus, task = f" on {report['corpus']}" if report["corpus"] else "", SINGLE_TASKS[report["task"]]
    parts = [
        ("scores", "Scores", sections.scores(report)),
        ("smoothing", "Smoothing", sections.smoothing(report)),
        ("weights", "Weights", sections.weights(report)),
        ("outputs", "Outputs", sections.outputs(report)),
        ("reliability", "Reliability", sections.reliability(report)),
        ("videos", "Videos", sections.videos(report, timeline is not None)),
        ("timeline", "Timeline", sections.timeline(report, timeline, faces)),
        ("search", "Search", sections.search(report)),
        ("data", "Data", sections.data(report)),
        ("unlabelled", "Test", sections.unlabelled_test(report)),
        ("submission", "Submission", sections.submission(report)),
        ("made", "Making", sections.describe_making(report)),
    ]
    first = summary.warn_of_few_people(report)  # nothing else may be read before it
    short = [summary.describe_inputs(report), *summary.describe_drop(report)]
    return sections.render(
        "page", report, title=f"{task.title or task.name}{corpus}", cards=list_cards(report), first=first, short=short,
        lines=[line for line in summary.lines(report) if line not in (*first, *short)], caveats=list_caveats(report),
        parts=[part for part in parts if part[-1]], faces=faces is not None,
        scripts=["tables.js", "tips.js", *(["timeline.js", "report.js"] if timeline is not None else [])],
    )  # fmt: skip
