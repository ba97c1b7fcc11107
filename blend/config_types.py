"""What the keys of [blend.<task>] may hold: rules by name, or the numbers themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError


def _expected(text: str) -> WrapValidator:
    """One message for all that a union of types refuses."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("expected", "expected {text}", {"text": text}) from None

    return WrapValidator(validate)


Switch = bool | Literal["auto"]
"""Use an optional part of the space: always, never, or ("auto") where it pays on held-out videos. Without cross-fitting
nothing can tell that, so with select = "tuned" auto means never.
"""
Kernel = Literal["box", "gaussian", "median"]
WIDEST = 1_000_000
"""The largest k, in frames: nine hours. A Gaussian of that width takes 32 MB."""
Width = Annotated[int, Field(strict=True, ge=0, le=WIDEST)]
"""Frames."""
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Threshold = Annotated[Number, Field(ge=0, le=1)]
Weight = Annotated[Number, Field(ge=0)]

Widths = Annotated[Width | list[Width] | None, _expected("a whole number of frames >= 0, or one for each output")]
Weights = Annotated[
    dict[str, Weight | list[Weight]] | None,
    _expected("a table of heads: head = a number >= 0, or head = [one for each output]"),
]
Thresholds = Annotated[
    Literal["auto", "exact", "search", "fixed", "bootstrap", "pulled", "plug-in", "pulled-plug-in"]
    | Threshold
    | list[Threshold],
    _expected(
        "auto, exact, search, fixed, bootstrap, pulled, plug-in, pulled-plug-in, a number from 0 to 1, or one for each "
        "unit"
    ),
]
Bias = Annotated[
    Literal["auto", "off", "prior", "free", "pulled"] | list[Number],
    _expected("auto, off, prior, free, pulled, or a list of one number for each class"),
]
Plain = Annotated[bool, Field(strict=True)] | Literal["auto"]
"""A Switch beside numbers: 0 is not false."""
Scale = Annotated[
    Plain | Positive | list[Positive], _expected("true, false, auto, a number above 0, or one for each output")
]
Shift = Annotated[Plain | Number | list[Number], _expected("true, false, auto, a number, or one for each output")]
