"""Per-class bias of expressions: a number added to the logarithm of each class's score before the largest wins.

Heads that learned from many neutral frames name rare classes too seldom for macro F1. "prior" is logit adjustment
(Menon et al., ICLR 2021) with a strength: -tau log prior, one number to find. "free" finds eight.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blend.tasks.multiclass import factors
from heads.abaw.metrics import CLASSES, f1

TAUS = np.arange(13) / 8
"""Strengths tried, 0 to 1.5."""
LIMIT = 3.0
"""A free bias lies in [-3, 3]."""
STEPS = 97
"""Values tried for each free bias."""
SWEEPS = 4
PULL = 10.0
"""A class shown by so many videos has its bias halved."""
FLOOR = 1e-4
"""The least prior of a class: one that was not seen in these videos may well occur in others."""


def shrink(bias: NDArray[np.float64], truth: NDArray[np.int8], video_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each number times n / (n + PULL), n being how many videos (or people) show the class: frames of one are alike."""
    shown = np.array([len(np.unique(video_of[truth == c])) for c in range(len(bias))])
    return bias * shown / (shown + PULL)


def logit_adjustment(
    truth: NDArray[np.int8], tau: float, weight: NDArray[np.float32] | None = None, classes: int = CLASSES
) -> NDArray[np.float64]:
    """-tau times the log prior of the classes in `truth` (weighted [N]), mean 0, [classes]."""
    weight = _ones(truth) if weight is None else weight
    shares = np.bincount(truth, weights=weight, minlength=classes) / max(float(weight.sum()), 1e-9)
    log_prior = np.log(np.maximum(shares, FLOOR))
    return -tau * (log_prior - log_prior.mean())


def prior(
    scores: NDArray[np.float32], truth: NDArray[np.int8], weight: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """The adjustment with the best of TAUS; the smallest of equals. `weight` [N] of each frame; None: all alike."""
    tried = [logit_adjustment(truth, float(tau), weight, scores.shape[1]) for tau in TAUS]
    values = [macro_f1(scores, truth, bias, weight) for bias in tried]
    return tried[int(np.argmax(values))]


def coordinate_ascent(
    scores: NDArray[np.float32], truth: NDArray[np.int8], weight: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """A number in [-3, 3] for each class, one after the other the best for given others, until none helps; mean 0.
    `weight` as in `prior`.
    """
    weight = _ones(truth) if weight is None else weight
    bias = np.zeros(scores.shape[1])
    reached = macro_f1(scores, truth, bias, weight)
    logs = np.log(np.maximum(scores, 1e-12)).astype(np.float32)
    grid, score_biases = np.linspace(-LIMIT, LIMIT, STEPS), _score_biases(len(bias))
    for _ in range(SWEEPS):
        before = reached
        for c in range(len(bias)):
            values = score_biases(logs, truth, weight, bias, c, grid)
            best = int(np.argmax(values))
            if values[best] > reached + 1e-12:
                bias[c], reached = grid[best], float(values[best])
        if reached <= before:
            break
    return bias - bias.mean()


def macro_f1(
    scores: NDArray[np.float32],
    truth: NDArray[np.int8],
    bias: NDArray[np.float64],
    weight: NDArray[np.float32] | None = None,
) -> float:
    """Macro F1 of the biased argmax, of frames weighted [N]."""
    table = confusion(scores, truth, factors(bias), _ones(truth) if weight is None else weight)
    return float(f1(np.diag(table), table.sum(0), table.sum(1)).mean())


def _ones(truth: NDArray[np.int8]) -> NDArray[np.float32]:
    return np.ones(len(truth), np.float32)


@njit(cache=True)
def confusion(scores, truth, factor, weight):  # type: ignore[no-untyped-def]
    """Truth x argmax of factor * scores, summed weights [C, C]; the first of equals wins."""
    classes = scores.shape[1]
    table = np.zeros((classes, classes))
    for i in range(len(scores)):
        best, highest = 0, scores[i, 0] * factor[0]
        for c in range(1, classes):
            value = scores[i, c] * factor[c]
            if value > highest:
                best, highest = c, value
        table[truth[i], best] += weight[i]
    return table


@cache
def _score_biases(classes: int) -> Callable[..., NDArray[np.float64]]:
    """The kernel for so many classes: a number that is known when it is compiled saves a fifth of its time."""

    @njit(cache=True)
    def score_biases(logs, truth, weight, bias, c, grid):  # type: ignore[no-untyped-def]
        """Weighted macro F1 for every value in `grid` of class c's bias. From some value on a frame becomes c."""
        steps, width = len(grid), grid[1] - grid[0]
        moves = np.zeros((steps + 1, classes, 2))  # [first step that takes it, from class, truly so]
        gains = np.zeros(steps + 1)
        actual = np.zeros(classes)
        for i in range(len(logs)):
            other = -1
            for j in range(classes):
                if j != c and (other < 0 or logs[i, j] + bias[j] > logs[i, other] + bias[other]):
                    other = j
            margin = logs[i, other] + bias[other] - logs[i, c]
            at = min(max(int(np.ceil((margin - grid[0]) / width)), 0), steps)  # the first value that is not below it
            moves[at, other, int(truth[i] == other)] += weight[i]
            gains[at] += weight[i] * (truth[i] == c)
            actual[truth[i]] += weight[i]
        predicted, right = np.zeros(classes), np.zeros(classes)
        for j in range(classes):
            predicted[j] = moves[:, j].sum()
            right[j] = moves[:, j, 1].sum()
        values = np.empty(steps)
        for s in range(steps):
            for j in range(classes):
                moved = moves[s, j, 0] + moves[s, j, 1]
                predicted[j] -= moved
                predicted[c] += moved
                right[j] -= moves[s, j, 1]
            right[c] += gains[s]
            total = 0.0
            for j in range(classes):
                if predicted[j] + actual[j] > 1e-9:
                    total += 2.0 * right[j] / (predicted[j] + actual[j])
            values[s] = total / classes
        return values

    return score_biases  # type: ignore[no-any-return]
