"""The network of sequence heads: columns -> projection -> encoder over time -> one output per frame.

Only heads that run import this module: it loads torch. Each stream of columns has a projection of its own, and their
outputs stand side by side, one half or third of the encoder's width each (Zhang et al., arXiv 2303.10849, concatenate
streams); with one stream it is a linear layer before an encoder (Nguyen et al., arXiv 2303.09293).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heads.abaw.tasks import Task
from heads.families.sequence import layers as sequence_layers
from heads.families.sequence.layers import Dropout, Shape

Moments = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Mean and standard deviation of each column."""


@dataclass(frozen=True)
class Stream:
    """Columns `start` to `end` - 1; where column `present` is 0, a frame does not have them (None: it always has)."""

    name: str
    start: int
    end: int
    present: int | None = None


def check_streams(streams: Sequence[Stream], width: int) -> None:
    """Raise ValueError for streams, read from a file, that are none of so many columns."""
    for stream in streams:
        present = stream.start if stream.present is None else stream.present
        whole = all(type(place) is int for place in (stream.start, stream.end, present))
        if not whole or not 0 <= stream.start < stream.end <= width or not 0 <= present < width:
            raise ValueError(f"stream {stream} of {width} columns")
    if not streams:
        raise ValueError("no streams")


class Encoder(nn.Module):
    """Features [clips, length, columns] -> outputs [clips, length, outputs], before the task's sigmoid or softmax."""

    mean: Tensor
    deviation: Tensor
    places: Tensor

    def __init__(self, streams: Sequence[Stream], shape: Shape, outputs: int, moments: Moments) -> None:
        super().__init__()
        self.streams, self.shape = tuple(streams), shape
        share = shape.width // len(streams)
        for name, values in zip(("mean", "deviation"), moments, strict=True):
            self.register_buffer(name, torch.from_numpy(values))
        self.register_buffer("places", _places(shape.length, shape.width), persistent=False)
        self.project = nn.ModuleList(nn.Linear(stream.end - stream.start, share) for stream in streams)
        self.absent = nn.ParameterDict(
            {str(i): torch.zeros(share) for i, stream in enumerate(streams) if stream.present is not None}
        )
        self.dropout = Dropout(shape.dropout)
        self.layers = nn.ModuleList(sequence_layers.create(shape, i) for i in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width) if shape.norm_first or shape.kind != "transformer" else nn.Identity()
        self.out = nn.Linear(shape.width, outputs)

    def standardise(self, x: Tensor) -> Tensor:
        """Features by train's moments; columns that say what is present stay as they are."""
        return (x - self.mean) / self.deviation

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Outputs from standardised features; places where `present` [clips, length] is false are looked at by nobody.

        What comes out at those places means nothing.
        """
        parts = []
        for i, stream in enumerate(self.streams):
            part = self.project[i](x[..., stream.start : stream.end])
            if stream.present is not None:
                has = x[..., stream.present : stream.present + 1] > 0.5
                part = torch.where(has, part, self.absent[str(i)].to(part.dtype))
            parts.append(part)
        result = torch.cat(parts, -1)
        result = self.dropout(result + self.places if self.shape.kind == "transformer" else result)
        for layer in self.layers:
            result = layer(result, src_key_padding_mask=~present)
        outputs: Tensor = self.out(self.norm(result))
        return outputs.float()


def _places(length: int, width: int) -> Tensor:
    """Sines and cosines of a frame's place in its clip, [length, width] (Vaswani et al., 2017)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(length)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], -1).reshape(length, -1)[:, :width].float()


def build(streams: Sequence[Stream], shape: Shape, outputs: int, moments: Moments, seed: int) -> Encoder:
    """A new network: the same seed gives the same weights. The process's own random numbers are left as they were."""
    torch.backends.mha.set_fastpath_enabled(False)  # other sums than those learnt with
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(streams, shape, outputs, moments)


def activate(task: Task, outputs: Tensor) -> Tensor:
    """Outputs as scores: au probabilities, expr probabilities that sum to 1, va in [-1, 1]."""
    if task.is_multiclass:
        return outputs.softmax(-1)
    return outputs.sigmoid() if task.is_multilabel else outputs.tanh()


def compute_loss(task: Task, outputs: Tensor, truth: Tensor, by_label: Tensor) -> Tensor:
    """The task's loss of some frames: outputs [n, outputs], truth [n] or [n, outputs] (see heads.abaw.tasks.Task).

    expr and au: cross-entropy weighted by class [8] or by unit and side [2, 12], the mean over frames, not over
    weights. va: 1 - (CCC of valence + CCC of arousal) / 2 over these frames.
    """
    if task.is_multiclass:
        each = nn.functional.cross_entropy(outputs, truth.long(), reduction="none")
        return (by_label[truth.long()] * each).mean()
    if task.is_multilabel:
        weight = torch.where(truth > 0, by_label[1], by_label[0])
        return nn.functional.binary_cross_entropy_with_logits(outputs, truth.float(), weight)
    t, p = truth.float(), outputs.tanh()
    mean_t, mean_p = t.mean(0), p.mean(0)
    below = ((t - mean_t) ** 2).mean(0) + ((p - mean_p) ** 2).mean(0) + (mean_t - mean_p) ** 2
    return 1 - (2 * ((t - mean_t) * (p - mean_p)).mean(0) / (below + 1e-7)).mean()
