"""The multi-task challenge's outcome: on the terminal, and as report.html. Every number is one of report.json."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

HEADER = ("", "best head", "equal", "blend", "held out", "95 % interval", "test")
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #8886; text-align: left; }
"""


def rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each part, the last for the whole."""
    lines = []
    for name, part in report["parts"].items():
        tested = part["test"]["score"] if part["test"] is not None else None
        scores = (part["best_head"]["score"], part["equal"], part["searched"], part["cross_fitted"])
        lines.append(
            (
                name,
                *map(_number, scores),
                _interval(part["interval"]),
                _number(tested, tested is None),
            )
        )
    whole = (report["best_heads"], report["equal"], report["searched"], report["cross_fitted"])
    test = _number(report["test"], report["test"] is None)
    return [*lines, ("P_MTL", *map(_number, whole), _interval(report["interval"]), test)]


def sentences(report: dict[str, Any]) -> list[str]:
    """What to know first, in words."""
    sent, parts = report["submission"], report["parts"].items()
    counts = ", ".join(f"{part['frames']['labelled']:,} for {name}" for name, part in parts)
    of = "listed test pictures" if sent["from"] == "test" else "annotated pictures, because there is no test list"
    return [
        f"Blend: on the validation videos it was made from. Held out: the same procedure on videos that it has not "
        f"seen; expect that, not the number before. The interval is for {report['interval_of']}.",
        f"Each part learns and is scored on the frames that are annotated for it: in validation {counts}.",
        f"The submission holds all {sent['frames']:,} {of}.",
    ]


def render(report: dict[str, Any]) -> str:
    """The page: a table, and links to the parts' own reports."""
    title = f"mtl blend: {report['metric']}"
    table = [HEADER, *rows(report)]
    cells = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in table)
    links = ", ".join(f'<a href="{name}/report.html">{name}</a>' for name in report["parts"])
    words = "\n".join(f"<p>{escape(line)}</p>" for line in sentences(report))
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n'
        f"<h1>{escape(title)}</h1>\n<table>{cells}</table>\n{words}\n<p>Reports of the parts: {links}</p>\n"
        "</body>\n</html>\n"
    )


def show(report: dict[str, Any], folder: Path) -> None:
    """Print the table, what it means, and where the files are."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(*HEADER, box=box.SIMPLE, title=f"mtl: {report['metric']} on validation")
    for row in rows(report):
        table.add_row(*row)
    console.print(table)
    for line in sentences(report):
        console.print(line, markup=False)
    files = ["submission.txt", *(one["file"] for one in report["submissions"]), "report.html", "report.json"]
    for name in [*files, *(f"{part}/report.html" for part in report["parts"])]:
        print(folder / name)


def _number(value: float | None, blank: bool = False) -> str:
    return "" if blank else "undefined" if value is None else f"{value:.4f}"


def _interval(interval: list[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
