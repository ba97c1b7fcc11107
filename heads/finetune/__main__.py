"""`python -m heads.finetune`: fine-tune a network on a task, and leave it as an ordinary one."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from extract import config as extract_config
from extract import run as extract_run
from extract.learning import export, names, pictures
from extract.learning.recipe import Recipe
from extract.networks import facts as network_facts
from extract.runtime import cli, errors, run_folder
from extract.runtime.errors import InputError, did_you_mean
from extract.runtime.run_folder import ROOT
from heads.abaw.tasks import JOINT, SINGLE_TASKS, SUBTASKS, JointTask, Task, find
from heads.base import selection
from heads.config import Config

if TYPE_CHECKING:
    from extract.learning.start import Start
    from extract.networks.facts import Fold
    from heads.finetune.corpus import TrainingPictures

TASK_NAMES = (*SINGLE_TASKS, *JOINT, *SUBTASKS)
CODE = ("heads/base/selection.py", "extract/media/images.py", "extract/networks/checkpoints.py")
"""What else decides the network beside extract.learning."""


def main(
    config: Config, task: str, network: str, name: str, work: Path, seed: int = 0, redo: bool = False, folds: int = 0
) -> Path:
    """Fine-tune `network` for a task, or go on where a killed process was; returns `<work>/networks/<name>`, which
    holds `<name>.onnx` and its section of a config, `<name>.toml`.

    With `folds`, so many networks follow that each lack a part of the training videos, in `fold1`, `fold2`, ...;
    features of these videos are then theirs. What is finished and made from the same things is kept, unless pictures
    that could not be read were mended since, or to `redo` it. Raises InputError for bad input; see `train.fine_tune`.
    """
    if task not in TASK_NAMES:
        known, hint = ", ".join(TASK_NAMES), did_you_mean(task, TASK_NAMES)
        raise InputError(f"--task {task}: no such task; there are {known}{hint}")
    names.check(name, config, work, network)
    facts = JOINT[task] if task in JOINT else find(task)
    config.refuse_template(facts.place.partition("/")[0])
    recipe = names.find_section(config, "finetune", config.finetune, name, Recipe())
    from extract.learning import start as starts
    from heads.finetune import corpus

    config = names.add_learnt_networks(config, work, [network])
    begin = starts.find(network, config)  # rendering must not end at a typo
    config = extract_run.prepare_corpus(config, work)
    whole, *parts = corpus.read(config, facts, recipe, seed, folds)
    folder = work / "networks" / name
    job = Job(name, facts, network, begin, recipe, seed, config.corpus.demo is True, redo, folder)
    with run_folder.hold_folder(folder):
        _learn(job, whole, folder, name)
        if folds:
            network_facts.write_folds(folder / f"{name}.onnx", config.corpus.name, [*_learn_folds(job, parts)])
    return folder


def _learn_folds(job: Job, parts: Sequence[TrainingPictures]) -> Iterator[Fold]:
    """The network of each fold, in a folder of its own; those of a larger number of folds before go."""
    folder = job.folder
    for number, data in enumerate(parts, start=1):
        title = f"{job.name}, fold {number} of {len(parts)}"
        path = _learn(job, data, folder / f"fold{number}", title) / f"{job.name}.onnx"
        videos = frozenset((network_facts.read(path) or {})["videos"])
        yield network_facts.Fold(path, run_folder.file_hash(path), frozenset(data.held_out), videos)
    for left in folder.glob("fold*"):
        if left.name.removeprefix("fold").isdigit() and int(left.name.removeprefix("fold")) > len(parts):
            shutil.rmtree(left)


@dataclass(frozen=True)
class Job:
    """What the whole network and those of its folds have in common."""

    name: str
    task: Task | JointTask
    network: str
    """What `--network` said."""
    start: Start
    recipe: Recipe
    seed: int
    demo: bool
    redo: bool
    folder: Path
    """Of the whole network."""


def _learn(job: Job, data: TrainingPictures, folder: Path, title: str) -> Path:
    """Bring one network up to date in its folder, which is returned."""
    from extract.learning import train as training

    facts, recipe, name = job.task, job.recipe, job.name
    mark = _fingerprint(job, data)
    if not job.redo and run_folder.is_done(folder, mark) and not pictures.has_mended_pictures(folder):
        return folder
    network_facts.folds_file(job.folder / f"{name}.onnx").unlink(missing_ok=True)  # they will not belong together
    run_folder.begin(folder)
    if job.redo:
        _drop_checkpoints(folder)
    run = training.Run(
        name, job.start, data.target, recipe, data.train, data.dev, job.seed, folder, mark,
        lambda truth, scores: selection.selection_score(facts, truth, scores),
        selection.name_score(facts), title, data.groups,
    )  # fmt: skip
    learnt, position = training.fine_tune(run)
    described = export.describe(run, position, facts.place, job.network, data.videos, data.dev_videos, job.demo)
    onnx = folder / f"{name}.onnx"
    export.export_module(learnt, job.start.network.size, export.name_outputs(data.target), described, onnx)
    section = export.describe_section(name, job.start.network, data.target, onnx.name, run_folder.file_hash(onnx))
    export.write_section(folder / f"{name}.toml", section)
    pictures.write_failures(folder, position.unreadable, position.sizes)
    results = [onnx.name, f"{name}.toml", pictures.FAILURES]
    run_folder.finish(folder, mark, described | {"recipe": recipe.model_dump(mode="json")}, results)
    _drop_checkpoints(folder)
    return folder


def _drop_checkpoints(folder: Path) -> None:
    from extract.learning import train as training

    for left in (training.CHECKPOINT, training.BEST):
        (folder / left).unlink(missing_ok=True)


def _fingerprint(job: Job, data: TrainingPictures) -> str:
    """Of all that decides the network. How often a checkpoint is written does not."""
    network = job.start.network
    return run_folder.fingerprint(
        {
            "task": [job.task.name, job.task.outputs],
            "start": [job.start.sha256, network.size, network.colour, network.mean, network.std, network.arch],
            "recipe": job.recipe.model_dump(mode="json", exclude={"save_every"}),
            "pictures": [data.train.mark(), data.dev.mark()],
            "weights": [part.weights.tolist() for part in data.target.parts],
            "groups": _list_groups(data),
            "seed": job.seed,
            "code": [run_folder.code_hash("extract/learning"), *(run_folder.file_hash(ROOT / file) for file in CODE)],
            "versions": {library: version(library) for library in ("torch", "timm", "scikit-learn", "pillow")},
        }
    )


def _list_groups(data: TrainingPictures) -> list[int]:
    """Whose recording, or who, each video shows that is learnt from: it decides the start's penalty."""
    assert data.groups is not None, "heads.finetune.corpus gives them"
    firsts = np.searchsorted(data.train.video, np.arange(len(data.train.folders)))
    return [int(group) for group in data.groups[firsts]]


EXAMPLES = """Examples:

python -m heads.finetune --task expr --network demo_enet --name ft_expr      on the demo corpus

python -m heads.finetune --task expr --network enet_b0_8_best_vgaf --name ft_expr --config configs/affwild2.toml

python -m heads.finetune --task va --network demo_enet --name ft_va --folds 5     heads may learn from it, too

python -m heads.finetune --task mtl --network demo_mt_enet --name ft_mtl      all three tasks, one network

python -m heads.finetune --task au --network mae_demo --name ft_mae --set finetune.ft_mae.layer_decay=0.65

python -m heads.finetune --task va --network mine.pt --name ft_va --set finetune.ft_va.layer_decay=0.65"""


def command(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(TASK_NAMES)}; mtl: its three parts at once.")],
    network: Annotated[
        str,
        typer.Option(help="A known or pre-trained network, one of the config's networks, or a known one's checkpoint."),
    ],
    name: Annotated[
        str, typer.Option(help="What the network that is learnt is called; its keys: finetune.<name> in the config.")
    ],
    config: cli.ConfigFile = extract_config.DEFAULT,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same network.", min=0, max=cli.MOST_SEED)] = 0,
    redo: cli.Redo = False,
    folds: Annotated[
        int,
        typer.Option(
            help="Of train's videos, features come from so many more networks that each lack a part; 0: none."
        ),
    ] = 0,
    as_json: cli.AsJson = False,
) -> None:
    """Fine-tune a network on the training videos. Killed at any moment, the same command goes on where it was."""
    with errors.exits():
        if folds == 1 or folds < 0:
            raise InputError(f"--folds {folds}: expected 2 or more, or 0 for none")
        settings = extract_config.load(Config, config, overrides)
        folder = main(settings, task, network, name, work or Path("runs") / settings.corpus.name, seed, redo, folds)
        facts = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        _print(folder, name, facts, as_json)
        if pictures.print_failures(folder):
            sys.exit(1)


def _print(folder: Path, name: str, facts: dict[str, Any], as_json: bool) -> None:
    """What was learnt, where it is, and how it is used."""
    section, path = folder / f"{name}.toml", folder / f"{name}.onnx"
    folds = [network_facts.read(fold.path) or {} for fold in network_facts.read_folds(path)[1]]
    best = [fold["scores"][fold["epoch"]] for fold in folds]
    if as_json:
        keys = ("task", "network", "metric", "scores", "epoch", "unreadable")
        told = {key: facts[key] for key in keys} | {"folds": best, "file": str(path), "section": str(section)}
        print(json.dumps(told, indent=2, allow_nan=False))
        return
    scores = ", ".join(f"{score:.4f}" for score in facts["scores"])
    kept = f"epoch {facts['epoch']}" if facts["epoch"] else "the start"
    print(f"{facts['metric']} on held-out videos of train, before the first step and after each epoch: {scores}")
    print(f"kept: {kept}")
    if best:
        scored = ", ".join(f"{score:.4f}" for score in best)
        print(f"{len(best)} more stand for the training videos that they have not learnt from: {scored}")
    print(f"{name} is in {folder}: in this work folder features.networks may name it; elsewhere a config begins with")
    print(f'extends = "{section.resolve()}"')


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
