"""Losses of the three kinds of labels, alone or together, and the scores that outputs stand for.

multiclass: cross entropy against softened labels, each class's term weighted (as EmotiEffLib's robust_optimization.py
does; torch's weighted cross entropy divides by the batch's weights, this does not). multilabel: binary cross entropy
with a weight for a unit's absence and presence. regression: 1 - CCC (Lin 1989), mean of the outputs. Of several targets
the sum, each over the pictures of the batch that have its label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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

    @property
    def parts(self) -> tuple[Target, ...]:
        """Itself: see `JointTarget`."""
        return (self,)

    @property
    def loss_is_mean(self) -> bool:
        """Whether the loss of a batch is a mean over its pictures."""
        return self.labels != "regression"

    def split(self, truth: Any) -> list[tuple[Any, Any]]:
        """Of each part which pictures have its labels, and these: all."""
        return [(slice(None), truth)]


@dataclass(frozen=True)
class JointTarget:
    """Several targets of the same pictures, regression first. Outputs stand side by side, and so do labels, float
    [n, columns]: NaN where a picture has none.
    """

    task: str
    parts: tuple[Target, ...]

    loss_is_mean: ClassVar[bool] = False

    def split(self, truth: Any) -> list[tuple[Any, Any]]:
        """Of each part which pictures [n] have its labels, and these; of arrays or tensors."""
        results, at = [], 0
        for part in self.parts:
            columns = slice(at, at + (1 if part.labels == "multiclass" else len(part.outputs)))
            labelled = (truth[:, columns] >= -1).all(1)  # NaN is not
            own = truth[labelled][:, columns]
            results.append((labelled, own[:, 0] if part.labels == "multiclass" else own))
            at = columns.stop
        return results


def create_loss(target: Target | JointTarget, smoothing: float, device: str) -> Loss:
    """The loss of outputs [n, C] and truth (classes [n], or [n, C]), a mean over the batch; of a joint target the sum
    of its parts' losses, a part without a labelled picture none.
    """
    import torch

    losses = [_create_loss(part, smoothing, device) for part in target.parts]
    if len(losses) == 1:
        return losses[0]
    widths = [len(part.outputs) for part in target.parts]

    def compute(outputs: Tensor, truth: Tensor) -> Tensor:
        parts = zip(losses, outputs.split(widths, 1), target.split(truth), strict=True)
        return torch.stack([loss(own[rows], labels) for loss, own, (rows, labels) in parts if len(labels)]).sum()

    return compute


def _create_loss(target: Target, smoothing: float, device: str) -> Loss:
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


def split_outputs(target: Target | JointTarget, outputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The columns of each part of [n, C]."""
    return np.split(outputs, np.cumsum([len(part.outputs) for part in target.parts])[:-1], axis=1)


def compute_scores(labels: Labels, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores [n, C] of a network's outputs: softmax, sigmoid, or values cut off at -1 and 1."""
    if labels == "regression":
        return np.clip(outputs, -1, 1)
    if labels == "multilabel":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * outputs)), np.float32)
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)
