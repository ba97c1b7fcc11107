"""Losses of the three kinds of labels, and the scores that outputs stand for.

multiclass: cross entropy against softened labels, each class's term weighted (as EmotiEffLib's robust_optimization.py
does; torch's weighted cross entropy divides by the batch's weights, this does not). multilabel: binary cross entropy
with a weight for a unit's absence and presence. regression: 1 - CCC (Lin 1989), mean of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Labels = Literal["multilabel", "multiclass", "regression"]
Loss = Callable[["Tensor", "Tensor"], "Tensor"]
EPSILON = 1e-8
"""Keeps 1 - CCC finite where a batch and what is predicted for it are constant and equal."""


@dataclass(frozen=True)
class Target:
    """What a network is to learn: the kind of labels, the names of its outputs, and what each label weighs."""

    task: str
    labels: Labels
    outputs: tuple[str, ...]
    weights: NDArray[np.float32]
    """multiclass [C]; multilabel [2, units], of frames without and with the unit; regression: not looked at."""


def create_loss(target: Target, smoothing: float, device: str) -> Loss:
    """The loss of outputs [n, C] and truth (classes [n], or [n, C]), a mean over the batch."""
    import torch

    weights = torch.from_numpy(np.array(target.weights, np.float32)).to(device)
    if target.labels == "multiclass":
        return lambda outputs, truth: weighted_cross_entropy(outputs, truth, weights, smoothing)
    if target.labels == "multilabel":
        return lambda outputs, truth: weighted_binary_cross_entropy(outputs, truth, weights)
    return lambda outputs, truth: concordance_loss(outputs, truth)


def weighted_cross_entropy(outputs: Tensor, truth: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Mean over the batch of the sum over classes of -weight * soft label * log softmax; truth [n] of classes."""
    import torch

    classes = outputs.shape[1]
    soft = torch.full_like(outputs, smoothing / classes)
    soft.scatter_(1, truth.long()[:, None], 1 - smoothing + smoothing / classes)
    return -(weights * soft * outputs.log_softmax(1)).sum(1).mean()


def weighted_binary_cross_entropy(outputs: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Mean over batch and units of the binary cross entropy, weighted by weights [2, units]; truth [n, units]."""
    from torch.nn import functional

    truth = truth.to(outputs.dtype)
    return functional.binary_cross_entropy_with_logits(outputs, truth, weights[0] + (weights[1] - weights[0]) * truth)


def concordance_loss(outputs: Tensor, truth: Tensor) -> Tensor:
    """1 - CCC of the batch (population moments), mean of the outputs; both [n, outputs]."""
    mean_t, mean_p = truth.mean(0), outputs.mean(0)
    covariance = ((truth - mean_t) * (outputs - mean_p)).mean(0)
    below = truth.var(0, unbiased=False) + outputs.var(0, unbiased=False) + (mean_t - mean_p) ** 2
    return (1 - 2 * covariance / (below + EPSILON)).mean()


def compute_scores(labels: Labels, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores [n, C] of a network's outputs: softmax, sigmoid, or values cut off at -1 and 1."""
    if labels == "regression":
        return np.clip(outputs, -1, 1)
    if labels == "multilabel":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * outputs)), np.float32)
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)
