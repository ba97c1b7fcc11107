"""The (video, frame) index of a corpus: which face crops there are. Frames are 1-based, `<video>/00001.jpg`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.runtime import file_names, limits
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose

PICTURE = re.compile(r"(\d+)\.(?:jpe?g|png)", re.IGNORECASE)
SIDES = ("_left", "_right")
"""What is behind a video's name in those of the two people in it: each is a folder of crops and an entry of a list."""
PICTURE_LIKE = re.compile(r"[^.].*\.(?:jpe?g|png|bmp|webp|tiff?|gif|jfif|avif|heic|ppm)", re.IGNORECASE)


def strip_side(video: str) -> str:
    """A video's name without the side; itself where it has none."""
    return next((video.removesuffix(side) for side in SIDES if video.endswith(side)), video)


@dataclass(frozen=True)
class Frames:
    """The pictures of one video folder, by rising frame number. `odd` are pictures that are not called like a frame."""

    numbers: NDArray[np.int32]
    names: tuple[str, ...]
    odd: tuple[str, ...] = ()
    is_subset: bool = False
    """Whether they are some of a folder's pictures, in an order of their own (media.picture_sets)."""


@dataclass(frozen=True)
class VideoFolder:
    """Where a video's pictures lie: all of a folder that are called like frames, or those that are named."""

    folder: Path
    names: tuple[str, ...] | None = None
    """Relative to the folder; frame i + 1 is names[i]."""

    def list_frames(self) -> Frames:
        """Its pictures. Raises InputError as `list_frames`."""
        if self.names is None:
            return list_frames(self.folder)
        return Frames(np.arange(1, len(self.names) + 1, dtype=np.int32), self.names, is_subset=True)


def list_videos(roots: Sequence[Path]) -> dict[str, Path]:
    """Video name -> folder of crops, sorted by name, over one or several roots.

    Raises InputError where a root is missing or holds no folder, a link in it leads nowhere, and where two roots hold
    the same video.
    """
    results: dict[str, Path] = {}
    for root in roots:
        try:
            entries = [entry for entry in os.scandir(root) if entry.name[0] != "."]
            folders = [Path(entry.path) for entry in entries if entry.is_dir()]
        except OSError as error:
            raise InputError(
                f"{root}: frames folder cannot be read ({error.strerror}); expected <video>/00001.jpg "
                f"below it: correct corpus.frames in the config"
            ) from None
        if astray := [entry.path for entry in entries if not os.path.exists(entry.path)]:
            raise InputError(f"{astray[0]}: a link to nothing; correct it, or remove it")
        if not folders:
            raise InputError(f"{root}: no video folders in it; expected <video>/00001.jpg below it")
        for folder in folders:
            name = file_names.check(file_names.VIDEO, compose(folder.name), folder.parent)
            if name in results:
                raise InputError(
                    f"{folder}: video {name!r} is also in {results[name].parent}; "
                    f"each video may be in one frames folder only"
                )
            results[name] = folder
    return dict(sorted(results.items()))


def list_frames(folder: Path) -> Frames:
    """The pictures of one video folder. Raises InputError for two files of one frame, frame 0, an unreadable folder."""
    by_number: dict[int, str] = {}
    odd = []
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(f"{folder}: folder of frames cannot be read ({error.strerror})") from None
    for name in names:
        if match := PICTURE.fullmatch(name):
            number = limits.frame(match[1])
            if number in by_number or not number:
                raise InputError(
                    f"{folder / name}: frame {match[1].lstrip('0') or 0} "
                    + (f"is also {by_number[number]}" if number in by_number else "is out of range")
                    + "; expected one picture per frame, numbered from 1"
                )
            by_number[number] = name
        elif PICTURE_LIKE.fullmatch(name):
            odd.append(name)
    numbers = np.array(sorted(by_number), np.int32)
    return Frames(numbers, tuple(by_number[int(number)] for number in numbers), tuple(odd))
