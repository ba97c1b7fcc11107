"""Everything that is done on a validation pool, each estimate of it, and what it scores on test pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from blend.calibrate import video_counts
from blend.config import BlendSettings
from blend.crossfit import estimate
from blend.crossfit.selection import SelectedBlend, Selection
from blend.decision import combine
from blend.decision.params import Params
from blend.pool import duplicates
from blend.pool.pool import Pool
from blend.search import search
from blend.studies.simulation import stacking

PLAIN_WAY, SMOOTHED_WAY, EQUAL_WAY, BEST_HEAD = "plain", "smoothed", "equal", "best_head"
TUNED_WAY, CROSS_FITTED_WAY, STACKING_WAY = "tuned", "cross_fitted", "stacked"
WAYS = {
    PLAIN_WAY: "equal weights, unsmoothed, plain decisions",
    SMOOTHED_WAY: "equal weights, smoothed, plain decisions",
    EQUAL_WAY: "equal weights, smoothed, thresholds tuned",
    BEST_HEAD: "the head with the best held-out score",
    TUNED_WAY: 'select = "tuned"',
    CROSS_FITTED_WAY: 'select = "cross_fitted"',
}
"""Ways to a blend. A plain decision is .5, or the largest class."""
STACKING = {STACKING_WAY: "stacking: a ridge regression, smoothed, thresholds tuned"}
"""One more way, which no params.json can say."""
PARTS: dict[str, dict[str, dict[str, Any]]] = {
    "au": {rule: {"thresholds": rule} for rule in ("fixed", "exact", "bootstrap", "pulled", "plug-in")},
    "expr": {rule: {"bias": rule} for rule in ("off", "prior", "free", "pulled")},
    "va": {
        "neither": {"scale": False, "shift": False},
        "scale": {"scale": True, "shift": False},
        "shift": {"scale": False, "shift": True},
        "scale and shift": {"scale": True, "shift": True},
    },
}
"""Parts that can be fixed -> the settings that do it."""
_SHARED = {"per_output_weights": False, "per_output_k": False}
SIMPLEST: dict[str, dict[str, Any]] = {
    "au": _SHARED | {"thresholds": "fixed"},
    "expr": _SHARED | {"bias": "off", "filter": "off"},
    "va": _SHARED | {"scale": False, "shift": False},
}
"""Settings that leave plain decisions."""


def measure(
    validation: Pool,
    tests: Mapping[str, Pool],
    settings: BlendSettings,
    seed: int,
    folded: bool,
    parts: bool = False,
    further: Mapping[str, Sequence[Pool]] = MappingProxyType({}),
    stacked: bool = False,
) -> dict[str, Any]:
    """Blend in every way on validation, and score each way on every test pool (its truth is read for that alone).

    `settings` are those of [blend.<task>]; the search makes `settings.trials` trials. `folded`: also the search inside
    the folds; `parts`: also the selection with each of PARTS fixed. `further`: more test pools of a kind, as large as
    its first, that only the default is scored on: they say how often its interval holds. `stacked`: STACKING, too.

    Returns {"said": {way: {"own", "held", "interval"}}, "test": {name of the pool: {way: score}}, "further": {kind: the
    default's score on each further pool}, "chosen": {"kernel", "k"}, "best_head": its name, "videos": of validation,
    "groups": {"validation" or name of a pool: its people or recordings}}. `own` is the score on the videos searched on,
    `held` the cross-fitted one; None where it is not defined or was not made.
    """
    ways, best = _ways(validation, settings, seed, folded)
    said = {name: _said(way) for name, way in ways.items()}
    made = {name: way.params for name, way in ways.items()} | {PLAIN_WAY: _plain(validation)}
    if parts:
        for part, keys in PARTS[validation.task.name].items():
            made[f"part {part}"] = Selection(validation, settings.model_copy(update=keys), seed).select().params
    chosen = ways[CROSS_FITTED_WAY].params
    scores = {kind: {name: _score(test, params) for name, params in made.items()} for kind, test in tests.items()}
    if stacked:
        for kind, score in _stacked(validation, tests, settings, seed).items():
            scores[kind][STACKING_WAY] = score
    return {
        "videos": len(validation.videos),
        "groups": {name: int(pool.groups.max()) + 1 for name, pool in {"validation": validation, **tests}.items()},
        "said": said,
        "test": scores,
        "further": {kind: [_score(pool, chosen) for pool in pools] for kind, pools in further.items()},
        "chosen": {"kernel": chosen.kernel, "k": list(chosen.k) if isinstance(chosen.k, tuple) else chosen.k},
        "best_head": best,
    }


def _ways(validation: Pool, settings: BlendSettings, seed: int, folded: bool) -> tuple[dict[str, SelectedBlend], str]:
    """All ways but PLAIN_WAY, and the name of the best head."""
    distinct = duplicates.drop_duplicates(validation).heads
    equal = np.full(len(distinct), 1 / len(distinct))
    result = search.search(validation, settings, settings.trials, seed)
    crossed = estimate.cross_fit(validation, settings, seed) if folded else None
    score = video_counts.encode_number(validation.score(combine.combine(validation, result.params)))
    selection = Selection(validation, settings, seed)
    selected = selection.select()
    if selected.cross_fit is None:
        raise ValueError("one annotated recording or person cannot be cross-fitted")
    alone = {head: selection.tune_with_weights(np.eye(len(distinct))[h]) for h, head in enumerate(distinct)}
    best = max(alone, key=lambda head: alone[head].worth)
    ways = {
        SMOOTHED_WAY: _smoothed(validation, settings, seed),
        EQUAL_WAY: selection.tune_with_weights(equal),
        BEST_HEAD: alone[best],
    }
    return ways | {TUNED_WAY: SelectedBlend(result.params, score, crossed), CROSS_FITTED_WAY: selected}, best


def _plain(pool: Pool) -> Params:
    distinct = duplicates.drop_duplicates(pool).heads
    weights = duplicates.expand_weights(pool, distinct, (1 / len(distinct),) * len(distinct))
    return Params(pool.task.name, pool.task.outputs, pool.heads, weights)


def _smoothed(pool: Pool, settings: BlendSettings, seed: int) -> SelectedBlend:
    """Equal weights with smoothing selected and nothing else: the selection on a pool whose one head is their mean."""
    mean = duplicates.drop_duplicates(pool).scores.mean(0, keepdims=True, dtype=np.float32)
    item = replace(pool, heads=("equal",), scores=mean, coverage=None)
    way = Selection(item, settings.model_copy(update=SIMPLEST[pool.task.name]), seed).select()
    return replace(way, params=replace(_plain(pool), kernel=way.params.kernel, k=way.params.k))


def _stacked(validation: Pool, tests: Mapping[str, Pool], settings: BlendSettings, seed: int) -> dict[str, float]:
    """Scores of stacking; smoothing and thresholds are found on what each fold's regression says of its videos."""
    pool, regression = stacking.stack(validation, estimate.split(validation, settings.select_folds, seed))
    params = Selection(pool, settings, seed).tune_with_weights(np.ones(1)).params
    return {kind: _score(regression.predict(test), params) for kind, test in tests.items()}


def _score(test: Pool, params: Params) -> float:
    """The official score; 0 where it is not defined."""
    return float(np.nan_to_num(test.score(combine.combine(test, params))))


def _said(way: SelectedBlend) -> dict[str, Any]:
    """What a way promises before any test is seen."""
    crossed = way.cross_fit
    interval = None if crossed is None or crossed.interval is None else list(crossed.interval)
    return {"own": way.score, "held": None if crossed is None else crossed.pooled_score, "interval": interval}
