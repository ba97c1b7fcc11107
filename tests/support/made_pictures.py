"""A corpus of small made pictures, coloured by their class, with annotations of all three tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from heads.abaw.tasks import MTL_HEADER, TASKS

CLASSES, SIDE = 8, 32
COLOURS = np.random.default_rng(5).integers(40, 216, (CLASSES, 2, 3))
CONFIG = """
[corpus]
name = "made"
frames = "frames"
{tasks}
[features]
networks = ["demo_enet"]
[networks.tiny]
path = "tiny.pt"
arch = "test_efficientnet"
size = 32
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
classes = ["Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise"]
"""


def draw(shown: int, rng: np.random.Generator) -> np.ndarray:
    """A picture uint8 [SIDE, SIDE, 3] of a class: its two colours, one in the left half, and noise."""
    pixels = np.repeat(COLOURS[shown][[0] * (SIDE // 2) + [1] * (SIDE // 2)][None], SIDE, 0)
    return (pixels + rng.normal(0, 25, pixels.shape)).clip(0, 255).astype(np.uint8)


def write_corpus(folder: Path, train: int = 6, val: int = 1, frames: int = 24) -> Path:
    """Pictures, annotations and a config; returns the config's path. Class of frame i of a video: i modulo 8."""
    rng = np.random.default_rng(0)
    sections = []
    for part, count in (("train", train), ("val", val)):
        for v in range(count):
            name = f"{part}{v}"
            (folder / "frames" / name).mkdir(parents=True)
            classes = (np.arange(frames) + v) % CLASSES
            for number, shown in enumerate(classes, start=1):
                Image.fromarray(draw(int(shown), rng)).save(folder / "frames" / name / f"{number:05d}.png")
            angles = classes * np.pi / 4
            rows = {
                "expr": [str(c) for c in classes],
                "va": [f"{0.7 * np.cos(a):.3f},{0.7 * np.sin(a):.3f}" for a in angles],
                "au": [",".join(str(int((c >> (unit % 3)) & 1)) for unit in range(12)) for c in classes],
            }
            for task, lines in rows.items():
                (folder / task / part).mkdir(parents=True, exist_ok=True)
                text = "\n".join([TASKS[task].header, *lines]) + "\n"
                (folder / task / part / f"{name}.txt").write_text(text)
    for task in ("au", "expr", "va"):
        sections.append(f'[corpus.{task}]\ntrain = "{task}/train"\nval = "{task}/val"')
    (folder / "made.toml").write_text(CONFIG.format(tasks="\n".join(sections)))
    return folder / "made.toml"


def write_multitask(folder: Path) -> None:
    """Of a corpus that is there, the multi-task challenge's files: every third label of a task is missing, so some
    pictures have one of a single task, and some have none. Its config gets their section.
    """
    for part in ("train", "val"):
        lines, rng = [MTL_HEADER], np.random.default_rng(7)
        for path in sorted((folder / "va" / part).iterdir()):
            rows = [(folder / task / part / path.name).read_text().splitlines()[1:] for task in ("va", "expr", "au")]
            for number, labels in enumerate(zip(*rows, strict=True), start=1):
                missing = ("-5,-5", "-1", f"{labels[2][:-1]}-1")
                told = [m if rng.random() < 1 / 3 else label for m, label in zip(missing, labels, strict=True)]
                lines.append(f"{path.stem}/{number:05d}.png,{','.join(told)}")
        (folder / f"mtl_{part}.txt").write_text("\n".join(lines) + "\n")
    with open(folder / "made.toml", "a") as handle:
        handle.write('[corpus.mtl]\ntrain = "mtl_train.txt"\nval = "mtl_val.txt"\n')


def write_tiny_network(path: Path, arch: str = "test_efficientnet", seed: int = 0) -> None:
    """A checkpoint of a small timm network with random weights, and norms that are not the identity."""
    import torch

    from extract.networks import checkpoints

    timm = checkpoints.import_timm()
    torch.manual_seed(seed)
    module = timm.create_model(arch, num_classes=CLASSES, exportable=True)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    torch.save(module.state_dict(), path)
