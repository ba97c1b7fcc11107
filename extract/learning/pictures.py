"""Pictures as batches: their order in an epoch, decoded ahead by threads, mirrored, normalised.

The order and the mirroring of an epoch follow from the seed and its number alone, so a run that goes on at some step
sees what an undisturbed one sees. Videos are cut into pieces, the pieces shuffled, and the stream of frames goes
through a buffer of bounded size. Of pictures, never more than a few batches are in memory.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from extract.features.pipeline import cores
from extract.media import images
from extract.networks.registry import Network
from extract.runtime import inputs
from extract.runtime.errors import InputError
from extract.runtime.process import thread_limit
from extract.runtime.run_folder import fingerprint, write_json

PIECE = 256
"""Frames of a video that stay together in the stream."""
BATCHES_AHEAD = 3


@dataclass(frozen=True)
class Pictures:
    """Row i is the picture `names[i]` in `folders[video[i]]`."""

    folders: tuple[Path, ...]
    video: NDArray[np.int32]
    """[N], rising."""
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def path(self, row: int) -> Path:
        """Where a picture lies."""
        return self.folders[self.video[row]] / self.names[row]

    def mark(self) -> str:
        """Fingerprint of which pictures there are and of the size of each folder's first: enlarged or cropped anew,
        all may have the names of before. Not of their folders' place.
        """
        return fingerprint(self._describe())

    def take(self, wanted: NDArray[np.bool_]) -> Self:
        """Some of the pictures, by a mask [N]; folders that have none left go."""
        rows = np.flatnonzero(wanted)
        used, video = np.unique(self.video[rows], return_inverse=True)
        folders, names = tuple(self.folders[v] for v in used), tuple(self.names[row] for row in rows)
        return replace(self, folders=folders, video=video.astype(np.int32), names=names)

    def _describe(self) -> list[object]:
        videos = [[folder.name, int(n)] for folder, n in zip(self.folders, np.bincount(self.video), strict=False)]
        firsts = np.searchsorted(self.video, np.arange(len(self.folders)))
        return [videos, self.names, [inputs.file_size(self.path(int(row))) for row in firsts]]


@dataclass(frozen=True)
class LabelledPictures(Pictures):
    """Annotated frames."""

    truth: NDArray[np.generic]
    """[N] of classes, or [N, outputs]."""

    def take(self, wanted: NDArray[np.bool_]) -> Self:
        """Some of the pictures with their labels."""
        return replace(super().take(wanted), truth=self.truth[wanted])

    def _describe(self) -> list[object]:
        truth = np.ascontiguousarray(self.truth)
        return [*super()._describe(), truth.dtype.str, truth.tobytes().hex()]


@dataclass
class Unreadable:
    """Pictures that could not be read, and why: left out, wherever they come again."""

    reasons: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    """Their files' bytes at that moment: another size, and the picture was mended."""

    def add(self, path: Path, error: Exception) -> None:
        """Remember one."""
        self.reasons.setdefault(str(path), str(error))
        self.sizes.setdefault(str(path), inputs.file_size(path))


FAILURES = "failures.json"
MAX_NAMES = 5
"""Unreadable pictures named on screen; all of them are in failures.json."""


def write_failures(folder: Path, reasons: Mapping[str, str], sizes: Mapping[str, int]) -> None:
    """Write which pictures could not be read, why, and how large their files were."""
    write_json(folder / FAILURES, {path: {"why": why, "bytes": sizes[path]} for path, why in reasons.items()})


def has_mended_pictures(folder: Path) -> bool:
    """Whether a picture that a finished network was made without is another file now."""
    failures = json.loads((folder / FAILURES).read_text(encoding="utf-8"))
    return any(inputs.file_size(Path(path)) != failure["bytes"] for path, failure in failures.items())


def print_failures(folder: Path) -> bool:
    """Say on stderr which pictures a finished network was made without; returns whether there are some."""
    failures = json.loads((folder / FAILURES).read_text(encoding="utf-8"))
    if failures:
        named = [f"{path}: {failure['why']}" for path, failure in [*failures.items()][:MAX_NAMES]]
        print("\n".join(named), file=sys.stderr)
        print(
            f"{len(failures)} pictures could not be read and were left out: {folder / FAILURES}; replace them and "
            f"run the same command again: the network is made anew where their sizes changed, or with --redo",
            file=sys.stderr,
        )
    return bool(failures)


def space_evenly(rows: int, limit: int) -> NDArray[np.int64]:
    """Numbers of at most so many of the rows, evenly spaced."""
    return np.linspace(0, rows - 1, min(rows, limit)).round().astype(np.int64)


def draw_order(data: Pictures, seed: int, epoch: int, buffer: int) -> NDArray[np.int64]:
    """Rows [N] in an epoch's order: pieces of videos in random order, through a buffer of which each next is drawn."""
    rng = np.random.default_rng([seed, epoch])
    starts = np.flatnonzero(np.diff(data.video, prepend=-1))
    bounds = [*starts.tolist(), len(data)]
    pieces = [
        np.arange(at, min(at + PIECE, end)) for start, end in pairwise(bounds)
        for at in range(start, end, PIECE)
    ]  # fmt: skip
    stream = np.concatenate([pieces[i] for i in rng.permutation(len(pieces))])
    held, rest = stream[:buffer].copy(), stream[buffer:]
    drawn = rng.integers(0, len(held), len(rest))
    out = np.empty(len(stream), np.int64)
    for i, (place, row) in enumerate(zip(drawn.tolist(), rest.tolist(), strict=True)):
        out[i] = held[place]
        held[place] = row
    out[len(rest) :] = rng.permutation(held)
    return out


def draw_flips(data: Pictures, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which rows [N] an epoch mirrors: about half."""
    return np.random.default_rng([seed, epoch, 1]).random(len(data)) < 0.5


def read_batches(
    data: Pictures,
    rows: NDArray[np.int64],
    size: int,
    network: Network,
    unreadable: Unreadable,
    flips: NDArray[np.bool_] | None = None,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Batches of `size` rows in the given order: pixels [n, 3, side, side], normalised, and which rows they are.
    Pictures that cannot be read are left out: a batch may be empty. Raises InputError where the fault is a disk's, or
    of rights, and may pass: what is left out would depend on the moment.
    """
    mean = np.asarray(network.mean, np.float32)[:, None, None]
    scale = np.asarray(network.std, np.float32)[:, None, None]
    waiting: deque[tuple[NDArray[np.int64], list[Future[NDArray[np.uint8]]]]] = deque()

    def collect() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        chosen, futures = waiting.popleft()
        there, pictures = [], []
        for row, decoded in zip(chosen.tolist(), futures, strict=True):
            try:
                pixels = decoded.result().transpose(2, 0, 1)
            except images.UnreadablePicture as error:
                if error.passing:
                    raise InputError(
                        f"{data.path(row)}: {error}, expected a picture: the disk or the rights are at fault, not the "
                        f"picture; run the same command again when it can be read: it goes on from the last checkpoint"
                    ) from error
                unreadable.add(data.path(row), error)
                continue
            there.append(row)
            pictures.append(pixels[:, :, ::-1] if flips is not None and flips[row] else pixels)
        if not there:
            return np.empty((0, 3, network.size, network.size), np.float32), np.empty(0, np.int64)
        values = np.stack(pictures).astype(np.float32) / np.float32(255)
        return (values - mean) / scale, np.array(there, np.int64)

    with ThreadPoolExecutor(thread_limit() or cores()) as pool:
        try:
            for at in range(0, len(rows), size):
                chosen = rows[at : at + size]
                read = [pool.submit(images.read, data.path(row), network.size, network.colour) for row in chosen]
                waiting.append((chosen, read))
                if len(waiting) > BATCHES_AHEAD:
                    yield collect()
            while waiting:
                yield collect()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
