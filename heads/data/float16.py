"""float16 rows as float32, gathered and widened in one pass: what a batch of embeddings costs.

numpy widens halves one by one; the kernel widens a row in vector instructions, exactly, for all 65,536 halves.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

MAGNITUDE, SIGN = np.uint32(0x7FFF), np.uint32(0x8000)
NO_NUMBER = np.uint32(0x7C00 << 13)
"""Exponent of infinity and NaN, where a half's bits lie inside a float's."""
ALL_ONES = np.uint32(0x7F800000)
REBIAS = np.float32(2.0**112)
"""A float's exponent is biased by 127, a half's by 15."""


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _widen(halves: NDArray[np.uint16], rows: NDArray[np.int64], out: NDArray[np.uint32], at: int) -> None:
    for i in range(len(rows)):
        half = halves[rows[i]]
        bits = out[i, at : at + halves.shape[1]]
        for c in range(halves.shape[1]):
            magnitude = (np.uint32(half[c]) & MAGNITUDE) << np.uint32(13)
            if magnitude >= NO_NUMBER:
                magnitude |= ALL_ONES
            bits[c] = magnitude | ((np.uint32(half[c]) & SIGN) << np.uint32(16))
        value = bits.view(np.float32)
        for c in range(halves.shape[1]):
            value[c] *= REBIAS


def widen(values: NDArray[np.float16], rows: NDArray[np.int64], out: NDArray[np.float32], at: int = 0) -> None:
    """out[:, at : at + D] = values[rows], for values [N, D] and a C-contiguous out [len(rows), at + D or more].

    Raises IndexError for a row that is not there (the kernel itself does not look).
    """
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(values)):
        raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(values)}")
    _widen(values.view(np.uint16), rows, out.view(np.uint32), at)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _first_not_finite(halves: NDArray[np.uint16]) -> int:
    for i in range(len(halves)):
        worst = np.uint16(0)
        for c in range(halves.shape[1]):
            worst = max(worst, halves[i, c] & np.uint16(0x7C00))
        if worst == 0x7C00:
            return i
    return -1


def is_finite(values: NDArray[np.float16]) -> bool:
    """Whether every value of [N, D] is finite."""
    return bool(_first_not_finite(np.ascontiguousarray(values).view(np.uint16)) < 0)
