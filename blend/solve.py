"""Candidates of cross-fitted selection, what is found for them on some of the videos, and how that fares on others."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend import bias, counts, decide, shift, threshold, threshold_rules
from blend.folded import Folded, FoldedVa, va_table
from heads import metrics

SURE = np.append(np.round(np.arange(0.95, 0.49, -0.05), 2), 1.0)[::-1]
"""Levels of certainty tried for the filter; above 1 nothing is sure."""


@dataclass(frozen=True)
class Candidate:
    """What is decided for all folds alike; the numbers are found on each."""

    kernel: str
    k: int | tuple[int, ...]
    """A tuple where every output has its own."""
    weights: str = "shared"
    """"equal", "shared" (one per head) or "each" (one per head and output)."""
    part: str = ""
    """au: a rule for thresholds. expr: a rule for the bias. va: "", "scale", "shift" or "scale shift"."""
    filter: str = ""
    """expr: the head whose sure decisions win, "" for none."""


@dataclass(frozen=True)
class Solution:
    """The numbers that a candidate leaves open; None where the task or the candidate has no such part."""

    weights: NDArray[np.float64]
    """[H, C]"""
    thresholds: NDArray[np.float64] | None = None
    bias: NDArray[np.float64] | None = None
    sure: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None
    shift: NDArray[np.float64] | None = None


def average(solutions: list[Solution]) -> Solution:
    """The mean of every number."""
    means: dict[str, Any] = {}
    for field in fields(Solution):
        values = [getattr(solution, field.name) for solution in solutions]
        means[field.name] = None if values[0] is None else np.mean(values, axis=0)
    return Solution(**means)


class Solver:
    """Solutions of candidates on the subsets of a folded pool (subset s < F: all folds but s; F: all videos).

    `exactly`: thresholds of the rule "exact" are found among the frames, not among counts.
    """

    def __init__(self, folded: Folded, seed: int, exactly: bool = False) -> None:
        self.folded, self.pool, self.seed, self.exactly = folded, folded.pool, seed, exactly
        self._held: dict[Candidate, NDArray[np.float64]] = {}

    def solve(self, candidate: Candidate, subset: int, weights: NDArray[np.float64] | None = None) -> Solution:
        """What is found on a subset; for weights [H, C] that were found elsewhere, if given."""
        raise NotImplementedError

    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        """The table of `counts` of each video, [V, ...]."""
        raise NotImplementedError

    def weights(self, candidate: Candidate, subset: int) -> NDArray[np.float64]:
        """Weights of a candidate on a subset, [H, C]."""
        heads, outputs = len(self.pool.heads), len(self.pool.task.outputs)
        if candidate.weights == "equal":
            return np.full((heads, outputs), 1 / heads)
        each = candidate.weights == "each"
        if isinstance(candidate.k, int):
            return self.folded.weights(candidate.kernel, candidate.k, subset, each)
        own = [self.folded.weights(candidate.kernel, k, subset, each)[:, c] for c, k in enumerate(candidate.k)]
        return np.stack(own, axis=1)

    def held(self, candidate: Candidate) -> NDArray[np.float64]:
        """Tables of all videos, each with what was found on the other folds, [V, ...]."""
        if candidate not in self._held:
            found = [self.table(candidate, self.solve(candidate, f)) for f in range(len(self.folded.folds))]
            table = np.empty_like(found[0])
            for fold, own in zip(self.folded.folds, found, strict=True):
                table[fold] = own[fold]
            self._held[candidate] = table
        return self._held[candidate]

    def inside(self, subset: int) -> list[int]:
        """The videos of a subset."""
        return sorted(v for f, fold in enumerate(self.folded.folds) if f != subset for v in fold)


class AuSolver(Solver):
    """Counts of each video's scores stand for the frames: thresholds are found and applied to within 1/256."""

    def __init__(self, folded: Folded, seed: int, exactly: bool = False) -> None:
        super().__init__(folded, seed, exactly)
        self._kept: dict[tuple[str, Any, bytes], threshold_rules.Counts] = {}
        self._averaged: dict[tuple[str, Any, bytes, int], NDArray[np.float64]] = {}

    def _counts(self, candidate: Candidate, weights: NDArray[np.float64]) -> threshold_rules.Counts:
        key = candidate.kernel, candidate.k, weights.tobytes()
        if key not in self._kept:
            while len(self._kept) > len(self.folded.folds):
                self._kept.pop(next(iter(self._kept)))
            blended = self.folded.blend(candidate.kernel, candidate.k, weights)
            truth, video_of = self.folded.truth, self.folded.video_of
            self._kept[key] = threshold_rules.per_video(blended, truth, video_of, len(self.pool.videos))
        return self._kept[key]

    def solve(self, candidate: Candidate, subset: int, weights: NDArray[np.float64] | None = None) -> Solution:
        w = self.weights(candidate, subset) if weights is None else weights
        if candidate.part == "exact" and self.exactly:
            rows = np.flatnonzero(self.folded.fold_of != subset)
            blended = self.folded.blend(candidate.kernel, candidate.k, w)
            truth = np.ascontiguousarray(self.folded.truth[rows].T)
            return Solution(w, thresholds=threshold.best(threshold.columns(blended, rows), truth)[0])
        counted = self._counts(candidate, w)[:, self.inside(subset)]
        if candidate.part not in ("bootstrap", "pulled"):
            return Solution(w, thresholds=threshold_rules.fit(candidate.part, counted, self.seed))
        key = candidate.kernel, candidate.k, w.tobytes(), subset
        if key not in self._averaged:
            self._averaged[key] = threshold_rules.bootstrap(counted, self.seed)
        found = self._averaged[key]
        return Solution(w, thresholds=threshold_rules.pulled(found, counted) if candidate.part == "pulled" else found)

    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        assert solution.thresholds is not None
        counted = self._counts(candidate, solution.weights)
        on = np.arange(threshold_rules.BINS) >= np.ceil(solution.thresholds * threshold_rules.BINS)[:, None]
        parts = [(counted[0] * on).sum(-1), (counted[1] * on).sum(-1), counted[0].sum(-1)]
        return np.stack(parts, axis=1).astype(np.float64)


class ExprSolver(Solver):
    """Frames are decided again for every candidate."""

    def __init__(self, folded: Folded, seed: int, exactly: bool = False) -> None:
        super().__init__(folded, seed, exactly)
        self._free: dict[tuple[str, Any, bytes, int], NDArray[np.float64]] = {}

    def solve(self, candidate: Candidate, subset: int, weights: NDArray[np.float64] | None = None) -> Solution:
        w = self.weights(candidate, subset) if weights is None else weights
        inside = self.folded.fold_of != subset
        truth = self.folded.truth[inside]
        if candidate.part == "off" and not candidate.filter:
            return Solution(w)
        blended = np.ascontiguousarray(self.folded.blend(candidate.kernel, candidate.k, w)[inside])
        key = candidate.kernel, candidate.k, w.tobytes(), subset
        if candidate.part in ("free", "pulled") and key not in self._free:
            self._free[key] = bias.free(blended, truth)
        added = self._free.get(key) if candidate.part in ("free", "pulled") else None
        if added is not None and candidate.part == "pulled":
            added = bias.pulled(added, truth, self.folded.video_of[inside])
        if candidate.part == "prior":
            added = bias.prior(blended, truth)
        if not candidate.filter:
            return Solution(w, bias=added)
        plain = decide.decide("expr", blended, bias=added)
        sure = self._sure(candidate)[inside]
        scores = [metrics.macro_f1(truth, decide.override(plain, sure, t)) for t in SURE]
        return Solution(w, bias=added, sure=np.asarray(SURE[int(np.argmax(scores))]))

    def _sure(self, candidate: Candidate) -> NDArray[np.float32]:
        alone = [[float(head == candidate.filter)] * len(self.pool.task.outputs) for head in self.pool.heads]
        return self.folded.blend(candidate.kernel, candidate.k, np.array(alone))

    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        blended = self.folded.blend(candidate.kernel, candidate.k, solution.weights)
        decided = decide.decide("expr", blended, bias=solution.bias)
        if solution.sure is not None:
            decided = decide.override(decided, self._sure(candidate), float(solution.sure))
        return counts.per_video("expr", self.folded.truth, decided, self.folded.video_of, len(self.pool.videos))


class VaSolver(Solver):
    """Everything follows from moments per video."""

    folded: FoldedVa

    def solve(self, candidate: Candidate, subset: int, weights: NDArray[np.float64] | None = None) -> Solution:
        w = self.weights(candidate, subset) if weights is None else weights
        sums = self.folded.moments(candidate.kernel, candidate.k)[self.inside(subset)].sum(0)
        scale, moved = shift.matched(sums, w, "scale" in candidate.part, "shift" in candidate.part)
        return Solution(w, scale=scale, shift=moved)

    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        assert solution.scale is not None and solution.shift is not None
        sums = self.folded.moments(candidate.kernel, candidate.k)
        return va_table(sums, solution.weights, solution.scale, solution.shift)


SOLVERS: dict[str, type[Solver]] = {"au": AuSolver, "expr": ExprSolver, "va": VaSolver}
