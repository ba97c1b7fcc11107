"""A search space is a head's TOML with some leaves replaced by `["tune", kind, low, high]`.

Kinds: `int` and `logint` (whole numbers), `uniform` and `loguniform` (real ones), all with both bounds in it, and
`["tune", "choice", [a, b, ...]]` of any TOML values. Leaves stand anywhere; what is drawn is a plain config again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from extract.runtime import limits
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.distributions import BaseDistribution

MARK = "tune"
KINDS = ("int", "logint", "uniform", "loguniform", "choice")


@dataclass(frozen=True)
class Leaf:
    """One searched setting: `key` is its dotted path; bounds for numbers, `choices` for the rest."""

    key: str
    kind: str
    low: float = 0
    high: float = 0
    choices: tuple[Any, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The choices as the study stores them: strings as they are, everything else as JSON."""
        return tuple(value if isinstance(value, str) else json.dumps(value) for value in self.choices)

    def distribution(self) -> BaseDistribution:
        """The same for Optuna."""
        from optuna import distributions

        if self.kind == "choice":
            return distributions.CategoricalDistribution(self.labels)
        log = self.kind.startswith("log")
        if self.kind in ("int", "logint"):
            return distributions.IntDistribution(int(self.low), int(self.high), log=log)
        return distributions.FloatDistribution(float(self.low), float(self.high), log=log)

    def value(self, param: Any) -> Any:
        """What stands in the config for a parameter of the study."""
        return self.choices[self.labels.index(param)] if self.kind == "choice" else param

    def param(self, value: Any) -> Any:
        """The reverse of `value`; None where the config's value is outside the space."""
        if self.kind == "choice":
            same = [i for i, choice in enumerate(self.choices) if choice == value and type(choice) is type(value)]
            same += [i for i, choice in enumerate(self.choices) if choice == value]  # 1 for 1.0
            return self.labels[same[0]] if same else None
        number = isinstance(value, int) or (isinstance(value, float) and self.kind in ("uniform", "loguniform"))
        return value if number and not isinstance(value, bool) and self.low <= value <= self.high else None

    @property
    def edges(self) -> tuple[Any, ...]:
        """What a config must allow: the ends and, of real numbers, one between that is not whole; or all choices."""
        if self.kind == "choice":
            return self.choices
        whole = self.kind in ("int", "logint")
        return (self.low, self.high) if whole else (self.low, self.low + 0.381966 * (self.high - self.low), self.high)


def is_leaf(value: Any) -> bool:
    """True for what claims to be a leaf, whether or not it is a proper one."""
    return isinstance(value, list) and bool(value) and value[0] == MARK


def leaves(raw: Mapping[str, Any], source: Path | str) -> tuple[Leaf, ...]:
    """The leaves of a table, in its order. Raises InputError, naming the key, for a kind or bounds that are none."""
    return tuple(_leaf(key, value, source) for key, value in _walk(raw, "") if is_leaf(value))


def first_leaf(raw: Mapping[str, Any]) -> str | None:
    """The key of the first leaf, None in a plain config."""
    return next((key for key, value in _walk(raw, "") if is_leaf(value)), None)


def fill(raw: Mapping[str, Any], space: tuple[Leaf, ...], params: Mapping[str, Any]) -> dict[str, Any]:
    """The plain config: every leaf replaced by the value of its parameter."""
    return dict(_replace(raw, "", {leaf.key: leaf.value(params[leaf.key]) for leaf in space}))


def merge_settings(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `top` in place of its own; tables are merged, lists (and so leaves) are replaced."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = merge_settings(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _walk(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every leaf and plain value with its dotted path; the insides of leaves are not entered."""
    if is_leaf(value) or not isinstance(value, Mapping | list):
        yield key, value
        return
    for name, part in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from _walk(part, _join(key, name))


def _replace(value: Any, key: str, chosen: Mapping[str, Any]) -> Any:
    """`value` with what is `chosen` by dotted path in place of each leaf."""
    if is_leaf(value):
        return chosen[key]
    if isinstance(value, Mapping):
        return {name: _replace(part, _join(key, name), chosen) for name, part in value.items()}
    return [_replace(v, _join(key, i), chosen) for i, v in enumerate(value)] if isinstance(value, list) else value


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _leaf(key: str, value: list[Any], where: Path | str) -> Leaf:
    """A proper leaf. Raises InputError for anything else."""

    def wrong(why: str) -> InputError:
        return InputError(f"{where}: key {key!r}: {json.dumps(value, default=str)}: {why}")

    kind = value[1] if len(value) > 1 else None
    if kind not in KINDS:
        raise wrong(f"no kind of search is called {kind!r}; there are {', '.join(KINDS)}")
    if kind == "choice":
        choices = value[2] if len(value) == 3 else None
        if not isinstance(choices, list) or not choices:
            raise wrong('expected ["tune", "choice", [value, value, ...]]')
        leaf = Leaf(key, kind, choices=tuple(choices))
        if len(set(leaf.labels)) < len(choices):
            raise wrong("a choice occurs twice")
        return leaf
    if len(value) != 4 or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value[2:]):
        raise wrong(f'expected ["tune", "{kind}", low, high] with two numbers')
    low, high = value[2:]
    if not (abs(low) <= limits.BOUND and abs(high) <= limits.BOUND) or low >= high:
        raise wrong(f"the lower bound must be below the upper one, both finite and within {limits.BOUND:g}")
    if kind in ("int", "logint") and not (isinstance(low, int) and isinstance(high, int)):
        raise wrong("the bounds of whole numbers must be whole")
    if kind.startswith("log") and low <= 0:
        raise wrong("the bounds of a logarithmic search must be above 0")
    return Leaf(key, kind, low, high)
