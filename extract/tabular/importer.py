"""Somebody else's per-frame table (OpenFace, py-feat, any CSV or Parquet) -> feature store, as a network of its own.

Read twice, a piece at a time: first which frames there are, where everything is checked, then the values. A video is
written as soon as its last row was read, so memory holds the videos that are unfinished: one, in a sorted table.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.features import store
from extract.features.provenance import read_all_about
from extract.media import tables
from extract.media.tables import Table
from extract.networks.registry import NETWORKS
from extract.runtime import file_names
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose
from extract.runtime.locks import replace_folder
from extract.runtime.progress import progress
from extract.runtime.run_folder import file_hash, fingerprint
from extract.tabular import placing
from extract.tabular.formats import Choice, Plan, require
from extract.tabular.formats import plan as plan_columns
from extract.tabular.placing import Places

LARGEST = {"embedding": 65504.0, "logits": 3.4e38, "va": 3.4e38}
"""What float16 and float32 hold."""
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class ImportResult:
    """What an import gave: videos, frames with features, frames without a face."""

    plan: Plan
    videos: int
    frames: int
    without_face: int


def main(
    source: Path,
    name: str,
    work: Path,
    choice: Choice = Choice(),  # noqa: B008
    *,
    redo: bool = False,
    roots: Sequence[Path] = (),
) -> ImportResult:
    """Import a table (or a folder of them) as `<work>/features/<name>/`: all of it, or nothing.

    By default the program's action units, or all numbers of a table of unknown origin, become `embedding`. Frames are
    numbered from 1 in the store. A video is what stands in the video column (without folder and extension), else the
    file; tabular.placing tells of tables made from pictures, for which `roots` are the corpus's folders of frames.
    Rows with a missing value, or that say that no face was found, are frames without a face.
    Raises InputError for frames that are there twice or are no frame numbers, columns that are missing or no numbers,
    values that are infinite or too large for float16, and where `name` is taken.
    """
    file_names.check("network", name, "--name")
    if not NAME.fullmatch(name) or name in NETWORKS:
        why = "the project has a network of that name" if name in NETWORKS else "expected letters, digits and ._-"
        raise InputError(f"--name {name}: {why}; choose another name")
    files = tables.find(source)
    first = tables.read_columns(files[0])
    plan = plan_columns(first, choice)
    opened = [first, *(tables.read_columns(file) for file in files[1:])]
    for table in opened[1:]:
        require(table, [plan.video, plan.frame, plan.format.success, *plan.numbers], files[0])
    places = placing.find(opened, plan, list(roots), choice.frame is not None)
    about = _about(name, files, plan, places)
    if _is_current(work, name, about, redo):
        return _counted(work, name, plan)
    frames = _index(opened, places)
    for each in frames:
        file_names.check(file_names.VIDEO, each, source)
    about["videos"] = str(len(frames))
    total = sum(map(len, frames.values()))
    with replace_folder(work / "features" / name) as folder, progress(f"import {name}", total, "frames") as bar:
        kept = 0
        for each, numbers, values in _videos(opened, places, frames):
            good = ~np.isnan(values).any(1)
            features = _features(plan, numbers[good], values[good], each)
            counts = {"pictures": f"{len(values)}:{about['mark']}", "without_face": str(int((~good).sum()))}
            store.write(folder / f"{each}.safetensors", features, about | {"video": each} | counts)
            kept += int(good.sum())
            bar.advance(len(numbers))
        if not kept:
            raise InputError(f"{source}: every row lacks a value; found none in {_emptiest(opened, plan)}")
    return _counted(work, name, plan)


def _emptiest(opened: list[Table], plan: Plan) -> str:
    """The column with the fewest values."""
    filled = sum(np.isfinite(values).sum(0) for table in opened for *_, values in _rows(table, plan, plan.numbers))
    return plan.numbers[int(np.argmin(filled))]


def _is_current(work: Path, name: str, about: dict[str, str], redo: bool) -> bool:
    """True if this very import is there, whole. Raises InputError where something else is that may not be replaced."""
    there, folder = read_all_about(work, name), work / "features" / name
    if any("table" not in each for each in there if each):
        raise InputError(f"{folder}: holds features that a network made; choose another --name")
    if redo:
        return False
    for each in filter(None, there):
        if each["mark"] != about["mark"]:
            differs = [key for key in about if key not in ("mark", "versions") and each.get(key) != about[key]]
            raise InputError(
                f"{folder}: imported before with another "
                + ", ".join(f"{key} ({each.get(key)}, now {about[key]})" for key in differs)
                + "; --redo replaces it, another --name keeps both"
            )
    return bool(there) and all(there) and len(there) == int(there[0]["videos"])


def _counted(work: Path, name: str, plan: Plan) -> ImportResult:
    there = read_all_about(work, name)
    rows, without = (sum(int(each[key].split(":")[0]) for each in there) for key in ("pictures", "without_face"))
    return ImportResult(plan, len(there), rows - without, without)


def _about(name: str, files: list[Path], plan: Plan, places: Places) -> dict[str, str]:
    """What decides the imported values, as metadata of every file; `mark` is the fingerprint of it."""
    hashes = [[file.name, file_hash(file)] for file in files]
    counted = {video: numbers.tolist() for video, numbers in places.numbers.items()}
    placed = [fingerprint(counted)] if counted else ["of pictures"] if places.by_picture else []
    decides = {
        "network": name,
        "weights": hashes[0][1] if len(files) == 1 else fingerprint(hashes),
        "table": plan.format.name,
        "columns": json.dumps(plan.kinds),
        "frames": json.dumps([plan.video, plan.frame, plan.first_frame, *placed]),
    }
    return decides | {"mark": fingerprint(decides), "versions": f"pyarrow {version('pyarrow')}"}


def _rows(
    table: Table, plan: Plan, columns: list[str]
) -> Iterator[tuple[int, NDArray[np.object_], NDArray[np.float64], NDArray[np.float64]]]:
    """Yield pieces: number of the first row (from 1), video names [n], frame numbers as they stand, values [n, C],
    which are NaN where no face was found.
    """
    extra = [plan.format.success] if plan.format.success else []
    row = 1
    for names, values in tables.read(table, plan.video, [plan.frame, *extra, *columns]):
        if names is None:
            names = np.full(len(values), table.path.stem, object)
        result = values[:, 1 + len(extra) :]
        if extra:
            result[~(values[:, 1] > 0)] = np.nan
        yield row, names, values[:, 0], result
        row += len(values)


def _index(opened: list[Table], places: Places) -> dict[str, NDArray[np.int64]]:
    """Video -> its frame numbers, rising, from 1. Raises InputError that names the row, or video and frame."""
    plan = places.plan
    results: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
    source: dict[str, Path] = {}
    for table in opened:
        for row, names, stated, _ in _rows(table, plan, []):
            for each, _, numbers in places.of(names, stated, table.path, row):
                results[each].append(numbers)
                source[each] = table.path
        if not plan.video and compose(table.path.stem) not in results:  # a video without any face
            results[compose(table.path.stem)], source[compose(table.path.stem)] = [np.empty(0, np.int64)], table.path
    frames = {each: np.sort(np.concatenate(parts)) for each, parts in sorted(results.items())}
    for each, all_of_it in frames.items():
        if len(twice := all_of_it[1:][np.diff(all_of_it) == 0]):
            raise InputError(
                f"{source[each]}: frame {twice[0] + plan.first_frame - 1} of video {each!r} is there twice; keep one "
                f"face per frame" + ("" if plan.video else ", or name the column of the videos with --video-column")
            )
    if not any(map(len, frames.values())):
        raise InputError(f"{opened[0].path}: no rows in it")
    return frames


def _videos(
    opened: list[Table], places: Places, frames: dict[str, NDArray[np.int64]]
) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.float64]]]:
    """Yield each video once, as soon as all its rows were read: name, frame numbers [N], rising, values [N, C]."""
    parts: dict[str, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = defaultdict(list)
    left = {each: len(numbers) for each, numbers in frames.items()}
    for table in opened:
        for row, names, stated, values in _rows(table, places.plan, places.plan.numbers):
            for each, at, numbers in places.of(names, stated, table.path, row):
                parts[each].append((numbers, values[at]))
                left[each] -= len(at)
                if not left[each]:
                    all_numbers, all_values = (np.concatenate(part) for part in zip(*parts.pop(each), strict=True))
                    order = np.argsort(all_numbers)
                    yield each, all_numbers[order], all_values[order]
    for each, numbers in frames.items():
        if not len(numbers):
            yield each, numbers, np.empty((0, len(places.plan.numbers)))


def _features(plan: Plan, numbers: NDArray[np.int64], values: NDArray[np.float64], name: str) -> store.VideoFeatures:
    """The store's arrays. Raises InputError that names the first value that they cannot hold."""
    arrays, start = {}, 0
    for kind, columns in plan.kinds.items():
        part = values[:, start : start + len(columns)]
        start += len(columns)
        largest = LARGEST[kind]
        if (bad := np.argwhere(~(np.abs(part) <= largest))).size:
            row, column = bad[0]
            raise InputError(
                f"video {name!r}, frame {numbers[row] + plan.first_frame - 1}: {columns[column]} is "
                f"{part[row, column]:g}, the feature store's {kind} holds finite values up to {largest:g}: divide the "
                f"column by a fixed number, or choose others with --columns"
            )
        arrays[kind] = part.astype(store.KINDS[kind])
    return store.VideoFeatures(numbers.astype(np.int32), **arrays)
