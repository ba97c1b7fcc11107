"""Cases of one test of which a few run by default and all of them under `-m "slow or not slow"`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def sweep(cases: Iterable[Any], quick: Collection[Any]) -> list[Any]:
    """The cases for `parametrize` (a tuple is one of several arguments), those that are not in `quick` marked slow."""
    return [
        case if case in quick else pytest.param(*(case if isinstance(case, tuple) else [case]), marks=pytest.mark.slow)
        for case in cases
    ]
