"""Weights of heads by the likelihood of the classes, all classes counting alike: the usual weights of expressions.

A blend of probabilities is a mixture. Its likelihood has a single maximum, and expectation-maximisation (Dempster,
Laird and Rubin, J. R. Stat. Soc. B 39, 1977) climbs to it: a frame is shared among the heads by what each gave its
class, and a head's next weight is the sum of its shares. Macro F1 itself is jagged: where a class has a handful of
frames, one of them decides which heads a search by macro F1 keeps.

Frames are weighted so that each class weighs the same, as in macro F1: where heads were trained without class weights,
those that know rare classes count for more. Of how many frames that weighting is, Kish's
effective number says; EQUAL_FRAMES more are taken to speak for equal weights. They matter where some class has hardly
a frame, as on the photographs, and are nothing beside thousands. What this and other ways gave is in
`blend/studies/README.md`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = 60
"""Of sharing frames and adding the shares up; further ones change weights by little."""
EQUAL_FRAMES = 30.0
"""Frames that speak for equal weights. Of 0, 10, 30 and 60, set by halves of the photographs' people drawn again and by
few made videos: 30 and 60 lose nothing to equal weights on the former, 0 to 30 gain on the latter.
"""
FLOOR = 1e-6
"""The least probability: a head that was sure of another class is not shut out by one frame."""


def fit(scores: NDArray[np.float32], truth: NDArray[np.integer], weight: NDArray[np.floating]) -> NDArray[np.float64]:
    """Weights [H] that sum to 1, of scores [H, N, C] that are not negative; equal ones where there is no frame.

    Scores are scaled to sum 1. `truth` [N] holds classes, `weight` [N] what each frame weighs beside others of its
    class; one of weight 0 is as if it were not there, but for roundings. After ROUNDS rounds weights are near the
    maximum of the likelihood and the prior together, not at it; always so many, as to stop where one changes little
    would let rounding decide.
    """
    heads = len(scores)
    if not weight.any():
        return np.full(heads, 1 / heads)
    truth_scores = np.take_along_axis(scores, truth[None, :, None].astype(np.int64), axis=2)[..., 0].astype(np.float64)
    likelihood = np.maximum(truth_scores / np.maximum(scores.sum(-1, dtype=np.float64), FLOOR), FLOOR)  # [H, N]
    frame_weights = balance_classes(truth, weight, scores.shape[2])
    prior = EQUAL_FRAMES * (frame_weights**2).sum()
    weights = np.full(heads, 1 / heads)
    for _ in range(ROUNDS):
        shares = weights * (likelihood @ (frame_weights / (weights @ likelihood)))
        weights = (shares + prior / heads) / (1 + prior)
    return weights


def balance_classes(truth: NDArray[np.integer], weight: NDArray[np.floating], classes: int) -> NDArray[np.float64]:
    """Weights [N] of the frames that sum to 1, the same for every class that has some; all 0 where none has any.

    The reciprocal of the sum of their squares is how many frames of the same weight would say as much (Kish, Survey
    Sampling, 1965).
    """
    of_class = np.bincount(truth, weights=weight, minlength=classes)
    each = np.where(of_class > 0, 1 / np.where(of_class > 0, of_class, 1), 0) / max(int((of_class > 0).sum()), 1)
    return weight * each[truth]
