"""The search: Optuna over blend weights, kernel, k and whatever else is switched on; the best thresholds are counted.

Every single head, equal weights and a greedy selection are tried first, so the result cannot end below them; the
sampler draws; a pattern search around the best ends it. Trial i draws from a sampler that is seeded by (seed, i) and
sees trials 0 .. i - 1: a search that was killed and goes on from its journal makes the same trials as one that ran
through. Heads that are copies of each other are searched as one. Numbers that are given (weights, k, ...) are those of
every trial; with sampler = "grid" all points of a grid are tried, and nothing else.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, create_trial

from blend.config import BlendSettings
from blend.decision import combine, smooth
from blend.decision.params import Params
from blend.pool import duplicates
from blend.pool.pool import Pool
from blend.search import grid, objective
from blend.search.journal import Trials
from blend.search.objective import Point
from blend.search.pattern_search import PatternSearch
from blend.search.space import attributes, make_space, to_drawn_trial
from extract.runtime.errors import InputError

GREEDY_ROUNDS = 12
RESCORED_TRIALS = 10
"""Trials that are scored again the official way before one is chosen: the va objective differs from it by rounding."""
CLOSE = 1e-4
"""Where nothing but rounding lies between the two, those that are further behind the best cannot win."""
PARTS = "parts"
"""User attribute of refining trials: the score of each output."""


@dataclass(frozen=True)
class Trial:
    """One tried blend; `start` names the baselines ("head mlp", "equal", "greedy"), "given" (weights), "grid" and
    "refined"; None: drawn by the sampler. Weights are those of all heads of the pool.
    """

    point: Point
    score: float
    start: str | None

    @property
    def weights(self) -> tuple[float | tuple[float, ...], ...]:
        return self.point.weights

    @property
    def kernel(self) -> str:
        return self.point.kernel

    @property
    def k(self) -> int | tuple[int, ...]:
        return self.point.k


@dataclass(frozen=True)
class SearchResult:
    """The chosen blend, its official score on the pool it was searched on, and every trial in order."""

    params: Params
    score: float
    trials: tuple[Trial, ...]
    copies: tuple[tuple[str, str], ...] = ()
    """(head, the one that it is a copy of)"""

    def best_start(self, name: str) -> Trial | None:
        """The best of the trials that started as `name`; a copy of a head started as that head. None where none did,
        as with given weights.
        """
        head = dict(self.copies).get(name.removeprefix("head "))
        name = f"head {head}" if head is not None and name.startswith("head ") else name
        return max((t for t in self.trials if t.start == name), key=lambda trial: trial.score, default=None)


def search(
    pool: Pool,
    settings: BlendSettings,
    trials: int,
    seed: int,
    journal: Trials | None = None,
    on_trial: Callable[[], None] = lambda: None,
    until: float | None = None,
) -> SearchResult:
    """Search the blend of a pool with truth; `on_trial` is called after each trial. Trials in `journal` are not done
    again. After `until` (`time.monotonic`) none is drawn; the starts and the refinement are made all the same, of a
    grid the first point.
    """
    with smooth.threads(pool.scores.size):
        made = _Search(pool, settings, seed, journal)
        return made.run_grid(on_trial, until) if settings.sampler == "grid" else made.run(trials, on_trial, until)


def count(pool: Pool, settings: BlendSettings, trials: int) -> int:
    """How many trials `search` will make."""
    space = make_space(*duplicates.to_search(pool, settings))
    if settings.sampler == "grid":
        return grid.count(space)
    starts = len(space.starts())
    return max(trials, starts) if space.distributions() else starts


def derive(seed: int, *parts: object) -> int:
    """A 32-bit seed of its own for every part of the search."""
    return int.from_bytes(hashlib.sha256(repr((seed, *parts)).encode()).digest()[:4], "little")


def params(
    pool: Pool,
    weights: Sequence[float | tuple[float, ...]],
    kernel: str,
    k: int | tuple[int, ...],
    settings: BlendSettings | None = None,
) -> Params:
    """A blend with what follows from it on this pool: the best thresholds (au), or what `settings` ask for."""
    return make_space(pool, settings or BlendSettings()).complete(Point(tuple(weights), kernel, k))


class _Sampler(optuna.samplers.TPESampler):
    """TPE that is told what all trials have in common: to find it out takes an eighth of a search."""

    def __init__(self, space: Mapping[str, BaseDistribution], seed: int) -> None:
        super().__init__(seed=seed, multivariate=True, constant_liar=False)
        self._space = {name: kind for name, kind in sorted(space.items()) if not kind.single()}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The names and ranges that are drawn together."""
        return self._space


class _Search:
    """One search over the distinct heads of a pool."""

    def __init__(self, whole: Pool, settings: BlendSettings, seed: int, journal: Trials | None) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.whole, self.seed, self.journal = whole, seed, journal
        self.pool, self.settings = duplicates.to_search(whole, settings)
        if settings.sampler == "cmaes" and find_spec("cmaes") is None:
            raise InputError(f'blend.{whole.task.name}.sampler = "cmaes" needs a package: pip install cmaes')
        self.space = make_space(self.pool, self.settings)
        self.score = objective.make(self.pool, self.space.extras)
        self.study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
        self.made: list[Trial] = []

    def run(self, trials: int, on_trial: Callable[[], None], until: float | None = None) -> SearchResult:
        names = self.space.starts()
        done = self.journal.trials() if self.journal is not None else []
        total = max(trials, len(names)) if self.space.distributions() else len(names)
        first_refined = len(names) + draws(total - len(names), self.settings)
        refiner: PatternSearch | None = None
        late, i = False, -1
        while (i := i + 1) < total:
            if until is not None and max(len(names), len(done)) <= i < first_refined and time.monotonic() > until:
                late, first_refined = True, i
                total = len(names) + refine(i - len(names), self.settings)
            if i == first_refined:
                best = max(self.made, key=lambda trial: trial.score).point  # the earlier of equals
                refiner = PatternSearch(best, self.score.parts(best), self.space.plan)
            asked = refiner.ask() if refiner is not None else None
            if i < len(done):
                frozen = self._known(done[i], len(names) <= i < first_refined, derive(self.seed, i))
            else:
                frozen = self._make(i, names, asked)
                if self.journal is not None and not late:  # a search with more time goes on drawing
                    self.journal.add(self.space.to_stored_trial(frozen))
            start = names[i][0] if i < len(names) else "refined" if asked is not None else None
            assert frozen.value is not None
            self.made.append(Trial(self.space.of(frozen), frozen.value, start))
            if asked is not None and refiner is not None:
                refiner.tell(np.array(frozen.user_attrs[PARTS]))
            on_trial()
        return self._choose(refiner, late)

    def run_grid(self, on_trial: Callable[[], None], until: float | None = None) -> SearchResult:
        """Every point of the grid, in order."""
        done = self.journal.trials() if self.journal is not None else []
        late = False
        for i, (start, point) in enumerate(grid.points(self.space)):
            if i < len(done):
                score = done[i].value
            elif i and until is not None and time.monotonic() > until:
                late = True
                break
            else:
                score = self.score.score(point)
                if self.journal is not None:
                    self.journal.add(
                        self.space.to_stored_trial(create_trial(value=score, user_attrs=attributes(point)))
                    )
            assert score is not None
            self.made.append(Trial(point, score, start))
            on_trial()
        return self._choose(None, late)

    def _make(self, i: int, names: list[tuple[str, int]], asked: Point | None) -> FrozenTrial:
        if i < len(names):
            return self._start(*names[i])
        if asked is not None:
            parts = self.score.parts(asked)
            return self._add({}, float(parts.mean()), attributes(asked) | {PARTS: parts.tolist()})
        return self._ask(derive(self.seed, i), lambda chosen: self.score.score(self.space.point(chosen)))

    def _known(self, frozen: FrozenTrial, drawn: bool, seed: int) -> FrozenTrial:
        """Take in a finished trial of the journal, without what Optuna's CMA-ES keeps beside it: a pickle, and the file
        may be anybody's. That sampler draws it again instead, which brings it to the same state.
        """
        for name in [name for name in frozen.system_attrs if name.startswith("cma:")]:
            del frozen.system_attrs[name]
        frozen = to_drawn_trial(frozen, self.space.distributions())
        if drawn and self.settings.sampler == "cmaes":
            self._ask(seed, lambda _: float(frozen.value or 0.0))
        else:
            self.study.add_trial(frozen)
        return frozen

    def _start(self, name: str, k: int | tuple[int, ...]) -> FrozenTrial:
        raw = [1.0] * len(self.pool.heads)
        if name.startswith("head "):
            raw = [float(f"head {head}" == name) for head in self.pool.heads]
        elif name == "greedy":
            k = max((t for t in self.made if t.start == "equal"), key=lambda trial: trial.score).k
            raw = self._greedy(k)
        chosen = self.space.start(raw, k)
        return self._add(chosen, self.score.score(self.space.point(chosen)), {"start": name})

    def _add(self, chosen: dict[str, Any], value: float, notes: dict[str, Any]) -> FrozenTrial:
        space = self.space.distributions() if chosen else {}
        self.study.add_trial(create_trial(params=chosen, distributions=space, value=value, user_attrs=notes))
        return self.study.get_trials(deepcopy=False)[-1]

    def _greedy(self, k: int | tuple[int, ...]) -> list[float]:
        """Ensemble selection with replacement (Caruana et al., ICML 2004): add the head that helps most until none
        does.

        Returns numbers in [0, 1], the most often chosen head at 1.
        """
        heads = len(self.pool.heads)
        chosen, reached = np.zeros(heads), -np.inf
        for _ in range(GREEDY_ROUNDS):
            raws = [(chosen + np.eye(heads)[h]).tolist() for h in range(heads)]
            values = [self.score.score(self.space.point(self.space.start(raw, k))) for raw in raws]
            best = int(np.argmax(values))
            if values[best] <= reached:
                break
            reached = values[best]
            chosen[best] += 1
        return [float(c) for c in chosen / chosen.max()]

    def _ask(self, seed: int, score: Callable[[dict[str, Any]], float]) -> FrozenTrial:
        """A trial that the sampler draws, with its score."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # multivariate TPE
            if self.settings.sampler == "cmaes":
                self.study.sampler = optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
            else:
                alike = all(trial.start != "refined" for trial in self.made)  # those name no parameter
                self.study.sampler = _Sampler(self.space.distributions() if alike else {}, seed)
        trial = self.study.ask(fixed_distributions=self.space.distributions())
        self.study.tell(trial, score(trial.params))
        return self.study.get_trials(deepcopy=False)[-1]

    def _choose(self, refiner: PatternSearch | None, late: bool) -> SearchResult:
        """The best trial by the official score; the earlier of equals. Unless time was short, it ends the journal."""
        ranked = sorted(range(len(self.made)), key=lambda i: (-self.made[i].score, i))
        # what the report compares with
        compared = [i for i, trial in enumerate(self.made) if trial.start not in (None, "grid") and trial.k == 0]
        least = self.made[ranked[0]].score - CLOSE if self.space.is_official else -np.inf
        points = [
            self.made[i].point for i in sorted({*ranked[:RESCORED_TRIALS], *compared}) if self.made[i].score >= least
        ]
        points += [refiner.best] if refiner is not None else []
        best: tuple[float, Params, Point] | None = None
        for point in dict.fromkeys(points):
            candidate = self.space.complete(point)
            official = float(np.nan_to_num(self.pool.score(combine.combine(self.pool, candidate))))
            if best is None or official > best[0]:
                best = official, candidate, point
        assert best is not None
        whole, heads = self.whole, self.pool.heads
        made = tuple(
            replace(t, point=replace(t.point, weights=duplicates.expand_weights(whole, heads, t.point.weights)))
            for t in self.made
        )
        chosen = replace(best[1], heads=whole.heads, weights=duplicates.expand_weights(whole, heads, best[1].weights))
        if self.journal is not None and not late:
            self.journal.finish(self._as_trial(best[2], chosen, best[0]))
        return SearchResult(chosen, best[0], made, tuple(duplicates.find_duplicates(whole).items()))

    def _as_trial(self, point: Point, chosen: Params, score: float) -> FrozenTrial:
        """The chosen blend with all numbers of params.json. Where trials score the official way but for rounding, it is
        the best of them, be it by the last digit: so Optuna's `study.best_params` are these numbers.
        """
        named, ranges = self.space.all_parameters(point, chosen)
        highest = max(trial.score for trial in self.made)
        value = max(score, float(np.nextafter(highest, np.inf))) if self.space.is_official else score
        return create_trial(params=named, distributions=ranges, value=value)


def draws(trials: int, settings: BlendSettings) -> int:
    """How many of the trials that are not starts the sampler draws; the others, a third, or two where outputs have
    their own numbers, refine the best.
    """
    each = settings.per_output_weights is True or settings.per_output_k is True
    return trials - (trials * 2 // 3 if each else trials // 3)


def refine(drawn: int, settings: BlendSettings) -> int:
    """So many draws and what refines the best of them: the inverse of `draws`."""
    rest = drawn
    while draws(rest + 1, settings) <= drawn:
        rest += 1
    return rest
