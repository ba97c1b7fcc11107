"""Features + labels -> rows. Everything a head learns from is checked here, once.

What a model sees (`load`) and what it is graded on (`truth`) come from different calls. Embeddings stay float16 in one
block per (network, kind); a subset of rows is a view (`take`), and only a batch is ever cast to float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract import store
from extract.errors import InputError
from heads.labels import Annotation
from heads.tasks import Task

CHUNK = 8192
"""Rows that are cast to float32 at a time where all rows are passed over."""


@dataclass(frozen=True)
class Source:
    """One network's part of a head's columns, e.g. ("enet_b0_8_va_mtl", ("logits", "va"))."""

    network: str
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One kind of features of one network for all rows: values float16 or float32 [rows, D]."""

    network: str
    kind: str
    values: NDArray[np.float16] | NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """Frames with features, sorted by (video, frame); no labels. `pick` are the rows of the blocks that these are."""

    videos: tuple[str, ...]
    video: NDArray[np.int32]
    """[N]: index into `videos`."""
    frame: NDArray[np.int32]
    """[N]: 1-based frame numbers."""
    blocks: tuple[Block, ...]
    pick: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pick)

    @property
    def width(self) -> int:
        """The number of columns."""
        return sum(block.values.shape[1] for block in self.blocks)

    @property
    def columns(self) -> list[str]:
        """`<network>.<kind>.<i>`, in the order of `batch`."""
        return [f"{b.network}.{b.kind}.{i}" for b in self.blocks for i in range(b.values.shape[1])]

    def take(self, index: NDArray[np.generic]) -> Rows:
        """The rows at `index` (numbers or mask), as a view: no features are copied."""
        return replace(self, video=self.video[index], frame=self.frame[index], pick=self.pick[index])

    def batch(self, index: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.float32]:
        """Features of the rows at `index`: float32 [n, width], a new array."""
        rows = self.pick[index]
        out = np.empty((len(rows), self.width), np.float32)
        at = 0
        for block in self.blocks:
            out[:, at : (at := at + block.values.shape[1])] = block.values[rows]
        return out

    def chunks(self) -> Iterator[NDArray[np.float32]]:
        """All rows in order, some thousands at a time."""
        for start in range(0, len(self), CHUNK):
            yield self.batch(slice(start, start + CHUNK))


@dataclass(frozen=True)
class Labelled:
    """Rows whose truth is known: au uint8 [N, 12], expr int8 [N], va float32 [N, 2] (see heads.tasks)."""

    rows: Rows
    truth: NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: NDArray[np.generic]) -> Labelled:
        """The rows at `index` (numbers or mask) with their truth."""
        return Labelled(self.rows.take(index), self.truth[index])


def load(work: Path, sources: Iterable[Source], videos: Iterable[str]) -> Rows:
    """Read the features of `videos`: the frames that all networks have, joined on (video, frame).

    Videos without any such frame have no rows. Raises InputError for a damaged file, another width than in the videos
    before, a kind of features that is missing, and values that are not finite (naming network, video and frame).
    """
    sources = tuple(sources)
    names = sorted(set(videos))
    joined = {name: _common_frames(work, sources, name) for name in names}
    names = [name for name in names if len(joined[name])]
    ends = np.cumsum([0, *(len(joined[name]) for name in names)])
    blocks: dict[tuple[str, str], NDArray[np.generic]] = {}
    for name, start, end in zip(names, ends[:-1], ends[1:], strict=True):
        for source in sources:
            path = store.path(work, source.network, name)
            features = store.read(path)
            keep = np.searchsorted(features.frame, joined[name])
            for kind in source.kinds:
                values = _checked(getattr(features, kind), kind, source.network, name, features.frame, path)
                block = blocks.get((source.network, kind))
                if block is None:
                    block = blocks[source.network, kind] = np.empty((ends[-1], values.shape[1]), values.dtype)
                if block.shape[1] != values.shape[1]:
                    raise InputError(
                        f"{path}: {kind} has {values.shape[1]} columns, in other videos it has "
                        f"{block.shape[1]}; delete the wrong files and run python -m extract.run again"
                    )
                block[start:end] = values[keep]
    return Rows(
        tuple(names),
        np.repeat(np.arange(len(names), dtype=np.int32), np.diff(ends)),
        np.concatenate([joined[name] for name in names]) if names else np.empty(0, np.int32),
        tuple(Block(network, kind, values) for (network, kind), values in blocks.items()),
        np.arange(ends[-1]),
    )


def _common_frames(work: Path, sources: tuple[Source, ...], video: str) -> NDArray[np.int32]:
    """The frames of a video that every network has, rising; none where a network has no file of it."""
    common: NDArray[np.int32] | None = None
    for source in sources:
        path = store.path(work, source.network, video)
        if not path.exists():
            return np.empty(0, np.int32)
        frames = index(path)[0]
        common = frames if common is None else np.intersect1d(common, frames, assume_unique=True)
    return common if common is not None else np.empty(0, np.int32)


def _checked(
    values: NDArray[np.generic] | None, kind: str, network: str, video: str, frames: NDArray[np.int32], path: Path
) -> NDArray[np.generic]:
    if values is None:
        raise InputError(
            f"{path}: no {kind} in it, which other videos of network {network!r} have; delete the file "
            f"and run python -m extract.run again"
        )
    if len(values) != len(frames):
        raise InputError(
            f"{path}: {kind} has {len(values)} rows, frame has {len(frames)}; delete the file and run "
            f"python -m extract.run again"
        )
    finite = np.isfinite(values).all(1)
    if not finite.all():
        raise InputError(
            f"{path}: network {network!r}, video {video!r}, frame {frames[(~finite).argmax()]}: {kind} is "
            f"not finite ({int((~finite).sum())} such frames); correct the network or the imported table"
        )
    return values


def index(path: Path) -> tuple[NDArray[np.int32], dict[str, int]]:
    """A feature file's frame numbers, and its kinds with their widths, without reading the features.

    Raises InputError for a damaged file and for frame numbers that do not rise.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as handle:
            frames = handle.get_tensor("frame")
            widths = {kind: handle.get_slice(kind).get_shape()[1] for kind in store.KINDS if kind in handle.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: damaged feature file ({error}); delete it and run python -m extract.run again"
        ) from error
    if (np.diff(frames) <= 0).any() or (frames < 1).any():
        raise InputError(
            f"{path}: frame numbers must start at 1 or later and rise; delete the file and run "
            f"python -m extract.run again"
        )
    return frames.astype(np.int32), widths


def truth(rows: Rows, annotations: dict[str, Annotation], task: Task) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """The annotation of each row: values [N, ...] and whether it is annotated [N].

    Rows of a video without annotation, and frames past an annotation's end, are not annotated.
    """
    shape = (len(rows), len(task.outputs)) if task.name != "expr" else (len(rows),)
    values = np.zeros(shape, {"au": np.uint8, "expr": np.int8, "va": np.float32}[task.name])
    valid = np.zeros(len(rows), bool)
    ends = np.searchsorted(rows.video, np.arange(len(rows.videos) + 1))
    for name, start, end in zip(rows.videos, ends[:-1], ends[1:], strict=True):
        if (annotation := annotations.get(name)) is None:
            continue
        at = rows.frame[start:end] - 1
        inside = at < len(annotation.valid)
        values[start:end][inside] = annotation.values[at[inside]]
        valid[start:end][inside] = annotation.valid[at[inside]]
    return values, valid


def labelled(rows: Rows, annotations: dict[str, Annotation], task: Task) -> Labelled:
    """The rows that are annotated, with their truth."""
    values, valid = truth(rows, annotations, task)
    return Labelled(rows.take(np.flatnonzero(valid)), values[valid])


def check_annotations(
    folder: Path, annotations: dict[str, Annotation], last: dict[str, int], missing_tail: float
) -> int:
    """Refuse annotations that do not belong to these frames; `last` is each video's last frame with features.

    Returns how many annotated videos have no features at all (no face was found): not an error, unless it is all of
    them. Raises InputError for an annotation of which more than `missing_tail` lies behind the video's last face.
    """
    faceless = [video for video in annotations if last.get(video, 0) == 0]
    if len(faceless) == len(annotations):
        raise InputError(
            f"{folder}: none of its {len(annotations)} videos has features (first: {faceless[0]!r}); do "
            f"corpus.frames and this folder belong together?"
        )
    for video, annotation in annotations.items():
        lines, end = len(annotation.valid), last.get(video, 0)
        if end and lines - end > missing_tail * lines:
            raise InputError(
                f"{folder / (video + '.txt')}: line {end + 2}: the annotation goes on for {lines - end} of its {lines} "
                f"frames behind the video's last frame with a face ({end}); expected at most {missing_tail:.0%} of it: "
                f"is it another video's file? If it is right, raise corpus.missing_tail"
            )
    return len(faceless)
