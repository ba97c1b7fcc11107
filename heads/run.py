"""The heads step: train what is missing, each head in a process of its own, and leave predictions for blend."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from extract import config as extract_config
from extract import run as extract_run
from extract.jobs import cluster, session
from extract.runtime import cli, errors, run_folder
from extract.runtime.errors import InputError, did_you_mean
from heads import config as heads_config
from heads import corpus_checks
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import MTL, NAMES, SUBTASKS, Task, find
from heads.config import Config, Spec
from heads.data import feature_file, people, splits
from heads.data.people import People
from heads.train import processes
from heads.train import provenance as head_inputs
from heads.train.job import MODEL, Job, head_folder

Inputs = tuple[corpus_checks.Annotations, corpus_checks.ListedFrames, head_inputs.Hashes]
"""A task's annotations, the frames of its test list, and hashes of both."""
LIBRARIES = {
    "mlp": ("tensorflow", "keras"),
    "lightgbm": ("lightgbm",),
    "linear": ("scipy",),
    "tabm": ("tabm", "torch"),
    "lama": ("lightautoml", "lightgbm", "torch", "pandas"),
    "pretrained": ("tensorflow", "keras"),
    "sequence": ("torch",),
    "fusion": ("torch",),
}


def main(
    config: Config,
    task: str,
    work: Path,
    seed: int = 0,
    only: list[str] | None = None,
    hold: contextlib.ExitStack | None = None,
    option: str = "--head",
) -> dict[str, Path]:
    """Bring every head of a task up to date; returns head name -> its finished folder. `only` names some of them, as
    the command's `option` did. A part of the multi-task challenge is a task of its own ("mtl/va").

    Runs extract first where features are missing. Finished heads whose settings, annotations, features and libraries
    are unchanged are kept, so a killed run goes on with the first unfinished head; where only the test list or its
    features changed, the kept model predicts them. Writes `prior.json`: what a video
    without any face is predicted as. Until `hold` is closed nobody changes the heads: what reads them closes it.
    Raises InputError for bad input; heads finished before that stay.
    """
    facts = find(task)
    early = check_early(config, task, only, option)
    config = extract_run.main(config, work)
    with contextlib.ExitStack() as here:
        (hold or here).enter_context(run_folder.hold_folder(work / "heads" / task))
        specs, jobs = _plan(config, facts, work, seed, only, option, early)
        processes.run_jobs(jobs, f"heads {facts.place}")
        return {spec.name: head_folder(work, facts.place, spec.name) for spec in specs}


def train_side_by_side(config: Config, asked: Mapping[str, list[str] | None], work: Path, seed: int = 0) -> None:
    """Bring the heads of several tasks up to date as `main` does those of one, all of them side by side.

    `asked`: which ones, by task (None: every head). A task with bad input is left out: `main` says what is wrong.
    Raises InputError where extract or a head does, or where every task has bad input.
    """
    early = {}
    for task, only in asked.items():
        with contextlib.suppress(InputError):
            early[task] = check_early(config, task, only)
    if not early:
        raise InputError(f"none of {', '.join(asked)} can be trained")
    config = extract_run.main(config, work)
    jobs: list[Job] = []
    with contextlib.ExitStack() as hold:
        for task in sorted(early):  # in one order, or two such commands could wait for each other
            hold.enter_context(run_folder.hold_folder(work / "heads" / task))
            with contextlib.suppress(InputError):
                jobs += _plan(config, find(task), work, seed, asked[task], "--head", early[task])[1]
        processes.run_jobs(jobs, "heads")


def _plan(
    config: Config,
    facts: Task,
    work: Path,
    seed: int,
    only: list[str] | None,
    option: str,
    early: Inputs | None,
) -> tuple[list[Spec], list[Job]]:
    """The heads that are asked for, and what is to be done for them; features are there. Writes the task's prior."""
    paths = config.corpus.task(facts.place)
    if early is None or head_inputs.hash_inputs(paths, facts) != early[2]:  # hours may have passed
        early = head_inputs.read(config, facts)
    specs = _choose(config, facts, work, only, option)
    jobs = _list_outdated(config, facts, work, seed, specs, *early)
    _keep_prior(work / "heads" / facts.place / "prior.json", prior(early[0]["train"], facts))
    return specs, jobs


def check_early(config: Config, task: str, only: list[str] | None = None, option: str = "--head") -> Inputs | None:
    """What hours of extraction must not end at: an unknown head, a corpus without the task, annotations that cannot be
    read. Returns these as read, or None of the embedded corpus. Raises InputError.
    """
    facts = find(task)
    for part in SUBTASKS if task in SUBTASKS else (task,):
        heads_config.list_heads(config, find(part).name, only or ())
    config.refuse_template(facts.place.partition("/")[0])
    heads_config.refuse_unknown(
        heads_config.list_possible_heads(config, facts.name, only or ()), facts.name, only, option
    )
    extract_run.resolve(config, Path()).corpus.task(facts.place)  # before minutes of rendering
    return None if config.corpus.demo else head_inputs.read(config, facts)


def list_outdated_heads(
    config: Config, task: str, work: Path, seed: int, only: list[str] | None = None
) -> dict[str, bool]:
    """Head -> whether it is missing or out of date once all features are there. Raises InputError as `main`."""
    facts = find(task)
    specs = _choose(config, facts, work, only, "--heads")
    jobs = {job.name for job in _list_outdated(config, facts, work, seed, specs, *head_inputs.read(config, facts))}
    return {spec.name: spec.name in jobs for spec in specs}


def _choose(config: Config, facts: Task, work: Path, only: list[str] | None, option: str) -> list[Spec]:
    """The heads that are asked for. Raises InputError for one that there is not."""
    specs = heads_config.plan(config, facts.name, work, only or ())
    bases = heads_config.list_possible_heads(config, facts.name, only or ())
    there = {spec.name: bases.get(spec.name, spec.name) for spec in specs}
    heads_config.refuse_unknown(there, facts.name, only, option)
    return [spec for spec in specs if not only or spec.name in only]


def _list_outdated(
    config: Config,
    facts: Task,
    work: Path,
    seed: int,
    specs: list[Spec],
    annotations: corpus_checks.Annotations,
    listed: corpus_checks.ListedFrames,
    hashes: head_inputs.Hashes,
) -> list[Job]:
    """The heads that are missing or out of date. Raises InputError for annotations that do not fit the features."""
    task, paths = facts.place, config.corpus.task(facts.place)
    assert paths.train is not None, "border.read sees to it"
    known = {*annotations["train"], *annotations["val"]}
    everybody = people.read(config.corpus, known | set(listed))
    person_of = None if everybody is None else {v: everybody[v] for v in sorted(known & everybody.keys())}
    readers = [_reader(spec) for spec in specs]
    corpus_checks.refuse_leaks(config, facts.name, readers, annotations["train"], annotations["val"])
    networks = list(dict.fromkeys(source.network for spec in specs for source in spec.sources))
    marks = {n: [feature_file.mark(work, n, videos) for videos in (known, set(listed))] for n in networks}
    last = corpus_checks.last_frames(work, networks, sorted(known | set(listed)))
    for part, annotation in annotations.items():
        tail = corpus_checks.largest_tail(config, facts)
        corpus_checks.check_annotations(getattr(paths, part), annotation, last, tail)
    for part, videos in (("validation", annotations["val"]), ("test", listed)):
        corpus_checks.check_heads(facts.name, specs, work, part, videos)
    code = head_inputs.code_mark()
    todo = []
    for spec in specs:
        learnt_from = known if spec.settings.refit_val else annotations["train"]
        together = splits.name_groups(learnt_from, person_of)
        persons = everybody if spec.settings.relative.applies("person") else None
        inputs = hashes | {"features": {s.network: marks[s.network] for s in spec.sources}}
        learning = _learning(task, spec, seed, inputs, code, together, persons and person_of)
        listed_marks = [marks[s.network][1] for s in spec.sources]
        mark = run_folder.fingerprint([learning, hashes["test"], listed_marks, *([persons] if persons else [])])
        folder = head_folder(work, task, spec.name)
        if not (run_folder.is_done(folder, mark) and run_folder.is_done(folder / MODEL, learning)):
            raw, sources, whole = spec.settings.model_dump(mode="json"), list(spec.sources), work.resolve()
            who = People(together, persons)
            todo.append(Job(spec.name, task, raw, sources, whole, paths, seed, mark, learning, inputs, who))
    return todo


def _reader(spec: Spec) -> corpus_checks.Reader:
    """What a head does with features of training videos: a pretrained one takes them as they are, and has nothing to
    say of them unless it is asked for out-of-fold predictions, which a blend believes.
    """
    settings = spec.settings
    does = "learn from"
    if settings.family == "pretrained" and getattr(settings, "other", "") != "mlp":
        count = f"{'bags' if settings.bags else 'folds'} = {settings.fold_count}"
        does = f"make out-of-fold predictions ({count}) of" if settings.fold_count else ""
    return corpus_checks.Reader(spec.name, tuple(source.network for source in spec.sources), does)


def _learning(
    task: str,
    spec: Spec,
    seed: int,
    inputs: head_inputs.Hashes,
    code: str,
    together: dict[str, str] | None,
    persons: dict[str, str] | None = None,
) -> str:
    """Fingerprint of all that a trained head hangs on: where it is the same, nothing is learnt again.

    Of people (`together`: video -> group) it has which videos belong together, not what they are called.
    """
    return run_folder.fingerprint(
        {
            "task": task,
            "settings": spec.settings.model_dump(mode="json"),
            "sources": [(s.network, s.kinds, s.beside) for s in spec.sources],
            "seed": seed,
            "annotations": {part: inputs[part] for part in ("train", "val")},
            "features": [inputs["features"][s.network][0] for s in spec.sources],
            "code": code,
            "versions": {name: version(name) for name in ("numpy", "scikit-learn", *LIBRARIES[spec.settings.family])},
            **({} if together is None else {"people": together}),
            **({} if persons is None else {"persons": persons}),
        }
    )


def prior(annotations: dict[str, Annotation], task: Task, part: str = "training") -> dict[str, Any]:
    """What is known of a frame without a face: au each unit's positive rate, expr each class's frequency, va the mean.

    Of all annotated frames of a part, with or without a face; under "counts" how many, of how many videos.
    """
    values = np.concatenate([a.values[a.valid] for a in annotations.values()])
    if not len(values):
        raise InputError(f"the {part} annotations of task {task.name!r} have no annotated frame")
    means = task.as_columns(values).mean(0)
    return {
        **{name: float(mean) for name, mean in zip(task.outputs, means, strict=True)},
        "counts": {"videos": len(annotations), "frames": len(values)},
    }


def _keep_prior(path: Path, result: dict[str, Any]) -> None:
    """Write prior.json unless it says the same already."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_text(encoding="utf-8")) == result:
            return
    run_folder.write_json(path, result)


EXAMPLES = """Examples:

python -m heads.run --task au                             every standard head on the demo corpus

python -m heads.run --task expr --head mlp-demo_enet      one of them

python -m heads.run --task va --set heads.va.mlp.epochs=40

python -m heads.run --task mtl                            all three on the annotations of the multi-task challenge

python -m heads.run --task au --config configs/affwild2.toml      your own corpus

python -m heads.run --task au --config configs/affwild2.toml --cluster slurm      on a cluster's nodes"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}.")],
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same predictions.", min=0, max=cli.MOST_SEED)] = 0,
    head: Annotated[list[str] | None, typer.Option(help="Train only this head; can be repeated.")] = None,
    place: session.ClusterOption = cluster.LOCAL,
    as_json: cli.AsJson = False,
) -> None:
    """Train the heads of a task and predict validation and test."""
    with errors.exits():
        parts = split_task(task)
        settings = extract_config.load(Config, config, overrides)
        folder = work or Path("runs") / settings.corpus.name
        with session.use_cluster(place, settings.cluster, folder):
            done = {part: main(settings, part, folder, seed, head) for part in parts}
        if as_json:
            print(json.dumps({part: _facts(folders) for part, folders in done.items()}, indent=2, allow_nan=False))
            return
        for part, folders in done.items():
            _print(folders, find(part))


def split_task(task: str) -> tuple[str, ...]:
    """What `--task` asks for: itself, or the three parts of the multi-task challenge. Raises InputError for no task."""
    if task not in (*NAMES, *SUBTASKS):
        hint = did_you_mean(task, (*NAMES, *SUBTASKS))
        raise InputError(f"--task {task}: no such task; there are {', '.join(NAMES)}{hint}")
    return tuple(SUBTASKS) if task == MTL else (task,)


def _facts(folders: dict[str, Path]) -> list[dict[str, Any]]:
    """The heads and their scores."""
    results = []
    for name, folder in folders.items():
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        facts = {key: report[key] for key in ("metric", "val_score", "seconds")}
        results.append({"head": name, **facts, "folder": str(folder)})
    return results


def _print(folders: dict[str, Path], task: Task) -> None:
    """The same for people."""
    from rich.console import Console
    from rich.table import Table

    title = task.place if task.within else None
    shown = Table("head", f"{task.metric} on validation", "seconds", "folder", title=title)
    for facts in _facts(folders):
        score = "undefined" if facts["val_score"] is None else f"{facts['val_score']:.4f}"
        shown.add_row(facts["head"], score, f"{facts['seconds']:.0f}", facts["folder"])
    Console().print(shown)


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
