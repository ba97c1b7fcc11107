"""What cross-fitted selection may choose from, the usual first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blend.config import BlendSettings
from blend.pool.pool import Pool
from extract.runtime.errors import InputError

STRENGTHS = (1.0, 0.5)
"""How far a part's numbers may go from what they are without it: what held-out people say."""
NONE = ("", "off", "fixed", "given")
"""Parts without numbers to find."""
PRETRAINED = "pretrained"
"""Heads whose names begin so are tried as filters."""


@dataclass(frozen=True)
class Options:
    """Values of the fields of `blend.crossfit.solvers.Candidate`; the first of each is taken unless another pays."""

    weights: tuple[str, ...]
    parts: tuple[str, ...]
    filters: tuple[str, ...] = ("",)
    with_train: tuple[bool, ...] = (False,)

    def strengths(self, part: str) -> tuple[float, ...]:
        """How far a part's numbers may go from what they are without it."""
        return STRENGTHS[:1] if part in NONE else STRENGTHS


def options(pool: Pool, settings: BlendSettings, has_train: bool = False) -> Options:
    """What settings allow; `has_train`: there are out-of-fold predictions of train. Raises InputError for a filter of
    an unknown head.
    """
    each = {True: ("each",), False: ("shared", "equal", "best"), "auto": ("shared", "equal", "best", "each")}
    weights = ("given",) if settings.weights is not None else each[settings.per_output_weights]
    train = {True: (True,), False: (False,), "auto": (False, True)}[settings.out_of_fold] if has_train else (False,)
    if pool.task.is_multilabel:
        return Options(weights, _rules(settings.thresholds, ("pulled-plug-in",)), with_train=train)
    if pool.task.is_multiclass:
        biases = _rules(settings.bias, ("off", "prior", "pulled"))
        return Options(weights, biases, _filters(pool, settings.filter), train)
    return Options(weights, _moment_parts(settings), with_train=train)


def _rules(wanted: Any, usual: tuple[str, ...]) -> tuple[str, ...]:
    """The rule that is wanted; those that are usual for "auto"; "given" where numbers are given."""
    if not isinstance(wanted, str):
        return ("given",)
    return usual if wanted in ("auto", "search") else (wanted,)


def _filters(pool: Pool, wanted: str) -> tuple[str, ...]:
    if wanted == "auto":
        return ("", *(head for head in pool.heads if head.startswith(PRETRAINED)))
    if wanted != "off" and wanted not in pool.heads:
        raise InputError(f"blend.expr.filter: no head is named {wanted!r}; there are {', '.join(pool.heads)}")
    return ("" if wanted == "off" else wanted,)


def _moment_parts(settings: BlendSettings) -> tuple[str, ...]:
    """ "", "scale", "shift" or "scale shift": those that the switches allow, the usual (scale) first. Given numbers
    need no part.
    """
    both = {"True": [True], "False": [False], "auto": [True, False]}
    scales, shifts = (both.get(str(switch), [False]) for switch in (settings.scale, settings.shift))
    shifts = sorted(shifts)
    return tuple(" ".join(["scale"] * a + ["shift"] * b) for b in shifts for a in scales)
