"""What cross-fitted selection may choose from, the usual first."""

from __future__ import annotations

from dataclasses import dataclass

from blend.config import BlendSettings
from blend.pool import Pool
from extract.errors import InputError

STRENGTHS = (1.0, 0.5)
"""How far a part's numbers may go from what they are without it: what held-out people say."""
NONE = ("", "off", "fixed")
"""Parts without numbers."""
PRETRAINED = "pretrained"
"""Heads whose names begin so are tried as filters."""


@dataclass(frozen=True)
class Options:
    """Values of the fields of `blend.solve.Candidate`; the first of each is taken unless another pays."""

    weights: tuple[str, ...]
    parts: tuple[str, ...]
    filters: tuple[str, ...] = ("",)

    def strengths(self, part: str) -> tuple[float, ...]:
        """How far a part's numbers may go from what they are without it."""
        return STRENGTHS[:1] if part in NONE else STRENGTHS


def options(pool: Pool, settings: BlendSettings) -> Options:
    """What settings allow. Raises InputError for a filter of an unknown head."""
    each = {True: ("each",), False: ("shared", "equal", "best"), "auto": ("shared", "equal", "best", "each")}
    weights = each[settings.per_output_weights]
    if pool.task.name == "au":
        any_rule = settings.thresholds in ("auto", "search")
        return Options(weights, ("pulled-plug-in",) if any_rule else (settings.thresholds,))
    if pool.task.name == "expr":
        biases = ("off", "prior", "pulled") if settings.bias == "auto" else (settings.bias,)
        return Options(weights, biases, _filters(pool, settings.filter))
    return Options(weights, _moment_parts(settings))


def _filters(pool: Pool, wanted: str) -> tuple[str, ...]:
    if wanted == "auto":
        return ("", *(head for head in pool.heads if head.startswith(PRETRAINED)))
    if wanted != "off" and wanted not in pool.heads:
        raise InputError(f"blend.expr.filter: no head is named {wanted!r}; there are {', '.join(pool.heads)}")
    return ("" if wanted == "off" else wanted,)


def _moment_parts(settings: BlendSettings) -> tuple[str, ...]:
    """ "", "scale", "shift" or "scale shift": those that the switches allow, the usual (scale) first."""
    both = {True: [True], False: [False], "auto": [True, False]}
    scales, shifts = both[settings.scale], sorted(both[settings.shift])
    return tuple(" ".join(["scale"] * a + ["shift"] * b) for b in shifts for a in scales)
