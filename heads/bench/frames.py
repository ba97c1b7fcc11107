"""Which frames of which videos the benchmark's corpus has: real ones from a table, or invented ones like them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.runtime.errors import InputError
from extract.runtime.run_folder import file_hash

PUBLISHED_COUNTS = {"train": (295, 1_356_694), "val": (105, 445_836)}
"""Videos and annotated frames with a face of Aff-Wild2's AU parts, as published."""
DRAWS = 2000
FEWEST = 40
"""Frames that a video keeps at least."""
VIDEOS = 594
LENGTHS = np.fromstring(
    "31 426 1159 1688 1980 2276 2602 2878 3092 3358 3622 3923 4321 4585 5120 5635 6587 7776 9110 11815 26000", sep=" "
)
"""Frames with a face per video of Aff-Wild2, every twentieth of their distribution from the shortest to the longest.
(The longest has 46,949; 26,000 gives the longest twentieth about its mean.)
"""
MISSING = np.fromstring(
    "0 0 0 0 .0007 .0014 .0028 .0047 .0069 .0088 .0114 .0147 .0211 .0312 .0394 .0581 .0839 .1239 .2147 .3324 1", sep=" "
)
"""The part of a video's frames that has no face, likewise."""
MOST_MISSING = 0.5
"""It is the short videos that lack more."""
GAPS = np.fromstring("1 1 1 1 1 1 1 1 1 1 2 2 2 3 3 4 5 7 11 23 2104", sep=" ")
"""Frames without a face in a row, likewise."""

Frames = dict[str, NDArray[np.int32]]
"""Video -> numbers of its frames with a face, rising."""
Parts = dict[str, Frames]


def choose(table: Path | None, scale: float, seed: int) -> tuple[Parts, str]:
    """The frames of train and val, sorted by video, and what they were chosen from (a hash, for a mark).

    Of many seeded draws the one nearest to Aff-Wild2's numbers of videos and frames. `scale` s leaves about s of the
    frames: sqrt(s) of the videos, and of each the first sqrt(s). Raises InputError for a table that is none.
    """
    if not 0 < scale <= 1:
        raise InputError(f"--scale {scale:g}: expected a number above 0, at most 1")
    result = read(table) if table else invent(seed)
    share = scale**0.5
    names, rng = np.array(sorted(result)), np.random.default_rng(seed)
    lengths = np.array([len(result[name]) for name in names])
    best: tuple[float, list[NDArray[np.int64]]] = (np.inf, [])
    for _ in range(DRAWS):
        order, at, off, picked = rng.permutation(len(names)), 0, 0.0, []
        for videos, frames in PUBLISHED_COUNTS.values():
            picked.append(order[at : (at := at + videos)])
            off += abs(lengths[picked[-1]].sum() / frames - 1)
        if off < best[0]:
            best = (off, picked)
    parts = {}
    for part, numbers in zip(PUBLISHED_COUNTS, best[1], strict=True):
        few = sorted(str(names[i]) for i in numbers[: max(2, round(share * len(numbers)))])
        most = {name: max(min(FEWEST, len(result[name])), round(share * len(result[name]))) for name in few}
        parts[part] = {name: result[name][: most[name]] for name in few}
    return parts, file_hash(table) if table else "invented"


def read(path: Path) -> Frames:
    """A Parquet table with the columns `video` and `frame`, one row a frame with a face. Raises InputError."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        columns = parquet.read_table(path, columns=["video", "frame"])
        video = columns["video"].cast(pa.string()).combine_chunks().dictionary_encode()
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise InputError(f"{path}: no Parquet table with columns 'video' and 'frame' ({error})") from error
    frame = columns["frame"].to_numpy().astype(np.int32)
    names, number = video.dictionary.to_pylist(), video.indices.to_numpy()
    order = np.lexsort((frame, number))
    ends = np.cumsum(np.bincount(number))[:-1]
    result = dict(zip(names, np.split(frame[order], ends), strict=True))
    wanted = sum(videos for videos, _ in PUBLISHED_COUNTS.values())
    if len(result) < wanted or frame.min() < 1:
        raise InputError(f"{path}: {len(result)} videos, expected {wanted} or more, with frames numbered from 1")
    return result


def invent(seed: int) -> Frames:
    """Videos with lengths and gaps of the same distribution as the real ones."""
    rng = np.random.default_rng([seed, 1])
    grid = np.linspace(0, 1, len(LENGTHS))
    results = {}
    for i in range(VIDEOS):
        there = round(float(np.exp(np.interp(rng.random(), grid, np.log(LENGTHS)))))
        part = min(float(np.interp(rng.random(), grid, MISSING)), MOST_MISSING)
        missing = round(there * part / (1 - part))
        drawn = np.interp(rng.random(missing), grid, GAPS).astype(np.int64)
        gaps = drawn[: np.searchsorted(np.cumsum(drawn), missing)]
        behind = np.bincount(rng.integers(0, there, len(gaps)), weights=gaps, minlength=there).astype(np.int64)
        results[f"video{i:03d}"] = (np.arange(1, there + 1) + np.cumsum(behind)).astype(np.int32)
    return results
