"""Blends side by side, and by how much one is better than another on other videos.

    python -m blend.compare runs/a/blend/au runs/b/blend/au
    python -m blend.compare runs/*/blend/au --html compared.html

Read are the reports alone, which hold every validation video's counts. Compared are held-out scores: each video decided
by a blend that was made without it. Both blends are scored on the same draws of the videos, because most of the spread
of a score is which videos there are, and that is the same for both.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typing_extensions import TypedDict

from blend.report.schema import Interval, Score, Smoothing, Video, Weights
from blend.tasks.lookup import BLEND_TASKS
from extract import config as configs
from extract.runtime import cli, errors, run_folder
from extract.runtime.console import console, number_table
from extract.runtime.errors import InputError
from heads.abaw.tasks import MTL, SINGLE_TASKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from blend.calibrate.video_counts import Table

DRAWS = 10_000
ComparedRun = TypedDict("ComparedRun", {
    "task": str, "metric": str, "select": str, "held_out": bool, "videos": list[Video], "k": Smoothing, "kernel": str,
    "weights": Weights, "submitted": Score, "interval": Interval,
})  # fmt: skip
"""A blend's report, as far as it is compared: somebody may have edited it, or an older version has written it."""


@dataclass(frozen=True)
class Run:
    """A folder's name, and its report."""

    name: str
    report: ComparedRun

    @property
    def videos(self) -> list[Video]:
        """Every annotated validation video, by name."""
        return self.report["videos"]


def main(paths: list[Path], draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """Compare two blends or more of one task; returns what the command prints.

    `runs` in the order given; `differences` of every later one against every earlier one: `difference` in the score,
    `interval` (95 %, or None for a single video) and `better_in`, the share of the draws in which the later one is
    better. Raises InputError for a folder without a report, reports of older versions, and runs of different tasks,
    videos or labels.
    """
    if len(paths) < 2:
        raise InputError("give two blends or more to compare: folders with a report.json")
    if twice := [path for i, path in enumerate(paths) if path in paths[:i]]:
        raise InputError(f"{twice[0]}: given twice; give different blends")
    runs = [read(path) for path in paths]
    for other in runs[1:]:
        _comparable(runs[0], other)
    held_out = all(run.report["held_out"] for run in runs)
    key = "counts" if held_out else "counts_submitted"
    pairs = [(j, i) for j in range(1, len(runs)) for i in range(j)]
    return {
        "task": runs[0].report["task"],
        "metric": runs[0].report["metric"],
        "compared": "held_out" if held_out else "submitted",
        "videos": len(runs[0].videos),
        "draws": draws,
        "seed": seed,
        "runs": [_facts(run, key) for run in runs],
        "differences": [difference(runs[j], runs[i], key, draws, seed) for j, i in pairs],
    }


def read(path: Path) -> Run:
    """A run folder's report (or the file itself). Raises InputError where there is none that can be compared."""
    file = path / "report.json" if os.path.isdir(path) else path
    run_folder.check_result(file, "python -m blend.run makes it anew")
    report: Any = run_folder.read_json(file, "give a folder that blend.run has finished, such as runs/demo/blend/au")
    task = str(report.get("task"))
    if task == MTL:
        raise InputError(f"{file}: is of the multi-task challenge; compare its parts, as in {file.parent / 'va'}")
    if task not in SINGLE_TASKS:
        raise InputError(f"{file}: no report of a blend; give a folder such as runs/demo/blend/au")
    if lacking := [name for name in ComparedRun.__annotations__ if name not in report]:
        raise InputError(f"{file}: lacks {lacking[0]!r}: of an older version; run python -m blend.run again")
    if not report["videos"]:
        raise InputError(f"{file}: holds no annotated video")
    configs.check(ComparedRun, report, file, strict=True)
    for video in report["videos"]:
        for key in ("counts", "counts_submitted"):
            rows, columns = BLEND_TASKS[task].table_shape
            if [len(row) for row in video[key]] != [columns] * rows:
                raise InputError(f"{file}: {key} of video {video['video']!r} are not {rows} rows of {columns} numbers")
    return Run(str(path), report)


def _comparable(first: Run, other: Run) -> None:
    """Raise InputError where two runs are not of the same task, videos and labels."""
    tasks = first.report["task"], other.report["task"]
    if tasks[0] != tasks[1]:
        raise InputError(f"{other.name}: is of task {tasks[1]!r}, but {first.name} of {tasks[0]!r}; compare one task")
    names = [{video["video"]: video for video in run.videos} for run in (first, other)]
    if odd := sorted(names[0].keys() ^ names[1].keys()):
        has, lacks = (first, other) if odd[0] in names[0] else (other, first)
        raise InputError(
            f"{lacks.name}: lacks the validation video {odd[0]!r} of {has.name} ({len(odd)} videos differ); only "
            "blends of the same videos can be compared"
        )
    if odd := sorted(name for name in names[0] if names[0][name]["truth"] != names[1][name]["truth"]):
        raise InputError(
            f"{other.name}: video {odd[0]!r} has other labels than in {first.name}; only blends of the same "
            f"annotations can be compared"
        )


def difference(run: Run, against: Run, key: str, draws: int, seed: int) -> dict[str, Any]:
    """How much better `run` is than `against`, on the same draws of the videos.

    The interval is around the difference found, its deviations widened as those of `blend.crossfit` are for few videos
    of unequal lengths. Videos of one person (or recording) are drawn together.
    """
    import numpy as np

    from blend.calibrate import video_counts
    from blend.report.videos import tables

    mine, theirs = (sorted(item.videos, key=lambda v: v["video"]) for item in (run, against))
    of = np.unique(
        [-1 - v if video.get("group") is None else video["group"] for v, video in enumerate(mine)], return_inverse=True
    )[1]
    labelled = np.bincount(of, weights=[video["labelled"] for video in mine]).astype(int).tolist()
    ours, rest = (video_counts.sum_groups(tables(videos, key), of) for videos in (mine, theirs))
    result = gain(run.report["task"], [ours], [rest], labelled, draws, seed)
    return {"of": run.name, "against": against.name, **result}


def gain(
    task: str, candidates: Sequence[Table], baselines: Sequence[Table], labelled: Sequence[int], draws: int, seed: int
) -> dict[str, Any]:
    """`difference`, `interval` and `better_in` of per-video counts (calibrate.video_counts) against others of the same
    videos.

    Several of each are repetitions, such as seeds: the mean of their differences counts, on the same draws for all.
    `labelled` has the annotated frames of each video.
    """
    import numpy as np

    from blend.calibrate import video_counts
    from blend.crossfit import interval

    def scores(tables: Sequence[Table]) -> NDArray[np.float64]:
        return np.mean([video_counts.draw(task, table, draws, seed) for table in tables], 0)

    whole = [[video_counts.score(task, table.sum(0)) for table in tables] for tables in (candidates, baselines)]
    gained = float(np.mean(whole[0]) - np.mean(whole[1]))
    results: dict[str, Any] = {"difference": video_counts.encode_number(gained)}
    drawn = scores(candidates) - scores(baselines)
    drawn = drawn[np.isfinite(drawn)]
    if len(labelled) < 2 or not len(drawn) or not np.isfinite(gained):
        return results | {"interval": None, "better_in": None}
    wider = interval.widen_factor(task, np.array(labelled, np.int64))
    # a difference of two CCC, or of two F1; on Fisher's z no bound leaves it
    widest = 1.0 - SINGLE_TASKS[task].lowest
    free = np.arctanh(np.clip(drawn / widest, -0.999, 0.999))
    at = np.arctanh(np.clip(gained / widest, -0.999, 0.999))
    low, high = widest * np.tanh(at + wider * (np.quantile(free, [0.025, 0.975]) - free.mean()))
    better = float((drawn > 0).mean() + 0.5 * (drawn == 0).mean())
    return results | {"interval": [float(low), float(high)], "better_in": better}


def _facts(run: Run, key: str) -> dict[str, Any]:
    from blend.calibrate import video_counts
    from blend.report.videos import tables

    report = run.report
    score = video_counts.encode_number(float(video_counts.score(report["task"], tables(run.videos, key).sum(0))))
    held_out = {"run": run.name, "score": score, "interval": report["interval"] if key == "counts" else None}
    same = {name: report[name] for name in ("submitted", "select", "kernel", "k")}  # type: ignore[literal-required]
    weigh = (head for head, each in report["weights"].items() if (any(each) if isinstance(each, list) else each))
    return held_out | same | {"heads": list(weigh)}


def verdict(item: dict[str, Any]) -> str:
    """One difference in words."""
    if item["difference"] is None:
        return f"{item['of']} and {item['against']} cannot be compared: a score is not defined."
    if item["interval"] is None:
        return f"{item['of']} scores {item['difference']:+.4f} against {item['against']}: a single video says no more."
    low, high = item["interval"]
    said = "is better than" if low > 0 else "is worse than" if high < 0 else "cannot be told apart from"
    return (
        f"{item['of']} {said} {item['against']}: {item['difference']:+.4f} (95 % interval {low:+.4f} to {high:+.4f}), "
        f"better in {item['better_in']:.1%} of the draws."
    )


COLUMNS = ("blend", "held out", "95 % interval", "made from", "k", "heads", "against the first")


def rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each run, with COLUMNS."""
    from blend.report.pointers import format_number
    from blend.report.summary import number

    held = result["compared"] == "held_out"
    first = {item["of"]: item for item in result["differences"] if item["against"] == result["runs"][0]["run"]}
    results = []
    for run in result["runs"]:
        band = f"{run['interval'][0]:.4f} to {run['interval'][1]:.4f}" if run["interval"] else ""
        gain = first.get(run["run"])
        against = f"{gain['difference']:+.4f}" if gain and gain["difference"] is not None else ""
        cells = (run["run"], number(run["score"]) if held else "", band, number(run["submitted"]))
        results.append((*cells, format_number(run["k"], 0), str(len(run["heads"])), against))
    return results


def describe_decisions(result: dict[str, Any]) -> str:
    """Of which decisions the scores are, in words."""
    if result["compared"] == "held_out":
        return "Compared are held-out scores: each video is decided by a blend that was made without it."
    return (
        "Compared are scores on the videos that the blends were made from, because one could not be cross-fitted: "
        "whichever was searched for longer has an advantage."
    )


def _title(result: dict[str, Any]) -> str:
    return f"{result['task']}: {result['metric']} on {result['videos']} validation videos"


def show(result: dict[str, Any]) -> None:
    """Print the runs as a table, and every difference in words."""
    out = console()
    out.print(number_table(COLUMNS, rows(result), title=_title(result)))
    out.print(describe_decisions(result))
    for entry in result["differences"]:
        out.print(verdict(entry))


def render(result: dict[str, Any]) -> str:
    """The same as a page of HTML, with the differences as a chart. Equal results give equal bytes."""
    from blend.report.html import charts_scores, sections

    return sections.render(
        "compare",
        result,
        title=_title(result),
        what=describe_decisions(result),
        header=COLUMNS,
        rows=rows(result),
        chart=charts_scores.differences(result["differences"]),
        lines=[verdict(entry) for entry in result["differences"]],
    )


EXAMPLES = """Examples:

python -m blend.compare runs/a/blend/au runs/b/blend/au

python -m blend.compare runs/*/blend/va --json

python -m blend.compare runs/*/blend/va --html compared.html         a page with the differences as a chart"""


def command(
    runs: Annotated[
        list[Path], typer.Argument(help="Two or more finished blends of one task: folders with report.json.")
    ],
    draws: Annotated[int, typer.Option(help="Draws of the videos.", min=100)] = DRAWS,
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.", min=0, max=cli.MOST_SEED)] = 0,
    html: Annotated[Path | None, typer.Option(help="Also write a page of it to this file.")] = None,
    as_json: cli.AsJson = False,
) -> None:
    """Compare blends on the same draws of the validation videos."""
    with errors.exits():
        if html is not None and html.is_dir():
            raise InputError(f"--html {html}: is a folder; name a file, such as {html / 'compared.html'}")
        result = main(runs, draws, seed)
        if html is not None:
            run_folder.write_text(html, render(result))
        if as_json:
            json.dump(result, sys.stdout, indent=1, allow_nan=False)
            print()
        else:
            show(result)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
