"""report.html: the report as one page that needs no network. Every number on it is one of report.json."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from blend.summary import HEADER, number, rows, sentences

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #667; --line: #d5d9e0; --bar: #3b6fb6; }
@media (prefers-color-scheme: dark) {
:root { --ink: #e4e7ec; --paper: #16191e; --soft: #98a1af; --line: #343a44; --bar: #7aa7e8; }
}
body { color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left; }
td + td, th + th { text-align: right; font-variant-numeric: tabular-nums; }
svg text { fill: var(--soft); font-size: 11px; } .bar { fill: var(--bar); }
.curve { stroke: var(--bar); stroke-width: 2; fill: none; }
.axis { stroke: var(--line); } .soft { color: var(--soft); }
"""
WIDTH, HEIGHT, MARGIN = 640, 220, 44


def render(report: dict[str, Any]) -> str:
    """The page of a report, as built by `blend.report` (with "submission", "test" and "seconds")."""
    title = f"{report['task']} blend: {report['metric']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(line)}</p>" for line in sentences(report)),
        "<h2>Scores on validation</h2>",
        _table(HEADER, rows(report)),
        '<p class="soft">Plain: unsmoothed, and for action units cut at 0.5. Tuned: smoothing, thresholds and all '
        "else chosen, scored on the same videos. Held out: the same, scored on videos that were left out.</p>",
        _folds(report),
        "<h2>Score against smoothing</h2>",
        _curve(report["score_against_k"], report["k"], report["kernel"]),
        "<h2>Weights</h2>",
        _bars({head: _mean(weight) for head, weight in report["weights"].items()}),
        "<h2>Per output</h2>",
        _per_output(report),
        _submissions(report),
        "<h2>Frames</h2>",
        _table(("", ""), _facts(report)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head = "<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in header) + "</tr>" if any(header) else ""
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table>{head}\n{body}</table>"


def _mean(weight: float | list[float]) -> float:
    return sum(weight) / len(weight) if isinstance(weight, list) else weight


def _folds(report: dict[str, Any]) -> str:
    crossed = report["cross_fitted"]
    if crossed is None:
        return ""
    lines = [
        (f"fold {i + 1}: {', '.join(videos)}", number(score))
        for i, (videos, score) in enumerate(zip(crossed["videos"], crossed["folds"], strict=True))
    ]
    lines += [
        ("mean of the folds", number(crossed["mean"])),
        ("their standard deviation", number(crossed["std"])),
        ("all held-out videos together", number(crossed["pooled"])),
        ("what is gained on the videos it was made from (optimism)", number(report["optimism"])),
    ]
    return "<h2>Cross-fitted: made without these videos, scored on them</h2>" + _table(
        ("held-out videos", "score"), lines
    )


def _curve(curve: dict[str, list[Any]], chosen: int | list[int], kernel: str) -> str:
    """The score over k as a line; spacing by rank, because k spans orders of magnitude."""
    points = [(k, score) for k, score in zip(curve["k"], curve["score"], strict=True) if score is not None]
    if not points:
        return "<p>not defined</p>"
    low, high = min(score for _, score in points), max(score for _, score in points)
    span = (high - low) or 1.0
    x = [MARGIN + i * (WIDTH - 2 * MARGIN) / max(len(points) - 1, 1) for i in range(len(points))]
    y = [HEIGHT - MARGIN - (score - low) / span * (HEIGHT - 2 * MARGIN) for _, score in points]
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    dots = "".join(
        f'<circle class="bar" cx="{a:.1f}" cy="{b:.1f}" r="{5 if k == chosen else 2.5}"><title>k = {k}: {number(score)}'
        f"</title></circle>"
        for a, b, (k, score) in zip(x, y, points, strict=True)
    )
    ticks = "".join(
        f'<text x="{a:.1f}" y="{HEIGHT - 22}" text-anchor="middle">{k}</text>'
        for a, (k, _) in zip(x, points, strict=True)
    )
    own = (
        "every output has a k of its own" if isinstance(chosen, list) else f"the large dot is the chosen one, {chosen}"
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="score against k">'
        f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{HEIGHT - MARGIN}" y2="{HEIGHT - MARGIN}"/>'
        f'<polyline class="curve" points="{line}"/>{dots}{ticks}'
        f'<text x="{MARGIN}" y="{MARGIN - 10}">{number(high)}</text>'
        f'<text x="{MARGIN}" y="{HEIGHT - MARGIN - 4}">{number(low)}</text>'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 4}" text-anchor="middle">k ({escape(kernel)}); '
        f"{own}</text></svg>"
    )


def _bars(values: dict[str, float]) -> str:
    step = 24
    lines = "".join(
        f'<text x="0" y="{i * step + 15}">{escape(name)}</text>'
        f'<rect class="bar" x="220" y="{i * step + 3}" width="{max(value, 0) * 340:.1f}" height="16"/>'
        f'<text x="{225 + max(value, 0) * 340:.1f}" y="{i * step + 15}">{number(value)}</text>'
        for i, (name, value) in enumerate(values.items())
    )
    height = step * len(values) + 4
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" aria-label="weights">{lines}</svg>'


def _per_output(report: dict[str, Any]) -> str:
    """Scores, and the numbers of which every output has its own."""
    own = {"threshold": "thresholds", "bias": "bias", "scale": "scale", "shift": "shift", "k": "k"}
    lists = {name: report[key] for name, key in own.items() if isinstance(report.get(key), list)}
    tested = report["test"]["per_output"] if report["test"] is not None else None
    lines = []
    for i, (name, score) in enumerate(report["per_output"].items()):
        numbers = [str(one[i]) if isinstance(one[i], int) else number(one[i]) for one in lists.values()]
        lines.append([name, number(score), *numbers, *([number(tested[name])] if tested is not None else [])])
    return _table(["", "validation", *lists, *(["test"] if tested is not None else [])], lines)


def _submissions(report: dict[str, Any]) -> str:
    """The files that were written beside the main one, and what was not."""
    made = report.get("submissions")
    if made is None:
        return ""
    tested = any("test" in one for one in made["files"])
    header = ["file", "what", "lines unlike the first", *(["test"] if tested else [])]
    lines = [
        [one["file"], one["what"], f"{one['differs']:.1%}", *([number(one["test"])] if tested else [])]
        for one in made["files"]
    ]
    left_out = "".join(f'<p class="soft">Left out: {escape(text)}.</p>' for text in made["left_out"])
    return "<h2>Submissions</h2>" + _table(header, lines) + left_out


def _facts(report: dict[str, Any]) -> list[tuple[str, ...]]:
    frames, sent = report["frames"], report["submission"]
    lacking = ", ".join(f"{head} {count:,}" for head, count in sent.get("filled_by_head", {}).items())
    sure = report.get("filter")
    return [
        ("validly annotated validation frames", f"{frames['labelled']:,}"),
        ("of these with a prediction of every head", f"{frames['with_features']:,}"),
        ("of these filled", f"{frames['filled']:,}"),
        ("validation videos without a face", ", ".join(frames["videos_without_face"]) or "none"),
        ("lines of the submission, header included", f"{sent['lines']:,}"),
        ("submitted frames that were filled", f"{sent['filled']:,}"),
        ("of these by head", lacking or "not counted"),
        ("submitted videos without a face", ", ".join(sent["videos_without_face"]) or "none"),
        *([("decides where it is sure", f"{sure['head']}, above {number(sure['t'])}")] if sure else []),
        ("trials", f"{report['trials']:,}"),
        ("seed", str(report["seed"])),
        ("seconds", f"{report['seconds']:.1f}"),
    ]
