"""Candidates of cross-fitted selection, what is found for them on some of the videos, and how that fares on others."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.calibrate import affine, class_bias, threshold, threshold_rules, video_counts
from blend.crossfit.folded import FoldedPool, FoldedVaPool, LeftOut, va_table
from blend.decision import decide
from blend.decision.fixed import FixedNumbers
from heads.abaw import metrics

SURE = np.append(np.round(np.arange(0.95, 0.49, -0.05), 2), 1.0)[::-1]
"""Levels of certainty tried for the filter; above 1 nothing is sure."""

Heads = tuple[int, ...]
"""Numbers of the heads that are no copies of others, rising."""


@dataclass(frozen=True)
class Candidate:
    """What is decided for all folds alike; the numbers are found on each."""

    kernel: str
    k: int | tuple[int, ...]
    """A tuple where every output has its own."""
    weights: str = "shared"
    """"equal", "best" (one head alone), "shared" (one per head), "each" (one per head and output) or "given"."""
    part: str = ""
    """au: a rule for thresholds. expr: a rule for the bias. va: "", "scale", "shift" or "scale shift". "given" in place
    of a rule: the numbers of the settings.
    """
    filter: str = ""
    """expr: the head whose sure decisions win, "" for none."""
    strength: float = 1.0
    """How far the part's numbers go from what they are without it: 0 none of the way, 1 all of it."""
    with_train: bool = False
    """Numbers are the mean of what validation and what train's out-of-fold predictions give."""


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

    def shrunk(self, strength: float) -> Solution:
        """The same with thresholds, bias, scale and shift a part of the way from what they are when unused."""
        if strength == 1.0:
            return self
        unused = {"thresholds": decide.DEFAULT_THRESHOLD, "bias": 0.0, "scale": 1.0, "shift": 0.0}
        there = {name: value for name in unused if (value := getattr(self, name)) is not None}
        return replace(self, **{name: unused[name] + strength * (v - unused[name]) for name, v in there.items()})


def average(solutions: list[Solution]) -> Solution:
    """The mean of every number."""
    means: dict[str, Any] = {}
    for field in fields(Solution):
        values = [getattr(solution, field.name) for solution in solutions]
        alike = values[0] is None or all(np.array_equal(values[0], value) for value in values)
        means[field.name] = values[0] if alike else np.mean(values, axis=0)  # given numbers stay as they are written
    return Solution(**means)


class Solver:
    """Solutions of candidates on the subsets of a folded pool (`crossfit.folded`), and what they do to each video.

    `exactly`: thresholds of the rule "exact" are found among the frames, not among counts. `given`: numbers that
    candidates may call for.
    """

    def __init__(self, folded: FoldedPool, seed: int, exactly: bool = False, given: FixedNumbers | None = None) -> None:
        self.folded, self.pool, self.seed, self.exactly = folded, folded.pool, seed, exactly
        self.given = given or FixedNumbers()

    def solve(
        self, candidate: Candidate, left_out: LeftOut, heads: Heads, weights: NDArray[np.float64] | None = None
    ) -> Solution:
        """What is found on a subset, from some of the heads; for weights [H, C] that were found elsewhere, if given."""
        w = self.weights(candidate, left_out, heads) if weights is None else weights
        return self._numbers(candidate, left_out, w).shrunk(candidate.strength)

    def _numbers(self, candidate: Candidate, left_out: LeftOut, weights: NDArray[np.float64]) -> Solution:
        """The part's numbers for given weights, in full strength."""
        raise NotImplementedError

    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        """The table of `counts` of each video, [V, ...]."""
        raise NotImplementedError

    def weights(self, candidate: Candidate, left_out: LeftOut, heads: Heads) -> NDArray[np.float64]:
        """Weights of a candidate on a subset, [H, C]."""
        outputs = len(self.pool.task.outputs)
        equal = np.zeros((len(self.pool.heads), outputs))
        equal[list(heads)] = 1 / len(heads)
        if candidate.weights == "equal":
            return equal
        if candidate.weights == "given":
            assert self.given.weights is not None
            return self.given.weights
        ks = candidate.k if isinstance(candidate.k, tuple) else (candidate.k,) * outputs
        own = {k: self._found(candidate, k, left_out, heads) for k in set(ks)}
        return np.stack([own[k][:, c] for c, k in enumerate(ks)], axis=1)

    def _found(self, candidate: Candidate, k: int, left_out: LeftOut, heads: Heads) -> NDArray[np.float64]:
        """Weights as found with one k, [H, C]."""
        if candidate.weights != "best":
            return self.folded.weights(candidate.kernel, k, left_out, heads, candidate.weights == "each")
        one = np.eye(len(self.pool.heads))
        scores = [self.folded.parts(candidate.kernel, k, one[h])[left_out].mean() for h in heads]
        return np.repeat(one[heads[int(np.argmax(scores))]][:, None], len(self.pool.task.outputs), axis=1)


class AuSolver(Solver):
    """Counts of each video's scores stand for the frames: thresholds are found and applied to within 1/256."""

    def __init__(self, folded: FoldedPool, seed: int, exactly: bool = False, given: FixedNumbers | None = None) -> None:
        super().__init__(folded, seed, exactly, given)
        self._kept: dict[tuple[str, Any, bytes], threshold_rules.Counts] = {}

    def _counts(self, candidate: Candidate, weights: NDArray[np.float64]) -> threshold_rules.Counts:
        key = candidate.kernel, candidate.k, weights.tobytes()
        if key not in self._kept:
            while len(self._kept) > len(self.folded.subsets):
                self._kept.pop(next(iter(self._kept)))
            blended = self.folded.blend(candidate.kernel, candidate.k, weights)
            truth, video_of = self.folded.truth, self.folded.video_of
            self._kept[key] = threshold_rules.per_video(blended, truth, video_of, len(self.pool.videos))
        return self._kept[key]

    def _numbers(self, candidate: Candidate, left_out: LeftOut, weights: NDArray[np.float64]) -> Solution:
        if candidate.part == "given":
            return Solution(weights, thresholds=self.given.thresholds)
        if candidate.part == "exact" and self.exactly:
            rows = np.flatnonzero(self.folded.inside(left_out))
            blended = self.folded.blend(candidate.kernel, candidate.k, weights)
            truth = np.ascontiguousarray(self.folded.truth[rows].T)
            return Solution(weights, thresholds=threshold.best(threshold.columns(blended, rows), truth)[0])
        videos = self.folded.videos(left_out)
        counted = self._counts(candidate, weights)[:, videos]
        counted = counted * self.folded.video_weight[videos].astype(np.float32)[:, None, None]
        groups = np.unique(self.folded.groups[videos], return_inverse=True)[1]
        if groups.max() + 1 < len(videos):  # several videos of one person count as one
            whole = np.zeros((2, groups.max() + 1, *counted.shape[2:]), np.float32)
            np.add.at(whole, (slice(None), groups), counted)
            counted = whole
        return Solution(weights, thresholds=threshold_rules.fit(candidate.part, counted, self.seed))

    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        assert solution.thresholds is not None
        counted = self._counts(candidate, solution.weights)
        on = np.arange(threshold_rules.BINS) >= np.ceil(solution.thresholds * threshold_rules.BINS)[:, None]
        parts = [(counted[0] * on).sum(-1), (counted[1] * on).sum(-1), counted[0].sum(-1)]
        return np.stack(parts, axis=1).astype(np.float64)


class ExprSolver(Solver):
    """Frames are decided again for every candidate."""

    def __init__(self, folded: FoldedPool, seed: int, exactly: bool = False, given: FixedNumbers | None = None) -> None:
        super().__init__(folded, seed, exactly, given)
        self._free: dict[tuple[str, Any, bytes, LeftOut], NDArray[np.float64]] = {}

    def solve(
        self, candidate: Candidate, left_out: LeftOut, heads: Heads, weights: NDArray[np.float64] | None = None
    ) -> Solution:
        """As for any task; how sure the filter's head must be is found last, beside the bias as it is used."""
        found = super().solve(candidate, left_out, heads, weights)
        if not candidate.filter:
            return found
        inside = self.folded.inside(left_out)
        truth = self.folded.truth[inside]
        plain = decide.decide("expr", self.folded.blend(candidate.kernel, candidate.k, found.weights), bias=found.bias)
        sure = self._sure(candidate)[inside]
        scores = [metrics.macro_f1(truth, decide.override(plain[inside], sure, t)) for t in SURE]
        return replace(found, sure=np.asarray(SURE[int(np.argmax(scores))]))

    def _numbers(self, candidate: Candidate, left_out: LeftOut, weights: NDArray[np.float64]) -> Solution:
        if candidate.part in ("off", "given"):
            return Solution(weights, bias=self.given.bias)
        inside = self.folded.inside(left_out)
        truth, weight = self.folded.truth[inside], self.folded.weight[inside]
        blended = np.ascontiguousarray(self.folded.blend(candidate.kernel, candidate.k, weights)[inside])
        if candidate.part == "prior":
            return Solution(weights, bias=class_bias.prior(blended, truth, weight))
        key = candidate.kernel, candidate.k, weights.tobytes(), left_out
        if key not in self._free:
            self._free[key] = class_bias.coordinate_ascent(blended, truth, weight)
        added = self._free[key]
        if candidate.part == "pulled":
            added = class_bias.shrink(added, truth, self.folded.groups[self.folded.video_of[inside]])
        return Solution(weights, bias=added)

    def _sure(self, candidate: Candidate) -> NDArray[np.float32]:
        alone = [[float(head == candidate.filter)] * len(self.pool.task.outputs) for head in self.pool.heads]
        return self.folded.blend(candidate.kernel, candidate.k, np.array(alone))

    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        blended = self.folded.blend(candidate.kernel, candidate.k, solution.weights)
        decided = decide.decide("expr", blended, bias=solution.bias)
        if solution.sure is not None:
            decided = decide.override(decided, self._sure(candidate), float(solution.sure))
        return video_counts.per_video("expr", self.folded.truth, decided, self.folded.video_of, len(self.pool.videos))


class VaSolver(Solver):
    """Everything follows from moments per video."""

    folded: FoldedVaPool

    def _numbers(self, candidate: Candidate, left_out: LeftOut, weights: NDArray[np.float64]) -> Solution:
        sums = self.folded.sums(candidate.kernel, candidate.k, left_out)
        wanted = {"scale": self.given.scale, "shift": self.given.shift}
        scale, moved = (name in candidate.part if value is None else value for name, value in wanted.items())
        scale, moved = affine.match_moments(sums, weights, scale, moved)
        return Solution(weights, scale=scale, shift=moved)

    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        assert solution.scale is not None and solution.shift is not None
        sums = self.folded.moments(candidate.kernel, candidate.k)
        return va_table(sums, solution.weights, solution.scale, solution.shift)


SOLVERS: dict[str, type[Solver]] = {"au": AuSolver, "expr": ExprSolver, "va": VaSolver}
