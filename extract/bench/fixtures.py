"""Pictures and a random network of EfficientNet-B0's size, for the benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from extract.engines.graph import INPUT_SCALE
from extract.features import pipeline
from extract.media import frames, images
from extract.networks import checkpoints
from extract.networks.registry import NETWORKS

NETWORK = NETWORKS["enet_b0_8_best_vgaf"]
ARCH = "tf_efficientnet_b0"
CHECKPOINT = "b0.pt"
CROP = 112
"""Edge of Aff-Wild2's cropped_aligned pictures, in pixels."""
CALIBRATION = 16
"""Pictures that a random network's batch norms see."""


def make_crops(folder: Path, count: int, seed: int) -> pipeline.Job:
    """`count` generated JPEG crops, as `draw_crop` draws them."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        draw_crop(rng).save(folder / f"{number:05d}.jpg", quality=95)
    return pipeline.Job("video", folder, frames.list_frames(folder))


def draw_crop(rng: np.random.Generator) -> Image.Image:
    """A picture of CROP x CROP with the detail of a photograph: smooth shapes and some noise."""
    coarse = Image.fromarray(rng.integers(40, 216, (8, 8, 3), np.uint8)).resize((CROP, CROP), Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse, np.int16) + rng.integers(-12, 13, (CROP, CROP, 3), np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def random_network(folder: Path, seed: int) -> tuple[Any, Path]:
    """ARCH with random weights: timm's module, and an ONNX file made from it by way of `folder`/CHECKPOINT.

    Its batch norms have seen pictures, as a trained network's have: its features are of ordinary size. Otherwise they
    are under 6e-5, where a conversion to float16 takes 40 times as long.
    """
    import torch

    torch.manual_seed(seed)
    outputs = len(NETWORK.classes or ())
    module = checkpoints.import_timm().create_model(ARCH, num_classes=outputs, bn_momentum=1.0)
    rng = np.random.default_rng(seed)
    pixels = np.stack([images.fit(draw_crop(rng), NETWORK.size, NETWORK.colour) for _ in range(CALIBRATION)])
    normal = (pixels / INPUT_SCALE - NETWORK.mean) / NETWORK.std
    with torch.no_grad():
        module.train()(torch.from_numpy(normal.astype(np.float32)).permute(0, 3, 1, 2))
    module.eval()
    torch.save(module.state_dict(), folder / CHECKPOINT)
    return module, checkpoints.to_onnx(
        folder / CHECKPOINT, folder, arch=ARCH, outputs=outputs, size=NETWORK.size, trusted=False
    )
