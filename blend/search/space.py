"""The search space of [blend.<task>] as Optuna sees it, and the points in it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blend.calibrate import affine, threshold, threshold_rules
from blend.config import BlendSettings
from blend.decision import combine, decide, fixed
from blend.decision.params import Params
from blend.pool.pool import Pool
from blend.search.objective import Extras, Point
from blend.search.pattern_search import Plan
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

START_KS = {"au": (0, 2, 5, 15), "expr": (0, 5, 15, 50), "va": (0, 5, 15, 50)}
BIAS = 3.0
TAU = 1.5
NEVER = 1.0
"""No probability lies above it: the filter is not used."""
POINT = "point"
"""User attribute of trials that Optuna's parameters cannot tell."""


class Space:
    """What a search over a pool may vary: not what is given. Parts that are "auto" are left to cross-fitted selection.

    Raises InputError where the filter, or a given weight, names a head that the pool does not have.
    """

    def __init__(self, pool: Pool, settings: BlendSettings) -> None:
        self.pool, self.settings, self.task = pool, settings, pool.task.name
        self.widest = settings.widest(self.task)
        self.weights, self.k = _rows(fixed.weights(pool, settings)), fixed.k(settings)
        self.rule = self._rule() if TASKS[self.task].is_multilabel else None
        searched = {"prior": "prior", "free": "free", "pulled": "free"}
        classes = TASKS[self.task].is_multiclass
        self.bias = searched.get(settings.bias) if classes and isinstance(settings.bias, str) else None
        named = settings.filter if classes and settings.filter not in ("auto", "off") else None
        if named is not None and named not in pool.heads:
            raise InputError(f"blend.expr.filter: no head is named {named!r}; there are {', '.join(pool.heads)}")
        cut = decide.DEFAULT_THRESHOLD if settings.thresholds == "fixed" else settings.thresholds
        self.extras = Extras(
            self._given("au", cut), self._given("expr", settings.bias), named,
            self._given("va", settings.scale) or (TASKS[self.task].is_regression and settings.scale is True),
            self._given("va", settings.shift) or (TASKS[self.task].is_regression and settings.shift is True),
        )  # fmt: skip

    def _rule(self) -> str:
        """au: how thresholds are found; "fixed" where they are given."""
        rule = self.settings.thresholds
        return {"auto": "exact"}.get(rule, rule) if isinstance(rule, str) else "fixed"

    def _given(self, task: str, value: Any) -> tuple[float, ...] | None:
        """The numbers of a key that only `task` has."""
        numbers = fixed.numbers(value, len(self.pool.task.outputs)) if self.task == task else None
        return None if numbers is None else tuple(numbers.tolist())

    @property
    def plan(self) -> Plan:
        """What local refinement may move."""
        each = (self.settings.per_output_weights is True, self.settings.per_output_k is True)
        if self.weights is not None:
            each = any(isinstance(row, tuple) for row in self.weights), each[1]
        if self.k is not None:
            each = each[0], isinstance(self.k, tuple)
        free = self.weights is None, self.k is None
        return Plan(len(self.pool.task.outputs), self.widest, not TASKS[self.task].is_multiclass, *each, *free)

    @property
    def is_official(self) -> bool:
        """Whether a trial's score is, but for rounding, what `complete` makes of its point: not where thresholds or
        biases follow a rule that trials do not, nor where stretched values are clipped.
        """
        by_rule = self.rule in ("bootstrap", "pulled", "plug-in", "pulled-plug-in") or (
            self.bias and self.settings.bias == "pulled"
        )
        return not (by_rule or self.extras.scale or self.extras.shift)

    def distributions(self) -> dict[str, Any]:
        """Optuna's names and ranges."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        found: dict[str, Any] = {}
        if self.weights is None:
            found |= {f"w {head}": FloatDistribution(0.0, 1.0) for head in self.pool.heads}
        if self.k is None:
            found["k"] = IntDistribution(0, self.widest)
        if len(self.settings.kernels) > 1:
            found["kernel"] = CategoricalDistribution(list(self.settings.kernels))
        if self.rule == "search":
            found |= {f"threshold {name}": FloatDistribution(0.0, 1.0) for name in self.pool.task.outputs}
        if self.bias == "prior":
            found["tau"] = FloatDistribution(0.0, TAU)
        if self.bias == "free":
            found |= {f"bias {name}": FloatDistribution(-BIAS, BIAS) for name in self.pool.task.outputs}
        if self.extras.filter is not None:
            found["sure"] = FloatDistribution(0.5, NEVER)
        return found

    def starts(self) -> list[tuple[str, Any]]:
        """(name, k) of the trials that come first, in order; the greedy selection takes the best equal k."""
        ks = [k for k in START_KS[self.task] if k <= self.widest] if self.k is None else [self.k]
        if self.weights is not None:
            return [("given", k) for k in ks]
        names = [f"head {head}" for head in self.pool.heads] + ["equal"]
        return [(name, k) for name in names for k in ks] + [("greedy", -1)]

    def start(self, raw: list[float], k: int | tuple[int, ...]) -> dict[str, Any]:
        """Optuna's parameters of a start: weights (not yet scaled) and k, everything else as if it were not there.
        None of what is given.
        """
        known: dict[str, Any] = {f"w {head}": w for head, w in zip(self.pool.heads, raw, strict=True)} | {"k": k}
        known |= {"kernel": self.settings.kernels[0], "tau": 0.0, "sure": NEVER}
        plain = {"threshold": decide.DEFAULT_THRESHOLD, "bias": 0.0}
        return {name: known[name] if name in known else plain[name.split()[0]] for name in self.distributions()}

    def point(self, params: dict[str, Any]) -> Point:
        """The point of Optuna's parameters."""
        outputs = self.pool.task.outputs
        return Point(
            self.weights or combine.simplex([params[f"w {head}"] for head in self.pool.heads]),
            params.get("kernel", self.settings.kernels[0]),
            params["k"] if self.k is None else self.k,
            tuple(params[f"threshold {name}"] for name in outputs) if self.rule == "search" else None,
            params.get("tau"),
            tuple(params[f"bias {name}"] for name in outputs) if self.bias == "free" else None,
            params.get("sure"),
        )

    def of(self, trial: FrozenTrial) -> Point:
        """The point of a stored trial."""
        if POINT not in trial.user_attrs:
            return self.point(trial.params)
        table = trial.user_attrs[POINT]
        each = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
        weights = tuple(tuple(w) if isinstance(w, list) else w for w in table["weights"])
        return Point(**(each | {"weights": weights}))

    def complete(self, point: Point) -> Params:
        """A point with the numbers that follow from it: thresholds; bias and filter; scale and shift."""
        pool, task = self.pool, self.pool.task
        base = Params(task.name, task.outputs, pool.heads, point.weights, point.kernel, point.k)
        truth = pool.known
        if task.is_multiclass:
            return self._with_bias(base, point)
        blended = combine.scores(pool, point.weights, point.kernel, point.k)
        if task.is_multilabel:
            if self.rule == "exact":
                columns = threshold.columns(blended, truth.rows)
                found = threshold.best(columns, truth.values.T.astype(np.uint8))[0]
            elif self.rule in ("search", "fixed"):
                found = np.array(self.extras.thresholds if point.thresholds is None else point.thresholds)
            else:
                counted = threshold_rules.per_video(blended[truth.rows], truth.values, pool.video_of, len(pool.videos))
                found = threshold_rules.fit(str(self.rule), counted)
            return _with(base, thresholds=found)
        scale, moved = (np.array(x) if isinstance(x, tuple) else x for x in (self.extras.scale, self.extras.shift))
        if scale is False and moved is False:
            return base
        alone = blended[None, truth.rows]
        sums = affine.moments_per_group(alone, truth.values, np.zeros(len(truth.rows), np.int64), 1)[0]
        factor, offset = affine.match_moments(sums, np.ones((1, len(task.outputs))), scale, moved)
        return _with(base, scale=factor, shift=offset)

    def _with_bias(self, base: Params, point: Point) -> Params:
        from blend.calibrate import class_bias

        truth, video_of = self.pool.known.values, self.pool.video_of
        given = self.extras.bias if point.bias is None else point.bias
        added = None if given is None else np.array(given)
        if added is not None and self.settings.bias == "pulled":
            added = class_bias.shrink(added, truth, video_of)
        if point.tau is not None:
            added = class_bias.logit_adjustment(truth, point.tau)
        if self.extras.filter is not None and point.sure is not None and point.sure < NEVER:
            base = _with(base, filter=(self.extras.filter, point.sure))
        return base if added is None else _with(base, bias=added)


def _rows(weights: NDArray[np.float64] | None) -> tuple[float | tuple[float, ...], ...] | None:
    """[H, C] as `Params` has it: one number for a head whose outputs agree."""
    if weights is None:
        return None
    return tuple(float(row[0]) if (row == row[0]).all() else tuple(row.tolist()) for row in weights)


def _with(params: Params, **numbers: Any) -> Params:
    return replace(
        params, **{key: tuple(value.tolist() if hasattr(value, "tolist") else value) for key, value in numbers.items()}
    )


def attributes(point: Point) -> dict[str, Any]:
    """User attributes that keep a point as it is."""
    return {POINT: asdict(point)}
