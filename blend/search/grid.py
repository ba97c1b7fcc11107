"""A search as published blends were made: weights in steps of 0.1, and some widths, every one of them tried."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

from blend.search.objective import Point
from blend.search.space import Space
from extract.runtime.errors import InputError

KS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)
LIMIT = 20_000
"""Points of a grid; an order more than the largest published one."""


def count(space: Space) -> int:
    """How many points there are. Raises InputError where they are too many."""
    steps, heads = _steps(space), len(space.pool.heads)
    weights = comb(steps + heads - 1, steps) if space.weights is None else 1
    result = weights * len(space.settings.kernels) * len(_ks(space))
    if result > LIMIT:
        raise InputError(
            f'blend.{space.task}.sampler = "grid": {result:,} blends of {heads} heads, expected at most {LIMIT:,}; '
            f"use fewer heads, a larger weight_step or fewer grid_k"
        )
    return result


def points(space: Space) -> Iterator[tuple[str, Point]]:
    """What each point is ("head ...", "equal", "given" or "grid") and the point: kernel by kernel, the narrowest k
    first, from all weight on the first head to all on the last. Raises as `count`.
    """
    count(space)
    for kernel in space.settings.kernels:
        for k in _ks(space):
            if space.weights is not None:
                yield "given", Point(space.weights, kernel, k)
                continue
            for parts in _compositions(_steps(space), len(space.pool.heads)):
                yield _what(space, parts), Point(tuple(n / _steps(space) for n in parts), kernel, k)


def _steps(space: Space) -> int:
    return round(1 / space.settings.weight_step)


def _ks(space: Space) -> list[int | tuple[int, ...]]:
    if space.k is not None:
        return [space.k]
    listed = space.settings.grid_k
    return [k for k in KS if k <= space.widest] if listed is None else sorted(set(listed))  # type: ignore[return-value]


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All ways to write `total` as a sum of so many whole numbers >= 0, the largest first ones first."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total, -1, -1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def _what(space: Space, parts: tuple[int, ...]) -> str:
    if parts.count(0) == len(parts) - 1:
        return f"head {space.pool.heads[[n > 0 for n in parts].index(True)]}"
    return "equal" if len(set(parts)) == 1 else "grid"
