"""The report's timeline: truth, heads, blend, decisions and gaps of every video, small enough for one page.

Values are rounded to hundredths, averaged over `stride` frames (1 wherever everything fits into BUDGET bytes), stored
as differences along time and compressed. The page unpacks one video at a time (report.js).
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.crossfit.outcome import BlendResult
from blend.decision import combine
from blend.decision.params import Params
from blend.pool.pool import Pool

BUDGET = 1_800_000
"""Bytes of all videos, compressed; text is a third longer."""
ROWS_PER_BYTE = 6
"""How much smaller compression makes it at least, for a first guess of the stride."""
LINES = 36
"""Curves per video, outputs times heads and blend, where there are many frames."""
FEW_FRAMES = 60_000
"""With so few frames all heads are shown, up to MOST_HEADS."""
MOST_HEADS = 6
OFF, PARTLY, ON, UNKNOWN = 0, 1, 2, 3
MISSING_VALUE = 255
"""va: where other values are 0 (-1) to 200 (1)."""


@dataclass(frozen=True)
class Timeline:
    """What the page needs: facts for all videos, and a base64 text per video."""

    about: dict[str, Any]
    data: tuple[str, ...]


def make(pool: Pool, outcome: BlendResult, budget: int = BUDGET) -> Timeline:
    """The timeline of params.json's blend and of the heads that are best on held-out videos."""
    params = outcome.selected_blend.params
    heads = shown_heads(pool, outcome)
    lines = Lines.from_pool(pool, params, heads)
    stride, packed = _packed(pool, lines, budget)
    about = {
        "outputs": list(pool.task.outputs), "heads": [pool.heads[h] for h in heads], "stride": stride,
        "low": pool.task.lowest, "thresholds": list(params.thresholds) if params.thresholds is not None else None,
        "frames": np.diff(pool.offsets).tolist(), "names": list(pool.videos),
    }  # fmt: skip
    return Timeline(about, tuple(base64.b64encode(item).decode("ascii") for item in packed))


def shown_heads(pool: Pool, outcome: BlendResult) -> list[int]:
    """Numbers of the heads that get a curve, the best first: as many as LINES allow, at least one."""
    ranked = [pool.heads.index(head) for head in outcome.distinct()]
    fit = max(1, LINES // len(pool.task.outputs) - 1)
    return ranked[: MOST_HEADS if pool.offsets[-1] <= FEW_FRAMES else min(fit, MOST_HEADS)]


@dataclass(frozen=True)
class Lines:
    """Everything on all T frames: blend [T, C], heads [H, T, C], truth and decisions [T, C], present [T]."""

    blend: NDArray[np.float32]
    heads: NDArray[np.float32]
    truth: NDArray[np.uint8]
    """au, expr: OFF, ON or UNKNOWN; va: hundredths above -1, or MISSING_VALUE."""
    decisions: NDArray[np.uint8] | None
    """au, expr: 0 or 1; va's decisions are its blend."""
    present: NDArray[np.bool_]

    @staticmethod
    def from_pool(pool: Pool, params: Params, heads: Sequence[int]) -> Lines:
        """Of a pool with truth and a blend."""
        task, outputs = pool.task, len(pool.task.outputs)
        decided = combine.combine(pool, params)
        rows, values = pool.known_truth.rows, pool.known_truth.values
        if task.is_regression:
            truth = np.full((len(decided), outputs), MISSING_VALUE, np.uint8)
            truth[rows] = np.rint((values.astype(np.float32) + 1) * 100)
            return Lines(np.asarray(decided, np.float32), pool.scores[list(heads)], truth, None, pool.present)
        truth = np.full((len(decided), outputs), UNKNOWN, np.uint8)
        truth[rows] = ON * task.as_columns(values, np.uint8)
        taken = np.asarray(task.as_columns(decided, np.uint8), np.uint8)
        return Lines(combine.blend(pool, params), pool.scores[list(heads)], truth, taken, pool.present)

    def pack(self, first: int, last: int, stride: int, low: int) -> bytes:
        """Frames first .. last - 1, compressed: rows of bins, differences along time."""
        starts = np.arange(0, last - first, stride)
        here = slice(first, last)
        rows = [_levels(_means(self.blend[here], starts), low)]
        rows += [_levels(_means(head[here], starts), low) for head in self.heads]
        if self.decisions is None:
            middle = np.minimum(starts + stride // 2, last - first - 1)
            rows.append(self.truth[here][middle].T)
        else:
            rows.append(_states(self.truth[here], starts))
            rows.append(_states(self.decisions[here] * np.uint8(ON), starts))
        rows.append(_states(self.present[here, None].astype(np.uint8) * np.uint8(ON), starts))
        table = np.concatenate(rows)
        table[:, 1:] -= table[:, :-1].copy()  # modulo 256
        return zlib.compress(table.tobytes(), 6, wbits=31)


def _packed(pool: Pool, lines: Lines, budget: int) -> tuple[int, list[bytes]]:
    """The smallest stride that fits, nearly, and every video's bytes."""
    low = pool.task.lowest
    values = lines.blend.size + lines.heads.size + lines.truth.size
    stride = max(1, values // (budget * ROWS_PER_BYTE))
    while True:
        ends = zip(pool.offsets[:-1], pool.offsets[1:], strict=True)
        packed = [lines.pack(int(a), int(b), stride, low) for a, b in ends]
        size = sum(map(len, packed))
        if size <= budget or stride >= int(np.diff(pool.offsets).max()):
            return stride, packed
        stride = max(stride + 1, math.ceil(stride * 0.98 * size / budget))


def _means(values: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean of every bin: [n, C] -> [bins, C]."""
    if len(starts) == len(values):
        return values
    sizes = np.diff(np.append(starts, len(values))).astype(np.float32)
    return np.asarray(np.add.reduceat(values, starts, axis=0) / sizes[:, None], np.float32)


def _levels(values: NDArray[np.float32], low: int) -> NDArray[np.uint8]:
    """Hundredths above `low`: [bins, C] -> [C, bins]."""
    return np.rint((np.clip(values, low, 1) - low) * 100).astype(np.uint8).T


def _states(values: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """OFF, ON and UNKNOWN of every bin; PARTLY where its frames differ: [n, C] -> [C, bins]."""
    if len(starts) == len(values):
        return values.T.copy()
    least, most = np.minimum.reduceat(values, starts, axis=0), np.maximum.reduceat(values, starts, axis=0)
    return np.where(least == most, most, PARTLY).astype(np.uint8).T
