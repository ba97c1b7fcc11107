"""The main job: frames and annotations -> a checked submission and a report. Runs extract and heads where they are
missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from blend import single_task
from blend.config import ONE_PROCESS, Config, SearchOptions
from blend.pool import external
from blend.report.schema import MultitaskReport, Report
from extract import config as extract_config
from extract.jobs import cluster, session
from extract.runtime import cli, errors
from extract.runtime.errors import InputError
from extract.runtime.progress import steps
from heads.abaw.tasks import MTL, NAMES, SUBTASKS, TASKS
from heads.run import split_task


def main(
    config: Config,
    task: str,
    work: Path,
    seed: int = 0,
    *,
    heads: list[str] | None = None,
    predictions: dict[str, Path] | None = None,
    submissions: int = 1,
    options: SearchOptions = ONE_PROCESS,
) -> Report | MultitaskReport:
    """Blend the heads of a task; returns the report. Whatever upstream step is missing or out of date runs first.

    `heads` names some of ours (["none"]: none; None: all), `predictions` other people's; `options` has no influence on
    what counts as finished. Leaves params.json, submission.txt, report.json, report.html, study.db in
    `<work>/blend/<task>/`, DONE last. A folder that was finished from the same predictions, annotations, settings and
    seed is not touched. For "mtl" that is done for each of its parts, "mtl/va" and so on (blend.multitask). Raises
    InputError for bad input.
    """
    if task == MTL:
        from blend import multitask

        with steps("blend mtl", tuple(SUBTASKS)):
            return multitask.main(config, work, seed, heads, predictions or {}, submissions, options)
    return single_task.main(config, task, work, seed, heads, predictions or {}, submissions, options)


ALL = "all"
"""A value of --task."""
EXAMPLES = """Examples:

python -m blend.run --task au                                        the demo, from nothing to a submission

python -m blend.run --task expr --config configs/affwild2.toml       your own corpus

python -m blend.run --task all                                       every task of the corpus, one after the other

python -m blend.run --task mtl                                       the multi-task challenge, one file of all three

python -m blend.run --task va --set blend.va.trials=500 --seed 1     a longer search with another seed

python -m blend.run --task au --json > result.json                   main numbers and paths, for programs

python -m blend.run --task au --config mine.toml --heads none --predictions a=preds/a --predictions b=preds/b

python -m blend.run --task au --config mine.toml --workers 4 --storage postgresql://me@host/db      on every machine"""


def command(
    task: Annotated[
        str, typer.Option(help=f"One of {', '.join(NAMES)}; {ALL}: each that the corpus has annotations of.")
    ],
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.", min=0, max=cli.MOST_SEED)] = 0,
    heads: Annotated[
        str | None, typer.Option(help="Which of our heads, divided by commas; none: only other people's.")
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="Blend other people's predictions too: a folder with val and test as .parquet, .csv or .txt.",
        ),
    ] = None,
    submissions: Annotated[int, typer.Option(help="So many different submissions, in submissions/.", min=1, max=5)] = 1,
    workers: Annotated[
        int, typer.Option(help="Processes that search together; only one alone repeats its bytes.", min=1)
    ] = 1,
    storage: Annotated[
        str, typer.Option(help="Share the search with other machines: postgresql://user@host/database.")
    ] = "",
    study: Annotated[str, typer.Option(help="Its name there; default <corpus>/<task>/blend.")] = "",
    timeout: Annotated[float | None, typer.Option(help="Seconds after which the search draws no trial.", min=0)] = None,
    where: session.Where = cluster.LOCAL,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print main numbers and paths as JSON, nothing else.")
    ] = False,
) -> None:
    """Turn frames and annotations into a checked submission and a report."""
    with errors.exits():
        given = external.parse(predictions or [])
        names = _split_heads(heads)
        settings = extract_config.load(Config, config, overrides)
        _check_storage(storage)  # not after hours
        folder = work or Path("runs") / settings.corpus.name
        if task == ALL and (given or study or names):
            raise InputError(f"--task {ALL}: heads, predictions, studies are of one task; give --task au, expr or va")
        tasks, reports, refused = find_tasks(task, settings), {}, []
        with session.use_cluster(where, settings.cluster, folder):
            for name in tasks:
                options = SearchOptions(workers, storage, study or f"{settings.corpus.name}/{name}/blend", timeout)
                try:
                    reports[name] = main(
                        settings, name, folder, seed, heads=names, predictions=given, submissions=submissions,
                        options=options,
                    )  # fmt: skip
                except InputError as error:  # of several tasks the others are done
                    refused.append(f"{name}: {error}" if task == ALL else str(error))
                    continue
                if not as_json:
                    _show(name, reports[name], folder)
        if as_json and reports:
            _print_json(reports, folder, task == ALL)
        if refused:
            raise InputError("; ".join(refused))


def _check_storage(storage: str) -> None:
    if storage:
        from heads.tune import storage as tune_storage

        tune_storage.parse(storage)


def _split_heads(heads: str | None) -> list[str] | None:
    """The names in `--heads`; None where it is not given. Raises InputError where it names none."""
    names = None if heads is None else [name.strip() for name in heads.split(",") if name.strip()]
    if names == []:
        raise InputError("--heads: name some of our heads, divided by commas, or none")
    return names


def _print_json(reports: Mapping[str, Mapping[str, Any]], folder: Path, by_task: bool) -> None:
    """The main numbers of each task's report, by task or of the only one."""
    from blend.report.summary import brief

    said = {name: brief(report, folder / "blend" / name) for name, report in reports.items()}
    shown = said if by_task else next(iter(said.values()))
    print(json.dumps(shown, indent=2, allow_nan=False, ensure_ascii=False))


def find_tasks(task: str, config: Config) -> list[str]:
    """What `--task` asks for: itself, or (`all`) au, expr, va and mtl as the corpus has validation annotations of them.

    The demo has all; its mtl is left out of `all`, as it is the same faces once more. Raises InputError for no task,
    and where there are no annotations at all.
    """
    if task != ALL:
        split_task(task)
        return [task]
    if config.corpus.demo:
        return list(TASKS)
    given = {name: getattr(config.corpus, name) for name in NAMES}
    results = [name for name, paths in given.items() if paths is not None and paths.val is not None]
    if not results:
        raise InputError(f"--task {ALL}: the config names no validation annotations: give corpus.au.val or the like")
    return results


def _show(task: str, report: Any, folder: Path) -> None:
    from blend.report import summary
    from blend.report.html import multitask

    (multitask if task == MTL else summary).show(report, folder / "blend" / task)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
