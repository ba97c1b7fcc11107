"""What pre-training without labels is worth: a masked autoencoder's encoder before, after, and fine-tuned.

    python -m blend.studies.pretraining --seeds 3

The autoencoder learns from drawn pictures of people who are in no video. A linear layer on its frozen patches, averaged
over each quarter of the face, then learns a task from the training videos; its penalty is chosen on held-out ones of
them, its score is that of validation. So does one on the encoder as it was drawn, and one on the embedding of the
demo's own network, which has learnt from such pictures with labels. Last, the pre-trained encoder is fine-tuned.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from blend.studies.corpora import demo_corpus
from blend.studies.simulation.table import markdown, standard_error
from extract import config as extract_config
from extract.learning import names
from extract.learning.recipe import Recipe
from extract.networks import registry
from extract.networks.registry import IMAGENET_MEAN, IMAGENET_STD, Network
from extract.pretrain import __main__ as pretraining
from extract.runtime import cli, errors
from extract.runtime.errors import InputError
from extract.runtime.progress import progress
from heads.abaw.tasks import TASKS, Task
from heads.config import Config
from heads.finetune import __main__ as finetune

if TYPE_CHECKING:
    import torch

    from extract.learning.pictures import LabelledPictures, Pictures

CONFIG = extract_config.CONFIGS / "mae.toml"
VIDEO_SEEDS = 10
"""Of the labelled videos: 140 to learn from and 60 to score."""
STRIDE = 10
"""Every so-manieth frame is learnt from, and scored."""
RECIPE: dict[str, Any] = {
    "start": "random", "epochs": 10, "sam": 0.0, "rate": 1e-3, "layer_decay": 0.75, "decay": 0.05, "stride": STRIDE,
    "dev_stride": STRIDE,
}  # fmt: skip
"""Of fine-tuning: a new output layer and rates that fall by depth, as MAE does; twice the default epochs, no SAM."""
LABELLED_NETWORK = "demo_enet"
WAYS = {
    "random": "random",
    "pretrained": "pre-trained",
    "fine_tuned": "pre-trained, fine-tuned",
    LABELLED_NETWORK: LABELLED_NETWORK,
}
Embed = Callable[["Pictures"], tuple[NDArray[np.float32], NDArray[np.int64]]]
"""Pictures -> embeddings of those that can be read, and which rows they are."""


def main(config: Config, name: str, work: Path, seeds: int, people: int, per_person: int) -> dict[str, Any]:
    """{task: {way of WAYS: mean score, "gain" of pre-training, "se", "by_seed": [scores by way]}} for the autoencoder
    of [pretrain.<name>]. Of the embedded corpus the labels are those of `demo_corpus`. Raises InputError for bad input.
    """
    if name not in config.pretrain:
        raise InputError(f"--name {name}: no section [pretrain.{name}]; there are {', '.join(config.pretrain)}")
    if config.corpus.demo:
        config = config.model_copy(update={"corpus": demo_corpus.make(work / "videos", VIDEO_SEEDS)})
    faces = draw_faces(work / "faces", people, per_person)
    scores: dict[str, list[list[float]]] = {task: [] for task in TASKS}
    settings = config.pretrain[name].model_copy(update={"stride": 1})  # portraits, not neighbours in a video
    for seed in range(seeds):
        own = config.model_copy(update={"pretrain": {f"{name}_{seed}": settings}})
        folder = pretraining.main(own, f"{name}_{seed}", work, faces, seed)
        for task in TASKS:
            scores[task].append(compare(own, TASKS[task], f"{name}_{seed}", folder, seed))
    return {task: summarise(np.array(scores[task])) for task in TASKS}


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


def compare(config: Config, task: Task, name: str, folder: Path, seed: int) -> list[float]:
    """A task's score by each of WAYS, with the autoencoder that pre-training has left in its folder."""
    import torch

    from extract.learning import encoder, start
    from extract.pretrain import autoencoder
    from heads import corpus_checks
    from heads.finetune import corpus

    settings = config.pretrain[name]
    torch.manual_seed(seed)
    before = autoencoder.to_encoder(autoencoder.create(settings).state_dict(), autoencoder.describe(settings, name))
    after = encoder.load_beside(folder / f"{name}.onnx")
    assert after is not None, "pre-training has left it"
    network = Network(name, settings.size, IMAGENET_MEAN, IMAGENET_STD, "rgb", None, None, False, "")
    labelled = start.find(LABELLED_NETWORK, config)

    data = corpus.read(config, task, Recipe(stride=STRIDE, dev_stride=STRIDE), seed)[0]
    pictures, _ = corpus.list_pictures(config.corpus, corpus_checks.read(config, task)[0]["val"])
    val = pictures.take(np.arange(len(pictures)) % STRIDE == 0)
    probes = [(lambda x, model=model: average_quarters(model, x), network) for model in (before, after)]
    probes.append((start.build(labelled)[0], labelled.network))
    linear = [score_linear(task, data, val, lambda some, p=probe: embed(p[0], p[1], some)) for probe in probes]
    tuned = score_fine_tuned_network(config, task, name, folder.parents[1], val, seed)
    return [linear[0], linear[1], tuned, linear[2]]


def average_quarters(model: Any, pictures: torch.Tensor) -> torch.Tensor:
    """The mean of a vision transformer's patches in each quarter of the picture [N, 4 * width]: where brows, and where
    the corners of a mouth move is lost in the mean over all. A middle row of patches is in both halves.
    """
    from torch.nn import functional

    patches = model.forward_features(pictures)[:, model.num_prefix_tokens :]
    side = int(patches.shape[1] ** 0.5)
    grid = patches.transpose(1, 2).unflatten(2, (side, side))
    return functional.adaptive_avg_pool2d(grid, 2).flatten(1)


def score_linear(task: Task, data: Any, val: LabelledPictures, embed_pictures: Embed) -> float:
    """The validation score of a regression on embeddings of `data`, training pictures of heads.finetune.corpus."""
    from extract.learning import linear_start, losses
    from heads.base import selection

    train, dev, held = ((*embed_pictures(part), part.truth) for part in (data.train, data.dev, val))
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


def score_fine_tuned_network(
    config: Config, task: Task, name: str, work: Path, val: LabelledPictures, seed: int
) -> float:
    """The validation score of what fine-tuning the pre-trained network makes, as an engine runs it."""
    from extract.engines import create
    from extract.learning import losses
    from extract.media import images
    from heads.base import selection

    tuned = f"{name}_{task.name}"
    config = config.model_copy(update={"finetune": {tuned: Recipe.model_validate(RECIPE)}})
    folder = finetune.main(config, task.name, name, tuned, work, seed)
    network = registry.find(tuned, names.add_learnt_networks(config, work, [tuned]))
    engine = create.create("openvino", folder / f"{tuned}.onnx", network, "fp32")
    kind = "va" if task.is_regression else "logits"
    with progress(f"score {tuned}", len(val), "pictures") as bar:
        outputs, rows = [], []
        for row in range(len(val)):
            with suppress(images.UnreadablePicture):
                outputs.append(engine.run(images.read(val.path(row), network.size, network.colour))[kind])
                rows.append(row)
            bar.advance()
    predicted = losses.compute_scores(task.labels, np.stack(outputs).reshape(len(rows), -1))
    return float(selection.selection_score(task, val.truth[rows], predicted))


def embed(
    model: Callable[[torch.Tensor], torch.Tensor], network: Network, data: Pictures
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
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
    """A task's line of the table, of scores [seeds, WAYS]."""
    gains = scores[:, 1] - scores[:, 0]
    facts = dict(zip(WAYS, scores.mean(0).tolist(), strict=True)) | {"gain": float(gains.mean())}
    return facts | {"se": standard_error(gains), "by_seed": scores.tolist()}


EXAMPLES = """Examples:

python -m blend.studies.pretraining --seeds 3                         the demo, half an hour a seed

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
    """Compare a linear layer on a pre-trained encoder with one on a random encoder, and fine-tuning, for every task."""
    with errors.exits():
        settings = extract_config.load(Config, config, overrides)
        folder = work or Path("runs") / settings.corpus.name
        result = main(settings, name, folder, seeds, people, per_person)
        if as_json:
            print(json.dumps(result, indent=2, allow_nan=False))
            return
        header, lines = ("task", *WAYS.values(), "gain of pre-training"), []
        for task, line in result.items():
            error = "" if line["se"] is None else f" ± {line['se']:.3f}"
            lines.append((task, *(f"{line[way]:.3f}" for way in WAYS), f"{line['gain']:+.3f}{error}"))
        print(markdown(header, lines) if as_markdown else "\n".join(map("  ".join, [header, *lines])))


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
