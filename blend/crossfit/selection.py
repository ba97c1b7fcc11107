"""Cross-fitted selection: kernel, k and every optional part by held-out score, the numbers averaged over the folds.

It begins with the usual blend: weights by greedy selection (expressions: by likelihood), averaged over the folds,
nothing smoothed, no bias, no filter; and takes one step after the other (k, other weights, the part of the task, a
filter, train's out-of-fold predictions, a k for each output), each only where it gains on held-out people by more than
MARGIN (or UNUSUAL) standard errors of the gain.

Nested to the last choice: what decides a fold is chosen and found without it. The scores that this choice goes by are
of blends found without two folds, the one to be decided and the one that they are scored on; what is found on "all but
f and g" serves both, so five folds need ten such subsets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.calibrate import video_counts
from blend.calibrate.video_counts import encode_number
from blend.config import BlendSettings
from blend.crossfit import fold_pools
from blend.crossfit.estimate import CrossFit, evaluate, split
from blend.crossfit.fold_pools import LeftOut
from blend.crossfit.solvers import (
    NO_NUMBERS,
    Candidate,
    Heads,
    Options,
    Solution,
    Solver,
    average,
    make_solver,
    options,
)
from blend.decision import combine, fixed_numbers, smooth
from blend.decision.params import Params, as_weights
from blend.pool import duplicates
from blend.pool.pool import Pool
from blend.search import search

KS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200)
MARGIN = 1.0
"""Standard errors by which smoothing, a bias and whatever else is not usual must gain."""
UNUSUAL = 2.0
"""The same for other weights, thresholds, scale and shift than the usual ones, which did best in the simulation."""
DRAWS = 200
"""Draws of the people (or recordings) for that standard error."""
NEAR = 2
"""Widths on either side that are tried again with the chosen parts."""


@dataclass(frozen=True)
class SelectedBlend:
    """One way to a blend: its params, their score on the videos they were found on, and what others may expect."""

    params: Params
    score: float | None
    cross_fit: CrossFit | None
    """None for a single annotated recording."""
    candidate: Candidate | None = None
    """What cross-fitted selection chose."""

    @property
    def worth(self) -> float:
        """What to rank it by: the score on held-out videos, or, where nothing can be held out, on its own."""
        score = self.cross_fit.pooled_score if self.cross_fit is not None else self.score
        return -math.inf if score is None else score


class Selection:
    """Cross-fitted selection on a pool with truth, and what weights that are given are worth."""

    def __init__(
        self,
        pool: Pool,
        settings: BlendSettings,
        seed: int,
        folds: Sequence[Sequence[int]] | None = None,
        test_groups: int | None = None,
        train: Pool | None = None,
    ) -> None:
        """`folds`: lists of video numbers that hold every video once; None: made as settings say. `test_groups`: people
        or recordings of the test set that intervals are for. `train`: the same heads' out-of-fold predictions of train,
        of people who are not in `pool`.

        Raises InputError where settings name a head that there is not, or ask for what a task does not have.
        """
        self.whole, self.seed, self.task, self.test_groups = pool, seed, pool.task.name, test_groups
        self.pool, self.settings = duplicates.to_search(pool, settings)
        self.options = options(self.pool, self.settings, train is not None)
        self.fixed_numbers = fixed_numbers.read_fixed_numbers(self.pool, self.settings)
        self.folds = split(pool, settings.select_folds, seed) if folds is None else [list(fold) for fold in folds]
        part_seed = search.derive(seed, "thresholds")
        self.solver = make_solver(fold_pools.fold_pool(self.pool, self.folds), part_seed, given=self.fixed_numbers)
        self.finisher = self._finisher(self.solver, part_seed)
        self._train = None if train is None else self._on_train(train, part_seed)
        self._distinct = duplicates.drop_duplicates_without(self.pool, self.folds)
        self._groups, self._parts = pool.groups, list[Pool]()
        self._from_train: dict[tuple[Candidate, Heads, bool], Solution] = {}
        self._held: dict[tuple[Candidate, int | None], video_counts.Table] = {}

    def _finisher(self, solver: Solver, seed: int) -> Solver:
        """The solver that finds the final numbers, on all frames."""
        exact = solver.folded_pool
        if exact.step > 1:
            exact = fold_pools.fold_pool(exact.pool, exact.folds, int(exact.pool.offsets[-1]))
        return make_solver(exact, seed, True, self.fixed_numbers)

    def _on_train(self, train: Pool, seed: int) -> tuple[Solver, Solver]:
        """The two solvers again, on all of train."""
        at = [train.heads.index(head) for head in self.pool.heads]
        same = replace(train, heads=self.pool.heads, scores=train.scores[at], coverage=None)
        solver = make_solver(fold_pools.fold_pool(same, [range(len(train.videos))]), seed, given=self.fixed_numbers)
        return solver, self._finisher(solver, seed)

    def select(self) -> SelectedBlend:
        """The selected blend; of a single person or recording the usual one, as nothing can be held out."""
        with smooth.threads(self.pool.scores.size):
            chosen, folds = self.choose(), range(len(self.folds))
            made = [self.average_folds(self.choose(f), f) for f in folds] if len(folds) > 1 else None
            return self._way(self.average_folds(chosen), made, chosen)

    def tune_with_weights(self, weights: NDArray[np.float64]) -> SelectedBlend:
        """Given weights [H] of the distinct heads; kernel, k and thresholds are the best ones on the same videos."""
        part = self.solver.plain_part(self.settings)
        each = np.broadcast_to(weights[:, None], (len(weights), len(self.pool.task.outputs)))

        def tuned(left_out: LeftOut) -> Params:
            tried = [Candidate(kernel, k, part=part) for kernel in self.settings.kernels for k in self.ks]
            scores = [self.solver.folded_pool.parts(c.kernel, c.k, weights)[left_out].mean() for c in tried]  # type: ignore[arg-type]
            best = tried[int(np.argmax(scores))]
            return self.params(best, self.finisher.solve(best, left_out, self._distinct[None], each))

        with smooth.threads(self.pool.scores.size):
            folds = range(len(self.folds))
            return self._way(tuned(()), [tuned((f,)) for f in folds] if len(folds) > 1 else None)

    def _way(self, params: Params, made: list[Params] | None, chosen: Candidate | None = None) -> SelectedBlend:
        self._parts = self._parts or [self.whole.select(fold) for fold in self.folds]
        known = self.settings, self.seed, self.test_groups
        crossed = None if made is None else evaluate(self.whole, self.folds, self._parts, made, *known)
        score = encode_number(self.whole.score(combine.combine(self.whole, params)))
        return SelectedBlend(params, score, crossed, chosen)

    def average_folds(self, chosen: Candidate, without: int | None = None) -> Params:
        """The mean of what is found on all videos but those of each fold; with `without`, never on that fold's.

        Where only one fold is left, what is found on it.
        """
        rest = self._visible(without)
        subsets = [_left_out(without, f) for f in rest] if len(rest) > 1 else [_left_out(without)]
        return self.params(chosen, average([self.solution(chosen, subset, without) for subset in subsets]))

    def solution(self, candidate: Candidate, left_out: LeftOut, without: int | None = None) -> Solution:
        """Weights as found on the rows looked at, the rest on all frames. Heads that are copies of others outside the
        fold `without` count as one.
        """
        heads = self._distinct[without]
        result = self.finisher.solve(candidate, left_out, heads, self.solver.weights(candidate, left_out, heads))
        return self._with_train(result, candidate, heads, exactly=True)

    def _with_train(self, result: Solution, candidate: Candidate, heads: Heads, exactly: bool) -> Solution:
        """The mean of a solution and what train gives, which is the same for all folds; itself without train."""
        if not candidate.with_train or self._train is None:
            return result
        key = candidate, heads, exactly
        if key not in self._from_train:
            solver, finisher = self._train
            weights = solver.weights(candidate, (), heads)
            self._from_train[key] = (finisher if exactly else solver).solve(candidate, (), heads, weights)
        return average([result, self._from_train[key]])

    def decide_held_out(self, candidate: Candidate, without: int | None = None) -> video_counts.Table:
        """Tables [V, ...] of all videos, each decided with what was found on the other folds, never on `without`'s.

        Those of the fold `without` are 0.
        """
        key = candidate, without
        if key not in self._held:
            heads, solver = self._distinct[without], self.solver
            for f in self._visible(without):
                result = solver.solve(candidate, _left_out(without, f), heads)
                own = solver.table(candidate, self._with_train(result, candidate, heads, exactly=False))
                table = self._held.setdefault(key, np.zeros_like(own))
                table[self.folds[f]] = own[self.folds[f]]
        return self._held[key]

    def _visible(self, without: int | None) -> list[int]:
        return [f for f in range(len(self.folds)) if f != without]

    def choose(self, without: int | None = None) -> Candidate:
        """The selection among what settings allow, made without the videos of a fold."""
        return _Choice(self, without, self.options).candidate()

    @property
    def ks(self) -> list[int | tuple[int, ...]]:
        """The widths tried; only the given one (or ones, of the outputs) where there is one."""
        if (given := fixed_numbers.k(self.settings)) is not None:
            return [given]
        widest = self.settings.widest(self.task)
        return sorted({k for k in KS if k <= widest} | {min(widest, KS[-1])})

    def params(self, candidate: Candidate, solution: Solution) -> Params:
        """A solution as params of the whole pool: copies of heads weigh nothing."""
        task, whole = self.pool.task, self.whole
        numbers = {key: getattr(solution, key) for key in ("thresholds", "bias", "scale", "shift")}
        optional: dict[str, Any] = {key: tuple(x.tolist()) for key, x in numbers.items() if x is not None}
        if solution.sure is not None:
            optional["filter"] = candidate.filter, float(solution.sure)
        weights = duplicates.expand_weights(whole, self.pool.heads, as_weights(solution.weights))
        return Params(task.name, task.outputs, whole.heads, weights, candidate.kernel, candidate.k, **optional)


class _Choice:
    """One walk from the usual blend to the chosen one, that never looks at the fold `without`."""

    def __init__(self, selection: Selection, without: int | None, options: Options) -> None:
        self.selection, self.without, self.options = selection, without, options
        self.folds = selection._visible(without)
        known = np.bincount(selection.pool.video_of, minlength=len(selection.pool.videos)) > 0
        self.videos = [v for f in self.folds for v in selection.folds[f] if known[v]]
        self.groups = np.unique(selection._groups[self.videos], return_inverse=True)[1]

    def candidate(self) -> Candidate:
        """Step by step. The usual blend where nothing can be held out, or only two people are there: what decides one
        of them would then be chosen on nobody.
        """
        kernels, ks, options = self.selection.settings.kernels, self.selection.ks, self.options
        usual = Candidate(kernels[0], ks[0], options.weights[0], options.parts[0], options.filters[0])
        result = replace(usual, with_train=options.with_train[0])
        if len(self.folds) < 2 or len(self.selection.folds) < 3:
            return result
        result = self._best(result, [replace(result, kernel=kernel, k=k) for kernel in kernels for k in ks])
        result = self._best(result, [replace(result, weights=kind) for kind in options.weights], UNUSUAL)
        margin = MARGIN if options.parts[0] in NO_NUMBERS else UNUSUAL
        for part in options.parts:  # from few numbers to many
            tried = [replace(result, part=part, strength=s) for s in options.strengths(part)]
            result = self._best(result, tried, margin)
        near = self._near(result.k)
        result = self._best(result, [replace(result, kernel=kernel, k=k) for kernel in kernels for k in near])
        result = self._best(result, [replace(result, filter=head) for head in options.filters])
        result = self._best(result, [replace(result, with_train=both) for both in options.with_train])
        return self._with_own_k(result)

    def _best(self, result: Candidate, tried: Sequence[Candidate], margin: float = MARGIN) -> Candidate:
        """The best on held-out videos (first of equals) if it beats `result` by more than chance; else that."""
        rest = [candidate for candidate in tried if candidate != result]
        if not rest:
            return result
        best = rest[int(np.argmax([self._score(self._held(candidate)) for candidate in rest]))]
        return best if self._pays(self._held(best), self._held(result), margin) else result

    def _near(self, k: int | tuple[int, ...]) -> list[int]:
        """The widths around k, itself included."""
        at = self.selection.ks.index(k)  # type: ignore[arg-type]
        return self.selection.ks[max(0, at - NEAR) : at + NEAR + 1]

    def _with_own_k(self, result: Candidate) -> Candidate:
        """The candidate with a k for every output, if that is wanted, or "auto" and pays.

        Each output takes the k with its best held-out score. What that is worth is told by folds whose scores had no
        say in it (their labels had, where other folds' numbers were found), so it must gain as an unusual step does.
        """
        wanted = self.selection.settings.per_output_k
        if wanted is False:
            return result
        own = self._own_k(result, self.folds)
        if wanted is True or own == result:
            return own
        told = np.zeros_like(self._held(result))
        for f in self.folds:
            other = self._own_k(result, [g for g in self.folds if g != f])
            mine = np.isin(self.videos, self.selection.folds[f])
            told[mine] = self._held(other)[mine]
        return own if self._pays(told, self._held(result), UNUSUAL) else result

    def _own_k(self, result: Candidate, folds: Sequence[int]) -> Candidate:
        ks = self.selection.ks
        mine = np.isin(self.videos, [v for f in folds for v in self.selection.folds[f]])
        tables = [self._held(replace(result, k=k))[mine].sum(0) for k in ks]
        scores = np.nan_to_num(np.stack([self.selection.pool.blend_task.per_output(table) for table in tables]))
        return replace(result, k=tuple(ks[i] for i in scores.argmax(0)))

    def _held(self, candidate: Candidate) -> video_counts.Table:
        """Tables of the visible videos."""
        return self.selection.decide_held_out(candidate, self.without)[self.videos]

    def _score(self, table: video_counts.Table) -> float:
        return float(np.nan_to_num(video_counts.score(self.selection.task, table.sum(0))))

    def _pays(self, other: video_counts.Table, plain: video_counts.Table, margin: float = MARGIN) -> bool:
        """Whether one way beats another by more than chance, on the same held-out videos.

        A standard error from few groups is too small, and is widened as a sample's standard deviation is.
        """
        gain, groups = self._score(other) - self._score(plain), int(self.groups.max()) + 1
        if gain <= 0 or groups < 2:
            return False
        seed, task = search.derive(self.selection.seed, "pays"), self.selection.task
        summed = [video_counts.sum_groups(table, self.groups) for table in (other, plain)]
        drawn = [video_counts.draw(task, table, DRAWS, seed) for table in summed]
        return gain > margin * float(np.nanstd(drawn[0] - drawn[1])) * math.sqrt(groups / (groups - 1))


def _left_out(*folds: int | None) -> LeftOut:
    """A subset's name, from the folds that it lacks."""
    return tuple(sorted(f for f in folds if f is not None))
