"""Local refinement of a found blend: small steps of one thing at a time, kept where the score rises.

A pattern search (Hooke and Jeeves, J. ACM 1961) without chance, so that heads that are nearly copies of each other, or
a sampler's luck, cost little. Where the score of an output depends on that output alone (au, va), outputs that have
numbers of their own are moved all at once, and each keeps its move if it gained.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from blend.search.objective import Point

FIRST, LAST = 0.25, 0.01
"""Steps are halved from the first to the last."""
BIAS_STEP = 2.0
"""A bias moves by so many times the step."""


@dataclass(frozen=True)
class Plan:
    """What may move."""

    outputs: int
    widest: int
    separable: bool
    """Each output's score depends on that output's numbers alone."""
    each_weights: bool = False
    each_k: bool = False
    weights: bool = True
    k: bool = True
    """Whether they may: not where they are given."""


@dataclass(frozen=True)
class State:
    """A point as arrays: weights [H, C], k [C], thresholds [C] or None, bias [C] or None."""

    weights: NDArray[np.float64]
    k: NDArray[np.int64]
    thresholds: NDArray[np.float64] | None
    bias: NDArray[np.float64] | None
    tau: float | None
    sure: float | None


Move = tuple[str, Callable[[State, NDArray[np.int64]], State]]
"""The field of State that moves, and the state with that field moved for some outputs."""


class PatternSearch:
    """Ask for a point, tell the score of each of its outputs, and so on; `best` is the best point so far."""

    def __init__(self, start: Point, reached: NDArray[np.float64], plan: Plan) -> None:
        """Begin at a point whose outputs score `reached` [C]."""
        self.kernel, self.plan = start.kernel, plan
        self._state, self._reached = _state(start, plan), reached.copy()
        self._steps = self._search()
        self._asked = next(self._steps, None)

    def ask(self) -> Point | None:
        """The point to try next; None when no step of any size helps any more."""
        return self._asked

    def tell(self, parts: NDArray[np.float64]) -> None:
        """The scores [C] of the point that was asked for."""
        try:
            self._asked = self._steps.send(parts)
        except StopIteration:
            self._asked = None

    @property
    def best(self) -> Point:
        """Where it has come. With outputs that moved on their own, it need not be one of the points tried."""
        return _point(self._state, self.kernel, self.plan)

    def _search(self) -> Generator[Point, NDArray[np.float64], None]:
        step = FIRST
        while step >= LAST:
            improved = False
            for field, apply in _moves(self._state, step, self.plan):
                for groups in _batches(field, self.plan):
                    tried = self._state
                    for group in groups:
                        tried = apply(tried, group)
                    if not _same(tried, self._state):
                        parts = yield _point(tried, self.kernel, self.plan)
                        improved = any([self._keep(tried, field, group, parts) for group in groups]) or improved
            if not improved:
                step /= 2

    def _keep(self, tried: State, field: str, group: NDArray[np.int64], parts: NDArray[np.float64]) -> bool:
        """Take the move of a group of outputs if the score that depends on it rose."""
        over = group if self.plan.separable else np.arange(self.plan.outputs)
        if parts[over].mean() <= self._reached[over].mean() + 1e-12:
            return False
        self._state = _take(self._state, tried, field, group) if self.plan.separable else tried
        self._reached[over] = parts[over]
        return True


def _moves(state: State, step: float, plan: Plan) -> Iterator[Move]:
    """Every move in its turn; each is applied to the state as it is then."""
    for h in range(len(state.weights) if plan.weights else 0):
        yield "weights", lambda now, group, h=h: _toward(now, group, h, step)
        yield "weights", lambda now, group, h=h: _away(now, group, h, step)
    for sign in (1, -1):
        if plan.k:
            yield "k", lambda now, group, sign=sign: _wider(now, group, sign, step, plan.widest)
        if state.thresholds is not None:
            yield "thresholds", lambda now, group, sign=sign: _added(now, "thresholds", group, sign * step / 2, 0, 1)
        if state.bias is not None:
            yield "bias", lambda now, group, sign=sign: _added(now, "bias", group, sign * step * BIAS_STEP, -9, 9)
        if state.tau is not None:
            yield "tau", lambda now, _, sign=sign: replace(now, tau=min(max(now.tau + sign * step, 0.0), 2.0))
        if state.sure is not None:
            yield "sure", lambda now, _, sign=sign: replace(now, sure=min(max(now.sure + sign * step / 2, 0.5), 1.0))


def _batches(field: str, plan: Plan) -> list[list[NDArray[np.int64]]]:
    """Groups of outputs that share a number of this field; those in one batch are tried at once."""
    own = {"weights": plan.each_weights, "k": plan.each_k, "thresholds": True, "bias": True}.get(field, False)
    if not own:
        return [[np.arange(plan.outputs)]]
    groups = [np.array([c]) for c in range(plan.outputs)]
    return [groups] if plan.separable else [[group] for group in groups]


def _toward(state: State, group: NDArray[np.int64], h: int, step: float) -> State:
    weights = state.weights.copy()
    weights[:, group] *= 1 - step
    weights[h, group] += step
    return replace(state, weights=weights)


def _away(state: State, group: NDArray[np.int64], h: int, step: float) -> State:
    weights = state.weights.copy()
    weights[h, group] = np.maximum(weights[h, group] - step, 0)
    total = weights[:, group].sum(0)
    weights[:, group] = np.where(total > 1e-9, weights[:, group] / np.maximum(total, 1e-9), state.weights[:, group])
    return replace(state, weights=weights)


def _wider(state: State, group: NDArray[np.int64], sign: int, step: float, widest: int) -> State:
    k = state.k.copy()
    k[group] = np.clip(k[group] + sign * np.maximum(1, np.round(step * k[group])).astype(np.int64), 0, widest)
    return replace(state, k=k)


def _added(state: State, field: str, group: NDArray[np.int64], step: float, low: float, high: float) -> State:
    values = getattr(state, field).copy()
    values[group] = np.clip(values[group] + step, low, high)
    return replace(state, **{field: values})


def _take(state: State, tried: State, field: str, group: NDArray[np.int64]) -> State:
    """The state with one field of some outputs taken over."""
    if field in ("tau", "sure"):
        return tried
    values, new = getattr(state, field).copy(), getattr(tried, field)
    values[..., group] = new[..., group]
    return replace(state, **{field: values})


def _same(item: State, other: State) -> bool:
    return all(np.array_equal(getattr(item, field.name), getattr(other, field.name)) for field in fields(State))


def _state(point: Point, plan: Plan) -> State:
    weights = np.stack([np.broadcast_to(np.asarray(w, np.float64), plan.outputs) for w in point.weights])
    k = np.broadcast_to(np.asarray(point.k, np.int64), plan.outputs).copy()
    thresholds, bias = (None if x is None else np.array(x) for x in (point.thresholds, point.bias))
    return State(weights, k, thresholds, bias, point.tau, point.sure)


def _point(state: State, kernel: str, plan: Plan) -> Point:
    weights = tuple(tuple(row.tolist()) if plan.each_weights else float(row[0]) for row in state.weights)
    k = tuple(state.k.tolist()) if plan.each_k else int(state.k[0])
    thresholds, bias = (None if x is None else tuple(x.tolist()) for x in (state.thresholds, state.bias))
    return Point(weights, kernel, k, thresholds, state.tau, bias, state.sure)
