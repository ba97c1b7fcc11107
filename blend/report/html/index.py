"""index.html of a work folder: the main numbers of every task's finished blend, and links to the reports.

It is written anew at the end of each run from the reports that lie there. Whatever is half made, damaged or of another
program is left out, and a folder that cannot be written stays as it is: a run does not fail for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from typing_extensions import TypedDict

from blend.report import pointers
from blend.report.html import sections
from blend.report.leaderboard import list_cards
from blend.report.schema import Baseline, Interval, Score, Way
from extract import config as configs
from extract.runtime import inputs, run_folder
from extract.runtime.errors import InputError
from heads.abaw.tasks import MTL, NAMES, SINGLE_TASKS, SUBTASKS

FILE = "index.html"
COLUMNS = ("expected", "fitted", "best head", "equal weights", "test")
ListedRun = TypedDict("ListedRun", {
    "task": str, "metric": str, "select": str, "cross_fitted": dict[str, Any] | None, "expected": Score,
    "interval": Interval, "submitted": Score, "baselines": dict[str, Baseline], "ways": dict[str, Way],
    "test": dict[str, Any] | None,
})  # fmt: skip
"""What is read of a task's report."""
ListedMultitask = TypedDict("ListedMultitask", {
    "task": str, "metric": str, "expected": Score, "interval": Interval, "submitted": Score, "best_heads": Score,
    "equal": Score, "test": Score,
})  # fmt: skip


def write(work: Path) -> None:
    """Write `<work>/index.html`, unless that is what it says already."""
    text = render(work)
    with suppress(OSError, InputError):
        if not (work / FILE).is_file() or (work / FILE).read_text(encoding="utf-8", errors="replace") != text:
            run_folder.write_text(work / FILE, text)


def render(work: Path) -> str:
    """The page. Equal reports give equal bytes."""
    places = [place for place in (*NAMES, *SUBTASKS) if (work / "blend" / place).is_dir()]
    entries = {place: read(work / "blend" / place, place) for place in places}
    finished = [entry for entry in entries.values() if entry is not None]
    unfinished = [place for place, entry in entries.items() if entry is None]
    title = f"Runs in {work.resolve().name}"
    return sections.render("index", {}, title=title, entries=finished, unfinished=unfinished, columns=COLUMNS)


def read(folder: Path, place: str) -> dict[str, Any] | None:
    """The blend of a task, by its folder: what it is of, the link to its report, its numbers by COLUMNS, when it was
    made. None where there is none that is finished and can be read.
    """
    file, done = folder / "report.json", folder / run_folder.DONE_FILE
    try:
        inputs.require_file(done)
        run_folder.check_result(file, "")
        report = run_folder.read_json(file, "")
        configs.check(ListedMultitask if place == MTL else ListedRun, report, file, strict=True)
        cells = (_multitask_cells if place == MTL else _cells)(report)
        made = report.get("made") or {"date": datetime.fromtimestamp(done.stat().st_mtime).isoformat()}
        date = datetime.fromisoformat(str(made["date"])).strftime("%Y-%m-%d %H:%M")
    except (InputError, OSError, LookupError, TypeError, ValueError, AttributeError):
        return None  # somebody is making it, an older version has made it, or it is none of ours
    task = (SINGLE_TASKS | SUBTASKS).get(place)
    title = "Multi-task challenge" if task is None else task.title + (", its part" if task.within else "")
    link = quote(f"blend/{place}/report.html")
    return {"title": title, "link": link, "metric": report["metric"], "cells": cells, "date": date}


def _cells(report: Any) -> dict[str, dict[str, Any]]:
    """By column: a number as text, a note below it, and whether it leads on held-out videos."""
    return {
        card.name: {
            "number": pointers.format_number(pointers.value(report, pointers.pointer(*card.place)), 3),
            "note": pointers.plain(card.note, report, 3) if card.name in ("expected", "best head") else "",
            "leads": card.leads,
        }
        for card in list_cards(report)
    }


def _multitask_cells(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    band = report["interval"]
    notes = {"expected": f"95 % interval {band[0]:.3f} to {band[1]:.3f}"} if band is not None else {}
    return {
        column: {"number": pointers.format_number(report[key], 3), "note": notes.get(column, ""), "leads": False}
        for column, key in zip(COLUMNS, ("expected", "submitted", "best_heads", "equal", "test"), strict=True)
        if report[key] is not None
    }
