"""The search: Optuna over blend weights, kernel and k; thresholds for given weights and k are found exactly.

Every single head, equal weights and a greedy selection are tried first, so the result cannot end below them. Trial i
draws from a sampler that is seeded by (seed, i) and sees trials 0 .. i - 1: a search that was killed and goes on from
its journal makes the same trials as one that ran through.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from blend import combine, objective, smooth, threshold
from blend.combine import Params
from blend.config import BlendSettings
from blend.pool import Pool

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from blend.study import Journal

START_KS = {"au": (0, 2, 5, 15), "expr": (0, 5, 15, 50), "va": (0, 5, 15, 50)}
GREEDY_ROUNDS = 12
RESCORED = 10
"""Trials that are scored again the official way before one is chosen: the va objective differs from it by rounding."""


@dataclass(frozen=True)
class Trial:
    """One tried blend; `start` names the baselines ("head mlp", "equal", "greedy"), None: drawn by the sampler."""

    weights: tuple[float, ...]
    kernel: str
    k: int
    score: float
    start: str | None


@dataclass(frozen=True)
class Found:
    """The chosen blend, its official score on the pool it was searched on, and every trial in order."""

    params: Params
    score: float
    trials: tuple[Trial, ...]

    def best_start(self, name: str) -> Trial:
        """The best of the trials that started as `name`."""
        return max((trial for trial in self.trials if trial.start == name), key=lambda trial: trial.score)


def search(
    pool: Pool,
    settings: BlendSettings,
    trials: int,
    seed: int,
    journal: Journal | None = None,
    on_trial: Callable[[], None] = lambda: None,
) -> Found:
    """Search the blend of a pool with truth; `on_trial` is called after each trial. Trials in `journal` are not done
    again.
    """
    with smooth.threads(pool.scores.size):
        return _search(pool, settings, trials, seed, journal, on_trial)


def _search(
    pool: Pool, settings: BlendSettings, trials: int, seed: int, journal: Journal | None, on_trial: Callable[[], None]
) -> Found:
    score = objective.make(pool)
    names = _starts(pool, settings)
    study = _memory_study()
    done = journal.trials() if journal is not None else []
    made: list[Trial] = []
    for i in range(max(trials, len(names))):
        if i < len(done):
            frozen = done[i]
            study.add_trial(frozen)
        else:
            frozen = (
                _baseline(study, pool, settings, score, names[i], made)
                if i < len(names)
                else _drawn(study, pool, settings, score, derive(seed, i))
            )
            if journal is not None:
                journal.add(frozen)
        made.append(_trial(frozen, pool, settings, names[i][0] if i < len(names) else None))
        on_trial()
    return _choose(pool, made)


def count(pool: Pool, settings: BlendSettings, trials: int) -> int:
    """How many trials `search` will make."""
    return max(trials, len(_starts(pool, settings)))


def derive(seed: int, *parts: object) -> int:
    """A 32-bit seed of its own for every part of the search."""
    return int.from_bytes(hashlib.sha256(repr((seed, *parts)).encode()).digest()[:4], "little")


def params(pool: Pool, weights: Sequence[float], kernel: str, k: int) -> Params:
    """A blend with the thresholds (au) that are best for it on this pool."""
    thresholds = None
    if pool.task.name == "au":
        blended = threshold.columns(combine.scores(pool, weights, kernel, k), pool.known.rows)
        thresholds = tuple(float(t) for t in threshold.best(blended, pool.known.values.T.astype(np.uint8))[0])
    return Params(
        pool.task.name, pool.task.outputs, pool.heads, tuple(float(w) for w in weights), kernel, k, thresholds
    )


def _choose(pool: Pool, made: list[Trial]) -> Found:
    """The best trial by the official score; the earlier of equals."""
    ranked = sorted(range(len(made)), key=lambda i: (-made[i].score, i))
    compared = [
        i for i, trial in enumerate(made) if trial.start is not None and trial.k == 0
    ]  # what the report compares with
    best: tuple[float, Params] | None = None
    for i in sorted({*ranked[:RESCORED], *compared}):
        candidate = params(pool, made[i].weights, made[i].kernel, made[i].k)
        official = float(np.nan_to_num(pool.score(combine.combine(pool, candidate))))
        if best is None or official > best[0]:
            best = official, candidate
    assert best is not None
    return Found(best[1], best[0], tuple(made))


def _starts(pool: Pool, settings: BlendSettings) -> list[tuple[str, int]]:
    """(name, k) of the trials that come first, in order."""
    widest = settings.widest(pool.task.name)
    ks = [k for k in START_KS[pool.task.name] if k <= widest]
    names = [f"head {head}" for head in pool.heads] + ["equal"]
    return [(name, k) for name in names for k in ks] + [("greedy", -1)]


def _baseline(
    study: Study,
    pool: Pool,
    settings: BlendSettings,
    score: objective.Objective,
    start: tuple[str, int],
    made: list[Trial],
) -> FrozenTrial:
    import optuna

    name, k = start
    raw = [1.0] * len(pool.heads)
    if name.startswith("head "):
        raw = [float(f"head {head}" == name) for head in pool.heads]
    elif name == "greedy":
        k = max((trial for trial in made if trial.start == "equal"), key=lambda trial: trial.score).k
        raw = _greedy(score, len(pool.heads), settings.kernels[0], k)
    value = score(combine.simplex(raw), settings.kernels[0], k)
    chosen: dict[str, Any] = {f"w {head}": w for head, w in zip(pool.heads, raw, strict=True)} | {"k": k}
    space = _space(pool, settings)
    if "kernel" in space:
        chosen["kernel"] = settings.kernels[0]
    frozen = optuna.trial.create_trial(params=chosen, distributions=space, value=value, user_attrs={"start": name})
    study.add_trial(frozen)
    return frozen


def _greedy(score: objective.Objective, heads: int, kernel: str, k: int) -> list[float]:
    """Ensemble selection with replacement (Caruana et al., ICML 2004): add the head that helps most until none does.

    Returns numbers in [0, 1], the most often chosen head at 1.
    """
    chosen, reached = np.zeros(heads), -np.inf
    for _ in range(GREEDY_ROUNDS):
        values = [score(combine.simplex(chosen + np.eye(heads)[h]), kernel, k) for h in range(heads)]
        best = int(np.argmax(values))
        if values[best] <= reached:
            break
        reached = values[best]
        chosen[best] += 1
    return [float(c) for c in chosen / chosen.max()]


def _drawn(study: Study, pool: Pool, settings: BlendSettings, score: objective.Objective, seed: int) -> FrozenTrial:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # multivariate TPE
        study.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False)
    trial = study.ask(fixed_distributions=_space(pool, settings))
    weights = combine.simplex([trial.params[f"w {head}"] for head in pool.heads])
    study.tell(trial, score(weights, trial.params.get("kernel", settings.kernels[0]), trial.params["k"]))
    return study.get_trials(deepcopy=False)[-1]


def _space(pool: Pool, settings: BlendSettings) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space: dict[str, Any] = {f"w {head}": FloatDistribution(0.0, 1.0) for head in pool.heads}
    space["k"] = IntDistribution(0, settings.widest(pool.task.name))
    if len(settings.kernels) > 1:
        space["kernel"] = CategoricalDistribution(list(settings.kernels))
    return space


def _memory_study() -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))


def _trial(frozen: FrozenTrial, pool: Pool, settings: BlendSettings, start: str | None) -> Trial:
    weights = combine.simplex([frozen.params[f"w {head}"] for head in pool.heads])
    assert frozen.value is not None
    return Trial(weights, frozen.params.get("kernel", settings.kernels[0]), frozen.params["k"], frozen.value, start)
