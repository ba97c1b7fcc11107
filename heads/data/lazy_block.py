"""Embeddings that stay in their feature files: a block's values, read from disk where they are asked for.

All embeddings of Aff-Wild2's AU train are 3.5 GB for one network. A family that takes clips needs some at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from extract.runtime.errors import InputError
from heads.data import feature_file

IN_MEMORY = 2**29
"""Bytes of embeddings that are read once and kept all the same, for a family that could do without."""
MAX_GAP = 64
"""Rows that are read for nothing, rather than beginning another reading behind them."""


@dataclass(frozen=True)
class LazyBlock:
    """Like a float16 array [rows, width], for reading: rows in runs, each of one file, cost one reading a run."""

    files: tuple[Path, ...]
    ends: NDArray[np.int64]
    """[files + 1]: rows ends[f] to ends[f + 1] - 1 are of file f."""
    at: NDArray[np.int64]
    """[rows]: which row of its file each is; -1: none, its values are 0."""
    width: int
    file_states: dict[Path, tuple[int, ...]]
    """Of each file, what tells that it is replaced or written to (`_seen`): rows are not compared with hashes."""
    dtype: ClassVar[np.dtype[np.float16]] = np.dtype(np.float16)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width, as an array has them."""
        return len(self.at), self.width

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, rows: NDArray[np.integer[Any]] | slice) -> NDArray[np.float16]:
        """The values of these rows, [n, width], a new array. Raises InputError for a file that was lost or damaged."""
        index = np.arange(len(self))[rows]
        out = np.zeros((len(index), self.width), np.float16)
        file = np.searchsorted(self.ends, index, side="right") - 1
        at = self.at[index]
        there = np.flatnonzero(at >= 0)
        apart = (np.diff(file[there]) != 0) | (np.diff(at[there]) < 1) | (np.diff(at[there]) > MAX_GAP)
        for run in np.split(there, np.flatnonzero(apart) + 1) if len(there) else []:
            out[run] = self._read(self.files[file[run[0]]], at[run])
        return out

    def _read(self, path: Path, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Rising rows of one file."""
        from safetensors import SafetensorError, safe_open

        first = int(rows[0])
        try:
            if _seen(path) != self.file_states[path]:
                raise OSError("it is another file than before")
            with safe_open(path, framework="numpy") as handle:
                result = handle.get_slice("embedding")[first : int(rows[-1]) + 1]
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: changed or damaged while it was read ({error}); start again") from error
        return result[rows - first]  # type: ignore[no-any-return]


def embedding(width: int, videos: Iterable[tuple[Path, NDArray[np.int32]]]) -> LazyBlock:
    """The embeddings of videos, each given by its feature file and its frames, rising; 0 where a file lacks them."""
    files, at = [], []
    for path, frames in videos:
        files.append(path)
        own = feature_file.index(path)[0] if path.exists() else np.empty(0, np.int32)
        place = np.searchsorted(own, frames)
        at.append(np.where(np.isin(frames, own), place, -1))
    ends = np.concatenate([[0], np.cumsum([len(values) for values in at])]).astype(np.int64)
    whole = np.concatenate([np.empty(0, np.int64), *at])
    return LazyBlock(tuple(files), ends, whole, width, {path: _seen(path) for path in files})


def _seen(path: Path) -> tuple[int, ...]:
    """Inode, size and time of change of a file; nothing of none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return ()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
