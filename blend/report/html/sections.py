"""The parts of report.html, each of a template of its name: what it shows, and its charts.

Every function returns HTML, empty where the report lacks what the part is about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from blend.html import templates
from blend.report import pointers, published_scores
from blend.report.html import charts_outputs, charts_scores
from blend.report.leaderboard import HEADER, board
from blend.report.schema import Report
from blend.report.summary import TUNING_CAVEAT, mean_weights
from heads.abaw.tasks import SINGLE_TASKS, Labels

if TYPE_CHECKING:  # what makes them reads pictures and compiles kernels; index.html has neither
    from blend.report.html.thumbnails import Faces
    from blend.report.html.timeline import Timeline

ENVIRONMENT = templates.environment(Path(__file__).parent / "templates")
PUBLISHED_SERIES = {published_scores.SINGLE: 3, published_scores.BLEND: 4}
"""Series of the published curves."""
LEAST = 0.005
"""Importance that is worth a bar."""
OUTPUT_NUMBERS = {"threshold": "thresholds", "bias": "bias", "scale": "scale", "shift": "shift", "k": "k"}
"""Numbers of which every output may have its own."""
PARTS = ("train", "validation")


@pass_context
def _value(context: Context, place: str) -> Any:
    return pointers.value(context["report"], place)


@pass_context
def _number(context: Context, place: str, digits: int = 3) -> str:
    return pointers.format_number(_value(context, place), digits)


def _flat(path: Any) -> Iterator[str | int]:
    """A path whose parts may be paths."""
    for part in path:
        yield from _flat(part) if isinstance(part, tuple) else (part,)


ENVIRONMENT.filters |= {
    "pieces": pointers.pieces,
    "pointer": lambda path: pointers.pointer(*_flat(path)),
    "value": _value,
    "number": _number,
}
ENVIRONMENT.globals |= {"ref": lambda *path: pointers.ref(*_flat(path)), "zip": zip}


def render(name: str, report: Mapping[str, Any], **context: Any) -> Markup:
    """A template's HTML for a report."""
    return Markup(ENVIRONMENT.get_template(f"{name}.html").render(report=report, **context))


def scores(report: Report) -> Markup:
    """The leaderboard as a chart and as a table, and the folds."""
    rows = board(report)
    crossed = report["cross_fitted"] or {"videos": []}
    path = ("cross_fitted",)
    folds: list[tuple[str, tuple[str | int, ...], str]] = [
        *((f"fold {i + 1}", (*path, "folds", i), ", ".join(videos)) for i, videos in enumerate(crossed["videos"])),
        ("mean of the folds", (*path, "mean"), ""),
        ("their standard deviation", (*path, "std"), ""),
        ("all held-out videos together", (*path, "pooled"), ""),
        ("optimism", ("optimism",), "what is gained on the videos it was made from"),
    ]
    chosen = next((row["name"] for row in rows if row["submitted"]), None)
    return render(
        "scores", report, header=HEADER, rows=[(row["name"], row["from"]) for row in rows], chosen=chosen, folds=folds,
        chart=charts_scores.leaderboard(rows), tuned_here=TUNING_CAVEAT if report["heads_tuned_here"] else "",
    )  # fmt: skip


def smoothing(report: Report) -> Markup:
    """Score against k, beside the published curves where the corpus is theirs."""
    curve, kernel = report["score_against_k"], report["kernel"]
    lines = [_line("blend", curve["k"], curve["score"], 0, report["k"]) | {"place": ("score_against_k", "score")}]
    heads = report["heads_against_k"]
    for series, (name, values) in enumerate(heads["score"].items(), start=1):
        title = "equal weights" if name == "equal" else name
        line = _line(title, heads["k"], values, series, report["baselines"][name]["k"])
        lines.append(line | {"place": ("heads_against_k", "score", name)})
    means = {"gaussian": "gaussian; sigma", "median": "median of 2k + 1 frames"}
    label = f"k ({means.get(kernel, f'{kernel}; the mean over 2k + 1 frames')})"
    chart = charts_scores.against_k("smoothing-chart", curve["k"], lines, label)
    return render("smoothing", report, lines=lines, chart=chart, published=_published(report, lines))


def _line(name: str, ks: list[int], values: list[Any], series: int, chosen: Any) -> dict[str, Any]:
    chosen = chosen if isinstance(chosen, int) else None  # every output may have its own
    return {"name": name, "k": ks, "score": values, "series": series, "chosen": chosen}


def _published(report: Report, lines: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The published curves with ours beside them."""
    names, labelled = ([video[key] for video in report["videos"]] for key in ("video", "labelled"))
    curves = published_scores.curves(report["task"], names, sum(labelled))
    if not curves:
        return None
    theirs = [_line(name, list(c), list(c.values()), PUBLISHED_SERIES[name], None) for name, c in curves.items()]
    every = [lines[0] | {"chosen": None}, *lines[1:2], *theirs]
    ks = sorted({k for curve in curves.values() for k in curve})
    chart = charts_scores.against_k("published-chart", ks, every, "k (the mean over 2k + 1 frames)")
    return {"chart": chart, "lines": every}


def weights(report: Report) -> Markup:
    """Bars, or a table where every output has weights of its own."""
    ranked = mean_weights(report)
    each = any(isinstance(w, list) for w in report["weights"].values())
    shown = {head: w for head, w in ranked.items() if w > 0}
    place = () if each else ("weights",)
    chart = charts_scores.bars("weights-chart", "Weight of each head", shown, digits=3, place=place)
    return render("weights", report, ranked=list(ranked), chart=chart)


def search(report: Report) -> Markup:
    """History and importance of the tuned blend's search."""
    result = report["search"]
    if not result["score"]:
        return Markup()
    importance = None
    if result["importance"]:
        matter = {name: share for name, share in result["importance"].items() if share >= LEAST}
        importance = charts_scores.bars("importance-chart", "Importance", matter, 2, place=("search", "importance"))
    history = charts_scores.history(result)
    return render("search", report, kinds=charts_scores.kinds(result), history=history, importance=importance)


def outputs(report: Report) -> Markup:
    """Score of every output, with the numbers that it has of its own, and the task's own pictures."""
    task = SINGLE_TASKS[report["task"]]
    return render(
        "outputs", report, unit=task.unit, labels=task.labels, held_out=report["per_output_held_out"],
        names=[task.describe(name) for name in report["per_output"]],
        told=list(next(iter(report["decisions"].values()), {})),
        own={name: key for name, key in OUTPUT_NUMBERS.items() if isinstance(report.get(key), list)},
        charts=PICTURES[task.labels](report),
    )  # fmt: skip


def _thresholds(report: Report) -> list[Markup]:
    """au: F1 over the threshold, per unit."""
    curves = report.get("threshold_curves")
    if curves is None or not report["thresholds"]:
        return []
    chosen, told = zip(report["per_output"], report["thresholds"], strict=True), SINGLE_TASKS[report["task"]].describe
    return [charts_outputs.threshold(i, name, curves, cut, told(name)) for i, (name, cut) in enumerate(chosen)]


def _density(report: Report) -> list[Markup]:
    """va: where the frames are in the plane of the outputs, and prediction against truth."""
    cells = report.get("density")
    if cells is None:
        return []
    across, up, *_ = report["per_output"]
    axes = {name: (across, up, False) for name in ("truth", "blend")}
    axes |= {name: ("truth", "blend", True) for name in report["per_output"]}
    return [charts_outputs.density(name, cells[name], *of) for name, of in axes.items()]


PICTURES: dict[Labels, Callable[[Report], Any]] = {
    "multilabel": _thresholds,
    "multiclass": lambda report: report.get("confusion"),
    "regression": _density,
}
"""What only one kind of labels has; its template is `outputs_<kind>.html`."""


def reliability(report: Report) -> Markup:
    """Predicted against observed, per output."""
    bins = report["reliability"]
    task = SINGLE_TASKS[report["task"]]
    drawn = [
        charts_outputs.reliability(i, name, item, float(task.lowest), task.describe(name))
        for i, (name, item) in enumerate(bins.items())
    ]
    return render("reliability", report, values=task.is_regression, charts=drawn)


def videos(report: Report, has_timeline: bool) -> Markup:
    """Scores of every video; the ones that pull the score down by name."""
    rows = report["videos"]
    number = {row["video"]: i for i, row in enumerate(rows)}
    ranked = sorted(number, key=lambda name: (rows[number[name]]["influence"] or 0.0, name))
    people = [(entry["influence"] or 0.0, entry["person"], i) for i, entry in enumerate(report["people"] or [])]
    return render(
        "videos", report, values=SINGLE_TASKS[report["task"]].is_regression,
        chart=charts_scores.videos(rows, report["metric"]), ranked=[number[name] for name in ranked],
        worst=[number[name] for name in charts_scores.worst_of(rows)],
        people=[(name, i) for _, name, i in sorted(people)],
        places={name: place for place, name in enumerate(sorted(number))} if has_timeline else None,
    )  # fmt: skip


def timeline(report: Report, made: Timeline | None, faces: Faces | None) -> Markup:
    """Any video to scroll and zoom; what it needs is packed into the page."""
    if made is None:
        return Markup()
    names = made.about["names"]
    influence = {row["video"]: row["influence"] or 0.0 for row in report["videos"]}
    return render(
        "timeline", report, values=SINGLE_TASKS[report["task"]].is_regression,
        about=made.about | {"faces": [list(frame) for frame in faces.frames] if faces is not None else None},
        ranked=sorted(range(len(names)), key=lambda v: (influence.get(names[v], 0.0), names[v])),
        data=made.data, strips=faces.strips if faces is not None else (),
    )  # fmt: skip


def data(report: Report) -> Markup:
    """Frames, gaps, invalid labels, and how often everything occurs in train and validation."""
    facts = report["data"]
    parts = [part for part in PARTS if facts[part] is not None]
    task, here = SINGLE_TASKS[report["task"]], facts["validation"]["outputs"]
    if task.is_regression:
        drawn = [
            charts_outputs.histogram(name, {part: facts[part]["outputs"][name]["frames"] for part in parts})
            for name in here
        ]
    else:
        train = facts["train"]["outputs"] if facts["train"] else {name: {"rate": None} for name in here}
        rows = [(name, train[name]["rate"], item["rate"]) for name, item in here.items()]
        drawn = [charts_outputs.balance(rows)]
    names = {name: task.describe(name) for name in here}
    return render("data", report, values=task.is_regression, parts=parts, charts=drawn, names=names)


def unlabelled_test(report: Report) -> Markup:
    """A table of every share, mean and spread on validation and on test, and how far draws of validation go."""
    facts = report["unlabelled_test"]
    return render("unlabelled", report) if facts and facts["shares"] else Markup()


def submission(report: Report) -> Markup:
    """What is handed in, and the other submissions."""
    sent, sure = report["submission"], report.get("filter")
    counts, path = sent["filled_by_head"], ("submission",)
    rows: list[tuple[str, Any, int]] = [
        *([(f"{sure['head']} decides where it is above", ("filter", "t"), 3)] if sure else []),
        ("lines, header included", (*path, "lines"), 3),
        ("frames", (*path, "frames"), 3),
        ("of these filled", (*path, "filled"), 3),
        *((f"filled for {h}", (*path, "filled_by_head", h), 3) for h in counts if counts[h] != sent["filled"]),
        ("videos without a face", ", ".join(sent["videos_without_face"]) or "none", 3),
        ("trials of the search", ("trials",), 3),
        ("seed", ("seed",), 3),
        ("seconds", ("seconds",), 1),
        *((f"seconds of {name}", ("seconds_of", name), 1) for name in report["seconds_of"]),
    ]
    return render("submission", report, rows=rows)


def describe_making(report: Report) -> Markup:
    """When and how the report was made, what heads took, and the whole config."""
    facts = report["made"]
    if facts is None:
        return Markup()
    config = json.dumps(facts["config"], indent=2, ensure_ascii=False)
    return render("made", report, heads=list(facts["heads"]), config=config)
