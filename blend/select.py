"""Cross-fitted selection: kernel, k and every optional part by held-out score, the numbers averaged over the folds.

What is chosen: first k, then each part in its turn, then k nearby and each part again. A part other than the usual one
is taken only where it gains on held-out videos by more than chance: the gain must exceed MARGIN standard errors of
itself, over draws of the videos. The usual parts are those that did best in `blend.simulate`.

The estimate of what that is worth on other videos is nested: for each fold, the selection is made on the others alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from blend import combine, copies, counts, folded, search, smooth
from blend.config import BlendSettings
from blend.crossfit import CrossFit, evaluate, number_or_none, split
from blend.params import Params
from blend.pool import Pool
from blend.solve import SOLVERS, Candidate, Solution, average
from extract.errors import InputError

KS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200)
MARGIN = 2.0
"""Standard errors by which an unusual part must gain; 0 and 1 let in parts that lost on test in the simulation."""
DRAWS = 200
"""Draws of the videos for that standard error."""
NEAR = 2
"""Widths on either side that are tried again with the chosen parts."""
QUICK = {"au": "exact", "expr": "off", "va": "scale"}
"""Parts with which all widths are tried at first: those that cost least."""
PRETRAINED = "pretrained"
"""Heads whose names begin so are tried as filters."""


@dataclass(frozen=True)
class Way:
    """One way to a blend: its params, their score on the videos they were found on, and what others may expect."""

    params: Params
    score: float | None
    crossed: CrossFit | None
    """None for a single annotated recording."""
    chosen: Candidate | None = None
    """What cross-fitted selection chose."""

    @property
    def worth(self) -> float:
        """What to rank it by: the score on held-out videos, or, where nothing can be held out, on its own."""
        score = self.crossed.pooled if self.crossed is not None else self.score
        return -math.inf if score is None else score


class Selection:
    """Cross-fitted selection on a pool with truth, and what weights that are given are worth."""

    def __init__(self, pool: Pool, settings: BlendSettings, seed: int) -> None:
        """Raises InputError where settings name a head that there is not, or ask for what a task does not have."""
        self.whole, self.settings, self.seed = pool, copies.renamed(pool, settings), seed
        self.pool, self.task = copies.distinct(pool), pool.task.name
        self.options = options(self.pool, self.settings)
        self.folds = split(pool, settings.select_folds, seed)
        self._parts: list[Pool] = []
        part_seed = search.derive(seed, "thresholds")
        self.solver = SOLVERS[self.task](folded.of(self.pool, self.folds), part_seed)
        exact = self.solver.folded
        if exact.step > 1:
            exact = folded.of(self.pool, self.folds, len(pool.known.rows))
        self.finisher = SOLVERS[self.task](exact, part_seed, exactly=True)

    def select(self) -> Way | None:
        """The selected blend; None for a single annotated recording."""
        if len(self.folds) < 2:
            return None
        with smooth.threads(self.pool.scores.size):
            everything = range(len(self.folds))
            chosen = self.choose(everything)
            params = self.averaged(chosen)
            made = []
            for f in everything:
                own = self.choose([g for g in everything if g != f])
                made.append(self.params(own, self.solution(own, f)))
            return self._way(params, made, chosen)

    def alone(self, weights: NDArray[np.float64]) -> Way:
        """Given weights [H] of the distinct heads; kernel, k and thresholds are the best ones on the same videos."""
        part = {"au": "fixed" if self.settings.thresholds == "fixed" else "exact", "expr": "off", "va": ""}[self.task]
        each = np.broadcast_to(weights[:, None], (len(weights), len(self.pool.task.outputs)))

        def tuned(subset: int) -> Params:
            tried = [Candidate(kernel, k, part=part) for kernel in self.settings.kernels for k in self.ks]
            scores = [self.solver.folded.parts(c.kernel, c.k, weights)[subset].mean() for c in tried]  # type: ignore[arg-type]
            best = tried[int(np.argmax(scores))]
            return self.params(best, self.finisher.solve(best, subset, each))

        with smooth.threads(self.pool.scores.size):
            folds = range(len(self.folds))
            return self._way(tuned(len(self.folds)), [tuned(f) for f in folds] if len(folds) > 1 else None)

    def _way(self, params: Params, made: list[Params] | None, chosen: Candidate | None = None) -> Way:
        self._parts = self._parts or [self.whole.select(fold) for fold in self.folds]
        crossed = None
        if made is not None:
            crossed = evaluate(self.whole, self.folds, self._parts, made, self.settings, self.seed)
        score = number_or_none(self.whole.score(combine.combine(self.whole, params)))
        return Way(params, score, crossed, chosen)

    def averaged(self, chosen: Candidate) -> Params:
        """The mean of what the folds find."""
        return self.params(chosen, average([self.solution(chosen, f) for f in range(len(self.folds))]))

    def choose(self, folds: Sequence[int], options: Mapping[str, Sequence[str]] | None = None) -> Candidate:
        """The selection made on some of the folds' held-out tables, among `options` (None: what settings allow)."""
        videos = [v for f in folds for v in self.folds[f]]
        options = options or self.options
        usual = {field: values[0] for field, values in options.items()}
        quick = usual | ({"part": QUICK[self.task]} if len(options["part"]) > 1 else {})
        kernels = self.settings.kernels
        found = self._best([Candidate(kernel, k, **quick) for kernel in kernels for k in self.ks], videos)
        found = self._with_parts(replace(found, **usual), options, videos)
        near = self._near(found.k)
        found = self._best([replace(found, kernel=kernel, k=k) for kernel in kernels for k in near], videos)
        return self._with_own_k(self._with_parts(found, options, videos), folds)

    def _best(self, tried: Sequence[Candidate], videos: Sequence[int]) -> Candidate:
        """The first of the best by score on held-out videos."""
        return max(tried, key=lambda candidate: self._score(self._held(candidate, videos)))

    def _near(self, k: int | tuple[int, ...]) -> list[int]:
        """The widths around k, itself included."""
        at = self.ks.index(k)  # type: ignore[arg-type]
        return self.ks[max(0, at - NEAR) : at + NEAR + 1]

    def _with_parts(self, found: Candidate, options: Mapping[str, Sequence[str]], videos: Sequence[int]) -> Candidate:
        """The candidate with every part that pays, one after the other."""
        for field, values in options.items():
            plain = replace(found, **{field: values[0]})
            others = [replace(found, **{field: value}) for value in values[1:]]
            found = plain
            if others:
                best = self._best(others, videos)
                found = best if self._pays(self._held(best, videos), self._held(plain, videos)) else plain
        return found

    def _with_own_k(self, found: Candidate, folds: Sequence[int]) -> Candidate:
        """The candidate with a k for every output, if that is wanted, or "auto" and pays.

        Each output takes the k with its best held-out score. What that is worth is told by folds that had no say in it.
        """
        if self.settings.per_output_k is False:
            return found
        own = self._own_k(found, folds)
        if self.settings.per_output_k is True or own == found or len(folds) < 2:
            return own if self.settings.per_output_k is True else found
        honest, plain = [], []
        for f in folds:
            without = self._own_k(found, [g for g in folds if g != f])
            honest.append(self._held(without, self.folds[f]))
            plain.append(self._held(found, self.folds[f]))
        return own if self._pays(np.concatenate(honest), np.concatenate(plain)) else found

    def _own_k(self, found: Candidate, folds: Sequence[int]) -> Candidate:
        videos = [v for f in folds for v in self.folds[f]]
        tables = [self._held(replace(found, k=k), videos).sum(0) for k in self.ks]
        scores = np.nan_to_num(np.stack([counts.outputs(self.task, table) for table in tables]))
        return replace(found, k=tuple(self.ks[i] for i in scores.argmax(0)))

    @property
    def ks(self) -> list[int]:
        """The widths tried."""
        widest = self.settings.widest(self.task)
        return sorted({k for k in KS if k <= widest} | {min(widest, KS[-1])})

    def _held(self, candidate: Candidate, videos: Sequence[int]) -> counts.Table:
        return self.solver.held(candidate)[list(videos)]

    def _score(self, table: counts.Table) -> float:
        return float(np.nan_to_num(counts.score(self.task, table.sum(0))))

    def _pays(self, other: counts.Table, plain: counts.Table) -> bool:
        """Whether one way beats another by more than chance: per-video tables of the same held-out videos."""
        gain = self._score(other) - self._score(plain)
        if gain <= 0:
            return False
        seed = search.derive(self.seed, "pays")
        drawn = [counts.draw(self.task, table, DRAWS, seed) for table in (other, plain)]
        return gain > MARGIN * float(np.nanstd(drawn[0] - drawn[1]))

    def solution(self, candidate: Candidate, subset: int) -> Solution:
        """Weights as found on the rows looked at, the rest on all frames."""
        return self.finisher.solve(candidate, subset, self.solver.weights(candidate, subset))

    def params(self, candidate: Candidate, solution: Solution) -> Params:
        """A solution as params of the whole pool: copies of heads weigh nothing."""
        task, heads = self.pool.task, self.pool.heads
        weights = tuple(
            float(row[0]) if (row == row[0]).all() else tuple(float(w) for w in row) for row in solution.weights
        )
        optional = {
            key: None if value is None else tuple(float(number) for number in value)
            for key, value in (
                ("thresholds", solution.thresholds),
                ("bias", solution.bias),
                ("scale", solution.scale),
                ("shift", solution.shift),
            )
        }
        sure = None if solution.sure is None else (candidate.filter, float(solution.sure))
        spread = copies.spread(self.whole, heads, weights)
        return Params(
            task.name, task.outputs, self.whole.heads, spread, candidate.kernel, candidate.k, **optional, filter=sure
        )  # fmt: skip


def options(pool: Pool, settings: BlendSettings) -> dict[str, list[str]]:
    """Fields of Candidate -> what may be chosen, the usual first. Raises InputError for a filter of an unknown head."""
    each = {True: ["each"], False: ["shared", "equal"], "auto": ["shared", "equal", "each"]}
    found = {"weights": each[settings.per_output_weights]}
    if pool.task.name == "au":
        rules = ["pulled", "bootstrap", "exact", "plug-in", "fixed"]
        return found | {"part": rules if settings.thresholds in ("auto", "search") else [settings.thresholds]}
    if pool.task.name == "expr":
        return found | {
            "part": ["pulled", "off", "prior", "free"] if settings.bias == "auto" else [settings.bias],
            "filter": _filters(pool, settings.filter),
        }
    return found | {"part": _moment_parts(settings)}


def _filters(pool: Pool, wanted: str) -> list[str]:
    if wanted == "auto":
        return ["", *(head for head in pool.heads if head.startswith(PRETRAINED))]
    if wanted != "off" and wanted not in pool.heads:
        raise InputError(f"blend.expr.filter: no head is named {wanted!r}; there are {', '.join(pool.heads)}")
    return ["" if wanted == "off" else wanted]


def _moment_parts(settings: BlendSettings) -> list[str]:
    """ "", "scale", "shift" or "scale shift": those that the switches allow, the usual (scale) first."""
    both = {True: [True], False: [False], "auto": [True, False]}
    scales, shifts = both[settings.scale], sorted(both[settings.shift])
    return [" ".join(["scale"] * a + ["shift"] * b) for b in shifts for a in scales]
