"""Pictures that are of no video, as videos: the pictures of a folder, or of a list, in SETS sets of neighbours.

Everything behind extraction knows videos and their frames. A set of some dozen or some thousand pictures stands for a
video: features of it are one file, and splits, folds and intervals go by set. A set is a stretch of each class's
pictures in order of their names, so sets are alike, every one is a fair sample, and pictures that were made one after
the other, of the same person perhaps, stay together. Folds of sets are thus folds of pictures.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.config import Corpus
from extract.media.frames import PICTURE_LIKE, VideoFolder, list_videos
from extract.runtime import file_names, inputs
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose

SETS = 100
LAYOUT = "expected a folder that holds a folder of pictures for each class"


def list_corpus(corpus: Corpus) -> dict[str, VideoFolder]:
    """All videos of a corpus, by name: those of `corpus.frames`, and the sets of its tasks on single pictures.

    Raises InputError as `frames.list_videos`, `list_folder` and `list_pictures`, and for two of one name.
    """
    results = {video: VideoFolder(folder) for video, folder in list_videos(corpus.frames).items()}
    for paths in corpus.stills:
        for part in (paths.train, paths.val):
            _add(results, list_folder(part) if part is not None else {}, part)
        if paths.test is not None:
            folder = paths.pictures or paths.test.parent
            _add(results, list_pictures(paths.test, folder, corpus.missing_videos), paths.test)
    return results


def _add(results: dict[str, VideoFolder], sets: dict[str, VideoFolder], where: Path | None) -> None:
    if both := sorted(results.keys() & sets.keys()):
        raise InputError(
            f"{where}: {both[0]!r}, its pictures' name in results, is also that of {results[both[0]].folder}; expected "
            f"another name for each: rename one of them"
        )
    results |= sets


def list_folder(root: Path) -> dict[str, VideoFolder]:
    """The sets of a folder of folders of pictures, by name."""
    pictures = list_classes(root)
    places = {folder: np.arange(len(names)) * SETS // max(len(names), 1) for folder, names in pictures.items()}
    results: dict[str, VideoFolder] = {}
    for number in range(SETS):
        names = tuple(
            f"{folder}/{pictures[folder][at]}"
            for folder, place in places.items()
            for at in np.flatnonzero(place == number).tolist()
        )
        if names:
            results[_name(root, number)] = VideoFolder(root, names)
    return results


def list_classes(root: Path) -> dict[str, list[str]]:
    """Names of the folders in `root` -> names of the pictures in each, by rising numbers in them. Both are sorted;
    other files, and what begins with a dot, are left out. Raises InputError for what is no folder (a test list, say),
    and for one without a picture, or with pictures that lie in no class's folder.
    """
    if os.path.isfile(root):
        raise InputError(f"{root}: a file, {LAYOUT}")
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != ".")
        folders = [name for name in names if (root / name).is_dir()]
        results = {folder: _pictures(root / folder) for folder in folders}
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); {LAYOUT}") from None
    loose = [name for name in names if name not in results and PICTURE_LIKE.fullmatch(name)]
    if loose:
        raise InputError(
            f"{root / loose[0]}: a picture of no class ({len(loose)} are); {LAYOUT}: move it into one, or away"
        )
    if not any(results.values()):
        raise InputError(f"{root}: no folder with a picture in it; {LAYOUT}")
    return results


def list_pictures(path: Path, folder: Path, missing: float) -> dict[str, VideoFolder]:
    """The sets of a test list's pictures, which lie in `folder`.

    Raises InputError for a list that cannot be read, a folder that is none, and where more than the part `missing` of
    the pictures is not there.
    """
    images, _ = read_list(path)
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder; expected the one that holds {images[0]!r} of {path}")
    lacking = [number for number, image in enumerate(images, start=2) if not os.path.exists(folder / image)]
    if len(lacking) > missing * len(images):
        raise InputError(
            f"{path}: line {lacking[0]} lists {images[lacking[0] - 2]!r}, which is not in {folder} ({len(lacking):,} "
            f"of {len(images):,} listed pictures are not): name the folder that holds them as `pictures`, or raise "
            f"corpus.missing_videos"
        )
    names, set_of, _ = place_listed_pictures(path, len(images))
    ends = np.searchsorted(set_of, np.arange(len(names) + 1))
    return {
        name: VideoFolder(folder, tuple(images[a:b])) for name, a, b in zip(names, ends[:-1], ends[1:], strict=True)
    }


def read_list(path: Path) -> tuple[list[str], list[str]]:
    """The pictures of a test list, and what stands behind the comma of each; the header is left out.

    Raises InputError for a file that is missing or empty, and as `check_listed_names`.
    """
    _, body = inputs.head_and_body(inputs.read_utf8(path, "test list"))
    lines = [line.decode().strip().partition(",") for line in io.BytesIO(body)]
    if not lines:
        raise InputError(f"{path}: no pictures behind the header; expected lines such as 0.jpg")
    images = [image.strip() for image, _, _ in lines]
    check_listed_names(path, images)
    return images, [rest.strip() for _, _, rest in lines]


def check_listed_names(path: Path, images: Sequence[str]) -> None:
    """Raise InputError, with its line, for what is no picture's name, or leads out of the folder of pictures."""
    for number, image in enumerate(images, start=2):
        name = image.rpartition("/")[2]
        if not PICTURE_LIKE.fullmatch(name) or image[0] in "/\\" or {"..", "\0"} & {*image.split("/"), *image}:
            raise InputError(
                f"{path}: line {number} begins with {image[:80]!r}, expected a picture's name, as in 0.jpg"
            )


def place_listed_pictures(path: Path, count: int) -> tuple[list[str], NDArray[np.int32], NDArray[np.int32]]:
    """The sets of `count` listed pictures, sorted, and of each picture the number of its set and, from 1, its frame."""
    set_of = np.arange(count) * SETS // max(count, 1)
    there, dense = np.unique(set_of, return_inverse=True)
    frame = np.arange(count) - np.searchsorted(dense, dense) + 1
    return [_name(path, int(number)) for number in there], dense.astype(np.int32), frame.astype(np.int32)


def _name(where: Path, number: int) -> str:
    """What a set is called: as its folder or list, and its number."""
    name = compose(where.stem if os.path.isfile(where) else where.name)
    return file_names.check(file_names.VIDEO, f"{name}-{number:02d}", where)


def _pictures(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if PICTURE_LIKE.fullmatch(entry.name)]
    return sorted(names, key=lambda name: ([int(number) for number in re.findall(r"\d{1,18}", name)], name))
