"""report.json: every number that the blend stands on, without NaN, in an order that does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from blend import combine, search
from blend.combine import Params
from blend.config import BlendSettings
from blend.crossfit import CrossFit, number_or_none
from blend.decide import DEFAULT_THRESHOLD
from blend.pool import Pool
from blend.search import Found
from heads.testlist import TestList

CURVE = (0, 1, 2, 3, 5, 7, 10, 15, 20, 25, 35, 50, 75, 100, 150, 200)


def build(pool: Pool, found: Found, crossed: CrossFit | None, settings: BlendSettings, seed: int) -> dict[str, Any]:
    """All of report.json that validation can tell. Scores that are not defined are None.

    `heads` and `equal` are unsmoothed and, for au, cut at 0.5: what one would hand in without a search. `tuned` has
    them with the best smoothing tried and the best thresholds, which is what the search starts from.
    """
    task, params = pool.task, found.params
    even = [1 / len(pool.heads)] * len(pool.heads)
    parts = task.per_output(pool.known.values, combine.combine(pool, params)[pool.known.rows])
    pooled = crossed.pooled if crossed is not None else None
    return {
        "task": task.name,
        "metric": task.metric,
        "heads": {head: _plain(pool, np.eye(len(pool.heads))[h].tolist()) for h, head in enumerate(pool.heads)},
        "equal": _plain(pool, even),
        "searched": number_or_none(pool.score(combine.combine(pool, params))),
        "cross_fitted": _folds(pool, crossed),
        "interval": list(crossed.interval) if crossed is not None and crossed.interval is not None else None,
        "interval_of": "cross_fitted.pooled" if crossed is not None else None,
        "optimism": found.score - pooled if pooled is not None else None,
        "k": params.k,
        "kernel": params.kernel,
        "weights": params.as_json()["weights"],
        "thresholds": list(params.thresholds) if params.thresholds is not None else None,
        "per_output": {name: number_or_none(part) for name, part in zip(task.outputs, parts, strict=True)},
        "tuned": {
            name.removeprefix("head "): {"score": found.best_start(name).score, "k": found.best_start(name).k}
            for name in dict.fromkeys(trial.start for trial in found.trials if trial.start is not None)
        },
        "score_against_k": _curve(pool, params, settings.widest(task.name)),
        "frames": frames(pool),
        "trials": len(found.trials),
        "seed": seed,
    }


def frames(pool: Pool) -> dict[str, Any]:
    """Of the validly annotated frames: how many, with a prediction of every head, and filled; and videos without any
    face.
    """
    present = int(pool.present[pool.known.rows].sum())
    return {
        "labelled": len(pool.known.rows),
        "with_features": present,
        "filled": len(pool.known.rows) - present,
        "videos": len(pool.videos),
        "videos_without_face": list(pool.without_face),
    }


def submitted(
    path: Path, listed: TestList, pool: Pool, rows: np.ndarray[Any, np.dtype[np.int64]], source: str
) -> dict[str, Any]:
    """Facts about the submission: `source` is "test" or "validation" (where the corpus has no test list)."""
    return {
        "path": path.name,
        "from": source,
        "lines": len(listed.images) + 1,
        "frames": len(listed.images),
        "filled": int((~pool.present[rows]).sum()),
        "videos": len(listed.names),
        "videos_without_face": list(pool.without_face),
    }


def _plain(pool: Pool, weights: list[float]) -> float | None:
    """The score without smoothing and without tuned thresholds."""
    cut = (DEFAULT_THRESHOLD,) * len(pool.task.outputs) if pool.task.name == "au" else None
    params = Params(pool.task.name, pool.task.outputs, pool.heads, tuple(weights), "box", 0, cut)
    return number_or_none(pool.score(combine.combine(pool, params)))


def _folds(pool: Pool, crossed: CrossFit | None) -> dict[str, Any] | None:
    if crossed is None:
        return None
    known = [score for score in crossed.scores if score is not None]
    return {
        "mean": float(np.mean(known)) if known else None,
        "std": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        "folds": list(crossed.scores),
        "pooled": crossed.pooled,
        "videos": [[pool.videos[v] for v in fold] for fold in crossed.folds],
    }


def _curve(pool: Pool, params: Params, widest: int) -> dict[str, list[Any]]:
    """The score of the chosen weights at other k, thresholds found anew at each."""
    ks = sorted({k for k in CURVE if k <= widest} | {params.k})
    tried = [search.params(pool, params.weights, params.kernel, k) for k in ks]  # type: ignore[arg-type]
    return {"k": list(ks), "score": [number_or_none(pool.score(combine.combine(pool, some))) for some in tried]}
