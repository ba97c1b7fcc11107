"""Features + labels -> rows. Everything a head learns from is checked here, once.

What a model sees (`load`) and what it is graded on (`truth`) come from different calls. Embeddings stay float16 in one
block per (network, kind); a subset of rows is a view (`take`), and only a batch is ever cast to float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from extract.features import store
from extract.runtime import file_names
from extract.runtime.errors import InputError
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import Task
from heads.data import feature_file, float16, lazy_block
from heads.data.lazy_block import LazyBlock

T = TypeVar("T")

PRESENT = "present"
"""The kind of the column that says where an optional source has features."""
CHUNK = 8192
"""Rows that are cast to float32 at a time where all rows are passed over."""


@dataclass(frozen=True)
class Source:
    """One network's part of a head's columns, e.g. ("enet_b0_8_va_mtl", ("logits", "va"))."""

    network: str
    kinds: tuple[str, ...]
    beside: tuple[str, ...] = ()
    """Kinds that are no columns themselves: temporal columns are made of them."""
    optional: bool = False
    """Frames and videos may lack the network: its columns are 0 there, and so is one more, PRESENT, elsewhere 1."""

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Source:
        """A source that was written as JSON. Raises InputError or ValueError for what `asdict` does not give."""
        network, kinds, beside, optional = raw["network"], raw["kinds"], raw["beside"], raw.get("optional", False)
        for kind in (*kinds, *beside):
            if kind not in (*store.KINDS, feature_file.TABLE):
                raise ValueError(f"a source of {kind!r}")
        if not isinstance(network, str) or not isinstance(optional, bool) or not kinds:
            raise ValueError(f"a source {network!r}")
        return Source(file_names.check("network", network), tuple(kinds), tuple(beside), optional)


@dataclass(frozen=True)
class Block:
    """Columns of one network for all rows: values float16 or float32 [rows, D]."""

    network: str
    kind: str
    """One of extract.features.store.KINDS, "table" (data.feature_file), "temporal", or PRESENT."""
    values: NDArray[np.float16] | NDArray[np.float32] | LazyBlock
    names: tuple[str, ...] = ()
    """[D]; empty: `<kind>.<i>`. Logits: `logits.<class>` where the network's classes are known."""
    relative: bool = False
    """Less the mean of its recording or person (heads.data.relative)."""

    @property
    def columns(self) -> list[str]:
        """`<network>.<name>` of each column."""
        names = self.names or [f"{self.kind}.{i}" for i in range(self.values.shape[1])]
        return [f"{self.network}.{name}" for name in names]


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
    group: NDArray[np.int64] | None = None
    """[videos], where people are known: the number of the group of each of `videos` (splits.groups). Slices and
    folds keep groups together, else videos.
    """

    def __len__(self) -> int:
        return len(self.pick)

    @property
    def width(self) -> int:
        """The number of columns."""
        return sum(block.values.shape[1] for block in self.blocks)

    @property
    def columns(self) -> list[str]:
        """Names as `<network>.<kind>.<i>`, in the order of `batch`."""
        return [name for block in self.blocks for name in block.columns]

    @property
    def ends(self) -> NDArray[np.int64]:
        """[videos + 1]: rows ends[v] to ends[v + 1] - 1 are those of video v. Of rows in their order."""
        return np.searchsorted(self.video, np.arange(len(self.videos) + 1))

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """Of each video its name, its first row and the one behind its last. Of rows in their order."""
        ends = self.ends.tolist()
        return list(zip(self.videos, ends[:-1], ends[1:], strict=True))

    @property
    def present(self) -> dict[str, NDArray[np.bool_]]:
        """Of each optional network, which rows have its features, [N]."""
        return {b.network: b.values[self.pick][:, 0] > 0.5 for b in self.blocks if b.kind == PRESENT}

    def having(self, network: str) -> NDArray[np.bool_]:
        """Which rows have a network's features, [N]: all, where it is not optional."""
        return self.present.get(network, np.ones(len(self), bool))

    def take(self, index: NDArray[np.generic]) -> Rows:
        """The rows at `index` (numbers or mask), as a view: no features are copied."""
        return replace(self, video=self.video[index], frame=self.frame[index], pick=self.pick[index])

    def batch(self, index: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.float32]:
        """Features of the rows at `index`: float32 [n, width], a new array."""
        rows = self.pick[index]
        out = np.empty((len(rows), self.width), np.float32)
        at = 0
        for block in self.blocks:
            if block.values.dtype == np.float16 and not isinstance(block.values, LazyBlock):
                float16.widen(block.values, rows, out, at)
            else:
                out[:, at : at + block.values.shape[1]] = block.values[rows]
            at += block.values.shape[1]
        return out

    def chunks(self) -> Iterator[NDArray[np.float32]]:
        """All rows in order, some thousands at a time."""
        for start in range(0, len(self), CHUNK):
            yield self.batch(slice(start, start + CHUNK))

    def map(self, scores: Callable[[NDArray[np.float32]], NDArray[np.generic]], outputs: int) -> NDArray[np.float32]:
        """What `scores` gives of all rows, [N, outputs], some thousands at a time."""
        out = np.empty((len(self), outputs), np.float32)
        for start, chunk in zip(range(0, len(self), CHUNK), self.chunks(), strict=True):
            out[start : start + CHUNK] = scores(chunk)
        return out


@dataclass(frozen=True)
class LabelledRows:
    """Rows whose truth is known: au uint8 [N, 12], expr int8 [N], va float32 [N, 2] (see heads.abaw.tasks)."""

    rows: Rows
    truth: NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: NDArray[np.generic]) -> LabelledRows:
        """The rows at `index` (numbers or mask) with their truth."""
        return LabelledRows(self.rows.take(index), self.truth[index])


def space_evenly(rows: int, limit: int) -> NDArray[np.int64]:
    """Numbers of `limit` of so many rows, evenly spaced, rising; all where there are no more."""
    return np.arange(rows) if rows <= limit else np.arange(limit) * rows // limit


def read_ahead(read: Callable[[int], T], starts: range) -> Iterator[T]:
    """What is read from each of `starts` on; the next is read while the caller uses this one."""
    if len(starts) < 2:  # nothing to read meanwhile
        yield from map(read, starts)
        return
    with ThreadPoolExecutor(1) as pool:
        coming = [pool.submit(read, start) for start in starts[:1]]
        for start in starts:
            now = coming.pop().result()
            if start != starts[-1]:
                coming.append(pool.submit(read, start + starts.step))
            yield now


Frames = dict[str, NDArray[np.int32]]
"""Video -> frame numbers, rising."""
Widths = dict[tuple[str, str], int]
"""Columns by network and kind."""


def frames(work: Path, sources: Iterable[Source], videos: Iterable[str]) -> Frames:
    """The frames that all networks have, of each video that has any; sorted by video. Reads no features.

    Optional sources have no say.
    """
    sources = tuple(source for source in sources if not source.optional)
    joined = {name: _common_frames(work, sources, name) for name in sorted(set(videos))}
    return {name: values for name, values in joined.items() if len(values)}


def bare(result: Frames) -> Rows:
    """Rows without columns."""
    lengths = [len(items) for items in result.values()]
    numbers = np.concatenate([np.empty(0, np.int32), *result.values()]).astype(np.int32)
    video = np.repeat(np.arange(len(result), dtype=np.int32), lengths)
    return Rows(tuple(result), video, numbers, (), np.arange(len(numbers)))


def load(
    work: Path,
    sources: Iterable[Source],
    videos: Iterable[str],
    extend: Callable[[Rows], Rows] | None = None,
    keep: Mapping[str, NDArray[np.int32]] | None = None,
    on_disk: bool = False,
) -> Rows:
    """Read the features of `videos`: the frames that all networks have, joined on (video, frame).

    `extend` is given every video's rows, all frames of it, the kinds `beside` among their columns, and may add blocks;
    then `keep` says which frames stay (None: all). Each file is read once, and beyond the rows that stay only one
    video is in memory; with `on_disk` embeddings of more than stored.IN_MEMORY bytes are looked through and left where
    they are. Videos without a row have no place in `videos`. Raises InputError for a damaged file, another
    width than in the videos before, a kind of features that is missing, and values that are not finite (naming
    network, video and frame).
    """
    sources = tuple(sources)
    there = frames(work, sources, videos)
    kept = there if keep is None else {v: f[np.isin(f, keep.get(v, ()))] for v, f in there.items()}
    rows = bare({video: group for video, group in kept.items() if len(group)})
    widths: Widths = {}
    blocks: list[Block] = []
    for video, start, end in rows.spans:
        item = _video(work, sources, video, there[video], extend is not None, widths)
        item = hide_beside(extend(item), sources) if extend is not None else item
        if not blocks:
            blocks = [_empty(work, rows, block, on_disk) for block in item.blocks]
        everything = end - start == len(there[video])
        at = slice(None) if everything else np.searchsorted(there[video], kept[video])
        for block, new in zip(blocks, item.blocks, strict=True):
            if not isinstance(block.values, LazyBlock):
                block.values[start:end] = new.values[at]
    return replace(rows, blocks=tuple(blocks))


def hide_beside(rows: Rows, sources: Iterable[Source]) -> Rows:
    """The rows without the kinds of `sources` that are no columns themselves."""
    hidden = {(source.network, kind) for source in sources for kind in source.beside}
    return replace(rows, blocks=tuple(b for b in rows.blocks if (b.network, b.kind) not in hidden))


def _empty(work: Path, rows: Rows, like: Block, on_disk: bool) -> Block:
    """A block of all rows, to be filled; or one that need not be, where it is large and may stay on disk."""
    width = like.values.shape[1]
    if on_disk and like.kind == "embedding" and not like.relative and 2 * len(rows) * width > lazy_block.IN_MEMORY:
        files = ((store.path(work, like.network, video), rows.frame[a:b]) for video, a, b in rows.spans)
        return replace(like, values=lazy_block.embedding(width, files))
    return replace(like, values=np.empty((len(rows), width), like.values.dtype))


def _video(
    work: Path, sources: tuple[Source, ...], video: str, common: NDArray[np.int32], beside: bool, widths: Widths
) -> Rows:
    """One video's rows, all kinds of all networks; `widths` are those of the videos before."""
    blocks = []
    for source in sources:
        path = store.path(work, source.network, video)
        kinds = (*source.kinds, *(source.beside if beside else ()))
        if source.optional:
            own = common
            path, result, there = feature_file.read_filled_rows(work, source.network, video, kinds, common)
        else:
            own, result = feature_file.read(path, kinds, source.network)
        at = slice(None) if len(own) == len(common) else np.searchsorted(own, common)
        for kind in kinds:
            values = feature_file.check_values(result[kind], kind, source.network, video, own, path)
            if (width := widths.setdefault((source.network, kind), values.shape[1])) != values.shape[1]:
                raise InputError(
                    f"{path}: {kind} has {values.shape[1]} columns, in other videos it has {width}; delete the wrong "
                    f"files and run python -m extract.run again"
                )
            blocks.append(Block(source.network, kind, values[at], _names(path, kind, width)))
        if source.optional:
            blocks.append(Block(source.network, PRESENT, there[:, None].astype(np.float32)))
    return replace(bare({video: common}), blocks=tuple(blocks))


def _names(path: Path, kind: str, width: int) -> tuple[str, ...]:
    """`logits.<class>` or `table.<column>` where the file says what they stand for; else none: they are numbered."""
    known = {"logits": feature_file.class_names, feature_file.TABLE: feature_file.column_names}
    names = known[kind](path) if kind in known else ()
    return tuple(f"{kind}.{name}" for name in names) if len(names) == width else ()


def _common_frames(work: Path, sources: tuple[Source, ...], video: str) -> NDArray[np.int32]:
    """The frames of a video that every network has, rising; none where a network has no file of it."""
    paths = [store.path(work, source.network, video) for source in sources]
    if not paths or not all(path.exists() for path in paths):
        return np.empty(0, np.int32)
    return reduce(partial(np.intersect1d, assume_unique=True), [feature_file.index(path)[0] for path in paths])


def truth(
    rows: Rows, annotations: Mapping[str, Annotation], task: Task
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """The annotation of each row: values [N, ...] and whether it is annotated [N].

    Rows of a video without annotation, and frames past an annotation's end, are not annotated.
    """
    values = task.as_truth(np.zeros((len(rows), task.columns), task.dtype))
    valid = np.zeros(len(rows), bool)
    for name, start, end in rows.spans:
        if (annotation := annotations.get(name)) is None:
            continue
        at = rows.frame[start:end] - 1
        inside = at < len(annotation.valid)
        values[start:end][inside] = annotation.values[at[inside]]
        valid[start:end][inside] = annotation.valid[at[inside]]
    return values, valid


def label_rows(rows: Rows, annotations: Mapping[str, Annotation], task: Task) -> LabelledRows:
    """The rows that are annotated, with their truth."""
    values, valid = truth(rows, annotations, task)
    return LabelledRows(rows.take(np.flatnonzero(valid)), values[valid])
