"""Candidates of cross-fitted selection, what is found for them on some of the videos, and how that fares on others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from blend.calibrate import affine, class_bias, threshold, threshold_rules
from blend.config import BlendSettings
from blend.crossfit.fold_pools import FoldedPool, FoldedRegression, LeftOut, tables_of_moments
from blend.decision.fixed_numbers import FixedNumbers
from blend.pool.pool import Pool
from blend.tasks.lookup import BLEND_TASKS
from blend.tasks.multiclass import Multiclass
from extract.runtime.errors import InputError
from heads.abaw.tasks import Labels

SURE = np.append(np.round(np.arange(0.95, 0.49, -0.05), 2), 1.0)[::-1]
"""Levels of certainty tried for the filter; above 1 nothing is sure."""

NEUTRAL_NUMBERS = {
    key: value
    for blend_task in BLEND_TASKS.values()
    for key, value in zip(blend_task.numbers, blend_task.neutral_numbers, strict=True)
}
"""Numbers of any kind where they change nothing."""
STRENGTHS = (1.0, 0.5)
"""How far a part's numbers may go from what they are without it: what held-out people say."""
NO_NUMBERS = ("", "off", "fixed", "given")
"""Parts without numbers to find."""
PRETRAINED_PREFIX = "pretrained"
"""Heads whose names begin so are tried as filters."""

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
        there = {name: value for name in NEUTRAL_NUMBERS if (value := getattr(self, name)) is not None}
        return replace(
            self, **{name: NEUTRAL_NUMBERS[name] + strength * (v - NEUTRAL_NUMBERS[name]) for name, v in there.items()}
        )


def average(solutions: list[Solution]) -> Solution:
    """The mean of every number."""
    means: dict[str, Any] = {}
    for field in fields(Solution):
        values = [getattr(solution, field.name) for solution in solutions]
        alike = values[0] is None or all(np.array_equal(values[0], value) for value in values)
        means[field.name] = values[0] if alike else np.mean(values, axis=0)  # given numbers stay as they are written
    return Solution(**means)


class Solver(ABC):
    """Solutions of candidates on the subsets of a folded pool (`crossfit.fold_pools`), and what they do to each video.

    `exactly`: thresholds of the rule "exact" are found among the frames, not among counts. `fixed_numbers`: numbers
    that candidates may call for. Subclasses are the kinds of labels; `make_solver` chooses among them.
    """

    @staticmethod
    @abstractmethod
    def parts(settings: BlendSettings) -> tuple[str, ...]:
        """Values of `Candidate.part` that settings allow, the usual first."""

    @staticmethod
    def filters(pool: Pool, settings: BlendSettings) -> tuple[str, ...]:
        """Heads that may be `Candidate.filter`, "" for none. Raises InputError for a filter of an unknown head."""
        return ("",)

    @staticmethod
    @abstractmethod
    def plain_part(settings: BlendSettings) -> str:
        """The part of what is tuned alone: nothing but what every blend of the kind has."""

    def __init__(self, folded: FoldedPool, seed: int, exactly: bool = False, given: FixedNumbers | None = None) -> None:
        self.folded_pool, self.pool, self.seed, self.exactly = folded, folded.pool, seed, exactly
        self.fixed_numbers = given or FixedNumbers()
        self._kept: dict[tuple[Any, ...], NDArray[Any]] = {}
        """What candidates share: counts of the videos' scores, free biases."""

    def solve(
        self, candidate: Candidate, left_out: LeftOut, heads: Heads, weights: NDArray[np.float64] | None = None
    ) -> Solution:
        """What is found on a subset, from some of the heads; for weights [H, C] that were found elsewhere, if given."""
        w = self.weights(candidate, left_out, heads) if weights is None else weights
        return self._numbers(candidate, left_out, w).shrunk(candidate.strength)

    @abstractmethod
    def _numbers(self, candidate: Candidate, left_out: LeftOut, weights: NDArray[np.float64]) -> Solution:
        """The part's numbers for given weights, in full strength."""

    @abstractmethod
    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        """The table (`BlendTask.count`) of each video, [V, ...]."""

    def weights(self, candidate: Candidate, left_out: LeftOut, heads: Heads) -> NDArray[np.float64]:
        """Weights of a candidate on a subset, [H, C]."""
        outputs = len(self.pool.task.outputs)
        equal = np.zeros((len(self.pool.heads), outputs))
        equal[list(heads)] = 1 / len(heads)
        if candidate.weights == "equal":
            return equal
        if candidate.weights == "given":
            assert self.fixed_numbers.weights is not None
            return self.fixed_numbers.weights
        ks = candidate.k if isinstance(candidate.k, tuple) else (candidate.k,) * outputs
        own = {k: self._find_weights(candidate, k, left_out, heads) for k in set(ks)}
        return np.stack([own[k][:, c] for c, k in enumerate(ks)], axis=1)

    def _find_weights(self, candidate: Candidate, k: int, left_out: LeftOut, heads: Heads) -> NDArray[np.float64]:
        """Weights as found with one k, [H, C]."""
        if candidate.weights != "best":
            return self.folded_pool.weights(candidate.kernel, k, left_out, heads, candidate.weights == "each")
        item = np.eye(len(self.pool.heads))
        scores = [self.folded_pool.parts(candidate.kernel, k, item[h])[left_out].mean() for h in heads]
        return np.repeat(item[heads[int(np.argmax(scores))]][:, None], len(self.pool.task.outputs), axis=1)


class MultilabelSolver(Solver):
    """Counts of each video's scores stand for the frames: thresholds are found and applied to within 1/256."""

    @staticmethod
    def parts(settings: BlendSettings) -> tuple[str, ...]:
        """Rules for thresholds."""
        return _rules(settings.thresholds, ("pulled-plug-in",))

    @staticmethod
    def plain_part(settings: BlendSettings) -> str:
        """The best thresholds, unless they are given or fixed."""
        if not isinstance(settings.thresholds, str):
            return "given"
        return "fixed" if settings.thresholds == "fixed" else "exact"

    def _counts(self, candidate: Candidate, weights: NDArray[np.float64]) -> threshold_rules.Counts:
        key = candidate.kernel, candidate.k, weights.tobytes()
        if key not in self._kept:
            while len(self._kept) > len(self.folded_pool.subsets):
                self._kept.pop(next(iter(self._kept)))
            blended = self.folded_pool.blend(candidate.kernel, candidate.k, weights)
            truth, video_of = self.folded_pool.truth, self.folded_pool.video_of
            self._kept[key] = threshold_rules.per_video(blended, truth, video_of, len(self.pool.videos))
        return self._kept[key]

    def _numbers(self, candidate: Candidate, left_out: LeftOut, weights: NDArray[np.float64]) -> Solution:
        if candidate.part == "given":
            return Solution(weights, thresholds=self.fixed_numbers.thresholds)
        if candidate.part == "exact" and self.exactly:
            rows = np.flatnonzero(self.folded_pool.inside(left_out))
            blended = self.folded_pool.blend(candidate.kernel, candidate.k, weights)
            labels = threshold.make_labels(rows, self.folded_pool.truth[rows], len(blended))
            return Solution(weights, thresholds=threshold.best(blended, labels)[0])
        videos = self.folded_pool.videos(left_out)
        counted = self._counts(candidate, weights)[:, videos]
        counted = counted * self.folded_pool.video_weight[videos].astype(np.float32)[:, None, None]
        groups = np.unique(self.folded_pool.groups[videos], return_inverse=True)[1]
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


class MulticlassSolver(Solver):
    """Frames are decided again for every candidate."""

    @staticmethod
    def parts(settings: BlendSettings) -> tuple[str, ...]:
        """Rules for the bias."""
        return _rules(settings.bias, ("off", "prior", "pulled"))

    @staticmethod
    def filters(pool: Pool, settings: BlendSettings) -> tuple[str, ...]:
        """See Solver.filters; "auto": none, or any pretrained head."""
        wanted, heads = settings.filter, pool.heads
        if wanted == "auto":
            return ("", *(head for head in heads if head.startswith(PRETRAINED_PREFIX)))
        if wanted != "off" and wanted not in heads:
            raise InputError(
                f"blend.{pool.task.name}.filter: no head is named {wanted!r}; there are {', '.join(heads)}"
            )
        return ("" if wanted == "off" else wanted,)

    @staticmethod
    def plain_part(settings: BlendSettings) -> str:
        """No bias."""
        return "off"

    @property
    def kind(self) -> Multiclass:
        """What decides and counts."""
        return cast(Multiclass, self.pool.blend_task)

    def solve(
        self, candidate: Candidate, left_out: LeftOut, heads: Heads, weights: NDArray[np.float64] | None = None
    ) -> Solution:
        """As for any kind; how sure the filter's head must be is found last, beside the bias as it is used."""
        result = super().solve(candidate, left_out, heads, weights)
        if not candidate.filter:
            return result
        inside = self.folded_pool.inside(left_out)
        truth = self.folded_pool.truth[inside]
        plain = self.kind.decide(
            self.folded_pool.blend(candidate.kernel, candidate.k, result.weights), bias=result.bias
        )
        sure = self._sure(candidate)[inside]
        scores = [self.kind.task.score(truth, self.kind.override(plain[inside], sure, t)) for t in SURE]
        return replace(result, sure=np.asarray(SURE[int(np.argmax(scores))]))

    def _numbers(self, candidate: Candidate, left_out: LeftOut, weights: NDArray[np.float64]) -> Solution:
        if candidate.part in ("off", "given"):
            return Solution(weights, bias=self.fixed_numbers.bias)
        inside = self.folded_pool.inside(left_out)
        truth, weight = self.folded_pool.truth[inside], self.folded_pool.weight[inside]
        blended = np.ascontiguousarray(self.folded_pool.blend(candidate.kernel, candidate.k, weights)[inside])
        if candidate.part == "prior":
            return Solution(weights, bias=class_bias.prior(blended, truth, weight))
        key = candidate.kernel, candidate.k, weights.tobytes(), left_out
        if key not in self._kept:
            self._kept[key] = class_bias.coordinate_ascent(blended, truth, weight)
        added = self._kept[key]
        if candidate.part == "pulled":
            added = class_bias.shrink(added, truth, self.folded_pool.groups[self.folded_pool.video_of[inside]])
        return Solution(weights, bias=added)

    def _sure(self, candidate: Candidate) -> NDArray[np.float32]:
        alone = [[float(head == candidate.filter)] * len(self.pool.task.outputs) for head in self.pool.heads]
        return self.folded_pool.blend(candidate.kernel, candidate.k, np.array(alone))

    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        blended = self.folded_pool.blend(candidate.kernel, candidate.k, solution.weights)
        sure = None if solution.sure is None else (self._sure(candidate), float(solution.sure))
        decided = self.kind.decide(blended, bias=solution.bias, sure=sure)
        return self.kind.count(self.folded_pool.truth, decided, self.folded_pool.video_of, len(self.pool.videos))


class RegressionSolver(Solver):
    """Everything follows from moments per video."""

    folded_pool: FoldedRegression

    @staticmethod
    def parts(settings: BlendSettings) -> tuple[str, ...]:
        """ "", "scale", "shift" or "scale shift": those that the switches allow, the usual (scale) first. Given numbers
        need no part.
        """
        both = {"True": [True], "False": [False], "auto": [True, False]}
        scales, shifts = (both.get(str(switch), [False]) for switch in (settings.scale, settings.shift))
        return tuple(" ".join(["scale"] * a + ["shift"] * b) for b in sorted(shifts) for a in scales)

    @staticmethod
    def plain_part(settings: BlendSettings) -> str:
        """Neither scale nor shift."""
        return ""

    def _numbers(self, candidate: Candidate, left_out: LeftOut, weights: NDArray[np.float64]) -> Solution:
        sums = self.folded_pool.sums(candidate.kernel, candidate.k, left_out)
        wanted = {"scale": self.fixed_numbers.scale, "shift": self.fixed_numbers.shift}
        scale, moved = (name in candidate.part if value is None else value for name, value in wanted.items())
        scale, moved = affine.match_moments(sums, weights, scale, moved)
        return Solution(weights, scale=scale, shift=moved)

    def table(self, candidate: Candidate, solution: Solution) -> NDArray[np.float64]:
        assert solution.scale is not None and solution.shift is not None
        sums = self.folded_pool.moments(candidate.kernel, candidate.k)
        return tables_of_moments(sums, solution.weights, solution.scale, solution.shift)


SOLVERS: dict[Labels, type[Solver]] = {
    "multilabel": MultilabelSolver,
    "multiclass": MulticlassSolver,
    "regression": RegressionSolver,
}


def make_solver(folded: FoldedPool, seed: int, exactly: bool = False, given: FixedNumbers | None = None) -> Solver:
    """The solver of a pool's kind of labels; arguments as of `Solver`."""
    return SOLVERS[folded.pool.task.labels](folded, seed, exactly, given)


def _rules(wanted: Any, usual: tuple[str, ...]) -> tuple[str, ...]:
    """The rule that is wanted; those that are usual for "auto"; "given" where numbers are given."""
    if not isinstance(wanted, str):
        return ("given",)
    return usual if wanted in ("auto", "search") else (wanted,)


@dataclass(frozen=True)
class Options:
    """Values of the fields of `Candidate`; the first of each is taken unless another pays."""

    weights: tuple[str, ...]
    parts: tuple[str, ...]
    filters: tuple[str, ...] = ("",)
    with_train: tuple[bool, ...] = (False,)

    def strengths(self, part: str) -> tuple[float, ...]:
        """How far a part's numbers may go from what they are without it."""
        return STRENGTHS[:1] if part in NO_NUMBERS else STRENGTHS


def options(pool: Pool, settings: BlendSettings, has_train: bool = False) -> Options:
    """What settings allow; `has_train`: there are out-of-fold predictions of train. Raises InputError for a filter of
    an unknown head.
    """
    each = {True: ("each",), False: ("shared", "equal", "best"), "auto": ("shared", "equal", "best", "each")}
    weights = ("given",) if settings.weights is not None else each[settings.per_output_weights]
    train = {True: (True,), False: (False,), "auto": (False, True)}[settings.out_of_fold] if has_train else (False,)
    solver = SOLVERS[pool.task.labels]
    return Options(weights, solver.parts(settings), solver.filters(pool, settings), train)
