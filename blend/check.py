"""Would the organisers take this file? `python -m blend.check FILE TEMPLATE`, for any team's file of any task.

TEMPLATE is the official test list or sample file; its header says which task it is. Every picture of it must be in
FILE once, in the template's order, under the template's header, with the right number of values in range. For ABAW-3,
FILE is a folder of one text per video (submission.folder). With --compare, its decisions are held against predictions
of the same frames, too (blend.check_predictions): swapped columns, argmin, shifted frames and the like need no labels.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from blend.submission.check import list_problems, read_template
from extract.runtime import cli, errors
from extract.runtime.errors import InputError

MAX_PROBLEMS = 20


EXAMPLES = """Examples:

python -m blend.check submission.txt CVPR_5th_ABAW_AU_test_set_sample.txt

python -m blend.check predictions.txt test_set_examples/MTL.txt --all

python -m blend.check EXPR_predictions/ EXPR_test_videos.txt --lengths lengths.csv      ABAW-3: a text per video

python -m blend.check edited.txt list.txt --compare runs/demo/blend/au --compare preds/theirs

Exit code 0: complete, would be accepted; 1: it has problems, or --compare warns; 2: it could not be checked."""


def command(
    file: Annotated[Path, typer.Argument(help="The submission; for ABAW-3 a folder with a text per video.")],
    template: Annotated[Path, typer.Argument(help="The official list or sample file; for ABAW-3 the list of videos.")],
    all_problems: Annotated[
        bool, typer.Option("--all", help=f"List every problem, not the first {MAX_PROBLEMS}.")
    ] = False,
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
    as_json: cli.AsJson = False,
) -> None:
    """Check a submission: every problem with its line number."""
    with errors.exits():
        if not os.path.exists(file):
            raise InputError(f"{file}: no such file")
        odd: list[str] = []
        if os.path.isdir(file):
            from blend.submission import folder as submission_folder

            if compare:
                raise InputError("--compare is for files, not for ABAW-3's folders of a text per video")
            result, what = submission_folder.check(file, template, lengths, task)
        else:
            if lengths is not None or task is not None:
                raise InputError("--lengths and --task are for ABAW-3's folders of a text per video")
            wanted = read_template(template)
            found = list_problems(file, wanted)
            if found and all(text.startswith("0 values") for _, text in found):
                raise InputError(
                    f"{file}: has no values: it looks like an official list; the submission comes first, as in check "
                    f"{template} {file}"
                )
            result = [f"line {line}: {text}" for line, text in found]
            what = f"a submission for {wanted.kind.name}, {len(wanted.images):,} pictures in the template's order"
            if compare and not result:
                from blend import check_predictions

                odd = check_predictions.warnings(file, wanted.kind.name, template, compare)
        if as_json:
            facts = {"file": str(file), "complete": not result, "problems": result}
            print(json.dumps(facts | ({"warnings": odd} if compare else {}), indent=2))
            raise typer.Exit(1 if result or odd else 0)
        _print_problems(result, len(result) if all_problems else MAX_PROBLEMS)
        if result:
            print(f"{file}: {len(result):,} problem{'s' * (len(result) > 1)}; it would not be accepted as complete")
            raise typer.Exit(1)
        for text in odd:
            print(f"! {text}")
        print(f"{file}: complete; {what}")
        if odd:
            raise typer.Exit(1)


def _print_problems(problems: list[str], most: int) -> None:
    for text in problems[:most]:
        print(text)
    if len(problems) > most:
        print(f"... and {len(problems) - most:,} more; --all lists them")


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
