"""Temporal columns: what the frames around a frame look like, per video, as further columns of a table.

Windows are in frame numbers, not rows: frames without features do not count, and a video's ends cut windows off. Nor
do frames count that an optional network lacks: its temporal columns are 0 there, like its others. With w frames on each
side, of the frames that are there,

- mean and std (population) are those of frames t - w to t + w;
- difference is the mean of frames t to t + w less the mean of frames t - w to t: how the value moves. Frame t is on
  both sides, so that it is defined next to gaps and ends as everywhere (0 for a frame that is alone).

Embeddings are first reduced to principal components, learnt from train's rows (those that have the network) and scaled
to variance 1 there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from extract.config import Strict
from extract.runtime import limits
from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_json
from heads.data.arrays import read_tensors, write_tensors
from heads.data.table import Block, Rows

KIND = "temporal"
MOST_TABLES = 1000
"""Windows times statistics of a model: more would only fill memory."""
FLAT = 1e-5
"""A window whose deviation is below this part of the video's is constant: what is left is rounding."""
ROUNDING = 1e-12
HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Components:
    """Principal components of one network's embedding: (x - mean) @ axes, float32 [D] and [D, K], variance 1 each.

    A component in which the rows do not differ (there are more components than dimensions that vary) is 0 everywhere.
    """

    network: str
    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    def of(self, embedding: NDArray[np.float32]) -> NDArray[np.float64]:
        """The components [n, K] of embeddings [n, D]."""
        return ((embedding - self.mean) @ self.axes).astype(np.float64)


@dataclass(frozen=True)
class TemporalColumns:
    """The temporal columns of one head: what the config asks for, and the components learnt for it."""

    tables: tuple[Temporal, ...] = ()
    components: tuple[Components, ...] = ()
    source: str = ""
    """Begins what is said of them: the file that they were read from."""

    def add(self, rows: Rows) -> Rows:
        """The rows with a block per table and network behind their own, which must be all frames of whole videos.

        Blocks of logits and va are float32, those of components float16: they are scaled, and there are many of them.
        """
        if not np.array_equal(rows.pick, np.arange(len(rows))):
            raise ValueError("temporal columns are made of whole videos, not of a part of their rows")
        there, networks = {(b.network, b.kind) for b in rows.blocks}, {b.network for b in rows.blocks}
        for table in self.tables:
            if lacking := [n for n in networks if not table.of.endswith("?") and (n, table.kind) not in there]:
                raise self._misfit(f"rows without the {table.kind} of {lacking[0]}, which temporal columns are made of")
        relative = {(b.network, b.kind) for b in rows.blocks if b.relative}
        blocks = [
            self._block(rows, block, table)
            for table in self.tables
            for block in rows.blocks
            if block.kind == table.kind and block.relative == ((block.network, block.kind) in relative)
        ]
        return replace(rows, blocks=(*rows.blocks, *blocks))

    def _block(self, rows: Rows, block: Block, table: Temporal) -> Block:
        """The columns of one table and network: windows outermost, then statistics, then the values they are of."""
        width, name = block.values.shape[1], f"{block.kind}.{{}}"
        if table.kind == "embedding":
            width, name = min(table.components, width), "embedding.pc{}"
        wanted = [(window, statistic) for window in table.windows for statistic in table.statistics]
        dtype = np.float16 if table.kind == "embedding" else np.float32
        out = np.zeros((len(rows), len(wanted) * width), dtype)
        there = rows.having(block.network)
        for _, start, end in rows.spans:
            own = start + np.flatnonzero(there[start:end])
            values = self._values(rows, block, own, table)
            for i, made in enumerate(statistics(values, rows.frame[own], wanted)):
                out[own, i * width : (i + 1) * width] = np.clip(made, -HALF, HALF) if dtype == np.float16 else made
        names = tuple(f"{name.format(c)}.{statistic}{window}" for window, statistic in wanted for c in range(width))
        return Block(block.network, KIND, out, names)

    def _values(self, rows: Rows, block: Block, own: NDArray[np.int64], table: Temporal) -> NDArray[np.float64]:
        """What the statistics of one video are of, [n, width]; `own` are those of its rows that have the network."""
        if table.kind != "embedding":
            return block.values[own].astype(np.float64)
        wide = block.values.shape[1]
        learnt = next((c for c in self.components if c.network == block.network and len(c.mean) == wide), None)
        if learnt is None or learnt.axes.shape[1] < min(table.components, wide):
            raise self._misfit(
                f"no principal components of the {wide} columns of network {block.network!r}, which temporal columns "
                f"are made of"
            )
        return learnt.of(replace(rows, blocks=(block,)).batch(own))[:, : table.components]

    def _misfit(self, what: str) -> Exception:
        """What to raise for columns that rows do not have: bad input where they were read from a file."""
        return InputError(f"{self.source}: {what}; make the head anew") if self.source else ValueError(what)

    def save(self, folder: Path) -> None:
        """Write temporal.json and, where components were learnt, temporal.safetensors into a folder."""
        write_json(folder / "temporal.json", [table.model_dump(mode="json") for table in self.tables])
        arrays = {f"{c.network} {name}": getattr(c, name) for c in self.components for name in ("mean", "axes")}
        if arrays:
            write_tensors(folder / "temporal.safetensors", arrays)

    @staticmethod
    def load(folder: Path) -> TemporalColumns:
        """Read what `save` wrote: the same columns to the bit. Raises ValueError for files that do not fit together, or
        that ask for more than MOST_TABLES windows of statistics. A network that lacks a kind has no columns of it.
        """
        tables = [Temporal.model_validate(raw) for raw in json.loads((folder / "temporal.json").read_text())]
        if sum(len(table.windows) * len(table.statistics) for table in tables) > MOST_TABLES:
            raise ValueError(f"temporal.json: more than {MOST_TABLES} windows of statistics")
        path = folder / "temporal.safetensors"
        arrays = read_tensors(path) if path.exists() else {}
        results = []
        for name in sorted(name.removesuffix(" mean") for name in arrays if name.endswith(" mean")):
            mean, axes = arrays[f"{name} mean"], arrays[f"{name} axes"]
            if mean.ndim != 1 or axes.ndim != 2 or len(mean) != len(axes):
                raise ValueError(f"temporal.safetensors: {name!r} has the shapes {mean.shape} and {axes.shape}")
            results.append(Components(name, mean, axes))
        return TemporalColumns(tuple(tables), tuple(results), str(folder / "temporal.json"))


def fit(rows: Rows, tables: Sequence[Temporal]) -> TemporalColumns:
    """Learn what the tables need from train's rows: the components of every embedding among them, else nothing.

    An optional network's are learnt from the rows that have it.
    """
    most = max((table.components for table in tables if table.kind == "embedding"), default=0)
    embeddings = [block for block in rows.blocks if most and block.kind == "embedding"]
    learnt = tuple(principal(rows.take(np.flatnonzero(rows.having(b.network))), b, most) for b in embeddings)
    return TemporalColumns(tuple(tables), learnt)


def principal(rows: Rows, block: Block, components: int) -> Components:
    """The first principal components of one block's columns, by their covariance, in float64 and bounded memory.

    Signs are such that the largest entry of an axis is positive.
    """
    only = replace(rows, blocks=(block,))
    width = block.values.shape[1]
    shift = only.batch(slice(0, 1))[0].astype(np.float64) if len(rows) else np.zeros(width)
    total, products = np.zeros(width), np.zeros((width, width))
    for chunk in only.chunks():
        values = chunk - shift  # near the mean, so that the difference of the sums loses no digits
        total += values.sum(0)
        products += values.T @ values
    mean = total / max(len(rows), 1)
    variances, axes = np.linalg.eigh(products / max(len(rows), 1) - np.outer(mean, mean))
    variances, axes = variances[::-1][:components], axes[:, ::-1][:, :components]
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    varies = variances > 1e-9 * max(float(variances[0]), 0.0)
    axes = np.where(varies, axes / np.sqrt(np.where(varies, variances, 1.0)), 0.0)
    return Components(block.network, (mean + shift).astype(np.float32), np.ascontiguousarray(axes, np.float32))


def statistics(
    values: NDArray[np.float64], frame: NDArray[np.int32], wanted: Sequence[tuple[int, str]]
) -> list[NDArray[np.float64]]:
    """Each wanted (window, statistic) of one video's values [n, C] at its rising frame numbers [n]: arrays [n, C].

    By running sums, in time and memory that do not depend on the windows.
    """
    middle = values.mean(0) if len(values) else values.sum(0)
    centred = values - middle
    sums, squares = _running(centred), _running(centred**2)
    at = np.arange(len(values))
    out = []
    for window, statistic in wanted:
        first = np.searchsorted(frame, frame - window)
        behind = np.searchsorted(frame, frame + window, side="right")

        def mean(of: NDArray[np.float64], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.float64]:
            return (of[end] - of[start]) / (end - start)[:, None]

        if statistic == "mean":
            out.append(mean(sums, first, behind) + middle)
        elif statistic == "std":
            variance = mean(squares, first, behind) - mean(sums, first, behind) ** 2
            variance[variance < FLAT**2 * squares[-1] / max(len(values), 1) + (ROUNDING * middle) ** 2] = 0.0
            out.append(np.sqrt(variance))
        else:
            out.append(mean(sums, at, behind) - mean(sums, first, at + 1))
    return out


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, 2, ... rows: [n + 1, C]."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


class Temporal(Strict):
    """Columns that tell of the frames around: statistics per video over windows, aware of gaps (data.temporal)."""

    of: Literal["logits", "va", "embedding", "table", "logits?", "va?", "embedding?", "table?"]
    """What they are made of, an input or not; with a `?` where a network has it. An embedding is first reduced to
    `components` principal components of train's rows.
    """
    windows: list[int] = Field(default=[5, 25], min_length=1)
    """Frames on each side; "difference" looks this far back and ahead."""
    statistics: list[Literal["mean", "std", "difference"]] = Field(default=["mean", "std", "difference"], min_length=1)
    components: int = Field(default=16, ge=1)

    @field_validator("windows")
    @classmethod
    def _some_frames(cls, value: list[int]) -> list[int]:
        if min(value) < 1 or len(set(value)) < len(value) or max(value) > limits.FRAMES:
            raise ValueError(f"windows are different whole numbers of frames, 1 to {limits.FRAMES:,}")
        return value

    @property
    def kind(self) -> str:
        """`of` without its question mark."""
        return self.of.removesuffix("?")
