"""What pre-training without labels is worth to a linear layer: a masked autoencoder's encoder before and after it.

    python -m blend.studies.pretraining --seeds 3

The autoencoder learns from drawn pictures of people who are not in the corpus. A regression on its frozen embeddings
learns the corpus's tasks from train; its penalty is chosen on held-out videos of train, its score is validation's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from blend.studies.simulation.table import markdown, standard_error
from extract import config as extract_config
from extract import run as extract_run
from extract.pretrain import __main__ as pretraining
from extract.runtime import cli, errors
from extract.runtime.errors import InputError
from extract.runtime.progress import progress
from heads.abaw.tasks import TASKS
from heads.config import Config

if TYPE_CHECKING:
    import torch

    from extract.learning.pictures import Pictures
    from extract.networks.registry import Network

CONFIG = extract_config.CONFIGS / "mae.toml"
STRIDE = 5
"""Every so-manieth frame is learnt from, and scored."""


def main(config: Config, name: str, work: Path, seeds: int, people: int, per_person: int) -> dict[str, Any]:
    """{task: {"random", "pretrained": mean scores, "gain", "se", "by_seed": [[random, pre-trained], ...]}} for the
    autoencoder of [pretrain.<name>]. Raises InputError for bad input.
    """
    if name not in config.pretrain:
        raise InputError(f"--name {name}: no section [pretrain.{name}]; there are {', '.join(config.pretrain)}")
    config = extract_run.prepare_corpus(config, work)
    faces = draw_faces(work / "faces", people, per_person)
    scores = []
    settings = config.pretrain[name].model_copy(update={"stride": 1})  # portraits, not neighbours in a video
    for seed in range(seeds):
        own = config.model_copy(update={"pretrain": {f"{name}_{seed}": settings}})
        folder = pretraining.main(own, f"{name}_{seed}", work, faces, seed)
        scores.append(compare(own, f"{name}_{seed}", folder, seed))
    return {task: summarise(np.array([score[task] for score in scores])) for task in TASKS}


def draw_faces(folder: Path, people: int, per_person: int) -> Path:
    """Pictures of people outside the corpus, a folder for each person; what is there is kept."""
    import cv2

    from extract.demo import stills
    from extract.demo.plan import NETWORK_SEEDS

    with progress("draw faces", people, "people") as bar:
        for seed in range(NETWORK_SEEDS, NETWORK_SEEDS + people):
            place = folder / str(seed)
            place.mkdir(parents=True, exist_ok=True)
            if not (place / f"{per_person}.png").exists():
                for number, (image, _, _) in enumerate(stills.portraits(seed, per_person, 1.5), start=1):
                    cv2.imwrite(str(place / f"{number}.png"), image)
            bar.advance()
    return folder


def compare(config: Config, name: str, folder: Path, seed: int) -> dict[str, list[float]]:
    """Of each task the scores of a linear layer on the encoder as it was drawn, and as it was pre-trained."""
    import torch

    from extract.learning import encoder
    from extract.networks.registry import IMAGENET_MEAN, IMAGENET_STD, Network
    from extract.pretrain import autoencoder

    settings = config.pretrain[name]
    torch.manual_seed(seed)
    before = autoencoder.to_encoder(autoencoder.create(settings).state_dict(), autoencoder.describe(settings, name))
    after = encoder.load_beside(folder / f"{name}.onnx")
    assert after is not None, "pre-training has left it"
    network = Network(name, settings.size, IMAGENET_MEAN, IMAGENET_STD, "rgb", None, None, False, "")
    return {task: [score_linear(config, task, model, network, seed) for model in (before, after)] for task in TASKS}


def score_linear(config: Config, name: str, model: torch.nn.Module, network: Network, seed: int) -> float:
    """The validation score of a task by a regression on a model's embeddings."""
    from extract.learning import linear_start, losses
    from extract.learning.recipe import Recipe
    from heads import corpus_checks
    from heads.base import selection
    from heads.finetune import corpus

    task = TASKS[name]
    data = corpus.read(config, task, Recipe(stride=STRIDE, dev_stride=STRIDE), seed)[0]
    pictures, _ = corpus.list_pictures(config.corpus, corpus_checks.read(config, task)[0]["val"], task)
    val = pictures.take(np.arange(len(pictures)) % STRIDE == 0)
    train, dev, held = ((*embed(model, network, part), part.truth) for part in (data.train, data.dev, val))
    best, result = -np.inf, 0.0
    for penalty in linear_start.PENALTIES:
        fitted = linear_start.fit(train[0], train[2][train[1]], data.target, True, penalty)
        scores = []
        for embeddings, rows, truth in (dev, held):
            outputs = (embeddings @ fitted[0].T + fitted[1]).astype(np.float32)
            outputs = np.tanh(outputs) if data.target.labels == "regression" else outputs
            predicted = losses.compute_scores(data.target.labels, outputs)
            scores.append(selection.selection_score(task, truth[rows], predicted))
        if scores[0] > best:
            best, result = scores
    return result


def embed(model: torch.nn.Module, network: Network, data: Pictures) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Embeddings [n, D] of the pictures that can be read, and which rows they are."""
    import torch

    from extract.learning import pictures

    made, rows = [], []
    with torch.inference_mode():
        for values, chosen in pictures.read_batches(data, np.arange(len(data)), 64, network, pictures.Unreadable()):
            made.append(model(torch.from_numpy(values)).numpy())
            rows.append(chosen)
    return np.concatenate(made), np.concatenate(rows)


def summarise(scores: NDArray[np.float64]) -> dict[str, Any]:
    """A task's line of the table, of scores [seeds, 2]: random, pre-trained."""
    gains, (random, pretrained) = scores[:, 1] - scores[:, 0], scores.mean(0).tolist()
    facts = {"random": random, "pretrained": pretrained, "gain": float(gains.mean())}
    return facts | {"se": standard_error(gains), "by_seed": scores.tolist()}


EXAMPLES = """Examples:

python -m blend.studies.pretraining --seeds 3                         the demo, some minutes a seed

python -m blend.studies.pretraining --seeds 1 --people 200 --set pretrain.mae_demo.epochs=10"""


def command(
    name: Annotated[str, typer.Option(help="Which section pretrain.<name> of the config.")] = "mae_demo",
    seeds: Annotated[int, typer.Option(help="So many autoencoders.", min=1)] = 3,
    people: Annotated[int, typer.Option(help="Of whom pictures are drawn to pre-train on.", min=2)] = 1000,
    per_person: Annotated[int, typer.Option(help="Pictures of each.", min=1)] = 5,
    config: Annotated[Path, typer.Option(help="The run's TOML file.", show_default="configs/mae.toml")] = CONFIG,
    work: cli.Work = None,
    overrides: cli.Overrides = None,
    as_markdown: cli.AsMarkdown = False,
    as_json: cli.AsJson = False,
) -> None:
    """Compare a linear layer on a pre-trained encoder with one on a random encoder, for every task."""
    with errors.exits():
        settings = extract_config.load(Config, config, overrides)
        folder = work or Path("runs") / settings.corpus.name
        result = main(settings, name, folder, seeds, people, per_person)
        if as_json:
            print(json.dumps(result, indent=2, allow_nan=False))
            return
        header, lines = ("task", "random", "pre-trained", "gain"), []
        for task, line in result.items():
            error = "" if line["se"] is None else f" ± {line['se']:.3f}"
            lines.append((task, f"{line['random']:.3f}", f"{line['pretrained']:.3f}", f"{line['gain']:+.3f}{error}"))
        print(markdown(header, lines) if as_markdown else "\n".join(map("  ".join, [header, *lines])))


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
