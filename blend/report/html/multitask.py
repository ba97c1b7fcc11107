"""The multi-task challenge's outcome: on the terminal, and as report.html. Every number is one of report.json."""

from __future__ import annotations

from pathlib import Path

from rich import box

from blend.report import unlabelled_test
from blend.report.pointers import format_number, move, plain, pointer, ref, value
from blend.report.schema import MultitaskReport
from blend.report.summary import warn_of_few_people
from extract.runtime.console import console, number_table

HEADER = ("", "best head", "equal", "blend", "held out", "95 % interval", "test")
WHOLE = "P_MTL"


def places(report: MultitaskReport) -> list[tuple[str, dict[str, tuple[str, ...]]]]:
    """A line for each part, the last for the whole: its name, and where in the report the number of each column stands
    (an empty path: there is no such number).
    """
    keys = {"equal": "equal", "blend": "submitted", "held out": "expected", "95 % interval": "interval"}

    def line(at: tuple[str, ...], best: tuple[str, ...], test: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        tested = value(report, pointer(*at, "test")) is not None
        columns = {column: (*at, key) for column, key in keys.items()}
        return {"best head": (*at, *best), **columns, "test": (*at, *test) if tested else ()}

    parts = [(name, line(("parts", name), ("best_head", "score"), ("test", "score"))) for name in report["parts"]]
    return [*parts, (WHOLE, line((), ("best_heads",), ("test",)))]


def rows(report: MultitaskReport) -> list[tuple[str, ...]]:
    """The lines for the terminal."""

    def text(column: str, path: tuple[str, ...]) -> str:
        if not path:
            return ""
        number = value(report, pointer(*path))
        if column != "95 % interval":
            return format_number(number, 4)
        return "" if number is None else f"{number[0]:.3f} to {number[1]:.3f}"

    return [(name, *(text(column, line[column]) for column in HEADER[1:])) for name, line in places(report)]


def lines(report: MultitaskReport) -> list[str]:
    """What to know first, in words, with places in the report where the numbers go."""
    counts = ", ".join(f"{ref('parts', name, 'frames', 'labelled')} for {name}" for name in report["parts"])
    sent = report["submission"]
    of = "listed test pictures" if sent["from"] == "test" else "annotated pictures, because there is no test list"
    return [
        *_few_people(report),
        f"Blend: on the validation videos it was made from. Held out: the same procedure on videos that it has not "
        f"seen; expect that, not the number before. The interval is for {report['interval_of']}.",
        f"Each part learns and is scored on the frames that are annotated for it: in validation {counts}.",
        f"The submission holds all {ref('submission', 'frames')} {of}.",
    ]


def _few_people(report: MultitaskReport) -> list[str]:
    """Of how few people the numbers are, once for parts of which the same is to be said."""
    said: dict[str, list[str]] = {}
    texts = {}
    for name, part in report["parts"].items():
        for text in warn_of_few_people(part):
            said.setdefault(plain(text, part), []).append(name)
            texts[plain(text, part)] = move(text, "parts", name)
    whole = [*report["parts"]]
    return [text if said[words] == whole else f"{', '.join(said[words])}: {text}" for words, text in texts.items()]


def caveats(report: MultitaskReport) -> list[str]:
    """What test's predictions say of themselves beside those of validation, of every part."""
    return [
        f"{name}: {move(text, 'parts', name)}"
        for name, part in report["parts"].items()
        for text in unlabelled_test.sentences(part)
    ]


def render(report: MultitaskReport) -> str:
    """The page: a table, and links to the parts' own reports."""
    from blend.report.html import sections

    compared = [name for name, part in report["parts"].items() if (part["unlabelled_test"] or {}).get("shares")]
    return sections.render(
        "multitask", report, title="Multi-task challenge", header=HEADER, rows=places(report), lines=lines(report),
        caveats=caveats(report), compared=compared, faces=False, scripts=[],
    )  # fmt: skip


def show(report: MultitaskReport, folder: Path) -> None:
    """Print the table, what it means, and where the files are."""
    out = console()
    out.print(number_table(HEADER, rows(report), title=f"mtl: {report['metric']} on validation", box=box.SIMPLE))
    for line in lines(report):
        out.print(plain(line, report))
    for line in caveats(report):
        out.print(f"! {plain(line, report)}")
    files = ["report.html", "submission.txt", *(item["file"] for item in report["submissions"]), "report.json"]
    for name in [*files, *(f"{part}/report.html" for part in report["parts"])]:
        print(folder / name)
