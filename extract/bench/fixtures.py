"""Pictures and a random network of EfficientNet-B0's size, for the benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from extract.features import pipeline
from extract.media import frames
from extract.networks import checkpoints
from extract.networks.registry import NETWORKS

NETWORK = NETWORKS["enet_b0_8_best_vgaf"]
ARCH = "tf_efficientnet_b0"
CHECKPOINT = "b0.pt"
CROP = 112
"""Edge of Aff-Wild2's cropped_aligned pictures, in pixels."""


def make_crops(folder: Path, count: int, seed: int) -> pipeline.Job:
    """`count` generated JPEG crops of 112x112 with the detail of a photograph: smooth shapes and some noise."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        coarse = Image.fromarray(rng.integers(40, 216, (8, 8, 3), np.uint8)).resize(
            (CROP, CROP), Image.Resampling.BICUBIC
        )
        noisy = np.asarray(coarse, np.int16) + rng.integers(-12, 13, (CROP, CROP, 3), np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=95)
    return pipeline.Job("video", folder, frames.list_frames(folder))


def random_network(folder: Path, seed: int) -> tuple[Any, Path]:
    """ARCH with random weights: timm's module, and an ONNX file made from it by way of `folder`/CHECKPOINT."""
    import torch

    torch.manual_seed(seed)
    outputs = len(NETWORK.classes or ())
    module = checkpoints.import_timm().create_model(ARCH, num_classes=outputs).eval()
    torch.save(module.state_dict(), folder / CHECKPOINT)
    return module, checkpoints.to_onnx(
        folder / CHECKPOINT, folder, arch=ARCH, outputs=outputs, size=NETWORK.size, trusted=False
    )
