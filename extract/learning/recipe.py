"""How a network is fine-tuned: [finetune.<name>] of a config. Reading it loads nothing heavy.

Defaults are the published ones of EmotiEffNet's fine-tuning in ABAW-5 (sb-ai-lab/EmotiEffLib, the ABAW-5 notebook: 5
epochs of Adam at 1e-4 within SAM of radius .05, batches of 64, flips, smoothing .1, class weights, start from the
linear head), but for BatchNorm, which stays frozen, and for the epoch, chosen on held-out videos of train.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from extract.config import Strict

ON_CPU = 16
"""Pictures at once on a CPU: EfficientNet-B0 at 224 pixels needs 6.5 GB for 64, below 3 GB for 16."""


class Recipe(Strict):
    """[finetune.<name>]: every part of the recipe is a key."""

    epochs: int = Field(default=5, ge=1)
    """Over all pictures, with all parameters learning; the best is kept."""
    rate: float = Field(default=1e-4, gt=0)
    """Learning rate of these epochs, constant."""
    head_epochs: int = Field(default=0, ge=0)
    """Epochs before them in which the new output layer alone learns."""
    head_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of those."""
    batch: int = Field(default=64, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)
    """Pictures of a batch that are in memory at once, with all that their gradient needs: the step is the same but for
    roundings. Without it: 16 on a CPU, all on a GPU, and all where BatchNorm follows the batch (`frozen_norm` false).
    """
    sam: float = Field(default=0.05, ge=0)
    """Radius of sharpness-aware minimisation: two passes a step; 0 is Adam alone, one pass."""
    decay: float = Field(default=0.0, ge=0)
    """Weight decay (AdamW's) of matrices; norms, biases, class and position tokens have none."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """The rate of a block is multiplied by it once for each block between it and the output layer: .65 for a ViT-B."""
    frozen_norm: bool = True
    """BatchNorm keeps the statistics it came with. False, as published: they follow the batches."""
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Label smoothing of expr."""
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class (expr) or unit (au) weights: 1 is the published formula, 0 no weights."""
    flip: bool = True
    """Mirror half of the pictures."""
    stride: int = Field(default=1, ge=1)
    """Learn from every stride-th annotated frame of a video: neighbours are nearly equal."""
    dev_stride: int = Field(default=5, ge=1)
    """The same for the held-out videos of train by which the epoch is chosen."""
    start: Literal["linear", "random"] = "linear"
    """The new output layer: a logistic or ridge regression on frozen embeddings, or small random numbers."""
    start_pictures: int = Field(default=20_000, ge=1)
    """Pictures that regression learns from at most, evenly spaced."""
    bounded: bool = True
    """va: outputs go through tanh. False: they are linear."""
    shuffle: int = Field(default=20_000, ge=1)
    """Frames in the buffer that shuffles the stream of videos' pieces."""
    save_every: int = Field(default=200, ge=1)
    """Steps between checkpoints: what a killed process loses at most."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: autocast, on CUDA alone."""

    def count_at_once(self, device: str, follows_batch: bool) -> int:
        """How many pictures of a batch are in memory at once on a device, "cpu" or "cuda"; all of them for a network
        whose BatchNorm follows the batch.
        """
        if follows_batch:
            return self.batch
        if self.micro_batch is not None:
            return min(self.micro_batch, self.batch)
        return min(ON_CPU, self.batch) if device == "cpu" else self.batch
