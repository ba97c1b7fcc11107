"""The search space of [blend.<task>] as Optuna sees it, and the points in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial

from blend.calibrate import affine, class_bias, threshold, threshold_rules
from blend.config import BlendSettings
from blend.decision import combine, fixed_numbers
from blend.decision.params import Params, as_weights
from blend.pool.pool import Pool
from blend.search.objective import Extras, Point
from blend.search.pattern_search import Plan
from blend.tasks.multilabel import DEFAULT_THRESHOLD
from extract.runtime.errors import InputError
from heads.abaw.tasks import Labels

BIAS = 3.0
TAU = 1.5
NEVER = 1.0
"""No probability lies above it: the filter is not used."""
POINT = "point"
"""User attribute of trials that Optuna's parameters cannot tell."""
DRAWN_PARAMETERS = "drawn"
"""User attribute of stored trials: the parameters that a sampler goes on from, whose weights are not scaled yet."""


class Space(ABC):
    """What a search over a pool may vary: not what is given. Parts that are "auto" are left to cross-fitted selection.
    Its subclasses are the kinds of labels; `make_space` chooses among them.

    Raises InputError where the filter, or a given weight, names a head that the pool does not have.
    """

    is_separable: ClassVar[bool] = True
    """Each output's score depends on that output's numbers alone."""

    def __init__(self, pool: Pool, settings: BlendSettings) -> None:
        self.pool, self.settings, self.task = pool, settings, pool.task.name
        self.widest = settings.widest(self.task)
        given = fixed_numbers.weights(pool, settings)
        self.weights, self.k = None if given is None else as_weights(given), fixed_numbers.k(settings)
        self.extras = self._extras()

    @abstractmethod
    def _extras(self) -> Extras:
        """Optional parts of this kind."""

    def _given(self, value: Any) -> tuple[float, ...] | None:
        """A key's numbers, where it holds some."""
        numbers = fixed_numbers.numbers(value, len(self.pool.task.outputs))
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
        return Plan(len(self.pool.task.outputs), self.widest, self.is_separable, *each, *free)

    @property
    @abstractmethod
    def is_official(self) -> bool:
        """Whether a trial's score is, but for rounding, what `complete` makes of its point: not where thresholds or
        biases follow a rule that trials do not, nor where stretched values are clipped.
        """

    def own_distributions(self) -> dict[str, Any]:
        """Of this kind's parts: "threshold <output>", "bias <output>", "tau" or "sure"."""
        return {}

    def distributions(self) -> dict[str, Any]:
        """Optuna's names and ranges."""
        results: dict[str, Any] = {}
        if self.weights is None:
            results |= {f"w {head}": FloatDistribution(0.0, 1.0) for head in self.pool.heads}
        if self.k is None:
            results["k"] = IntDistribution(0, self.widest)
        if len(self.settings.kernels) > 1:
            results["kernel"] = CategoricalDistribution(list(self.settings.kernels))
        return results | self.own_distributions()

    def starts(self) -> list[tuple[str, Any]]:
        """(name, k) of the trials that come first, in order; the greedy selection takes the best equal k."""
        ks = [k for k in self.pool.blend_task.start_ks if k <= self.widest] if self.k is None else [self.k]
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
        plain = {"threshold": DEFAULT_THRESHOLD, "bias": 0.0}
        return {name: known[name] if name in known else plain[name.split()[0]] for name in self.distributions()}

    def point(self, params: dict[str, Any]) -> Point:
        """The point of Optuna's parameters."""

        def each(what: str) -> tuple[float, ...] | None:
            names = [f"{what} {name}" for name in self.pool.task.outputs]
            return tuple(params[name] for name in names) if names[0] in params else None

        return Point(
            self.weights or combine.simplex([params[f"w {head}"] for head in self.pool.heads]),
            params.get("kernel", self.settings.kernels[0]),
            params["k"] if self.k is None else self.k,
            each("threshold"),
            params.get("tau"),
            each("bias"),
            params.get("sure"),
        )

    def as_parameters(self, point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
        """Optuna's parameters of any point, and their ranges: weights sum to 1, and what no sampler draws has a name
        with its output, as "w mlp AU1" or "k arousal".
        """
        drawn, outputs = self.distributions(), self.pool.task.outputs
        numbers: dict[str, Any] = {} if self.k is not None else _by_output("k", point.k, outputs)
        if self.weights is None:
            for head, row in zip(self.pool.heads, point.weights, strict=True):
                numbers |= _by_output(f"w {head}", row, outputs)
        numbers |= {"kernel": point.kernel, "tau": point.tau, "sure": point.sure}
        for what, values in (("threshold", point.thresholds), ("bias", point.bias)):
            numbers |= {} if values is None else _by_output(what, tuple(values), outputs)
        params = {name: value for name, value in numbers.items() if name in drawn or name.split(" ")[0] in ("w", "k")}
        return params, self._ranges(params)

    def all_parameters(self, point: Point, params: Params) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same of a point with all that follows from it: every number of params.json, given ones too."""
        table, outputs = params.as_json(), params.outputs
        numbers = {"kernel": params.kernel} | _by_output("k", params.k, outputs)
        for head, row in zip(params.heads, params.weights, strict=True):
            numbers |= _by_output(f"w {head}", row, outputs)
        for what, key in (("threshold", "thresholds"), ("bias", "bias"), ("scale", "scale"), ("shift", "shift")):
            numbers |= _by_output(what, tuple(table[key]), outputs) if key in table else {}
        numbers |= {} if params.filter is None else {"sure": params.filter[1]}
        numbers = self.as_parameters(point)[0] | numbers
        return numbers, self._ranges(numbers)

    def to_stored_trial(self, trial: FrozenTrial) -> FrozenTrial:
        """A trial as its study shows it, with the parameters of its point; what a sampler drew is kept beside them."""
        notes = trial.user_attrs | (
            {} if POINT in trial.user_attrs or not trial.params else {DRAWN_PARAMETERS: trial.params}
        )
        return _with_parameters(trial, *self.as_parameters(self.of(trial)), notes)

    def _ranges(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """A range for each number: what it is drawn from, where it lies in that."""
        drawn, ranges = self.distributions(), {}
        for name, value in numbers.items():
            known = drawn.get(name) or drawn.get(name.rpartition(" ")[0])
            if known is None:
                whole = IntDistribution(0, max(1, value)) if isinstance(value, int) else FloatDistribution(0.0, 1.0)
                known = CategoricalDistribution([value]) if isinstance(value, str) else whole
            fits = not isinstance(known, FloatDistribution) or known.low <= value <= known.high
            ranges[name] = known if fits else FloatDistribution(min(known.low, value), max(known.high, value))
        return ranges

    def of(self, trial: FrozenTrial) -> Point:
        """The point of a trial as it was drawn (`to_drawn_trial`)."""
        if POINT not in trial.user_attrs:
            return self.point(trial.params)
        table = trial.user_attrs[POINT]
        each = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
        weights = tuple(tuple(w) if isinstance(w, list) else w for w in table["weights"])
        return Point(**(each | {"weights": weights}))

    def complete(self, point: Point) -> Params:
        """A point with the numbers that follow from it: thresholds; bias and filter; scale and shift."""
        task = self.pool.task
        numbers = {key: x if isinstance(x, tuple) else tuple(x.tolist()) for key, x in self._numbers(point).items()}
        return Params(task.name, task.outputs, self.pool.heads, point.weights, point.kernel, point.k, **numbers)

    @abstractmethod
    def _numbers(self, point: Point) -> dict[str, Any]:
        """Numbers of this kind that follow from a point; none: left out."""


class MultilabelSpace(Space):
    """Thresholds: the best ones, unless settings say otherwise."""

    def _extras(self) -> Extras:
        rule = self.settings.thresholds
        self.rule = ("exact" if rule == "auto" else rule) if isinstance(rule, str) else "fixed"
        return Extras(thresholds=self._given(DEFAULT_THRESHOLD if rule == "fixed" else rule))

    @property
    def is_official(self) -> bool:
        return self.rule not in ("bootstrap", "pulled", "plug-in", "pulled-plug-in")

    def own_distributions(self) -> dict[str, Any]:
        """Thresholds, where they are drawn."""
        drawn = self.pool.task.outputs if self.rule == "search" else ()
        return {f"threshold {name}": FloatDistribution(0.0, 1.0) for name in drawn}

    def _numbers(self, point: Point) -> dict[str, Any]:
        if self.rule in ("search", "fixed"):
            return {"thresholds": self.extras.thresholds if point.thresholds is None else point.thresholds}
        pool, truth = self.pool, self.pool.known_truth
        blended = combine.scores(pool, point.weights, point.kernel, point.k)
        if self.rule == "exact":
            labels = threshold.make_labels(truth.rows, truth.values, len(blended))
            return {"thresholds": threshold.best(blended, labels)[0]}
        counted = threshold_rules.per_video(blended[truth.rows], truth.values, pool.video_of, len(pool.videos))
        return {"thresholds": threshold_rules.fit(self.rule, counted)}


class MulticlassSpace(Space):
    """A bias of each class, and a filter: only where settings ask for them."""

    is_separable = False

    def _extras(self) -> Extras:
        settings, heads = self.settings, self.pool.heads
        searched = {"prior": "prior", "free": "free", "pulled": "free"}
        self.bias = searched.get(settings.bias) if isinstance(settings.bias, str) else None
        named = settings.filter if settings.filter not in ("auto", "off") else None
        if named is not None and named not in heads:
            raise InputError(f"blend.{self.task}.filter: no head is named {named!r}; there are {', '.join(heads)}")
        return Extras(bias=self._given(settings.bias), filter=named)

    @property
    def is_official(self) -> bool:
        return self.settings.bias != "pulled"

    def own_distributions(self) -> dict[str, Any]:
        """The bias, or the strength of the logit adjustment; how sure the filter's head must be."""
        drawn = self.pool.task.outputs if self.bias == "free" else ()
        result = {"tau": FloatDistribution(0.0, TAU)} if self.bias == "prior" else {}
        result |= {f"bias {name}": FloatDistribution(-BIAS, BIAS) for name in drawn}
        return result if self.extras.filter is None else result | {"sure": FloatDistribution(0.5, NEVER)}

    def _numbers(self, point: Point) -> dict[str, Any]:
        truth = self.pool.known_truth.values
        results: dict[str, Any] = {}
        added = self.extras.bias if point.bias is None else point.bias
        if point.tau is not None:
            results["bias"] = class_bias.logit_adjustment(truth, point.tau, classes=len(self.pool.task.outputs))
        elif added is not None and self.settings.bias == "pulled":
            results["bias"] = class_bias.shrink(np.array(added), truth, self.pool.video_of)
        elif added is not None:
            results["bias"] = added
        if self.extras.filter is not None and point.sure is not None and point.sure < NEVER:
            results["filter"] = self.extras.filter, point.sure
        return results


class RegressionSpace(Space):
    """Scale and shift: matched to the truth's moments, or given."""

    def _extras(self) -> Extras:
        scale, shift = self.settings.scale, self.settings.shift
        return Extras(scale=self._given(scale) or scale is True, shift=self._given(shift) or shift is True)

    @property
    def is_official(self) -> bool:
        return not (self.extras.scale or self.extras.shift)

    def _numbers(self, point: Point) -> dict[str, Any]:
        if self.is_official:
            return {}
        scale, moved = (np.array(x) if isinstance(x, tuple) else x for x in (self.extras.scale, self.extras.shift))
        rows, truth = self.pool.known_truth.rows, self.pool.known_truth.values
        alone = combine.scores(self.pool, point.weights, point.kernel, point.k)[None, rows]
        sums = affine.moments_per_group(alone, truth, np.zeros(len(rows), np.int64), 1)[0]
        factor, offset = affine.match_moments(sums, np.ones((1, truth.shape[1])), scale, moved)
        return {"scale": factor, "shift": offset}


SPACES: dict[Labels, type[Space]] = {
    "multilabel": MultilabelSpace,
    "multiclass": MulticlassSpace,
    "regression": RegressionSpace,
}


def make_space(pool: Pool, settings: BlendSettings) -> Space:
    """The space of a pool's kind of labels. Raises InputError as `Space`."""
    return SPACES[pool.task.labels](pool, settings)


def _by_output(name: str, value: Any, outputs: tuple[str, ...]) -> dict[str, Any]:
    """A number under its name; one per output under the name and the output's."""
    if not isinstance(value, tuple):
        return {name: value}
    return {f"{name} {output}": number for output, number in zip(outputs, value, strict=True)}


def attributes(point: Point) -> dict[str, Any]:
    """User attributes that keep a point as it is."""
    return {POINT: asdict(point)}


def to_drawn_trial(trial: FrozenTrial, ranges: dict[str, Any]) -> FrozenTrial:
    """The inverse of `Space.to_stored_trial`: a trial with the parameters that its sampler drew, from these ranges."""
    if DRAWN_PARAMETERS not in trial.user_attrs:
        return trial
    notes = {name: value for name, value in trial.user_attrs.items() if name != DRAWN_PARAMETERS}
    return _with_parameters(trial, trial.user_attrs[DRAWN_PARAMETERS], ranges, notes)


def _with_parameters(
    trial: FrozenTrial, params: dict[str, Any], ranges: dict[str, Any], notes: dict[str, Any]
) -> FrozenTrial:
    result = create_trial(
        params=params, distributions=ranges, value=trial.value, user_attrs=notes, system_attrs=trial.system_attrs
    )
    result.number = trial.number
    return result
