"""The multi-task challenge's outcome: on the terminal, and as report.html. Every number is one of report.json."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from blend.report.pointers import cell, format_number, mark_numbers, plain, pointer, ref, table, value, words
from extract.runtime.console import console

Report = dict[str, Any]
HEADER = ("", "best head", "equal", "blend", "held out", "95 % interval", "test")
WHOLE = "P_MTL"


def places(report: Report) -> list[tuple[str, dict[str, tuple[str, ...]]]]:
    """A line for each part, the last for the whole: its name, and where in the report its numbers stand."""
    found = []
    for name in report["parts"]:
        part = ("parts", name)
        test = (*part, "test", "score") if report["parts"][name]["test"] is not None else ()
        found.append((name, _places(part, (*part, "best_head", "score"), test)))
    whole = _places((), ("best_heads",), ("test",) if report["test"] is not None else ())
    return [*found, (WHOLE, whole)]


def _places(at_: tuple[str, ...], best: tuple[str, ...], test: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """By column; an empty path: there is no such number."""
    names = {"equal": "equal", "blend": "submitted", "held out": "expected", "95 % interval": "interval"}
    return {"best head": best, **{column: (*at_, key) for column, key in names.items()}, "test": test}


def rows(report: Report) -> list[tuple[str, ...]]:
    """The lines for the terminal."""

    def text(column: str, path: tuple[str, ...]) -> str:
        if not path:
            return ""
        number = value(report, pointer(*path))
        if column != "95 % interval":
            return format_number(number, 4)
        return "" if number is None else f"{number[0]:.3f} to {number[1]:.3f}"

    return [(name, *(text(column, line[column]) for column in HEADER[1:])) for name, line in places(report)]


def lines(report: Report) -> list[str]:
    """What to know first, in words, with places in the report where the numbers go."""
    counts = ", ".join(f"{ref('parts', name, 'frames', 'labelled')} for {name}" for name in report["parts"])
    sent = report["submission"]
    of = "listed test pictures" if sent["from"] == "test" else "annotated pictures, because there is no test list"
    return [
        f"Blend: on the validation videos it was made from. Held out: the same procedure on videos that it has not "
        f"seen; expect that, not the number before. The interval is for {report['interval_of']}.",
        f"Each part learns and is scored on the frames that are annotated for it: in validation {counts}.",
        f"The submission holds all {ref('submission', 'frames')} {of}.",
    ]


def render(report: Report) -> str:
    """The page: a table, and links to the parts' own reports."""
    from blend.report.html import page

    def column(name: str, path: tuple[str, ...]) -> str:
        if not path or (name == "95 % interval" and value(report, pointer(*path)) is None):
            return words("", "n")
        if name != "95 % interval":
            return cell(report, *path)
        return f'<td class="n">{mark_numbers(f"{ref(*path, 0)} to {ref(*path, 1)}", report)}</td>'

    told = "\n".join(f"<p>{mark_numbers(line, report)}</p>" for line in lines(report))
    body = [(name, [column(head, line[head]) for head in HEADER[1:]]) for name, line in places(report)]
    links = "".join(f'<li><a href="{name}/report.html">{escape(name)}</a></li>' for name in report["parts"])
    return page.document(
        f"Multi-task challenge: {report['metric']}",
        f"<header><h1>Multi-task challenge</h1>\n<p class='soft'>{escape(report['metric'])}</p>\n{told}</header>\n"
        f"<main><h2>Scores on validation</h2>\n{table(HEADER, body, WHOLE)}\n{_submissions(report)}"
        f"<h2>Reports of the parts</h2><ul>{links}</ul></main>\n"
        "<footer>Every number here stands in report.json beside this file.</footer>\n",
    )


def _submissions(report: Report) -> str:
    """The files that were written beside the main one, and what each is made of."""
    files = report["submissions"]
    if not files:
        return ""
    tested = any("test" in one for one in files)
    body = []
    for i, one in enumerate(files):
        of = "; ".join(f"{name}: {part['what']}" for name, part in one.get("of", {}).items())
        score = [cell(report, "submissions", i, "test") if "test" in one else words("", "n")] if tested else []
        body.append((one["file"], [words(of), *score]))
    return "<h2>All submissions</h2>" + table(("file", "of", *(["test"] if tested else [])), body, left=1) + "\n"


def show(report: Report, folder: Path) -> None:
    """Print the table, what it means, and where the files are."""
    from rich import box
    from rich.table import Table

    out = console()
    drawn = Table(*HEADER, box=box.SIMPLE, title=f"mtl: {report['metric']} on validation")
    for row in rows(report):
        drawn.add_row(*row)
    out.print(drawn)
    for line in lines(report):
        out.print(plain(line, report))
    files = ["submission.txt", *(one["file"] for one in report["submissions"]), "report.html", "report.json"]
    for name in [*files, *(f"{part}/report.html" for part in report["parts"])]:
        print(folder / name)
