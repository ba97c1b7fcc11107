"""`python -m heads.tune`: search the settings of one head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from extract import config as extract_config
from extract.jobs import cluster, session
from extract.runtime import cli, errors
from extract.runtime.console import console
from extract.runtime.errors import InputError, did_you_mean
from heads import config as heads_config
from heads.abaw.tasks import SINGLE_TASKS
from heads.config import Config
from heads.tune import retry
from heads.tune import study as tune_study
from heads.tune import trial as tune_trial
from heads.tune.search import FOLDS, HEARTBEAT, SearchRequest, SearchResult, main

EXAMPLES = """Examples:

python -m heads.tune --task au --head lightgbm --network demo_enet --trials 100

python -m heads.tune --task au --head lightgbm-demo_enet --trials 100 --workers 4      the same head, four at a time

python -m heads.tune --task expr --head mlp_all --space my_space.toml --trials 50      a space of your own

python -m heads.tune --task au --head mlp_all --trials 500 --storage postgresql://tune@db/tune      many machines

python -m heads.run --task au --set 'heads.au.use=["runs/demo/tune/au/lightgbm-demo_enet/best.toml"]'"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(SINGLE_TASKS)}.")],
    trials: Annotated[int, typer.Option(help="Finished trials that the study shall have in all.", min=1)],
    head: Annotated[str | None, typer.Option(help="A standard head, or a head's .toml file.")] = None,
    space: Annotated[
        Path | None, typer.Option(help='TOML with leaves ["tune", kind, low, high] over the head.')
    ] = None,
    network: Annotated[str | None, typer.Option(help="Of a head that is one for each network: this one.")] = None,
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    seed: Annotated[
        int, typer.Option(help="With one worker, the same seed makes the same trials.", min=0, max=cli.MOST_SEED)
    ] = 0,
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
    place: session.ClusterOption = cluster.LOCAL,
    as_json: cli.AsJson = False,
) -> None:
    """Search the settings of a head. Killed at any moment, the same command goes on where it was."""
    with errors.exits():
        if task not in SINGLE_TASKS:
            hint = did_you_mean(task, SINGLE_TASKS)
            raise InputError(f"--task {task}: no such task; there are {', '.join(SINGLE_TASKS)}{hint}")
        if study is not None and (Path(study).name != study or study in (".", "..")):
            raise InputError(f"--study {study}: expected a name, which is also the name of a folder")
        settings = extract_config.load(Config, config, overrides)
        search = SearchRequest(
            task, trials, head, space, network, folds, seed, prune, workers, storage, study, timeout, heartbeat
        )
        folder = work or Path("runs") / settings.corpus.name
        with session.use_cluster(place, settings.cluster, folder):
            result = main(settings, search, folder)
        if as_json:
            print(json.dumps(_as_json(result, search), indent=2, allow_nan=False))
        else:
            _print(result, search)


def _as_json(result: SearchResult, search: SearchRequest) -> dict[str, Any]:
    """What was found, for programs."""
    best = tune_study.find_best(result.trials)
    return {
        "asked": search.trials,
        "finished": len(tune_study.list_finished_trials(result.trials)),
        "best": None if best is None else {"score": best.value, "trial": best.number, "settings": best.params},
        "config": str(result.folder / heads_config.BEST) if best is not None else None,
        "folder": str(result.folder),
    }


def _print(result: SearchResult, search: SearchRequest) -> None:
    """What was found, and what is left to do."""
    from rich.table import Table

    finished, best = tune_study.list_finished_trials(result.trials), tune_study.find_best(result.trials)
    pruned = sum(trial.state.name == "PRUNED" for trial in finished)
    out = console()
    if best is not None:
        shown = Table("setting", "best")
        for key, value in best.params.items():
            shown.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))
        out.print(shown)
        score_of = tune_trial.SCORE_OF[SINGLE_TASKS[search.task].labels]
        out.print(f"{best.value:.4f} {score_of}", soft_wrap=True, highlight=False, markup=False)
        out.print(f"best config: {result.folder / heads_config.BEST}", soft_wrap=True)
    out.print(f"{len(finished)} of {search.trials} trials are finished, {pruned} of them pruned")
    if given_up := retry.count_given_up(result.trials):
        out.print(f"{given_up} draws ended their process {retry.MOST_ATTEMPTS} times and were given up")
    if len(finished) < search.trials:
        out.print("the same command goes on from there")


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
