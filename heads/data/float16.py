"""float16 rows as float32, gathered and widened: what a batch of embeddings costs.

numpy takes twice as long as the kernel, which does both in one pass, in vector instructions, exactly, for all 65,536
halves. A process that has widened much uses the kernel.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORTH_A_KERNEL = 2**28
"""Values of one process from which on the kernel pays: numba's import takes a processor second."""
PIECE = 2**16
"""Values that are looked at together, so that they stay in the cache."""
EXPONENT = np.uint16(0x7C00)
"""Bits of a half: all of them set in infinity and NaN alone."""
MAGNITUDE, SIGN = np.uint32(0x7FFF), np.uint32(0x8000)
NO_NUMBER = np.uint32(0x7C00 << 13)
"""Exponent of infinity and NaN, where a half's bits lie inside a float's."""
EXPONENT_BITS = np.uint32(0x7F800000)
REBIAS = np.float32(2.0**112)
"""A float's exponent is biased by 127, a half's by 15."""


def _widen(halves: NDArray[np.uint16], rows: NDArray[np.int64], out: NDArray[np.uint32], at: int) -> None:
    for i in range(len(rows)):
        half = halves[rows[i]]
        bits = out[i, at : at + halves.shape[1]]
        for c in range(halves.shape[1]):
            magnitude = (np.uint32(half[c]) & MAGNITUDE) << np.uint32(13)
            if magnitude >= NO_NUMBER:
                magnitude |= EXPONENT_BITS
            bits[c] = magnitude | ((np.uint32(half[c]) & SIGN) << np.uint32(16))
        value = bits.view(np.float32)
        for c in range(halves.shape[1]):
            value[c] *= REBIAS


_values_so_far = 0


@cache
def _kernel() -> Any:
    import numba

    return numba.njit(nogil=True, cache=True)(_widen)


def widen(values: NDArray[np.float16], rows: NDArray[np.int64], out: NDArray[np.float32], at: int = 0) -> None:
    """out[:, at : at + D] = values[rows], for values [N, D] and a C-contiguous out [len(rows), at + D or more].

    Raises IndexError for a row that is not there (the kernel does not look).
    """
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(values)):
        raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(values)}")
    global _values_so_far
    _values_so_far += len(rows) * values.shape[1]
    if _values_so_far < WORTH_A_KERNEL:
        out[:, at : at + values.shape[1]] = values[rows]
    else:
        _kernel()(values.view(np.uint16), rows, out.view(np.uint32), at)


def is_finite(values: NDArray[np.float16]) -> bool:
    """Whether every value of [N, D] is finite."""
    bits = np.ascontiguousarray(values).view(np.uint16).ravel()
    starts = range(0, len(bits), PIECE)
    return all((bits[start : start + PIECE] & EXPONENT).max() != EXPONENT for start in starts)
