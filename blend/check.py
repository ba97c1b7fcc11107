"""Would the organisers take this file? `python -m blend.check FILE TEMPLATE`, for any team's file of any task.

TEMPLATE is the official test list or sample file; its header says which task it is. Every picture of it must be in
FILE once, in the template's order, under the template's header, with the right number of values in range. For ABAW-3,
FILE is a folder of one text per video (blend.check_folder). With --compare, its decisions are held against predictions
of the same frames, too (blend.check_compare): swapped columns, argmin, shifted frames and the like need no labels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from blend import check_lines, check_order, formats
from blend.check_order import Problem
from blend.formats import KINDS, Kind
from extract import errors, tables
from extract.errors import InputError
from extract.rundir import need_file

SHOWN = 20


@dataclass(frozen=True)
class Template:
    """What a complete file holds: its header, and its pictures in order."""

    path: Path
    kind: Kind
    header: str
    images: list[str]


def read_template(path: Path) -> Template:
    """Read an official list: bare pictures, trailing commas (ABAW-5, ABAW-7) or dummy values (ABAW-6) behind them.

    Raises InputError for a file that is missing, no text or has no pictures, a header of no known task, and a line
    without a picture.
    """
    need_file(path)
    try:
        tables.check_text(path)
        text = tables.lines_of(path, path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such template") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from None
    header, _, body = text.partition("\n")
    kind = formats.recognise(header.rstrip(", ").split(",")[1:])
    if kind is None:
        known = "; ".join(f"{kind.name}: ...,{','.join(kind.header)}" for kind in KINDS.values())
        raise InputError(f"{path}: line 1 is {header[:80]!r}, the header of no known task; known are {known}")
    images = [line.partition(",")[0].strip() for line in body.rstrip().split("\n")]
    if not body.strip():
        raise InputError(f"{path}: no pictures behind the header")
    if "" in images:
        raise InputError(f"{path}: line {images.index('') + 2} names no picture")
    return Template(path, kind, header, images)


def problems(path: Path, template: Template) -> list[Problem]:
    """All problems of a file, by line (the header is line 1); none: it is complete."""
    need_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not data:
        return [(1, "the file is empty")]
    if (zero := data.find(0)) >= 0:
        return [(data[:zero].count(b"\n") + 1, "a zero byte: this is no UTF-8 text (is it UTF-16?)")]
    lines, found = check_lines.lines_of(data)
    header = lines[0]
    numbers = range(2, len(lines) + 1)
    if header != template.header:
        if header.partition(",")[0].strip() in set(template.images):
            found.append((1, f"the header is missing; expected {template.header!r}"))
            numbers = range(1, len(lines) + 1)
        else:
            found.append((1, f"header {header[:80]!r}, expected {template.header!r}"))
    parts = [lines[number - 1].partition(",") for number in numbers]
    images, at, wrong = check_lines.images(parts, numbers, template.images)
    found += wrong + check_lines.values(parts, numbers, template.kind)
    found += check_order.compare(images, at, template.images)
    return sorted(found)


EXAMPLES = """Examples:

python -m blend.check submission.txt CVPR_5th_ABAW_AU_test_set_sample.txt

python -m blend.check predictions.txt test_set_examples/MTL.txt --all

python -m blend.check EXPR_predictions/ EXPR_test_videos.txt --lengths lengths.csv      ABAW-3: a text per video

python -m blend.check edited.txt list.txt --compare runs/demo/blend/au --compare preds/theirs

Exit code 0: complete, would be accepted; 1: it has problems, or --compare warns; 2: it could not be checked."""


def command(
    file: Annotated[Path, typer.Argument(help="The submission; for ABAW-3 a folder with a text per video.")],
    template: Annotated[Path, typer.Argument(help="The official list or sample file; for ABAW-3 the list of videos.")],
    everything: Annotated[bool, typer.Option("--all", help=f"List every problem, not the first {SHOWN}.")] = False,
    lengths: Annotated[
        Path | None,
        typer.Option(help="ABAW-3: frames per video, as text `video,frames`, or the folder of the raw videos."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="ABAW-3: au, expr or va; default: from the first header.")] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            help="Do its decisions go with these? A blend's folder, or a folder or file of predictions of test."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
) -> None:
    """Check a submission: every problem with its line number."""
    with errors.exits():
        if not file.exists():
            raise InputError(f"{file}: no such file")
        odd: list[str] = []
        if file.is_dir():
            from blend import check_folder

            if compare:
                raise InputError("--compare is for files, not for ABAW-3's folders of a text per video")
            found, what = check_folder.check(file, template, lengths, task)
        else:
            if lengths is not None or task is not None:
                raise InputError("--lengths and --task are for ABAW-3's folders of a text per video")
            wanted = read_template(template)
            found = [f"line {line}: {text}" for line, text in problems(file, wanted)]
            what = f"a submission for {wanted.kind.name}, {len(wanted.images):,} pictures in the template's order"
            if compare and not found:
                from blend import check_compare

                odd = check_compare.warnings(file, wanted.kind.name, template, compare)
        if as_json:
            facts = {"file": str(file), "complete": not found, "problems": found}
            print(json.dumps(facts | ({"warnings": odd} if compare else {}), indent=2))
            raise typer.Exit(1 if found or odd else 0)
        for text in found if everything else found[:SHOWN]:
            print(text)
        if found:
            if not everything and len(found) > SHOWN:
                print(f"... and {len(found) - SHOWN:,} more; --all lists them")
            print(f"{file}: {len(found):,} problem{'s' * (len(found) > 1)}; it would not be accepted as complete")
            raise typer.Exit(1)
        for text in odd:
            print(f"! {text}")
        print(f"{file}: complete; {what}")
        if odd:
            raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLES)(command)
    app()
