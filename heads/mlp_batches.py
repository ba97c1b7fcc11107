"""Shuffled mini-batches of rows, many at a time: numpy gathers float16 rows in a thread while the network learns."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from heads.table import Labelled, Rows

BYTES = 2**25
"""Of features that are gathered at a time."""
MOST = 64
"""Batches that are gathered at a time."""

Parts = tuple[NDArray[np.generic], ...]
"""Per block of columns: the features of some batches, [batches, batch, D], in the block's own type."""


def per_gathering(rows: Rows, batch: int) -> int:
    """How many batches of these rows are gathered at a time."""
    size = sum(block.values.shape[1] * block.values.itemsize for block in rows.blocks)
    return min(MOST, max(1, BYTES // max(1, size * batch)))


def batches(labelled: Labelled, order: NDArray[np.int64], batch: int) -> Iterator[tuple[Parts, NDArray[np.generic]]]:
    """The rows in `order` as (features, truth [batches, batch, ...]), `per_gathering` batches at a time.

    The next ones are gathered while the caller uses these. Rows at the end that fill no batch are left out.
    """
    rows = labelled.rows
    step = per_gathering(rows, batch) * batch
    end = len(order) // batch * batch

    def gather(start: int) -> tuple[Parts, NDArray[np.generic]]:
        some = order[start : min(start + step, end)]
        at = rows.pick[some]
        features = tuple(block.values[at].reshape(-1, batch, block.values.shape[1]) for block in rows.blocks)
        return features, labelled.truth[some].reshape(-1, batch, *labelled.truth.shape[1:])

    starts = range(0, end, step)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(gather, 0) if end else None
        for start in starts:
            assert coming is not None
            now = coming.result()
            coming = pool.submit(gather, start + step) if start + step < end else None
            yield now
