"""The search of one head's settings: Optuna over the leaves of its TOML, scored by by-video folds of train.

    python -m heads.tune --task au --head lightgbm --network demo_enet --trials 100

Every trial is done in a process of its own kind (heads.tune.worker), kept on disk, and counted once; killed at any
moment, the same command goes on. The best config is a TOML that heads.run takes as it is.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract import run as extract_run
from extract.jobs import session
from extract.runtime import file_names, run_folder
from extract.runtime.errors import InputError
from heads import config as heads_config
from heads import corpus_checks, search_space
from heads.abaw import read
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import SINGLE_TASKS
from heads.config import Config
from heads.data import feature_file, people, splits
from heads.tune import plan as tune_plan
from heads.tune import storage as tune_storage
from heads.tune import study as tune_study
from heads.tune import trial as tune_trial
from heads.tune.plan import SearchPlan
from heads.tune.processes import WorkerPool
from heads.tune.worker import Job

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


FOLDS = 3
HEARTBEAT = 15


@dataclass(frozen=True)
class SearchRequest:
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
class SearchResult:
    """Where a search's files are, and its trials so far, by number."""

    folder: Path
    trials: list[FrozenTrial]


def main(config: Config, search: SearchRequest, work: Path) -> SearchResult:
    """Bring a search to `search.trials` finished trials (or to the end of its time), and write best.toml.

    Runs extract first where features are missing. Raises InputError for bad input and for a study of the same name that
    is another search's; WorkError where processes keep dying, trials keep failing or the storage stays away.
    """
    task = SINGLE_TASKS[search.task]
    plan = tune_plan.make(config, task.name, search.head, search.space, search.network)
    if search.storage:
        tune_storage.parse(search.storage)
    elif session.current_cluster() is not None:
        raise InputError("--cluster: machines share a search by --storage postgresql://user@host/database; give one")
    early = None if config.corpus.demo else corpus_checks.read(config, task)
    config = extract_run.main(config, work)
    annotations, _ = early or corpus_checks.read(config, task)
    has = {network: heads_config.kinds(work, network) for network in dict.fromkeys(config.features.networks)}
    name, raw, kinds = tune_plan.on_networks(plan, has)
    named = kinds if isinstance(raw["networks"], str) else raw["networks"]
    does = "be scored on" if raw["family"] == "pretrained" else "learn from"
    reader = corpus_checks.Reader(name, tuple(named), does)
    corpus_checks.refuse_leaks(config, task.name, [reader], annotations["train"], annotations["val"])
    study = file_names.check("study", search.study or name, "--study")
    folder = work / "tune" / task.name / study
    persons = people.read(config.corpus, annotations["train"])
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
        people=splits.name_groups(annotations["train"], persons),
        persons=persons,
        until=None if search.seconds is None else time.time() + search.seconds,
    )
    tune_trial.folds(annotations["train"], task, search.folds, search.seed, job.people)
    # several machines may share a study on a server; a file is one command's at a time
    with nullcontext() if search.storage else run_folder.hold_folder(folder):
        if not search.storage:
            run_folder.sweep(folder / "study.db")
        facts = _facts(config, job, work, annotations["train"])  # not before the wait
        return _search(job, facts, plan, search)


def _facts(config: Config, job: Job, work: Path, annotations: dict[str, Annotation]) -> dict[str, Any]:
    """What decides a score: space, data by hashes, folds, seed. Raises InputError for features of other annotations."""
    train, videos = Path(job.train), sorted(annotations)
    last = corpus_checks.last_frames(work, [*job.has], videos)
    task = SINGLE_TASKS[job.task]
    corpus_checks.check_annotations(train, annotations, last, corpus_checks.largest_tail(config, task))
    hashes = read.hash_files(train, task)
    facts = {
        "task": job.task,
        "head": job.head,
        "space": job.raw,
        "folds": job.folds,
        "seed": job.seed,
        "annotations": run_folder.fingerprint(hashes)[:16],
        "features": {network: feature_file.mark(work, network, videos)[:16] for network in job.has},
        **({} if job.people is None else {"people": run_folder.fingerprint([job.people, job.persons])[:16]}),
    }
    return json.loads(json.dumps(facts))  # type: ignore[no-any-return]  # as the storage gives it back


def _search(job: Job, facts: dict[str, Any], plan: SearchPlan, search: SearchRequest) -> SearchResult:
    """Let the crew work; best.toml follows every better trial."""
    folder = Path(job.folder)
    study = job.open(facts)
    try:
        if not job.storage:
            study.release(None, True)  # the folder is ours alone: whoever ran a trial is gone

        def on_look(trials: list[FrozenTrial]) -> None:
            _keep_best(folder / heads_config.BEST, job, plan, search, trials)

        WorkerPool(job, study, search.workers, on_look, session.current_cluster()).run()
        trials = study.trials()
    finally:
        study.close()
    for trial in trials:  # what the dead left half-written; their parameters were tried again
        if trial.state.name == "FAIL":
            shutil.rmtree(folder / "trials" / str(trial.number), ignore_errors=True)
    return SearchResult(folder, trials)


def _keep_best(path: Path, job: Job, plan: SearchPlan, search: SearchRequest, trials: list[FrozenTrial]) -> None:
    """Write the best config so far, unless it stands there already."""
    import tomli_w

    if (best := tune_study.find_best(trials)) is None:
        return
    asked = {"head": search.head, "network": search.network, "space": search.space}
    named = "".join(f" --{option} {value}" for option, value in asked.items() if value is not None)
    wanted = max(job.trials, len(tune_study.list_finished_trials(trials)))
    score_of = tune_trial.SCORE_OF[SINGLE_TASKS[job.task].labels]
    first = next((t for t in trials if t.state.name == "COMPLETE" and t.params == job.start), None)
    compared = f"; the head as it stands: {first.value:.4f}" if first is not None else ""
    text = (
        f"# python -m heads.tune --task {job.task}{named} --trials {wanted} --folds {job.folds} --seed {job.seed}\n"
        f"# {score_of}: {best.value:.4f}, out of fold on train, trial {best.number}{compared}\n"
    ) + tomli_w.dumps(search_space.fill(job.raw, plan.space, best.params))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        run_folder.write_text(path, text)
