"""Curves and tables of the report: score against k, F1 against threshold, confusion, reliability, density.

All of them are of validation. What can be is of held-out decisions (`blend.report.videos`): every video is judged by a
blend that was made without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.calibrate import threshold_rules
from blend.calibrate.video_counts import encode_number
from blend.crossfit.outcome import EQUAL_WAY, BlendResult
from blend.decision import combine
from blend.decision.params import Params
from blend.pool.pool import Pool
from blend.report.schema import OwnPicture
from blend.report.videos import VideoDecisions
from heads.abaw.tasks import Labels

HEADS = 3
"""So many heads have a curve: the best on held-out videos."""
CUTS = 64
"""Thresholds at which F1 is told."""
BINS = 10
"""Of predicted values, for reliability."""
CELLS = 20
"""Cells of a density, on each side."""
DIGITS = 5
"""Of most curves' values: enough for a picture, and a tenth of the bytes. Scores against k have all of theirs: they
pass through scores that other parts of the report have.
"""


def against_k(pool: Pool, outcome: BlendResult, ks: list[int]) -> dict[str, list[float | None]]:
    """Score at each k of the best heads and of equal weights, everything else as tuned for their own k."""
    ranked = outcome.distinct()
    shown = [*ranked[:HEADS], *([EQUAL_WAY] if len(ranked) > 1 else [])]
    return {name: curve(pool, outcome.baselines[name].params, ks) for name in shown}


def curve(pool: Pool, params: Params, ks: list[int]) -> list[float | None]:
    """The score of a blend with each of some k in place of its own."""
    weights = dict(zip(params.heads, params.weights, strict=True))
    used = [h for h, head in enumerate(pool.heads) if np.any(weights.get(head, 0.0)) or params.filter is not None]
    small = replace(pool, heads=tuple(pool.heads[h] for h in used), scores=pool.scores[used], coverage=None)
    # a head that weighs nothing costs nothing
    few = replace(params, heads=small.heads, weights=tuple(weights.get(head, 0.0) for head in small.heads))
    return [encode_number(small.score(combine.combine(small, replace(few, k=k)))) for k in ks]


def thresholds(pool: Pool, outcome: BlendResult) -> dict[str, Any]:
    """au: F1 of every unit at CUTS thresholds, on all videos and on each fold's own; thresholds found in the folds."""
    way = outcome.selected_blend
    blended = combine.blend(pool, way.params)[pool.known_truth.rows]
    table = threshold_rules.per_video(blended, pool.known_truth.values, pool.video_of, len(pool.videos))  # type: ignore[arg-type]
    coarse = table.reshape(*table.shape[:3], CUTS, -1).sum(-1, dtype=np.float64)
    folds = way.cross_fit.folds if way.cross_fit is not None else ()
    result = way.cross_fit.params if way.cross_fit is not None else ()
    return {
        "cuts": [i / CUTS for i in range(CUTS)],
        "f1": _per_output(pool, threshold_rules.curve(coarse.sum(1))),
        "f1_of_folds": [_per_output(pool, threshold_rules.curve(coarse[:, list(fold)].sum(1))) for fold in folds],
        "found_without_fold": [list(params.thresholds) for params in result if params.thresholds is not None],
    }


def _per_output(pool: Pool, values: NDArray[np.float64]) -> dict[str, list[float]]:
    return {name: _rounded(row) for name, row in zip(pool.task.outputs, values, strict=True)}


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(x, DIGITS) for x in values.tolist()]


def confusion(pool: Pool, decided: VideoDecisions) -> list[list[int]]:
    """expr: frames by class that they show (rows) and class that is decided (columns), [C, C]."""
    truth, kind = pool.known_truth.values, pool.blend_task
    return kind.table_as_json(kind.count(truth, decided.decisions, np.zeros(len(truth), np.int64), 1)[0])


def reliability(pool: Pool, decided: VideoDecisions) -> dict[str, dict[str, Any]]:
    """Per output and bin of what is predicted: mean prediction, mean truth (au, expr: how often it is so), frames.

    `error` is the mean distance between the two, weighted by frames (the expected calibration error).
    """
    truth, low = pool.task.as_columns(pool.known_truth.values), pool.task.lowest
    predicted = pool.blend_task.predictions(decided.scores, decided.decisions)
    results = {}
    for c, name in enumerate(pool.task.outputs):
        p = predicted[:, c].astype(np.float64)
        at = np.clip(((p - low) / (1 - low) * BINS).astype(np.int64), 0, BINS - 1)
        n = np.bincount(at, minlength=BINS)
        there = n > 0
        mean_p, mean_t = (np.bincount(at, weights=x, minlength=BINS)[there] / n[there] for x in (p, truth[:, c]))
        error = (np.abs(mean_p - mean_t) * n[there]).sum() / max(n.sum(), 1)
        results[name] = {
            "predicted": _rounded(mean_p), "observed": _rounded(mean_t), "frames": n[there].tolist(),
            "error": round(float(error), DIGITS),
        }  # fmt: skip
    return results


def density(pool: Pool, decided: VideoDecisions) -> dict[str, list[list[int]]]:
    """va: frames per cell of [-1, 1] x [-1, 1], rows from the lowest second value up.

    "truth" and "blend": the first output (valence) across, the second (arousal) up; by an output's name: truth across,
    prediction up.
    """
    t, p = pool.known_truth.values.astype(np.float64), decided.decisions.astype(np.float64)
    pairs = {"truth": (t[:, 0], t[:, 1]), "blend": (p[:, 0], p[:, 1])}
    pairs |= {name: (t[:, c], p[:, c]) for c, name in enumerate(pool.task.outputs)}
    return {name: _cells(across, up) for name, (across, up) in pairs.items()}


def _cells(across: NDArray[np.float64], up: NDArray[np.float64]) -> list[list[int]]:
    x, y = (np.clip(((v + 1) / 2 * CELLS).astype(np.int64), 0, CELLS - 1) for v in (across, up))
    return np.bincount(y * CELLS + x, minlength=CELLS**2).reshape(CELLS, CELLS).tolist()


OF_KIND: dict[Labels, Callable[[Pool, BlendResult, VideoDecisions], OwnPicture]] = {
    "multilabel": lambda pool, outcome, decided: {"threshold_curves": thresholds(pool, outcome)},
    "multiclass": lambda pool, outcome, decided: {"confusion": confusion(pool, decided)},
    "regression": lambda pool, outcome, decided: {"density": density(pool, decided)},
}
"""What only one kind of labels has."""
