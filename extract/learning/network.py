"""A network that learns: a body that gives an embedding, and a new linear output layer on it."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

BLOCK_NUMBER = re.compile(r"\.\d+\.")
"""In names of parameters that stand in a block."""


class FineTunedNetwork(nn.Module):
    """Pictures [N, 3, size, size] -> embedding [N, D], values [N, V] and logits [N, C]; of these two what it has."""

    def __init__(self, body: nn.Module, width: int, outputs: int, values: int = 0, bounded: bool = True) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(width, outputs)
        self.values, self.tanh = values, bool(values) and bounded

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Embedding and outputs: the first `values` columns of the output layer, and the others."""
        embedding = self.body(pictures)
        outputs = self.head(embedding)
        if not 0 < self.values < self.head.out_features:
            return embedding, outputs.tanh() if self.tanh else outputs
        values, logits = outputs[:, : self.values], outputs[:, self.values :]
        return embedding, values.tanh() if self.tanh else values, logits

    def set_training(self, frozen_norm: bool, head_alone: bool) -> None:
        """Go into training mode; where BatchNorm is frozen, or the body does not learn, these stay as they are."""
        self.train()
        if head_alone:
            self.body.eval()
        elif frozen_norm:
            for layer in self.list_batch_norms():
                layer.eval()

    def list_batch_norms(self) -> list[nn.Module]:
        """The layers that follow the batch's statistics while they learn."""
        return [layer for layer in self.body.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]

    def compute_depths(self) -> dict[str, int]:
        """Depth of every parameter: 0 the stem, 1, 2, ... the blocks, and behind them the output layer, with what
        stands between (a last norm or convolution): 0, 1..12 and 13 in a ViT-B, as in MAE's fine-tuning.
        """
        names = [name for name, _ in self.body.named_parameters()]
        depths = self._compute_body_depths(names)
        last = max(depths.values(), default=-1)
        behind = [name for name in names if depths[name] == last and not BLOCK_NUMBER.search(name) and last > 0]
        depths |= dict.fromkeys(behind, last + 1)
        return {f"body.{name}": depth for name, depth in depths.items()} | {
            f"head.{name}": last + 1 for name, _ in self.head.named_parameters()
        }

    def _compute_body_depths(self, names: list[str]) -> dict[str, int]:
        """By timm's own grouping; without one, a layer of a plain chain is a block."""
        if not hasattr(self.body, "group_matcher"):
            layers = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
            return {name: layers.index(name.rpartition(".")[0]) for name in names}
        from timm.models import group_parameters

        groups: dict[int, list[str]] = group_parameters(self.body, self.body.group_matcher(coarse=False))  # type: ignore[operator]
        return {name: depth for depth, key in enumerate(sorted(groups)) for name in groups[key]}

    def is_token(self, name: str) -> bool:
        """Whether weight decay is kept from a parameter of that name: class and position tokens."""
        tokens: Any = self.body.no_weight_decay() if hasattr(self.body, "no_weight_decay") else ()  # type: ignore[operator]
        return name.removeprefix("body.") in tokens


class Chain(nn.Module):
    """Layers one after the other: what a plain ONNX chain becomes."""

    def __init__(self, layers: list[nn.Module], width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.num_features = width

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """The embedding."""
        result: torch.Tensor = self.layers(pictures)
        return result
