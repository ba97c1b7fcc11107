"""The official test list: which frames of which videos are graded, in which order.

A header, then one line per picture: `video/00001.jpg,` (ABAW-5) or `video/00001.jpg,0,1,...` with dummy values (ABAW-6
on). Header and order are kept as they are, because the submission must repeat them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract import tables
from extract.errors import InputError
from extract.rundir import need_file
from extract.spelling import composed
from heads.tasks import Task

IMAGE_COLUMN = "image_location"
IMPLAUSIBLE = 1000
"""A list that names one frame in a thousand of a video, or fewer, has a typo in a frame number."""


@dataclass(frozen=True)
class TestList:
    """The graded pictures. `names[video_of[i]]` and `frame_of[i]` are those of `images[i]`."""

    __test__ = False  # pytest: not a test class

    path: Path
    header: str
    images: list[str]
    names: list[str]
    """Videos, sorted."""
    video_of: NDArray[np.int32]
    frame_of: NDArray[np.int32]

    @property
    def videos(self) -> dict[str, NDArray[np.int32]]:
        """Listed frames of every video, rising, each once."""
        order = np.argsort(self.video_of, kind="stable")
        ends = np.searchsorted(self.video_of[order], np.arange(len(self.names) + 1))
        frames = self.frame_of[order]
        return {name: np.unique(frames[a:b]) for name, a, b in zip(self.names, ends[:-1], ends[1:], strict=True)}

    def line(self, video: str) -> int:
        """Number of the first line that lists `video` (the header is line 1). Raises ValueError for a video not
        listed.
        """
        return int((self.video_of == self.names.index(video)).argmax()) + 2


def read(path: Path, task: Task) -> TestList:
    """Read a test list. One million lines take about two seconds. Of the multi-task challenge's, the header becomes
    that of the part.

    Raises InputError, with the line's number (the header is line 1), for a file that is missing, empty or no text, a
    header of another task (case and commas at its end do not matter), and a line that names no picture
    `<video>/<frame number>.jpg`.
    """
    need_file(path)
    try:
        tables.check_text(path)
        text = tables.lines_of(path, path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such test list") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error
    header, _, body = text.partition("\n")
    columns = [column.strip().lower() for column in header.rstrip(", ").split(",")]
    if task.within:
        from heads import mtl_file

        if not mtl_file.is_header(header):
            raise InputError(
                f"{path}: line 1 is {header[:80]!r}, expected the header {mtl_file.HEADER!r}; is this the list of "
                f"another task?"
            )
        header = default_header(task)
    elif columns[1:] != [output.lower() for output in task.outputs]:
        raise InputError(
            f"{path}: line 1 is {header[:80]!r}, expected the header {default_header(task)!r}; "
            f"is this the list of another task?"
        )
    lines = body.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InputError(f"{path}: no pictures behind the header; expected lines such as video/00001.jpg,")
    images = [line.split(",", 1)[0].strip() for line in lines]
    if (placed := place(images)) is None:
        raise _first_problem(path, lines, images)
    videos, frames = placed
    names = sorted(set(videos))
    number = {name: i for i, name in enumerate(names)}
    return TestList(path, header, images, names, np.array([number[video] for video in videos], np.int32), frames)


def place(images: list[str]) -> tuple[list[str], NDArray[np.int32]] | None:
    """Videos and frame numbers of pictures `<video>/<frame number>.jpg`; None if one of them is none."""
    parts = [image.rpartition("/") for image in images]
    try:
        stems = [name[: name.index(".")] for _, _, name in parts]
        digits = "".join(stems)  # int() alone would take "1_0" and "+1"
        frames = np.array(list(map(int, stems)) if digits.isascii() and digits.isdigit() else [0], np.int32)
    except (ValueError, OverflowError):
        return None
    videos = [composed(video) for video, _, _ in parts]
    return (videos, frames) if (frames > 0).all() and all(videos) else None


def check_videos(listed: TestList, known: set[str], missing: float) -> list[str]:
    """The listed videos that are not among the known ones: no face was found in them.

    Raises InputError, with the line's number of the first, where they are more than the part `missing` of all.
    """
    unknown = [video for video in listed.names if video not in known]
    if len(unknown) > missing * len(listed.names):
        raise InputError(
            f"{listed.path}: line {listed.line(unknown[0])} names the video {unknown[0]!r}, but the corpus has no "
            f"folder of frames with this name ({len(unknown)} of {len(listed.names)} listed videos have none); check "
            f"corpus.frames and the test list; if no face was found in them, raise corpus.missing_videos or give them "
            f"empty folders"
        )
    return unknown


def check_lengths(listed: TestList, last: dict[str, int], missing_tail: float) -> None:
    """Raise InputError, with its line, for a frame number too far behind its video's last face to be right.

    `last` is each video's last frame with a face; at most the part `missing_tail` of a video may lie behind it.
    """
    for number, video in enumerate(listed.names):
        end, own = last.get(video, 0), np.flatnonzero(listed.video_of == number)
        longest = own[listed.frame_of[own].argmax()]
        frame = int(listed.frame_of[longest])
        if (end and frame - end > missing_tail * frame) or frame > IMPLAUSIBLE * len(own):
            raise InputError(
                f"{listed.path}: line {longest + 2} lists frame {frame} of the video {video!r}, whose last face is in "
                f"frame {end} and of which {len(own)} frames are listed; is it a typo? If it is right, raise "
                f"corpus.missing_tail"
            )


def default_header(task: Task) -> str:
    """The header of an official list."""
    return ",".join((IMAGE_COLUMN, *task.outputs))


def from_lengths(lengths: dict[str, int], task: Task, path: Path) -> TestList:
    """A list of every frame 1..length of every video, in the official form; `path` says where the lengths come from."""
    names = sorted(lengths)
    counts = [lengths[name] for name in names]
    frames = [np.arange(1, count + 1, dtype=np.int32) for count in counts]
    images = [
        f"{name}/{frame:05d}.jpg" for name, count in zip(names, counts, strict=True) for frame in range(1, count + 1)
    ]
    return TestList(
        path,
        default_header(task),
        images,
        names,
        np.repeat(np.arange(len(names), dtype=np.int32), counts),
        np.concatenate(frames) if frames else np.empty(0, np.int32),
    )


def _first_problem(path: Path, lines: list[str], images: list[str]) -> InputError:
    for number, (line, image) in enumerate(zip(lines, images, strict=True), start=2):
        video, _, name = image.rpartition("/")
        stem = name.partition(".")[0]
        if not video or "." not in name or not (stem.isascii() and stem.isdigit()) or not 1 <= int(stem) < 2**31:
            return InputError(
                f"{path}: line {number} is {line[:80]!r}, expected <video>/<frame number from 1>.jpg, "
                f"as in video/00001.jpg,"
            )
    return InputError(f"{path}: not a list of pictures <video>/<frame number>.jpg")
