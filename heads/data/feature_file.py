"""One video's feature file as heads read it: no more of it than is wanted, and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.features import store
from extract.runtime import inputs, run_folder
from extract.runtime.errors import InputError
from heads.data import float16

TABLE = "table"
"""The kind of an imported table's columns where they count as so many measurements, not as an embedding."""
MOST_OF_TABLE = 256
"""Columns of a table that is such: beyond, it is an embedding alone."""

WAIT_REASON = "the command found it whole"
"""Why a process elsewhere waits for them (extract.jobs.session.wait_until)."""


def read(path: Path, kinds: Iterable[str], network: str) -> tuple[NDArray[np.int32], dict[str, NDArray[np.generic]]]:
    """A file's frames and the wanted kinds of its features; the others are not read.

    Raises InputError for a damaged file (what is read is compared with its hashes) and a kind that is missing.
    """
    wanted = {kind: "embedding" if kind == TABLE else kind for kind in kinds}
    with _opened(path) as handle:
        about, there = store.read_metadata(handle), set(handle.keys())
        if lacking := [kind for kind in wanted.values() if kind not in there]:
            raise InputError(
                f"{path}: no {lacking[0]} in it, which other videos of network {network!r} have; delete the file "
                f"and run python -m extract.run again"
            )
        results = {kind: handle.get_tensor(kind) for kind in ("frame", *wanted.values())}
    store.check(path, about, results)
    return results.pop("frame"), {
        kind: results[stored].astype(np.float32) if kind == TABLE else results[stored]
        for kind, stored in wanted.items()
    }


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A feature file as safetensors has it. Raises InputError for one that is missing or, as it is read, damaged."""
    from safetensors import SafetensorError, safe_open

    inputs.require_file(path, "feature file", "run python -m extract.run again")
    try:
        with safe_open(path, framework="numpy") as handle:
            yield handle
    except (OSError, SafetensorError, KeyError, ValueError, IndexError) as error:
        raise store.damage_error(path, error) from error


def read_filled_rows(
    work: Path, network: str, video: str, kinds: Iterable[str], frames: NDArray[np.int32]
) -> tuple[Path, dict[str, NDArray[np.generic]], NDArray[np.bool_]]:
    """What a video has of the wanted kinds at these frames, 0 where it has nothing, and where it has something [N].

    A video without sound has nothing of a network that hears: its zeros are no sound that was heard. Also the file that
    was read: for a video without any, that of another, which says what columns there are.

    Raises InputError as `read`, and where no video has features of this network.
    """
    path = store.path(work, network, video)
    lacks = not path.exists()
    path = store.path(work, network, store.videos(work, network)[0]) if lacks else path
    own, result = read(path, kinds, network)
    silent = bool((store.read_about(path) or {}).get("soundless"))
    there = np.isin(frames, own) & (not lacks) & (not silent)
    whole = {}
    for kind, values in result.items():
        whole[kind] = np.zeros((len(frames), values.shape[1]), values.dtype)
        whole[kind][there] = values[np.searchsorted(own, frames[there])]
    return path, whole, there


def is_table(path: Path) -> bool:
    """Whether a file is of an imported table of few columns, which any head can take (TABLE)."""
    return "table" in (store.read_about(path) or {}) and 0 < index(path)[1].get("embedding", 0) <= MOST_OF_TABLE


def column_names(path: Path) -> tuple[str, ...]:
    """What an imported table calls the columns of its embedding; () where it is none."""
    about = store.read_about(path) or {}
    return tuple(inputs.parse_json(about["columns"]).get("embedding", ())) if "columns" in about else ()


def class_names(path: Path) -> tuple[str, ...]:
    """What a file's logits stand for, in order, as its network or table calls them; () where nothing says so."""
    about = store.read_about(path) or {}
    if "columns" in about:  # an imported table: {kind: names of its columns}
        return tuple(inputs.parse_json(about["columns"]).get("logits", ()))
    return tuple(inputs.parse_json(about["outputs"])[-1] or ()) if "outputs" in about else ()


def check_values(
    values: NDArray[np.generic], kind: str, network: str, video: str, frames: NDArray[np.int32], path: Path
) -> NDArray[np.generic]:
    """The values [N, D] of one kind. Raises InputError where they are not all finite."""
    if values.dtype == np.float16 and float16.is_finite(values):
        return values
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
    with _opened(path) as handle:
        about, frames = store.read_metadata(handle), handle.get_tensor("frame")
        widths = {kind: handle.get_slice(kind).get_shape()[1] for kind in store.KINDS if kind in handle.keys()}  # noqa: SIM118
    store.check(path, about, {"frame": frames})
    if (np.diff(frames) <= 0).any() or (frames < 1).any():
        raise InputError(
            f"{path}: frame numbers must start at 1 or later and rise; delete the file and run "
            f"python -m extract.run again"
        )
    return frames.astype(np.int32), widths


def mark(work: Path, network: str, videos: Iterable[str]) -> str:
    """Fingerprint of a network's features of these videos, from the hashes in their metadata: no features are read.

    Raises InputError for a damaged file, and where they are of different weights.
    """
    results = []
    for video in sorted(videos):
        path = store.path(work, network, video)
        if path.exists():
            if (about := store.read_about(path)) is None:
                raise store.damage_error(path, "no metadata, or damaged ones")
            results.append((video, about.get("mark"), about.get("content")))
    if len(marks := {mark for _, mark, _ in results}) > 1:
        raise InputError(
            f"{work / 'features' / network}: made by {len(marks)} different weights or preprocessings; "
            f"delete the folder and run python -m extract.run again"
        )
    return run_folder.fingerprint([network, results])
