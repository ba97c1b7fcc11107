"""TabM's network: the layers of the package tabm, with a first layer that is as quick as wide columns need.

Only heads that run import this module: it loads torch. As published (Gorishniy et al., ICLR 2025, arXiv 2410.24210):
k members, all multilayer perceptrons, share the matrix W of each layer; a member has vectors r and s and a bias of its
own, s * (W (r * x)) + b, and its own output layer. r of the first layer begins as random signs, all others as ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tabm
import torch
from torch import Tensor, nn

from heads.families.sequence.layers import Dropout
from heads.families.sequence.network import Moments

if TYPE_CHECKING:
    from heads.families.tabm.settings import TabmSettings


class TabM(nn.Module):
    """Columns [n, width] -> outputs [n, members, outputs], before the task's sigmoid or softmax."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, settings: TabmSettings, outputs: int, moments: Moments) -> None:
        super().__init__()
        for name, values in zip(("mean", "deviation"), moments, strict=True):
            self.register_buffer(name, torch.from_numpy(values))
        k, hidden = settings.members, settings.hidden
        first = tabm.LinearBatchEnsemble(width, hidden, k=k, scaling_init=("random-signs", "ones"))
        later = [tabm.LinearBatchEnsemble(hidden, hidden, k=k, scaling_init="ones") for _ in range(1, settings.blocks)]
        self.layers = nn.ModuleList([first, *later])
        self.dropout = Dropout(settings.dropout)
        self.out = tabm.LinearEnsemble(hidden, outputs, k=k)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of each member, from columns as they are stored."""
        first, *later = self.layers
        result = _widest((x - self.mean) / self.deviation, first)
        result = self.dropout(result.relu())
        for layer in later:
            result = self.dropout(layer(result).relu())
        outputs: Tensor = self.out(result)
        return outputs


def _widest(x: Tensor, layer: tabm.LinearBatchEnsemble) -> Tensor:
    """The layer of rows [n, width] that all members see alike, [n, members, hidden].

    W (r * x) is (W * r) x: no copy of the rows for each member, and nothing to pass back to them.
    """
    own = (layer.weight * layer.r[:, None]).flatten(0, 1)
    return (x @ own.T).unflatten(1, layer.s.shape) * layer.s + layer.bias


def build(width: int, settings: TabmSettings, outputs: int, moments: Moments, seed: int) -> TabM:
    """A new network: the same seed gives the same weights. The process's own random numbers are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TabM(width, settings, outputs, moments)


def sizes(width: int, settings: TabmSettings, outputs: int) -> dict[str, tuple[int, ...]]:
    """The shape of each of its arrays, by name."""
    k, hidden = settings.members, settings.hidden
    result: dict[str, tuple[int, ...]] = {"mean": (width,), "deviation": (width,)}
    for i in range(settings.blocks):
        columns = hidden if i else width
        result |= {f"layers.{i}.weight": (hidden, columns), f"layers.{i}.r": (k, columns)}
        result |= {f"layers.{i}.s": (k, hidden), f"layers.{i}.bias": (k, hidden)}
    return result | {"out.weight": (k, hidden, outputs), "out.bias": (k, outputs)}
