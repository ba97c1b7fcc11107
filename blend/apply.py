"""A blend elsewhere: params.json and prediction files -> the same submission, without labels and without a study.

    python -m blend.apply params.json --predictions mlp=preds/mlp --test list.txt --out submission.txt
    python -m blend.apply params.json --predictions mlp=preds/mlp --annotations val

Videos without any prediction take the prior that params.json carries, so the file is equal to that of blend.run. With
annotations the blend is scored, on the listed frames or, without a list, on whatever is annotated.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blend.pool import external
from blend.report.summary import number
from extract.runtime import cli, errors, run_folder
from extract.runtime.errors import InputError
from extract.runtime.run_folder import read_json
from heads.abaw.tasks import SINGLE_TASKS

if TYPE_CHECKING:
    from blend.decision.combine import Params

TEST_TRAINVAL = "test_trainval"
OWN_KEYS = ("prior", "test_from")
"""What params.json holds beside the blend itself."""


@dataclass(frozen=True)
class Blend:
    """A params.json: the blend, what a video without predictions is taken for, and which test predictions it is of."""

    params: Params
    prior: dict[str, float]
    test_from: str


@dataclass(frozen=True)
class ApplyResult:
    """How many pictures were decided, which videos were taken for the prior, and what it scores
    (`submission.test_score`).
    """

    pictures: int
    videos_without_predictions: list[str]
    scored: dict[str, Any] | None


def read(path: Path, prior: Path | None = None, again: str = "python -m blend.run") -> Blend:
    """Read a params.json; `prior` is a JSON file whose prior takes the place of its own (`prior.json` of the heads).

    Raises InputError for a file that is missing or no JSON, one that is not what `again` left in its finished folder, a
    blend that is not complete, and a prior that lacks an output.
    """
    from blend.decision.combine import Params

    own = "a blend of your own belongs in another folder, for blend.apply"
    run_folder.check_result(path, f"{again} makes it anew ({own})")
    table = read_json(path, "give the params.json of a finished blend")
    params = Params.from_json({key: value for key, value in table.items() if key not in OWN_KEYS}, str(path))
    if params.task not in SINGLE_TASKS or params.outputs != SINGLE_TASKS[params.task].outputs:
        raise InputError(f"{path}: outputs of task {params.task!r} are not the official ones, in their order")
    where, known = path, table.get("prior")
    if prior is not None:
        where, known = prior, read_json(prior, "give the prior.json of the heads")
    if known is None:
        raise InputError(f"{path}: holds no prior for videos without a face; give one with --prior prior.json")
    lowest = SINGLE_TASKS[params.task].lowest
    for name in params.outputs:
        value = known.get(name) if isinstance(known, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= 1:
            raise InputError(f"{where}: the prior of {name!r} is {value!r}, expected a number in [{lowest}, 1]")
    return Blend(params, {name: float(known[name]) for name in params.outputs}, str(table.get("test_from", "train")))


def main(
    blend: Blend, given: dict[str, Path], test: Path | None, out: Path | None, annotations: Path | None = None
) -> ApplyResult:
    """Decide the listed frames, write the submission, score it. `given`: a folder (or file) of predictions by name of
    the head.

    `test` is the official list; None: every frame that `annotations` (a folder in the official format) have, and the
    heads' predictions of val. `out` is the submission's path; None: none is written. Heads that weigh nothing are not
    needed. Raises InputError for predictions that are missing or bad, and annotations of none of the listed frames.
    """
    from blend.decision import combine
    from blend.pool import pool
    from blend.pool.pool import as_row
    from blend.submission import write as submission
    from blend.submission.test_score import score
    from heads.abaw import read as labels
    from heads.abaw import test_list

    if test is None and annotations is None:
        raise InputError("nothing says which frames: give --test, the official list, or --annotations to score on")

    params = drop_unused_heads(blend).params
    if lacking := [head for head in params.heads if head not in given]:
        raise InputError(
            f"the blend is of {', '.join(params.heads)}, but there are no predictions of {lacking[0]!r}; "
            f"give --predictions {lacking[0]}=FOLDER"
        )
    if unused := sorted(set(given) - set(params.heads)):
        print(f"the blend does not use {', '.join(unused)}: left out", file=sys.stderr)
    task = SINGLE_TASKS[params.task]
    truth = labels.read_folder(annotations, task) if annotations is not None else {}
    if test is not None:
        listed = test_list.read(test, task)
    else:
        assert annotations is not None
        listed = test_list.from_lengths({video: len(item.valid) for video, item in truth.items()}, task, annotations)
    results = {}
    for head in params.heads:
        again = (
            external.find_files(given[head], TEST_TRAINVAL)
            if blend.test_from == "train+val" and test is not None
            else None
        )
        path = again or external.find_part(given[head], "val" if test is None else "test")
        values = external.read_external(path, task)
        results[head] = external.select_videos(values, listed.names) if given[head].is_file() else values
    target = pool.for_test(task, results, listed, as_row(blend.prior, task))
    decided = combine.combine(target, params)
    if out is not None:
        submission.write(out, listed, target, decided)
    scored = None
    if annotations is not None:
        scored = score(listed, decided[submission.rows(listed, target)], truth, task)
        if not scored["frames"]:
            raise InputError(
                f"{annotations}: no valid annotation of any frame that {listed.path} lists; nothing to score"
            )
    return ApplyResult(len(listed.images), list(target.without_face), scored)


def drop_unused_heads(blend: Blend) -> Blend:
    """The blend of the heads that weigh something or decide something."""
    params = blend.params
    kept = {
        head: weight
        for head, weight in zip(params.heads, params.weights, strict=True)
        if (any(weight) if isinstance(weight, tuple) else weight) or (params.filter and head == params.filter[0])
    }
    return replace(blend, params=replace(params, heads=tuple(kept), weights=tuple(kept.values())))


EXAMPLES = """Examples:

python -m blend.apply runs/demo/blend/au/params.json --predictions mlp=preds/mlp --predictions lightgbm=preds/lightgbm
--test list.txt --out submission.txt

python -m blend.apply params.json --predictions mlp=preds/mlp --annotations Validation_Set --json    its score"""


def command(
    params: Annotated[Path, typer.Argument(help="The params.json of a blend.")],
    predictions: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=FOLDER",
            help="A head's predictions: test.parquet, .csv or .txt (val... where only --annotations are given).",
        ),
    ],
    test: Annotated[Path | None, typer.Option(help="The official test list.")] = None,
    out: Annotated[Path | None, typer.Option(help="The submission to write.")] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="Score on these: a folder of <video>.txt in the official format.")
    ] = None,
    prior: Annotated[Path | None, typer.Option(help="Another prior for videos without a face, as JSON.")] = None,
    as_json: cli.AsJson = False,
) -> None:
    """Apply a blend to predictions: the same submission, without labels and without a study."""
    with errors.exits():
        if out is None and annotations is None:
            raise InputError("nothing to do: give --out, the submission to write, or --annotations to score on")
        made = main(read(params, prior), external.parse(predictions), test, out, annotations)
        if as_json:
            print(json.dumps({"file": None if out is None else str(out)} | asdict(made)))
            return
        faceless = ", ".join(made.videos_without_predictions)
        note = f"; predicted from the prior: {faceless}" if faceless else ""
        print(f"{out or params}: {made.pictures:,} pictures{note}")
        if made.scored is not None:
            _tell(made.scored)


def _tell(scored: dict[str, Any]) -> None:
    """The score in words, and of every output."""
    lacking = len(scored["videos_without_annotation"])
    more = f"; {lacking} listed videos have no annotation" if lacking else ""
    where = f"{scored['frames']:,} frames of {scored['videos']} videos{more}"
    print(f"{scored['metric']} {number(scored['score'])} on {where}")
    print(", ".join(f"{name} {number(part)}" for name, part in scored["per_output"].items()))


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
