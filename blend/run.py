"""The main job: frames and annotations -> a checked submission and a report. Runs extract and heads where they are
missing.

    from blend import run
    report = run("au", "affwild2.toml", overrides={"blend.au.trials": 500})

This module is a command, and can be called (RunModule): `run` is the same, however and whenever it was imported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from blend import dry_run as plans
from blend import multitask, single_task
from blend.config import SINGLE_PROCESS, Config, RunRequest, SearchOptions
from blend.pool import external
from blend.report.run_report import RunReport
from blend.report.schema import MultitaskReport, Report
from extract import config as extract_config
from extract.jobs import cluster, session
from extract.learning import names
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
    options: SearchOptions = SINGLE_PROCESS,
) -> Report | MultitaskReport:
    """Blend the heads of a task; returns the report. Whatever upstream step is missing or out of date runs first.

    `heads` names some of ours (["none"]: none; None: all), `predictions` other people's; `options` has no influence on
    what counts as finished. Leaves params.json, submission.txt, report.json, report.html, study.db in
    `<work>/blend/<task>/`, DONE last, and in `<work>` index.html of all blends there. A folder that was finished from
    the same predictions, annotations, settings and seed is not touched. For "mtl" that is done for each of its parts,
    "mtl/va" and so on (blend.multitask). Raises InputError for bad input.
    """
    config = names.add_learnt_networks(config, work)
    asked = RunRequest(task, work, seed, heads, predictions or {}, submissions, options)
    if task == MTL:
        with steps("blend mtl", tuple(SUBTASKS)):
            report: Report | MultitaskReport = multitask.main(config, asked)
    else:
        report = single_task.main(config, asked)
    from blend.report.html import index

    index.write(work)
    return report


ALL_TASKS = "all"
"""A value of --task."""


class RunModule(ModuleType):
    """The module `blend.run`, which can be called. Its name is the command's, so no function beside it can have it: as
    soon as the module is imported anywhere, `blend.run` is the module.
    """

    def __call__(
        self,
        task: str,
        config: str | Path | Config | Mapping[str, Any] | None = None,
        *,
        work: str | Path | None = None,
        seed: int = 0,
        overrides: Mapping[str, Any] | None = None,
        heads: list[str] | None = None,
        predictions: Mapping[str, str | Path] | None = None,
        submissions: int = 1,
    ) -> RunReport:
        """Turn frames and annotations into a checked submission and a report, as `python -m blend.run` does.

        >>> report = run("au")                          # the demo, in runs/demo
        >>> report.expected, report.submission
        >>> run("va", "affwild2.toml", seed=1, overrides={"blend.va.trials": 500})

        `task` is "au", "expr", "va" or "mtl". `config` is a TOML file, a Config, or a dictionary as such a file has it
        (relative paths from the current folder); None: the demo. `work` is the work folder, by default
        runs/<corpus name>. `overrides` are values by key, as --set has them. `heads` names some of our heads (["none"]:
        none), `predictions` folders of other people's by name; up to five different `submissions` are written.

        A run that is finished is only read; one that was ended goes on. Raises InputError, with one line of what is
        wrong and what to do, and extract.runtime.errors.WorkError where the machine is too small: never SystemExit.
        """
        if task == ALL_TASKS:
            raise InputError(f"task {ALL_TASKS!r}: a report is of one task; call run for each of {', '.join(TASKS)}")
        _check_arguments(seed, submissions, heads, predictions, overrides)
        split_task(task)
        settings = _read_config(config, overrides or {})
        folder = Path(work) if work is not None else Path("runs") / settings.corpus.name
        given = {name: Path(path) for name, path in sorted((predictions or {}).items())}
        for name, path in given.items():
            external.check(name, path, f"predictions {name!r}")
        report = main(settings, task, folder, seed, heads=heads, predictions=given, submissions=submissions)
        return RunReport(folder / "blend" / task, report)


sys.modules[__name__].__class__ = RunModule


def _check_arguments(seed: Any, submissions: Any, heads: Any, predictions: Any, overrides: Any) -> None:
    """Raise InputError for arguments that the command would not take."""
    numbers = {"seed": (seed, 0, cli.MOST_SEED), "submissions": (submissions, 1, 5)}
    for name, (number, low, high) in numbers.items():
        if type(number) is not int or not low <= number <= high:
            raise InputError(f"{name} {number!r}: expected a whole number from {low} to {high}")
    named = isinstance(heads, list) and heads and all(isinstance(name, str) for name in heads)
    if heads is not None and not named:
        raise InputError(f"heads {heads!r}: expected a list of names, as in ['mlp_all', 'lama'], ['none'] or None")
    for name, table in {"predictions": predictions, "overrides": overrides}.items():
        if table is not None and not isinstance(table, Mapping):
            raise InputError(f"{name}: found {type(table).__name__}, expected a dictionary or None")


def _as_toml(key: str, value: Any) -> str:
    """A value as TOML has it on one line. Raises InputError for one that TOML does not have."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_as_toml(key, v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_as_toml(key, item) for item in value) + "]"
    if isinstance(value, bool | int | float | str | Path):
        return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    raise InputError(f"overrides: key {key!r}: found {type(value).__name__}, expected what a TOML file can hold")


def _read_config(config: str | Path | Config | Mapping[str, Any] | None, overrides: Mapping[str, Any]) -> Config:
    """A config as Python gives it. Raises InputError as `extract.config.load`."""
    given = [f"{key}={_as_toml(key, value)}" for key, value in overrides.items()]
    if config is None or isinstance(config, str | Path):
        return extract_config.load(Config, Path(config or extract_config.DEFAULT), given)
    if isinstance(config, Config):
        if not given:
            return config
        config = config.model_dump(mode="json", exclude_unset=True)
    if not isinstance(config, Mapping):
        raise InputError(f"config: found {type(config).__name__}, expected a TOML file, a Config, a dictionary or None")
    return extract_config.from_tables(Config, config, given)


EXAMPLES = """Examples:

python -m blend.run --task au                                        the demo, from nothing to a submission

python -m blend.run --task expr --config configs/affwild2.toml       your own corpus

python -m blend.run --task au --config mine.toml --dry-run           what is missing, and how long it takes here

python -m blend.run --task all                                       every task of the corpus, their heads side by side

python -m blend.run --task mtl                                       the multi-task challenge, one file of all three

python -m blend.run --task va --set blend.va.trials=500 --seed 1     a longer search with another seed

python -m blend.run --task au --json > result.json                   main numbers and paths, for programs

python -m blend.run --task au --config mine.toml --heads none --predictions a=preds/a --predictions b=preds/b

python -m blend.run --task au --config mine.toml --workers 4 --storage postgresql://me@host/db      on every machine"""


def command(
    task: Annotated[
        str, typer.Option(help=f"One of {', '.join(NAMES)}; {ALL_TASKS}: each that the corpus has annotations of.")
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is missing and how long it takes here, and end.")
    ] = False,
    place: session.ClusterOption = cluster.LOCAL,
    as_json: cli.AsJson = False,
) -> None:
    """Turn frames and annotations into a checked submission and a report."""
    with errors.exits():
        given = external.parse(predictions or [])
        names = _split_heads(heads)
        settings = extract_config.load(Config, config, overrides)
        _check_storage(storage)  # not after hours
        _check_all(task, given or study or names)
        folder = work or Path("runs") / settings.corpus.name
        tasks = find_tasks(task, settings)
        asked: dict[str, Any] = {"heads": names, "predictions": given, "submissions": submissions}
        if dry_run:
            request = RunRequest(task, folder, seed, **asked, options=SearchOptions(timeout=timeout))
            plans.show(plans.plan(settings, tasks, request), as_json)
            return

        def run_task(name: str) -> Report | MultitaskReport:
            options = SearchOptions(workers, storage, study or f"{settings.corpus.name}/{name}/blend", timeout)
            return main(settings, name, folder, seed, **asked, options=options)

        with session.use_cluster(place, settings.cluster, folder):
            _train_side_by_side(settings, [RunRequest(name, folder, seed, **asked) for name in tasks])
            reports, refused = _run_tasks(tasks, run_task, None if as_json else folder)
        if as_json and reports:
            _print_json(reports, folder, task == ALL_TASKS)
        if refused:
            raise InputError("; ".join(f"{n}: {e}" if task == ALL_TASKS else e for n, e in refused.items()))


def _train_side_by_side(config: Config, asked: Sequence[RunRequest]) -> None:
    """Train the heads of several tasks before any is blended; those of the multi-task challenge it trains itself."""
    single = [each for each in asked if each.task != MTL]
    if len(single) > 1:
        single_task.train_heads(names.add_learnt_networks(config, single[0].work), single)


def _run_tasks(
    tasks: Sequence[str], run_task: Callable[[str], Report | MultitaskReport], shown_in: Path | None
) -> tuple[dict[str, Report | MultitaskReport], dict[str, str]]:
    """Reports of the tasks, shown as they come unless `shown_in` is None, and what bad input others had."""
    reports, refused = {}, {}
    for name in tasks:
        try:
            reports[name] = run_task(name)
        except InputError as error:  # of several tasks the others are done
            refused[name] = str(error)
            continue
        if shown_in is not None:
            _show(name, reports[name], shown_in)
    return reports, refused


def _check_storage(storage: str) -> None:
    if storage:
        from heads.tune import storage as tune_storage

        tune_storage.parse(storage)


def _check_all(task: str, of_one_task: object) -> None:
    if task == ALL_TASKS and of_one_task:
        raise InputError(f"--task {ALL_TASKS}: heads, predictions, studies are of one task; give --task au, expr or va")


def _split_heads(heads: str | None) -> list[str] | None:
    """The names in `--heads`; None where it is not given. Raises InputError where it names none."""
    names = None if heads is None else [name.strip() for name in heads.split(",") if name.strip()]
    if names == []:
        raise InputError("--heads: name some of our heads, divided by commas, or none")
    return names


def _print_json(reports: Mapping[str, Mapping[str, Any]], folder: Path, by_task: bool) -> None:
    """The main numbers of each task's report, by task or of the only one."""
    from blend.report.summary import summarise_briefly

    said = {name: summarise_briefly(report, folder / "blend" / name) for name, report in reports.items()}
    shown = said if by_task else next(iter(said.values()))
    print(json.dumps(shown, indent=2, allow_nan=False, ensure_ascii=False))


def find_tasks(task: str, config: Config) -> list[str]:
    """What `--task` asks for: itself, or (`all`) au, expr, va and mtl as the corpus has validation annotations of them.

    The demo has all; its mtl is left out of `all`, as it is the same faces once more. Raises InputError for no task,
    and where there are no annotations at all.
    """
    if task != ALL_TASKS:
        split_task(task)
        return [task]
    if config.corpus.demo:
        return list(TASKS)
    given = {name: getattr(config.corpus, name) for name in NAMES}
    results = [name for name, paths in given.items() if paths is not None and paths.val is not None]
    if not results:
        raise InputError(
            f"--task {ALL_TASKS}: the config names no validation annotations: give corpus.au.val or the like"
        )
    return results


def _show(task: str, report: Any, folder: Path) -> None:
    from blend.report import summary
    from blend.report.html import index
    from blend.report.html import multitask as multitask_page

    (multitask_page if task == MTL else summary).show(report, folder / "blend" / task)
    print(folder / index.FILE)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
