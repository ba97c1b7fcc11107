"""A blend elsewhere: params.json and prediction files -> the same submission, without labels and without a study.

    python -m blend.apply params.json --predictions mlp=preds/mlp --test list.txt --out submission.txt

Videos without any prediction take the prior that params.json carries, so the file is equal to that of blend.run.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blend import others
from extract import errors
from extract.errors import InputError
from extract.rundir import read_json
from heads.tasks import TASKS

if TYPE_CHECKING:
    from blend.combine import Params

BOTH = "test_trainval"
OWN_KEYS = ("prior", "test_from")
"""What params.json holds beside the blend itself."""


@dataclass(frozen=True)
class Blend:
    """A params.json: the blend, what a video without predictions is taken for, and which test predictions it is of."""

    params: Params
    prior: dict[str, float]
    test_from: str


def read(path: Path, prior: Path | None = None) -> Blend:
    """Read a params.json; `prior` is a JSON file whose prior takes the place of its own (`prior.json` of the heads).

    Raises InputError for a file that is missing or no JSON, a blend that is not complete, and a prior that lacks an
    output.
    """
    from blend.combine import Params

    table = read_json(path, "give the params.json of a finished blend")
    params = Params.from_json({key: value for key, value in table.items() if key not in OWN_KEYS})
    if params.task not in TASKS or params.outputs != TASKS[params.task].outputs:
        raise InputError(f"{path}: outputs of task {params.task!r} are not the official ones, in their order")
    where, known = path, table.get("prior")
    if prior is not None:
        where, known = prior, read_json(prior, "give the prior.json of the heads")
    if known is None:
        raise InputError(f"{path}: holds no prior for videos without a face; give one with --prior prior.json")
    lowest = -1 if params.task == "va" else 0
    for name in params.outputs:
        value = known.get(name) if isinstance(known, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= 1:
            raise InputError(f"{where}: the prior of {name!r} is {value!r}, expected a number in [{lowest}, 1]")
    return Blend(params, {name: float(known[name]) for name in params.outputs}, str(table.get("test_from", "train")))


def main(blend: Blend, given: dict[str, Path], test: Path, out: Path) -> tuple[int, list[str]]:
    """Write the submission of the listed frames. `given`: a folder (or file) of predictions by name of the head.

    Returns how many pictures it has, and the videos without predictions, that were taken for the prior. Heads that
    weigh nothing are not needed. Raises InputError for predictions that are missing or bad.
    """
    from blend import combine, pool, submission
    from blend.ingredients import as_row
    from heads import testlist

    params = needed(blend).params
    if lacking := [head for head in params.heads if head not in given]:
        raise InputError(
            f"the blend is of {', '.join(params.heads)}, but there are no predictions of {lacking[0]!r}; "
            f"give --predictions {lacking[0]}=FOLDER"
        )
    if unused := sorted(set(given) - set(params.heads)):
        print(f"the blend does not use {', '.join(unused)}: left out", file=sys.stderr)
    task = TASKS[params.task]
    listed = testlist.read(test, task)
    found = {}
    for head in params.heads:
        again = others.find(given[head], BOTH) if blend.test_from == "train+val" else None
        some = others.read(again or others.need(given[head], "test"), task)
        found[head] = others.only(some, listed.names) if given[head].is_file() else some
    target = pool.for_test(task, found, listed, as_row(blend.prior, task))
    submission.write(out, listed, target, combine.combine(target, params))
    return len(listed.images), list(target.without_face)


def needed(blend: Blend) -> Blend:
    """The blend of the heads that weigh something or decide something."""
    params = blend.params
    kept = [
        (head, weight)
        for head, weight in zip(params.heads, params.weights, strict=True)
        if (any(weight) if isinstance(weight, tuple) else weight) or head in _named(params)
    ]
    some = replace(params, heads=tuple(head for head, _ in kept), weights=tuple(weight for _, weight in kept))
    return replace(blend, params=some)


def _named(params: Params) -> tuple[str, ...]:
    """Heads that optional parts of the blend look at."""
    chosen = getattr(params, "filter", None)
    return (chosen[0],) if chosen else ()


EXAMPLES = """Examples:

python -m blend.apply runs/demo/blend/au/params.json --predictions mlp=preds/mlp --predictions lightgbm=preds/lightgbm
--test list.txt --out submission.txt"""


def command(
    params: Annotated[Path, typer.Argument(help="The params.json of a blend.")],
    predictions: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=FOLDER", help="Test predictions of a head of the blend: test.parquet, .csv or .txt."
        ),
    ],
    test: Annotated[Path, typer.Option(help="The official test list.")],
    out: Annotated[Path, typer.Option(help="The submission to write.")],
    prior: Annotated[Path | None, typer.Option(help="Another prior for videos without a face, as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
) -> None:
    """Apply a blend to predictions: the same submission, without labels and without a study."""
    with errors.exits():
        pictures, faceless = main(read(params, prior), others.parse(predictions), test, out)
        if as_json:
            print(json.dumps({"file": str(out), "pictures": pictures, "videos_without_predictions": faceless}))
            return
        note = f"; predicted from the prior: {', '.join(faceless)}" if faceless else ""
        print(f"{out}: {pictures:,} pictures{note}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLES)(command)
    app()
