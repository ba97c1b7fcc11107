"""Pools of Aff-Wild2's size for the benchmark: real numbers of videos and frames, real gaps, invented scores.

Every output of a video is AR(1) in time around an offset of its own; heads see it with errors that are AR(1) too, of
growing size. Lengths and gaps are those of a table of real frames, or invented ones like them (heads.bench.frames).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blend.pool import gap_filling
from blend.pool.pool import Pool, Truth
from heads.abaw.tasks import TASKS, Task
from heads.bench import frames as bench_frames
from heads.bench.frames import Frames

SIZES = {"au": (105, 445_836), "expr": (70, 280_532), "va": (76, 376_323)}
"""Videos and annotated frames with a face of Aff-Wild2's validation parts, as published."""
TEST = (141, 729_736)
"""Videos and lines of the AU test list of ABAW-5."""
HEADS = 6
MEMORY = 0.97
ERRORS = np.linspace(0.8, 1.8, HEADS)
"""Standard deviation of a head's error; that of what it predicts is 1."""
RATES = (0.140, 0.091, 0.154, 0.251, 0.398, 0.350, 0.253, 0.030, 0.025, 0.029, 0.649, 0.106)
"""How often each unit occurs in the AU validation part, as published."""
DRAWS = 500


@dataclass(frozen=True)
class Sparse:
    """What the heads have of one video: frames [n] and scores [H, n, C]; the truth of these frames."""

    frames: NDArray[np.int32]
    scores: NDArray[np.float32]
    truth: NDArray[np.generic]


def draw_frames(table: Path | None, videos: int, frames: int, seed: int) -> Frames:
    """`videos` videos with `frames` frames in all: of many draws the nearest, its longest video cut or stretched."""
    result = bench_frames.read(table) if table else bench_frames.invent(seed)
    names = np.array(sorted(result))
    lengths = np.array([len(result[name]) for name in names])
    rng = np.random.default_rng(seed)
    draws = [rng.permutation(len(names))[:videos] for _ in range(DRAWS)]
    chosen = min(draws, key=lambda values: abs(int(lengths[values].sum()) - frames))
    picked = {str(name): result[str(name)] for name in sorted(names[chosen])}
    longest = max(picked, key=lambda name: len(picked[name]))
    left = frames - sum(len(group) for name, group in picked.items() if name != longest)
    own = picked[longest][:left]
    more = np.arange(1, left - len(own) + 1, dtype=np.int32) + own[-1]
    picked[longest] = np.concatenate([own, more]).astype(np.int32)
    return picked


def make(name: str, table: Path | None, scale: float, seed: int) -> tuple[Pool, dict[str, Sparse]]:
    """The pool of a task, gaps filled, and the same predictions as the heads have them. `scale` leaves a part of it."""
    task, (videos, frames) = TASKS[name], SIZES[name]
    few = max(2, round(videos * scale))
    there = draw_frames(table, few, round(frames * scale), seed)
    sparse = {video: _video(task, subset, [seed, i]) for i, (video, subset) in enumerate(there.items())}
    lengths = [int(group[-1]) for group in there.values()]
    offsets = gap_filling.find_offsets(lengths)
    scores = np.empty((HEADS, int(offsets[-1]), len(task.outputs)), np.float32)
    present = np.zeros(scores.shape[1], bool)
    for v, part in enumerate(sparse.values()):
        present[offsets[v] + part.frames - 1] = True
        for h in range(HEADS):
            scores[h, offsets[v] : offsets[v + 1]] = gap_filling.fill(part.frames, part.scores[h], lengths[v])
    truth = Truth(np.flatnonzero(present), np.concatenate([part.truth for part in sparse.values()]))
    heads = tuple(f"head{h}" for h in range(HEADS))
    return Pool(task, heads, tuple(there), offsets, scores, present, truth), sparse


def _video(task: Task, frames: NDArray[np.int32], seed: list[int]) -> Sparse:
    """One video's truth and what the heads make of it, at its frames with a face."""
    from scipy.signal import lfilter
    from scipy.stats import norm

    rng = np.random.default_rng(seed)
    channels = len(task.outputs)

    def walk(count: int) -> NDArray[np.float32]:
        noise = rng.standard_normal((count, len(frames), channels), np.float32)
        noise[:, 1:] *= np.float32(np.sqrt(1 - MEMORY**2))
        return np.asarray(lfilter([1.0], [1.0, -MEMORY], noise, axis=1), np.float32)

    state = walk(1)[0] + 0.5 * rng.standard_normal(channels, np.float32)
    seen = state + ERRORS[:, None, None].astype(np.float32) * walk(HEADS)
    if task.is_multilabel:
        cut = norm.isf(RATES).astype(np.float32) * np.float32(np.sqrt(1.25))  # above it with these probabilities
        return Sparse(frames, 1 / (1 + np.exp(2 * (cut - seen))), (state > cut).astype(np.uint8))
    if task.is_multiclass:
        raised = np.exp(seen - seen.max(-1, keepdims=True))
        return Sparse(frames, raised / raised.sum(-1, keepdims=True), state.argmax(-1).astype(np.int8))
    return Sparse(frames, np.tanh(0.5 * seen), np.tanh(0.5 * state))
