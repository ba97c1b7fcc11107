"""The search's history and which of its numbers mattered, for the report."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from blend.crossfit import number_or_none
from blend.pool import Pool
from blend.search import Found, Trial, derive

FEWEST = 20
"""With fewer trials that differ nothing can be said of importance."""
MOST = 400
"""So many trials, evenly taken, are enough to say it, and quick."""
TREES = 32


def facts(pool: Pool, found: Found, seed: int) -> dict[str, Any]:
    """Every trial's score and what it started as, and the importance of every head's weight, k and kernel.

    Importance is fANOVA's share of the score's variance over the trials (Hutter, Hoos and Leyton-Brown, ICML 2014), by
    Optuna, seeded; None where there are too few trials or all score the same.
    """
    return {
        "score": [number_or_none(trial.score) for trial in found.trials],
        "start": [trial.start for trial in found.trials],
        "importance": importance(pool, found, seed),
    }


def importance(pool: Pool, found: Found, seed: int) -> dict[str, float] | None:
    """Name -> share in [0, 1], the largest first."""
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    trials = [trial for trial in found.trials if np.isfinite(trial.score)]
    trials = trials[:: -(-len(trials) // MOST)] if trials else []
    if len(trials) < FEWEST or len({trial.score for trial in trials}) < 2:
        return None
    copies = dict(found.copies)
    heads = [(h, head) for h, head in enumerate(pool.heads) if head not in copies]
    rows = [_params(trial, heads) for trial in trials]
    kernels = sorted({trial.kernel for trial in trials})
    kinds: dict[str, Any] = {f"weight of {head}": FloatDistribution(0, 1) for _, head in heads}
    kinds["k"] = IntDistribution(0, max(1, *(int(np.ceil(row["k"])) for row in rows)))
    kinds["kernel"] = CategoricalDistribution(kernels)
    varied = {name: kind for name, kind in kinds.items() if len({row[name] for row in rows}) > 1}
    if not varied:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for trial, row in zip(trials, rows, strict=True):
        params = {name: row[name] for name in varied}
        study.add_trial(create_trial(params=params, distributions=varied, value=trial.score))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=derive(seed, "importance"))
        shares = get_param_importances(study, evaluator=evaluator)
    ranked = sorted(shares, key=lambda name: (-shares[name], name))
    return {name: float(shares[name]) for name in ranked}


def _params(trial: Trial, heads: list[tuple[int, str]]) -> dict[str, Any]:
    """A trial's numbers; those that every output has of its own are averaged."""
    weights = {f"weight of {head}": float(np.mean(trial.weights[h])) for h, head in heads}
    total = sum(weights.values()) or 1.0
    shares = {name: min(max(value / total, 0.0), 1.0) for name, value in weights.items()}
    return {**shares, "k": round(float(np.mean(trial.k))), "kernel": trial.kernel}
