"""Train the two small networks that stand for EmotiEffNet and MT-EmotiEffNet, and write them with their card.

    python -m extract.demo.train_networks          both, then measure them and write the card
    python -m extract.demo.train_networks card     only measure and write the card

The files have the structure of the published ones: input `input` [N, 3, 112, 112] (RGB, ImageNet statistics), one
output `output`, and the classifier's Gemm as last node, whose first input is the embedding. They see rendered people
who are not in the corpus.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extract.runtime.run_folder import write_text, write_whole

from .plan import NETWORK_SEEDS
from .stills import CLASSES, HELD_OUT, Stills, make_stills

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).parent / "networks"
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
PEOPLE_HELD_OUT = 250
HELD_OUT_ROUGHNESS = 1.5


@dataclass(frozen=True)
class Recipe:
    """How one network is made."""

    name: str
    seed: int
    widths: tuple[int, int, int, int, int]
    embedding: int
    va: bool  # also learns valence and arousal, as two more outputs
    people: int
    per_person: int
    roughness: float  # of the pictures, see `stills.photograph`
    epochs: int


RECIPES = (
    Recipe("demo_enet", 1, (12, 24, 48, 64, 96), 128, False, people=1000, per_person=5, roughness=1.0, epochs=8),
    Recipe("demo_mt_enet", 2, (12, 24, 40, 72, 112), 160, True, people=1000, per_person=5, roughness=2.2, epochs=8),
)


def normalise(images: np.ndarray) -> np.ndarray:
    """Turn pictures uint8 [N, 112, 112, 3] (blue-green-red) into network input float32 [N, 3, 112, 112].

    The result is a view with the channels last in memory, which convolutions on a CPU like best.
    """
    rgb = np.ascontiguousarray(images[..., ::-1]).astype(np.float32)
    rgb *= 1 / (255 * STD)
    rgb -= MEAN / STD
    return rgb.transpose(0, 3, 1, 2)


def ccc(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Concordance correlation: 2 cov / (var_t + var_p + (mean_t - mean_p)^2), in [-1, 1]."""
    gap = (truth.mean() - prediction.mean()) ** 2
    cov = ((truth - truth.mean()) * (prediction - prediction.mean())).mean()
    return float(2 * cov / (truth.var() + prediction.var() + gap))


def build(recipe: Recipe) -> torch.nn.Module:
    """Make the network: strided convolutions, mean over the map (the embedding), one linear layer."""
    from torch import nn

    def block(before: int, after: int, stride: int, size: int = 3) -> list[Any]:
        """Convolution, batch normalisation, ReLU."""
        conv = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
        return [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]

    a, b, c, d, e = recipe.widths
    plan = [(3, a, 2), (a, b, 2), (b, c, 2), (c, d, 1), (d, e, 2)]
    layers = [layer for step in plan for layer in block(*step)]
    layers += [*block(e, recipe.embedding, 1, size=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(recipe.embedding, len(CLASSES) + 2 * recipe.va))


def draw(first: int, people: int, per_person: int, roughness: float, processes: int = 2) -> Stills:
    """Draw stills in several processes; the result does not depend on their number."""
    end, step = first + people, 50
    jobs = [(seed, min(step, end - seed), per_person, roughness) for seed in range(first, end, step)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        parts = pool.starmap(make_stills, jobs)
        pool.close()
        pool.join()
    return Stills(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("images", "classes", "affect")))


def fit(recipe: Recipe, stills: Stills) -> torch.nn.Module:
    """Train with AdamW and one cycle of the rate, half of the batches mirrored.

    The loss is cross entropy, and for a network with valence and arousal six times their squared error besides.
    """
    import torch
    from torch.nn import functional

    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    model = build(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch, total = 64, len(stills)
    steps = recipe.epochs * (total // batch)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    model.train()
    for epoch in range(recipe.epochs):
        order, began, losses = rng.permutation(total), time.monotonic(), []
        for start in range(0, total - batch + 1, batch):
            rows = order[start : start + batch]
            images = stills.images[rows]
            if rng.random() < 0.5:
                images = images[:, :, ::-1]
            out = model(torch.from_numpy(normalise(images)))
            loss = functional.cross_entropy(out[:, :8], torch.from_numpy(stills.classes[rows]), label_smoothing=0.05)
            if recipe.va:
                loss = loss + 6 * functional.mse_loss(out[:, 8:], torch.from_numpy(stills.affect[rows]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        said = f"loss {np.mean(losses):.3f}, {time.monotonic() - began:.0f} s"
        print(f"{recipe.name} epoch {epoch + 1}/{recipe.epochs}: {said}", file=sys.stderr)
    return model.eval()


def save(model: torch.nn.Module, path: Path) -> None:
    """Export to ONNX, opset 17, with a free batch size; raise unless the classifier's Gemm is the last node."""
    import warnings

    import onnx
    import torch

    with write_whole(path) as temporary, warnings.catch_warnings():
        # The exporter that traces keeps nn.Linear as the single closing Gemm; its deprecation notice is no news here.
        warnings.simplefilter("ignore")
        plain, example = model.to(memory_format=torch.contiguous_format), torch.zeros(1, 3, 112, 112)  # type: ignore[call-overload]
        names: dict[str, Any] = {"input_names": ["input"], "output_names": ["output"]}
        names["dynamic_axes"] = {"input": {0: "batch"}, "output": {0: "batch"}}
        torch.onnx.export(plain, (example,), str(temporary), dynamo=False, opset_version=17, **names)
        last = onnx.load(temporary).graph.node[-1]
        if last.op_type != "Gemm":
            raise RuntimeError(f"{path}: the last node is {last.op_type}, expected Gemm; its input is the embedding")


def run(path: Path, images: np.ndarray) -> np.ndarray:
    """Run a written network on pictures uint8 [N, 112, 112, 3] with OpenVINO; returns [N, 8 or 10]."""
    import openvino

    # Some processors would compute in bfloat16 unless told otherwise.
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    chunks = [compiled([np.ascontiguousarray(normalise(images[i : i + 64]))])[0] for i in range(0, len(images), 64)]
    return np.concatenate(chunks)


def measure(path: Path, stills: Stills) -> dict[str, float]:
    """Score a written network: accuracy, and concordance of valence and arousal where it has them."""
    out = run(path, stills.images)
    scores = {"accuracy": float((out[:, :8].argmax(axis=1) == stills.classes).mean())}
    if out.shape[1] == 10:
        for column, name in enumerate(("valence", "arousal")):
            scores[f"ccc_{name}"] = ccc(stills.affect[:, column], out[:, 8 + column])
    return scores


def card(rows: list[tuple[Recipe, dict[str, float], float]]) -> str:
    """Write the card of the networks."""
    lines = [
        "# Demo networks",
        "",
        "Two small convolutional networks that stand for EmotiEffNet (`demo_enet.onnx`: 8 logits) and MT-EmotiEffNet",
        "(`demo_mt_enet.onnx`: 8 logits, valence, arousal) where there is no network and no data. They know the drawn",
        "faces of `extract.demo` and nothing else: on photographs they are of no use.",
        "",
        f"Logits: {', '.join(CLASSES)} (AffectNet's order).",
        "Input `input`: [N, 3, 112, 112], RGB, ImageNet mean and standard deviation. Output `output`: [N, 8] or",
        "[N, 10]. The last node is the classifier's Gemm; its first input is the embedding. Opset 17.",
        "",
        "Trained on posed pictures, classes equally frequent, labels by the rules of `affect.py` (contempt is a",
        "one-sided raised lip corner). None of the people is in the corpus. Cross entropy with smoothing 0.05 (and 6",
        "times the squared error of valence and arousal), AdamW, one cycle up to 0.004, batches of 64, half of them",
        "mirrored. The second network learnt from rougher pictures (blur, noise), so that the two do not err alike.",
        f"Measured with OpenVINO on {PEOPLE_HELD_OUT} others, two pictures each (roughness {HELD_OUT_ROUGHNESS}).",
        "",
        "| file | embedding | pictures (people) | epochs | seed | accuracy | CCC valence | CCC arousal | kB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for recipe, scores, size in rows:
        pictures = f"{recipe.people * recipe.per_person} ({recipe.people})"
        affect = [f"{scores[k]:.3f}" if k in scores else "" for k in ("ccc_valence", "ccc_arousal")]
        lines.append(
            f"| `{recipe.name}.onnx` | {recipe.embedding} | {pictures} | {recipe.epochs} "
            f"| {recipe.seed} | {scores['accuracy']:.3f} | {affect[0]} | {affect[1]} | {size:.0f} |"
        )
    lines += ["", "Made by `python -m extract.demo.train_networks`. Same licence as the project.", ""]
    return "\n".join(lines)


def main(names: list[str]) -> None:
    """Train and export the named networks (no name: all), then measure and describe all of them.

    Raises ValueError for a name that is neither a network's nor "card", which trains none.
    """
    known = [recipe.name for recipe in RECIPES]
    if unknown := set(names) - {*known, "card"}:
        raise ValueError(f"no recipe for {sorted(unknown)}; there are {known}, and card")
    FOLDER.mkdir(exist_ok=True)
    for number, recipe in enumerate(RECIPES):
        if not names or recipe.name in names:
            stills = draw(NETWORK_SEEDS + 100_000 * number, recipe.people, recipe.per_person, recipe.roughness)
            save(fit(recipe, stills), FOLDER / f"{recipe.name}.onnx")
    held_out = draw(HELD_OUT, PEOPLE_HELD_OUT, 2, HELD_OUT_ROUGHNESS)
    rows = []
    for recipe in RECIPES:
        path = FOLDER / f"{recipe.name}.onnx"
        rows.append((recipe, measure(path, held_out), path.stat().st_size / 1000))
        print(recipe.name, rows[-1][1], file=sys.stderr)
    write_text(FOLDER / "CARD.md", card(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
