"""How columns of different kinds are brought to one scale before a network learns from them.

Pooled activations are mostly small and rarely large: the signed power x -> sign(x) |x|^p with p < 1 (p = 0.5: the
signed square root, Perronnin et al., ECCV 2010) evens that out. And a few logits beside a thousand columns of an
embedding are drowned by any penalty on weights, although they say more than any other column: they are made larger.

Where a few values are far out, a mean and a deviation are those of these few. The robust way takes the median and the
distance of the quartiles, and bends x to x / sqrt(1 + (x / 3)^2), which is x near 0 and never beyond 3 (RealMLP:
Holzmueller, Grinsztajn and Steinwart, "Better by Default", NeurIPS 2024, arXiv 2407.04491; in their package pytabkit
RobustScaleSmoothClip).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from extract.config import Strict
from heads.data.table import Rows, space_evenly


class BlockScales(Strict):
    """What the standard deviation of a block's columns is made, where an embedding stands beside it."""

    logits: float = Field(default=8.0, gt=0)
    va: float = Field(default=8.0, gt=0)
    table: float = Field(default=8.0, gt=0)
    """An imported table's few columns."""
    embedding: float = Field(default=1.0, gt=0)
    temporal: float = Field(default=8.0, gt=0)
    """Temporal columns of whatever."""

    @staticmethod
    def make_uniform(times: float) -> BlockScales:
        """All but an embedding's `times` as large."""
        return BlockScales(logits=times, va=times, table=times, temporal=times)


def block_scales(rows: Rows, scales: BlockScales) -> NDArray[np.float32]:
    """The scale of each column, [width]; without an embedding there is nothing to be larger than: all 1."""
    if not embedding_columns(rows).any():
        return np.ones(rows.width, np.float32)
    each = [getattr(scales, block.kind, 1.0) for block in rows.blocks]
    return np.repeat(each, [block.values.shape[1] for block in rows.blocks]).astype(np.float32)


def embedding_columns(rows: Rows) -> NDArray[np.bool_]:
    """Which columns are of an embedding, [width]."""
    return np.repeat([b.kind == "embedding" for b in rows.blocks], [b.values.shape[1] for b in rows.blocks])


def raise_power(values: NDArray[np.float32], embedding: NDArray[np.bool_], power: float) -> NDArray[np.float32]:
    """Values [n, width] with the signed power of the embedding's columns; the others as they are."""
    if power == 1.0:
        return values
    return np.where(embedding, np.copysign(np.abs(values) ** np.float32(power), values), values)


def power_layer(embedding: NDArray[np.bool_], power: float) -> Any:
    """The same as a Keras layer without weights, for a model's beginning."""
    import keras

    exponents = np.where(embedding, power, 1.0).astype(np.float32)

    class SignedPower(keras.layers.Layer):  # type: ignore[misc]
        """x -> sign(x) |x|^p, column by column."""

        def call(self, x: Any) -> Any:
            return keras.ops.sign(x) * keras.ops.power(keras.ops.abs(x), exponents)

    return SignedPower()


MOST_FOR_MOMENTS = 200_000
"""Means and deviations are those of every n-th row, so that at most this many are read for them."""


def moments(rows: Rows, power: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each column, in one pass with float64 sums; a constant column has deviation 1.

    An embedding's columns are taken to the signed `power` first (see heads.base.scaling).
    """
    rows = rows.take(np.arange(0, len(rows), max(1, -(-len(rows) // MOST_FOR_MOMENTS))))
    embedding = embedding_columns(rows)
    total, squares = np.zeros(rows.width), np.zeros(rows.width)
    shift: NDArray[np.float64] | None = None
    for chunk in rows.chunks():
        values = raise_power(chunk, embedding, power).astype(np.float64)
        shift = values[0].copy() if shift is None else shift
        values -= shift  # near the mean, so that the difference of the sums loses no digits
        total += values.sum(0)
        squares += np.einsum("ij,ij->j", values, values)
    mean = total / max(len(rows), 1)
    deviation = np.sqrt(np.maximum(squares / max(len(rows), 1) - mean**2, 0.0))
    if shift is not None:
        mean = mean + shift
    deviation[deviation <= 1e-6 * (1 + np.abs(mean))] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


WIDEST = 3.0
"""What bent columns stay within."""
MOST_FOR_QUARTILES = 20_000
"""Quartiles are those of every n-th row: at most this many are in memory for them."""
COLUMNS = 256
"""That are sorted for them at a time: a sort copies what it sorts."""


def quartiles(rows: Rows, power: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median of each column, and the distance of its quartiles, [width] both; where these are equal half of its range,
    and of a constant column 1. An embedding's columns are taken to the signed `power` first.
    """
    rows = rows.take(space_evenly(len(rows), MOST_FOR_QUARTILES))
    if not len(rows):
        return np.zeros(rows.width, np.float32), np.ones(rows.width, np.float32)
    values, embedding = rows.batch(), embedding_columns(rows)
    found = []
    for at in (slice(start, start + COLUMNS) for start in range(0, rows.width, COLUMNS)):
        some = raise_power(values[:, at], embedding[at], power)
        found.append(np.vstack([np.quantile(some, [0.25, 0.5, 0.75], axis=0), some.max(0) - some.min(0)]))
    low, median, high, spread = np.hstack(found)
    wide = high - low
    constant = 1e-6 * (1 + np.abs(median))
    wide = np.where(wide > constant, wide, spread / 2)
    return median.astype(np.float32), np.where(wide > constant, wide, 1.0).astype(np.float32)


def bend_layer(times: NDArray[np.float32]) -> Any:
    """x / sqrt(1 + (x / WIDEST)^2) as a Keras layer without weights, then each column `times` [width] as large."""
    import keras

    class Bend(keras.layers.Layer):  # type: ignore[misc]
        """x -> times x / sqrt(1 + (x / WIDEST)^2), column by column."""

        def call(self, x: Any) -> Any:
            return times * x / keras.ops.sqrt(1 + keras.ops.square(x / WIDEST))

    return Bend()
