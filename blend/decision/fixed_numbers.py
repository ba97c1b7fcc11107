"""Numbers that [blend.<task>] gives instead of a search, as arrays of a pool's heads and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.config import BlendSettings
from blend.pool.pool import Pool
from extract.runtime.errors import InputError


def weights(pool: Pool, settings: BlendSettings) -> NDArray[np.float64] | None:
    """The given weights [H, C] of the pool's heads, >= 0, of sum 1 for each output; None where they are searched.

    Raises InputError for a head that the pool does not have.
    """
    if settings.weights is None:
        return None
    task = pool.task
    for head in settings.weights:
        if head not in pool.heads:
            raise InputError(f"blend.{task.name}.weights: no head is named {head!r}; there are {', '.join(pool.heads)}")
    each = [np.broadcast_to(settings.weights.get(head, 0.0), len(task.outputs)) for head in pool.heads]
    given = np.array(each, np.float64)
    total = given.sum(0)
    return given if np.allclose(total, 1, rtol=0, atol=1e-9) else given / total  # as written, where that may be


def k(settings: BlendSettings) -> int | tuple[int, ...] | None:
    """The given width in frames, or one for each output; None where it is searched."""
    return tuple(settings.k) if isinstance(settings.k, list) else settings.k


def numbers(value: Any, outputs: int) -> NDArray[np.float64] | None:
    """A key's numbers (`thresholds`, `bias`, `scale`, `shift`) [C]; None where it names a rule or is a switch."""
    if value is None or isinstance(value, bool | str):
        return None
    return np.broadcast_to(np.asarray(value, np.float64), outputs).copy()


@dataclass(frozen=True)
class FixedNumbers:
    """All numbers that settings give: weights [H, C], the others [C]; None where they are found."""

    weights: NDArray[np.float64] | None = None
    thresholds: NDArray[np.float64] | None = None
    bias: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None
    shift: NDArray[np.float64] | None = None


def read_fixed_numbers(pool: Pool, settings: BlendSettings) -> FixedNumbers:
    """What settings give for a pool. Raises InputError as `weights`."""
    outputs = len(pool.task.outputs)
    of_task = {key: numbers(getattr(settings, key), outputs) for key in pool.blend_task.numbers}
    return FixedNumbers(weights(pool, settings), **of_task)
