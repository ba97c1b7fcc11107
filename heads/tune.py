"""Search the settings of one head: Optuna over the leaves of its TOML, scored by by-video folds of train.

    python -m heads.tune --task au --head lightgbm --network demo_enet --trials 100

Every trial is done in a process of its own kind (heads.tune_worker), kept on disk, and counted once; killed at any
moment, the same command goes on. The best config is a TOML that heads.run takes as it is.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extract import cluster, errors, names, rundir
from extract import config as extract_config
from extract import run as extract_run
from extract.console import console
from extract.errors import InputError, did_you_mean
from heads import border, features, labels, people, split, tune_cluster, tune_plan, tune_space, tune_study, tune_trial
from heads import config as heads_config
from heads import run as heads_run
from heads.config import Config
from heads.labels import Annotation
from heads.tasks import TASKS
from heads.tune_crew import Crew
from heads.tune_plan import Plan
from heads.tune_worker import Job

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FOLDS = 3
HEARTBEAT = 15


@dataclass(frozen=True)
class Search:
    """What is asked for; see the command's options."""

    task: str
    trials: int
    head: str | None = None
    space: Path | None = None
    network: str | None = None
    folds: int = FOLDS
    seed: int = 0
    prune: bool = True
    workers: int = 1
    storage: str = ""
    study: str | None = None
    seconds: float | None = None
    heartbeat: int = HEARTBEAT


@dataclass(frozen=True)
class Found:
    """Where a search's files are, and its trials so far, by number."""

    folder: Path
    trials: list[FrozenTrial]


def main(config: Config, search: Search, work: Path) -> Found:
    """Bring a search to `search.trials` finished trials (or to the end of its time), and write best.toml.

    Runs extract first where features are missing. Raises InputError for bad input and for a study of the same name that
    is another search's; Failed where processes keep dying, trials keep failing or the storage stays away.
    """
    task = TASKS[search.task]
    plan = tune_plan.make(config, task.name, search.head, search.space, search.network)
    if search.storage:
        from heads import tune_storage

        tune_storage.parse(search.storage)
    elif cluster.current() is not None:
        raise InputError("--cluster: machines share a search by --storage postgresql://user@host/database; give one")
    early = None if config.corpus.demo else border.read(config, task)
    config = extract_run.main(config, work)
    annotations, _ = early or border.read(config, task)
    has = {network: heads_config.kinds(work, network) for network in dict.fromkeys(config.features.networks)}
    name, raw, kinds = tune_plan.on_networks(plan, has)
    study = names.check("study", search.study or name, "--study")
    folder = work / "tune" / task.name / study
    job = Job(
        task=task.name,
        head=name,
        raw=raw,
        has=kinds,
        work=str(work.resolve()),
        train=str(config.corpus.task(task.name).train),
        folder=str(folder.resolve()),
        study=f"{config.corpus.name}/{task.name}/{study}",
        storage=search.storage,
        start=tune_plan.start(plan),
        trials=search.trials,
        folds=search.folds,
        seed=search.seed,
        prune=search.prune,
        heartbeat=search.heartbeat,
        people=split.name_groups(annotations["train"], people.read(config.corpus, annotations["train"])),
        until=None if search.seconds is None else time.time() + search.seconds,
    )
    tune_trial.folds(annotations["train"], task, search.folds, search.seed, job.people)
    # several machines may share a study on a server; a file is one command's at a time
    with nullcontext() if search.storage else rundir.holding(folder):
        if not search.storage:
            rundir.sweep(folder / "study.db")
        facts = _facts(config, job, work, annotations["train"])  # not before the wait
        return _search(job, facts, plan, search)


def _facts(config: Config, job: Job, work: Path, annotations: dict[str, Annotation]) -> dict[str, Any]:
    """What decides a score: space, data by their hashes, folds and seed. Raises InputError for features that do not
    belong to the annotations.
    """
    train, videos = Path(job.train), sorted(annotations)
    last = heads_run.last_frames(work, [*job.has], videos)
    border.check_annotations(train, annotations, last, config.corpus.missing_tail)
    hashes = [(path.name, rundir.file_hash(path)) for path in labels.files(train)]
    facts = {
        "task": job.task,
        "head": job.head,
        "space": job.raw,
        "folds": job.folds,
        "seed": job.seed,
        "annotations": rundir.fingerprint(hashes)[:16],
        "features": {network: features.mark(work, network, videos)[:16] for network in job.has},
        **({} if job.people is None else {"people": rundir.fingerprint(job.people)[:16]}),
    }
    return json.loads(json.dumps(facts))  # type: ignore[no-any-return]  # as the storage gives it back


def _search(job: Job, facts: dict[str, Any], plan: Plan, search: Search) -> Found:
    """Let the crew work; best.toml follows every better trial."""
    folder = Path(job.folder)
    study = job.open(facts)
    try:
        if not job.storage:
            study.release(None, True)  # the folder is ours alone: whoever ran a trial is gone

        def on_look(trials: list[FrozenTrial]) -> None:
            _keep_best(folder / heads_config.BEST, job, plan, search, trials)

        if (machines := cluster.current()) is not None:
            tune_cluster.run(machines, job, study, search.workers, on_look)
        else:
            Crew(job, study, search.workers, on_look).run()
        trials = study.trials()
    finally:
        study.close()
    for trial in trials:  # what the dead left half-written; their parameters were tried again
        if trial.state.name == "FAIL":
            shutil.rmtree(folder / "trials" / str(trial.number), ignore_errors=True)
    return Found(folder, trials)


def _keep_best(path: Path, job: Job, plan: Plan, search: Search, trials: list[FrozenTrial]) -> None:
    """Write the best config so far, unless it stands there already."""
    import tomli_w

    if (best := tune_study.best_of(trials)) is None:
        return
    if not job.storage:
        _check_trial(path.parent, best)
    asked = {"head": search.head, "network": search.network, "space": search.space}
    named = "".join(f" --{option} {value}" for option, value in asked.items() if value is not None)
    wanted = max(job.trials, len(tune_study.finished_of(trials)))
    text = (
        f"# python -m heads.tune --task {job.task}{named} --trials {wanted} --folds {job.folds} --seed {job.seed}\n"
        f"# {tune_trial.SCORE_OF[job.task]}: {best.value:.4f}, out of fold on train, trial {best.number}"
        f"{_compared(job, trials)}\n"
    ) + tomli_w.dumps(tune_space.fill(job.raw, plan.space, best.params))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        rundir.write_text(path, text)


def _check_trial(folder: Path, trial: FrozenTrial) -> None:
    """Raise InputError where study.db says of a trial other than the trial's own finished folder."""
    own = folder / "trials" / str(trial.number)
    if not (own / rundir.DONE).exists():
        return
    advice = f"one of them is damaged: begin the search anew in another place, or delete {folder}"
    rundir.check_result(own / "report.json", advice)
    said = rundir.read_json(own / "report.json", advice)
    if (said.get("score"), said.get("params")) != (trial.value, trial.params):
        raise InputError(
            f"{folder / 'study.db'}: of trial {trial.number} it says {trial.value} with {trial.params}, "
            f"its folder {own} {said.get('score')} with {said.get('params')}; {advice}"
        )


def _compared(job: Job, trials: list[FrozenTrial]) -> str:
    """What the head as it stands reached, where it was tried."""
    complete = [trial for trial in trials if trial.state.name == "COMPLETE" and trial.params == job.start]
    return f"; the head as it stands: {complete[0].value:.4f}" if complete else ""


EXAMPLES = """Examples:

python -m heads.tune --task au --head lightgbm --network demo_enet --trials 100

python -m heads.tune --task au --head lightgbm-demo_enet --trials 100 --workers 4      the same head, four at a time

python -m heads.tune --task expr --head mlp_all --space my_space.toml --trials 50      a space of your own

python -m heads.tune --task au --head mlp_all --trials 500 --storage postgresql://tune@db/tune      many machines

python -m heads.run --task au --set 'heads.au.use=["runs/demo/tune/au/lightgbm-demo_enet/best.toml"]'"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASKS)}.")],
    trials: Annotated[int, typer.Option(help="Finished trials that the study shall have in all.", min=1)],
    head: Annotated[str | None, typer.Option(help="A standard head, or a head's .toml file.")] = None,
    space: Annotated[
        Path | None, typer.Option(help='TOML with leaves ["tune", kind, low, high] over the head.')
    ] = None,
    network: Annotated[str | None, typer.Option(help="Of a head that is one for each network: this one.")] = None,
    config: Annotated[
        Path, typer.Option(help="The run's TOML file.", show_default=extract_config.SHOWN)
    ] = extract_config.DEFAULT,
    work: Annotated[Path | None, typer.Option(help="Work folder; default runs/<corpus name>.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key.path=value, overrides the config.")] = None,
    seed: Annotated[int, typer.Option(help="With one worker, the same seed makes the same trials.", min=0)] = 0,
    folds: Annotated[int, typer.Option(help="By-video folds of train that a trial is scored on.", min=2)] = FOLDS,
    prune: Annotated[bool, typer.Option(help="Stop a trial that is below the median after a fold.")] = True,
    workers: Annotated[int, typer.Option(help="Processes; on one machine its cores are shared out.", min=1)] = 1,
    storage: Annotated[
        str, typer.Option(help="postgresql://user@host/database, shared by many machines.", envvar="HEADS_TUNE_STORAGE")
    ] = "",
    study: Annotated[str | None, typer.Option(help="The study's name; default the head's.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which no trial is begun; running ones finish.", min=0)
    ] = None,
    heartbeat: Annotated[
        int, typer.Option(help="Seconds; a process silent for four of them is taken for dead.", min=1)
    ] = HEARTBEAT,
    where: Annotated[str, typer.Option("--cluster", help=cluster.HELP)] = cluster.LOCAL,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
) -> None:
    """Search the settings of a head. Killed at any moment, the same command goes on where it was."""
    with errors.exits():
        if task not in TASKS:
            hint = did_you_mean(task, TASKS)
            raise InputError(f"--task {task}: no such task; there are {', '.join(TASKS)}{hint}")
        if study is not None and (Path(study).name != study or study in (".", "..")):
            raise InputError(f"--study {study}: expected a name, which is also the name of a folder")
        settings = extract_config.load(Config, config, overrides)
        search = Search(
            task, trials, head, space, network, folds, seed, prune, workers, storage, study, timeout, heartbeat
        )
        folder = work or Path("runs") / settings.corpus.name
        with cluster.at(where, settings.cluster, folder):
            found = main(settings, search, folder)
        if as_json:
            print(json.dumps(_as_json(found, search), indent=2, allow_nan=False))
        else:
            _print(found, search)


def _as_json(found: Found, search: Search) -> dict[str, Any]:
    """What was found, for programs."""
    best = tune_study.best_of(found.trials)
    return {
        "asked": search.trials,
        "finished": len(tune_study.finished_of(found.trials)),
        "best": None if best is None else {"score": best.value, "trial": best.number, "settings": best.params},
        "config": str(found.folder / heads_config.BEST) if best is not None else None,
        "folder": str(found.folder),
    }


def _print(found: Found, search: Search) -> None:
    """What was found, and what is left to do."""
    from rich.table import Table

    finished, best = tune_study.finished_of(found.trials), tune_study.best_of(found.trials)
    pruned = sum(trial.state.name == "PRUNED" for trial in finished)
    out = console()
    if best is not None:
        shown = Table("setting", "best")
        for key, value in best.params.items():
            shown.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))
        out.print(shown)
        out.print(f"{best.value:.4f} {tune_trial.SCORE_OF[search.task]}", soft_wrap=True, highlight=False, markup=False)
        out.print(f"best config: {found.folder / heads_config.BEST}", soft_wrap=True)
    out.print(f"{len(finished)} of {search.trials} trials are finished, {pruned} of them pruned")
    if given_up := tune_study.given_up(found.trials):
        out.print(f"{given_up} draws ended their process {tune_study.MOST_ATTEMPTS} times and were given up")
    if len(finished) < search.trials:
        out.print("the same command goes on from there")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLES)(command)
    app()
