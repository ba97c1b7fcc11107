"""params.json: a blend, complete enough to apply it anywhere. Written by the search, read back strictly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.decision import smooth
from blend.tasks.lookup import key_owners
from extract.runtime import file_names, limits
from extract.runtime.errors import InputError, did_you_mean
from heads.abaw.tasks import SINGLE_TASKS

KNOWN_KEYS = ("task", "outputs", "heads", "weights", "kernel", "k", "thresholds", "bias", "filter", "scale", "shift")


@dataclass(frozen=True)
class Params:
    """How scores of `heads` become decisions: blend, fill gaps, smooth, decide. See `combine.combine`."""

    task: str
    outputs: tuple[str, ...]
    """In official order; every list below is in this order."""
    heads: tuple[str, ...]
    weights: tuple[float | tuple[float, ...], ...]
    """A number >= 0 per head, or one per output, as `heads` is ordered."""
    kernel: str = "box"
    k: int | tuple[int, ...] = 0
    """Frames, >= 0; one number, or one per output."""
    thresholds: tuple[float, ...] | None = None
    """au: a unit is on from its threshold up. None: 0.5."""
    bias: tuple[float, ...] | None = None
    """expr: added to the logarithm of each class's score before the largest wins."""
    filter: tuple[str, float] | None = None
    """expr: (head, t). Where that head's smoothed scores have a class other than Other above t, that class is decided.
    """
    scale: tuple[float, ...] | None = None
    """va: decided is scale * score + shift, then clipped."""
    shift: tuple[float, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """The table of params.json; optional parts that are not used are left out."""
        table: dict[str, Any] = {
            "task": self.task,
            "outputs": list(self.outputs),
            "heads": list(self.heads),
            "weights": {
                head: list(w) if isinstance(w, tuple) else w for head, w in zip(self.heads, self.weights, strict=True)
            },
            "kernel": self.kernel,
            "k": list(self.k) if isinstance(self.k, tuple) else self.k,
        }
        for key in ("thresholds", "bias", "scale", "shift"):
            if getattr(self, key) is not None:
                table[key] = list(getattr(self, key))
        if self.filter is not None:
            table["filter"] = {"head": self.filter[0], "t": self.filter[1]}
        return table

    @staticmethod
    def from_json(table: Any, source: str = "params") -> Params:
        """The inverse of `as_json`. `source` (a file's name) begins the message of InputError, which is raised for
        unknown or missing keys, another task's keys, unknown heads or kernels, lists of a wrong length, numbers that
        are none, not finite or out of range.
        """
        return _Reader(table, source).params()


def as_weights(table: NDArray[np.float64]) -> tuple[float | tuple[float, ...], ...]:
    """Weights [H, C] as `Params` has them: one number for a head whose outputs agree."""
    return tuple(float(row[0]) if (row == row[0]).all() else tuple(row.tolist()) for row in table)


class _Reader:
    """One table, checked key by key."""

    def __init__(self, table: Any, where: str) -> None:
        self.where = where
        if not isinstance(table, dict):
            raise self.error(
                f"found {type(table).__name__}, expected a table with the keys {', '.join(KNOWN_KEYS[:6])}"
            )
        self.table: dict[str, Any] = table

    def error(self, text: str) -> InputError:
        return InputError(f"{self.where}: {text}")

    def params(self) -> Params:
        if unknown := sorted(set(self.table) - set(KNOWN_KEYS)):
            hint = did_you_mean(unknown[0], KNOWN_KEYS)
            raise self.error(f"unknown key {unknown[0]!r}; known keys: {', '.join(KNOWN_KEYS)}{hint}")
        if missing := [key for key in KNOWN_KEYS[:6] if key not in self.table]:
            raise self.error(f"the key {missing[0]!r} is missing; expected at least {', '.join(KNOWN_KEYS[:6])}")
        task = self.table["task"]
        if not isinstance(task, str) or task not in SINGLE_TASKS:
            raise self.error(f"task {task!r}; expected one of {', '.join(SINGLE_TASKS)}")
        for key, owners in key_owners().items():
            if self.table.get(key) is not None and task not in owners:
                raise self.error(f"{key!r} belongs to task {' or '.join(owners)}, this is {task}")
        outputs = SINGLE_TASKS[task].outputs
        if self.table["outputs"] != list(outputs):
            raise self.error(f"outputs {self.table['outputs']!r}; expected {list(outputs)}")
        heads = self.heads()
        kernel = self.table["kernel"]
        if not isinstance(kernel, str) or kernel not in smooth.KERNELS:
            raise self.error(f"kernel {kernel!r}; expected one of {', '.join(smooth.KERNELS)}")
        optional = {
            key: self.numbers(key, self.table[key], len(outputs))
            for key in ("thresholds", "bias", "scale", "shift")
            if self.table.get(key) is not None
        }
        return Params(
            task, outputs, heads, self.weights(heads, len(outputs)), kernel, self.k(len(outputs)), **optional,
            filter=self.filter(heads),
        )  # fmt: skip

    def heads(self) -> tuple[str, ...]:
        heads = self.table["heads"]
        if not isinstance(heads, list) or not heads or not all(isinstance(head, str) for head in heads):
            raise self.error(f"heads {heads!r}; expected a list of names")
        if len(set(heads)) < len(heads):
            raise self.error(f"heads {heads!r}; expected every name once")
        for head in heads:
            file_names.check("head", head, self.where)
        return tuple(heads)

    def weights(self, heads: tuple[str, ...], outputs: int) -> tuple[float | tuple[float, ...], ...]:
        weights = self.table["weights"]
        if not isinstance(weights, dict) or set(weights) != set(heads):
            raise self.error(f"weights {weights!r}; expected one entry for each of {', '.join(heads)}")
        results: list[float | tuple[float, ...]] = []
        for head in heads:
            what, value = f"weights of {head!r}", weights[head]
            item = self.numbers(what, value, outputs) if isinstance(value, list) else self.number(what, value)
            if min(item if isinstance(item, tuple) else (item,)) < 0:
                raise self.error(f"{what}: {value!r}; expected numbers >= 0")
            results.append(item)
        return tuple(results)

    def k(self, outputs: int) -> int | tuple[int, ...]:
        k = self.table["k"]
        each = k if isinstance(k, list) else [k]
        if isinstance(k, list) and len(k) != outputs:
            raise self.error(f"k: {len(k)} numbers; expected one, or {outputs}")
        if not all(isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= limits.K for item in each):
            raise self.error(f"k {k!r}; expected whole numbers >= 0, up to {limits.K:,}")
        return tuple(k) if isinstance(k, list) else int(k)

    def filter(self, heads: tuple[str, ...]) -> tuple[str, float] | None:
        value = self.table.get("filter")
        if value is None:
            return None
        if not isinstance(value, dict) or set(value) != {"head", "t"} or value["head"] not in list(heads):
            raise self.error(f"filter {value!r}; expected head (one of {', '.join(heads)}) and t")
        return value["head"], self.number("t of filter", value["t"])

    def numbers(self, what: str, value: Any, count: int) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) != count:
            raise self.error(f"{what}: {value!r}; expected a list of {count} numbers")
        return tuple(self.number(what, item) for item in value)

    def number(self, what: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= limits.NUMBER:
            raise self.error(f"{what}: {value!r}; expected a finite number up to {limits.NUMBER:g}")
        return float(value)
