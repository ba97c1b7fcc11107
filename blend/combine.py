"""Blend -> (gaps are filled already) -> smooth -> decide: the one function for validation, for test, and for anybody's
params.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend import smooth
from blend.decide import decide
from blend.pool import Pool
from extract.errors import InputError


@dataclass(frozen=True)
class Params:
    """A blend: enough to apply it anywhere. `weights` holds a number per head, or one per output, as `heads` is
    ordered.
    """

    task: str
    outputs: tuple[str, ...]
    heads: tuple[str, ...]
    weights: tuple[float | tuple[float, ...], ...]
    kernel: str = "box"
    k: int = 0
    thresholds: tuple[float, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """The table of params.json."""
        table: dict[str, Any] = {
            "task": self.task,
            "outputs": list(self.outputs),
            "heads": list(self.heads),
            "weights": {
                head: list(w) if isinstance(w, tuple) else w for head, w in zip(self.heads, self.weights, strict=True)
            },
            "kernel": self.kernel,
            "k": self.k,
        }
        return table | ({"thresholds": list(self.thresholds)} if self.thresholds is not None else {})

    @staticmethod
    def from_json(table: dict[str, Any]) -> Params:
        """The inverse of `as_json`. Raises InputError for a table that lacks something or holds another kernel."""
        try:
            heads = tuple(table["heads"])
            weights = tuple(
                tuple(w) if isinstance(w, list) else float(w) for w in (table["weights"][head] for head in heads)
            )
            thresholds = tuple(table["thresholds"]) if table.get("thresholds") is not None else None
            found = Params(
                table["task"], tuple(table["outputs"]), heads, weights, table["kernel"], int(table["k"]), thresholds
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"params: {type(error).__name__} {error}; expected the keys task, outputs, heads, weights, "
                f"kernel, k and, for au, thresholds"
            ) from None
        if found.kernel not in smooth.KERNELS or found.k < 0:
            raise InputError(
                f"params: kernel {found.kernel!r} with k {found.k}; expected k >= 0 and one of {smooth.KERNELS}"
            )
        return found


def simplex(raw: Sequence[float]) -> tuple[float, ...]:
    """Numbers >= 0 scaled to sum 1; equal weights where all are 0."""
    total = float(sum(raw))
    return tuple(float(w) / total for w in raw) if total > 0 else (1.0 / len(raw),) * len(raw)


def scores(pool: Pool, weights: Sequence[float | tuple[float, ...]], kernel: str, k: int) -> NDArray[np.float32]:
    """Blended and smoothed scores of every frame, [T, C]; weights as in `Params`, in the pool's order of heads."""
    channels = pool.scores.shape[2]
    table = np.stack([np.broadcast_to(np.asarray(w, np.float32), channels) for w in weights])
    used = np.flatnonzero(table.any(1))  # a head with weight 0 costs nothing
    whole = len(used) == len(table) or not len(used)
    return smooth.blend_and_smooth(
        pool.scores if whole else pool.scores[used], table if whole else table[used], pool.offsets, kernel, k
    )


def combine(pool: Pool, params: Params) -> NDArray[np.generic]:
    """Decide every frame of the pool: au uint8 [T, 12], expr int8 [T], va float32 [T, 2].

    Heads are matched by name. Raises InputError where the pool lacks one of them, or is of another task.
    """
    if params.task != pool.task.name:
        raise InputError(f"params are for task {params.task!r}, the predictions for {pool.task.name!r}")
    if lacking := sorted(set(params.heads) - set(pool.heads)):
        raise InputError(
            f"params use the head {lacking[0]!r}, but there are only predictions of {', '.join(pool.heads)}"
        )
    weight = dict(zip(params.heads, params.weights, strict=True))
    blended = scores(pool, [weight.get(head, 0.0) for head in pool.heads], params.kernel, params.k)
    return decide(pool.task.name, blended, None if params.thresholds is None else np.array(params.thresholds))
