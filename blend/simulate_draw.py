"""One draw of `blend.simulate`: two sets of videos, each in turn validation and test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from blend import combine, crossfit, search
from blend import simulate_population as population
from blend.config import BlendSettings
from blend.params import Params
from blend.pool import Pool
from blend.select import Selection, Way

K_MAX = 20
"""Frames are thinned, so that narrower windows suffice."""
RULES = {
    "au": ("fixed", "exact", "bootstrap", "pulled", "plug-in"),
    "expr": ("off", "prior", "free", "pulled"),
    "va": ("", "scale", "shift", "scale shift"),
}
"""Plain decisions first."""
FEW = (20, 70)
EVERY = 4
"""One of so many pairs has the search inside the folds, too: it costs more than all the rest."""


def videos_of(task: str, size: str, pair: int, pairs: int) -> int:
    """How many videos the sets of a pair have: as the official validation set, or rising from 20 to 70."""
    if size == "official":
        return population.OFFICIAL[task]
    low, high = FEW
    return round(low + (high - low) * pair / max(pairs - 1, 1))


def pair(task: str, size: str, number: int, pairs: int, seed: int, trials: int) -> list[dict[str, Any]]:
    """Both ways round: what each way of selecting reaches on test, and what each estimate said before.

    Using the sets both ways round cancels most of the luck of which set is the easier one.
    """
    rng = np.random.default_rng([seed, number, sorted(RULES).index(task), size == "few"])
    videos = videos_of(task, size, number, pairs)
    one, other = (population.draw(task, videos, rng) for _ in range(2))
    folded = number % EVERY == 0
    return [measure(a, b, number, trials, folded) for a, b in ((one, other), (other, one))]


def measure(validation: Pool, test: Pool, seed: int, trials: int, folded: bool) -> dict[str, Any]:
    """Everything that is done on validation, and its score on test. `folded`: the search inside the folds, too."""
    task, heads = validation.task.name, len(validation.heads)
    settings = BlendSettings(trials=trials, k_max=K_MAX, draws=500)
    found = search.search(validation, settings, trials, seed)
    tuned = Way(found.params, found.score, crossfit.cross_fit(validation, settings, seed) if folded else None)
    selection = Selection(validation, settings, seed)
    selected = selection.select()
    assert selected is not None and selected.chosen is not None
    plain = Params(task, validation.task.outputs, validation.heads, (1 / heads,) * heads)
    every = range(len(selection.folds))
    smoothed = selection.choose(every, {"weights": ["equal"], "part": [RULES[task][0]]})
    made = {"plain": plain, "smoothed": selection.averaged(smoothed)}
    made |= {"equal": selection.alone(np.full(heads, 1 / heads)).params}
    made |= {"tuned": tuned.params, "cross_fitted": selected.params}
    made |= {f"rule {rule}": selection.averaged(replace(selected.chosen, part=rule)) for rule in RULES[task]}
    scores = {name: test.score(combine.combine(test, params)) for name, params in made.items()}
    return {
        "test": {name: float(np.nan_to_num(score)) for name, score in scores.items()},
        "tuned": _said(tuned, scores["tuned"]),
        "cross_fitted": _said(selected, scores["cross_fitted"]),
        "chosen": vars(selected.chosen),
    }


def _said(way: Way, reached: float) -> dict[str, Any]:
    """Errors of a way's two estimates, and whether its interval held the test score; without folds, of the first."""
    assert way.score is not None
    said: dict[str, Any] = {"own": way.score - reached}
    if way.crossed is None:
        return said
    assert way.crossed.pooled is not None and way.crossed.interval is not None
    low, high = way.crossed.interval
    return said | {"held": way.crossed.pooled - reached, "inside": bool(low <= reached <= high), "width": high - low}
