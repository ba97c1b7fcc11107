"""The main job: frames and annotations -> a checked submission and a report. Runs extract and heads where they are
missing.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blend.config import BlendSettings, Config
from extract import config as extract_config
from extract import errors, rundir
from extract import run as extract_run
from extract.errors import InputError
from heads import labels
from heads import run as heads_run
from heads.tasks import TASKS

if TYPE_CHECKING:
    from blend.pool import Pool
    from heads.testlist import TestList


def main(config: Config, task: str, work: Path, seed: int = 0) -> dict[str, Any]:
    """Blend the heads of a task; returns the report. Whatever upstream step is missing or out of date runs first.

    Leaves params.json, submission.txt, report.json, report.html, study.db in `<work>/blend/<task>/`, DONE last. A
    folder that was finished from the same predictions, annotations, settings and seed is not touched. Raises
    InputError for bad input.
    """
    folders = heads_run.main(config, task, work, seed)
    config = extract_run.resolve(config, work)
    settings: BlendSettings = getattr(config.blend, task)
    out = work / "blend" / task
    with rundir.holding(out):
        return _up_to_date(config, settings, task, work, folders, seed, out)


def _up_to_date(
    config: Config, settings: BlendSettings, task: str, work: Path, folders: dict[str, Path], seed: int, out: Path
) -> dict[str, Any]:
    """The report of a finished folder, or of the work that was missing."""
    inputs = _inputs(config, settings, task, work, folders, seed)
    mark = rundir.fingerprint(inputs)
    if rundir.is_done(out, mark):
        report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
        return report
    return _make(config, settings, task, work, folders, seed, out, inputs, mark)


def _make(
    config: Config,
    settings: BlendSettings,
    task: str,
    work: Path,
    folders: dict[str, Path],
    seed: int,
    out: Path,
    inputs: dict[str, Any],
    mark: str,
) -> dict[str, Any]:
    """The work itself: pools, search, cross-fit, submission, report."""
    from blend import combine, page, submission
    from blend import report as reports

    began = time.monotonic()
    validation, target, listed, source = _pools(config, task, work, folders)
    rundir.begin(out)
    found, crossed = _search(validation, settings, seed, out, mark)
    rundir.write_json(out / "params.json", found.params.as_json())
    submission.write(out / "submission.txt", listed, target, combine.combine(target, found.params))
    report = reports.build(validation, found, crossed, settings, seed)
    report["submission"] = reports.submitted(
        out / "submission.txt", listed, target, submission.rows(listed, target), source
    )
    report["test"] = _test_score(config, task, work, out, listed) if source == "test" else None
    report["seconds"] = round(time.monotonic() - began, 2)
    if crossed is not None and len(crossed.folds) < settings.folds:
        print(f"only {len(crossed.folds)} validation videos: cross-fitted in as many folds", file=sys.stderr)
    rundir.write_json(out / "report.json", report)
    rundir.write_text(out / "report.html", page.render(report))
    rundir.finish(out, mark, inputs, ["submission.txt", "params.json", "report.json", "report.html"])
    return report


def _pools(config: Config, task: str, work: Path, folders: dict[str, Path]) -> tuple[Pool, Pool, TestList, str]:
    """(validation, what the submission is of, its list, "test" or "validation")."""
    import numpy as np

    from blend import pool
    from heads import predictions, testlist

    facts, paths = TASKS[task], config.corpus.task(task)
    table = json.loads((work / "heads" / task / "prior.json").read_text(encoding="utf-8"))
    prior = np.array([table[name] for name in facts.outputs], np.float32)
    annotations = labels.read_folder(paths.val, facts)
    found = {head: predictions.read(folder / "val.parquet", facts) for head, folder in folders.items()}
    validation = pool.for_validation(facts, found, annotations, prior)
    if paths.test is None:
        lengths = {video: len(annotation.valid) for video, annotation in annotations.items()}
        return validation, validation, testlist.from_lengths(lengths, facts, paths.val), "validation"
    listed = testlist.read(paths.test, facts)
    found = {head: predictions.read(folder / "test.parquet", facts) for head, folder in folders.items()}
    return validation, pool.for_test(facts, found, listed, prior), listed, "test"


def _search(validation: Pool, settings: BlendSettings, seed: int, out: Path, mark: str) -> tuple[Any, Any]:
    """The search, kept in study.db, and the same search inside the folds."""
    from blend import crossfit, search
    from blend.study import Journal
    from extract.progress import progress

    task = validation.task.name
    with Journal(out / "study.db", task, mark) as journal:
        if journal.set_aside:
            print(journal.set_aside, file=sys.stderr)
        with progress(f"blend {task}: search", search.count(validation, settings, settings.trials), "trials") as bar:
            found = search.search(validation, settings, settings.trials, seed, journal, bar.advance)
    folds = min(settings.folds, len(validation.videos))
    total = folds * search.count(validation, settings, crossfit.fold_trials(settings))
    with progress(f"blend {task}: cross-fit", total, "trials") as bar:
        return found, crossfit.cross_fit(validation, settings, seed, bar.advance)


def _test_score(config: Config, task: str, work: Path, out: Path, listed: TestList) -> dict[str, Any] | None:
    """What the submission scores on test: known for the demo only, and read only now that the submission is written."""
    if not config.corpus.demo:
        return None
    from blend.final_score import final_score
    from extract.demo.corpus import paths

    truth = paths(extract_run.corpus_folder(work))["truth"][task]
    return final_score(out / "submission.txt", listed, truth, TASKS[task])


def _inputs(
    config: Config, settings: BlendSettings, task: str, work: Path, folders: dict[str, Path], seed: int
) -> dict[str, Any]:
    """Everything that decides the result, for the fingerprint and for provenance.json."""
    paths = config.corpus.task(task)
    parts = ("val", "test") if paths.test else ("val",)
    return {
        "task": task,
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
        "heads": {
            head: {part: rundir.file_hash(folder / f"{part}.parquet") for part in parts}
            for head, folder in sorted(folders.items())
        },
        "prior": rundir.file_hash(work / "heads" / task / "prior.json"),
        "annotations": {path.name: rundir.file_hash(path) for path in labels.files(paths.val)},
        "test_list": rundir.file_hash(paths.test) if paths.test else None,
        "code": rundir.code_hash(Path(__file__).parent, Path(heads_run.__file__).parent),
        "versions": {name: version(name) for name in ("numpy", "numba", "optuna")},
    }


EXAMPLES = """Examples:

python -m blend.run --task au                                        the demo, from nothing to a submission

python -m blend.run --task expr --config configs/affwild2.toml       your own corpus

python -m blend.run --task va --set blend.va.trials=500 --seed 1     a longer search with another seed"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}.")],
    config: Annotated[Path, typer.Option(help="The run's TOML file.")] = extract_config.DEFAULT,
    work: Annotated[Path | None, typer.Option(help="Work folder; default runs/<corpus name>.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key.path=value, overrides the config.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.", min=0)] = 0,
) -> None:
    """Turn frames and annotations into a checked submission and a report."""
    with errors.exits():
        if task not in TASKS:
            raise InputError(f"--task {task}: no such task; there are {', '.join(TASKS)}")
        settings = extract_config.load(Config, config, overrides)
        folder = work or Path("runs") / settings.corpus.name
        report = main(settings, task, folder, seed)
        from blend.summary import show

        show(report, folder / "blend" / task)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLES)(command)
    app()
