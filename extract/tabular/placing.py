"""Where a table's rows belong: the video and the frame number, from 1, of each.

From the column of the videos (or the file's name) and that of the frames; but where the videos' column holds picture
files, `<video>/<frame number>.jpg` says both; and OpenFace over a folder of pictures counts these, whatever their
numbers: there the folder that the pictures lie in has to tell.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from extract.media import frames, tables
from extract.media.tables import Table
from extract.media.video import EXTENSIONS
from extract.runtime import file_names, limits
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose
from extract.tabular.formats import Plan

NUMBER = re.compile(r"(?:.*\D)?(\d+)")
"""The frame in a picture's name, without its extension: the digits at its end."""
CLOCK = "timestamp"
"""OpenFace's column of seconds, which is 0 throughout where it read pictures."""


@dataclass(frozen=True)
class Places:
    """Tells where rows belong. `numbers`: of tables that count pictures, each one's number by its place, by video."""

    plan: Plan
    numbers: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    by_picture: bool = False
    """Whether the first table's column of videos holds pictures."""
    files: dict[str, str] = field(default_factory=dict)
    """What the videos' column says of each video: its file, or the folder of its pictures."""

    def of(
        self, names: NDArray[np.object_], stated: NDArray[np.float64], path: Path, row: int
    ) -> Iterator[tuple[str, NDArray[np.intp], NDArray[np.int64]]]:
        """Yield (video, rows of the piece, their frame numbers from 1). A video's name is without folder and extension.
        `names` [N] and `stated` [N] are the columns of videos and frames; the piece begins with row `row` (from 1) of
        the file `path`. Raises InputError for what is no name, and no frame number.
        """
        rows: dict[str, list[int]] = defaultdict(list)
        result = np.zeros(len(names), np.int64)
        said: dict[str | None, tuple[str, int]] = {}
        for i, name in enumerate(names):
            if name not in said:
                said[name] = self._said(name, f"{path}: row {row + i}")
            video, result[i] = said[name]
            rows[video].append(i)
        for video, of_it in rows.items():
            at = np.array(of_it)
            if len(counted := at[result[at] == 0]):
                result[counted] = self._counted(video, stated[counted], counted, path, row)
            yield video, at, result[at]

    def _said(self, name: str | None, where: str) -> tuple[str, int]:
        """The video that a cell of the videos' column names, and the frame, from 1, if it is a picture's, else 0."""
        if name is None:
            raise InputError(f"{where}: the video's name is missing (the cell is empty, or NA, NaN, null and the like)")
        file, frame = PurePath(compose(str(name).replace("\\", "/"))), 0
        if is_picture(file.name):
            frame, file = self._picture(file, where), file.parent
            video = file.name
        else:
            video = file.stem if file.suffix.lower() in EXTENSIONS else file.name
        file_names.check(file_names.VIDEO, video, where)
        if self.files.setdefault(video, str(file)) != str(file):
            raise InputError(
                f"{where}: video {video!r} is {file} here and {self.files[video]} before; a video's name is without "
                f"folder and extension: rename one of them"
            )
        return video, frame

    def _picture(self, picture: PurePath, where: str) -> int:
        """The frame number, from 1, that a picture's name says; its folder is the video's."""
        number = NUMBER.fullmatch(picture.stem)
        if not picture.parent.name or not number:
            raise InputError(
                f"{where}: {str(picture)!r} is a picture's file, but does not say of which video and frame; expected "
                f"<video>/<frame number>.jpg, as in clip/00001.jpg"
            )
        stated = limits.frame(number[1])
        frame = stated - self.plan.first_picture + 1
        if frame < 1 or (not stated and number[1].strip("0")):
            hint = " (the pictures are counted from 0: add --first-frame 0)" if not number[1].strip("0") else ""
            raise InputError(f"{where}: {str(picture)!r}: expected a frame number from {self.plan.first_picture}{hint}")
        return frame

    def _counted(
        self, video: str, stated: NDArray[np.float64], at: NDArray[np.intp], path: Path, row: int
    ) -> NDArray[np.int64]:
        """Frame numbers from 1 of rows that state a number."""
        plan, shifted = self.plan, stated - self.plan.first_frame + 1
        bad = np.flatnonzero(~((shifted == np.floor(shifted)) & (shifted <= limits.FRAMES)) | (shifted < 1))
        if len(bad):
            value = stated[bad[0]]
            hint = " (the table counts from 0: add --first-frame 0)" if value == 0 else ""
            raise InputError(
                f"{path}: row {row + at[bad[0]]}: {plan.frame} is {value:g}, expected a frame number from "
                f"{plan.first_frame}{hint}"
            )
        whole = shifted.astype(np.int64)
        if (numbers := self.numbers.get(video)) is None:
            return whole
        if whole.max() > len(numbers):
            raise InputError(
                f"{path}: row {row + at[whole.argmax()]}: this is picture {whole.max()}, but the corpus has only "
                f"{len(numbers)} of the video {video!r}; was the table made of other pictures?"
            )
        return numbers[whole - 1]


def is_picture(name: str) -> bool:
    """Whether a name is that of a picture's file."""
    return frames.PICTURE_LIKE.fullmatch(name) is not None and PurePath(name).suffix.lower() not in EXTENSIONS


def find(opened: list[Table], plan: Plan, roots: list[Path], vouched: bool) -> Places:
    """How the rows of these tables are placed. `roots` are the corpus's folders of frames.

    Where OpenFace counted the pictures of a folder, the corpus's folder of that name tells the numbers, in the order of
    names, unless `vouched`: the user says that the frame column is right. Raises InputError where that folder is not
    known, or its pictures are not as many as the table's rows.
    """
    numbers: dict[str, NDArray[np.int64]] = {}
    if plan.video:
        names, _ = next(tables.read(opened[0], plan.video, []), (None, None))
        return Places(plan, by_picture=names is not None and len(names) > 0 and is_picture(str(names[0])))
    if plan.format.name != "openface" or vouched:
        return Places(plan)
    folders: dict[str, Path] | None = None
    for table in opened:
        if not _counts_pictures(table):
            continue
        if folders is None:
            folders = frames.list_videos(roots) if roots else {}
        video = compose(table.path.stem)
        if video not in folders:
            known = f"corpus.frames has no folder {video!r}" if roots else "the config names no corpus.frames"
            raise InputError(
                f"{table.path}: OpenFace counted the pictures of a folder here (its timestamps are all 0), so their "
                f"frame numbers are known from the pictures alone, and {known}; give the --config whose corpus.frames "
                f"holds them, or, if no picture was missing between them, say so with --frame-column {plan.frame}"
            )
        names = sorted(frames.list_frames(folders[video]).names)
        numbers[video] = np.array([int(PurePath(name).stem) for name in names], np.int64)
        rows = sum(len(values) for _, values in tables.read(table, None, [plan.frame]))
        if rows != len(names):
            raise InputError(
                f"{table.path}: OpenFace counted the pictures of a folder here (its timestamps are all 0): {rows} "
                f"rows, but {folders[video]} has {len(names)} pictures; expected a row for each: run OpenFace on that "
                f"folder"
            )
    return Places(plan, numbers)


def _counts_pictures(table: Table) -> bool:
    """Whether OpenFace read pictures: as far as the first piece goes, its clock stands still."""
    if CLOCK not in table.numeric:
        return False
    _, seconds = next(tables.read(table, None, [CLOCK]), (None, np.ones((1, 1))))
    return len(seconds) > 1 and not seconds.any()
