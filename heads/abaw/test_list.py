"""The official test list: which frames of which videos are graded, in which order.

A header, then one line per picture: `video/00001.jpg,` (ABAW-5) or `video/00001.jpg,0,1,...` with dummy values (ABAW-6
on); `0.jpg` where pictures are of no video. Header and order are kept: the submission must repeat them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.media import picture_sets
from extract.runtime import file_names, inputs, limits
from extract.runtime.errors import InputError
from heads.abaw.tasks import MTL_HEADER, Task, is_mtl_header

IMPLAUSIBLE = 1000
"""A list that names one frame in a thousand of a video, or fewer, has a typo in a frame number."""
CHUNK = 65_536
"""Lines that are taken apart at a time."""
PLAUSIBLE = 200_000
"""Up to this frame number that is not asked: two hours."""


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
        """Number of the first line that lists `video` (the header is line 1). Raises ValueError where none does."""
        return int((self.video_of == self.names.index(video)).argmax()) + 2


def read(path: Path, task: Task) -> TestList:
    """Read a test list: a million lines in two seconds. Of the multi-task challenge's, the header becomes the part's.

    Raises InputError, with the line's number (the header is line 1), for a file that is missing, empty or no text, a
    header of another task (case and commas at its end do not matter), a line that names no picture
    `<video>/<frame number>.jpg`, and a frame number that must be a typo: a timeline has a place for each frame.
    """
    header, body = inputs.head_and_body(inputs.read_utf8(path, "test list"))
    columns = [column.strip().lower() for column in header.rstrip(", ").split(",")]
    right = is_mtl_header(header) if task.within else columns[1:] == task.list_header.lower().split(",")[1:]
    if not right:
        raise InputError(
            f"{path}: line 1 is {header[:80]!r}, expected the header "
            f"{MTL_HEADER if task.within else task.list_header!r}; is this the list of another task?"
        )
    header = task.list_header if task.within else header
    if not body:
        raise InputError(f"{path}: no pictures behind the header; expected lines such as video/00001.jpg,")
    images = [line.split(b",", 1)[0].decode().strip() for line in io.BytesIO(body)]
    if task.stills:
        picture_sets.check_listed_names(path, images)
        return TestList(path, header, images, *picture_sets.place_listed_pictures(path, len(images)))
    if (placed := place(images)) is None:
        raise _first_problem(path, body, images)
    videos, frames = placed
    names, video_of = number_videos(path, videos)
    count = np.bincount(video_of)[video_of]
    if (far := np.flatnonzero(frames > np.clip(IMPLAUSIBLE * count, PLAUSIBLE, limits.FRAMES))).size:
        raise InputError(
            f"{path}: line {far[0] + 2} lists frame {frames[far[0]]} of the video {videos[far[0]]!r}, of which only "
            f"{count[far[0]]} frames are listed; is it a typo?"
        )
    return TestList(path, header, images, names, video_of, frames)


def place(images: list[str]) -> tuple[list[str], NDArray[np.int32]] | None:
    """Videos and frame numbers of pictures `<video>/<frame number>.jpg`; None if one of them is none."""
    known: dict[str, str] = {}
    videos: list[str] = []
    frames = np.zeros(len(images), np.int32)
    for start in range(0, len(images), CHUNK):
        parts = [image.rpartition("/") for image in images[start : start + CHUNK]]
        try:
            stems = [name[: name.index(".")] for _, _, name in parts]
            digits = "".join(stems)  # int() alone would take "1_0" and "+1"
            if not (digits.isascii() and digits.isdigit()):
                return None
            frames[start : start + CHUNK] = list(map(int, stems))
        except (ValueError, OverflowError):
            return None
        videos += [known.setdefault(video, file_names.compose(video)) for video, _, _ in parts]
    return (videos, frames) if (frames > 0).all() and all(known) else None


def number_videos(path: Path, videos: list[str]) -> tuple[list[str], NDArray[np.int32]]:
    """The different videos of some lines, sorted, and of each line the number of its video.

    Raises InputError, with the first line of it, for a video whose name cannot become a file.
    """
    number = {name: i for i, name in enumerate(sorted(set(videos)))}
    for name in number:
        if file_names.problem(file_names.VIDEO, name):
            file_names.check(file_names.VIDEO, name, f"{path}: line {videos.index(name) + 2}")
    return [*number], np.array([number[video] for video in videos], np.int32)


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
        if end and frame - end > missing_tail * frame:
            raise InputError(
                f"{listed.path}: line {longest + 2} lists frame {frame} of the video {video!r}, whose last face is in "
                f"frame {end}; is it a typo? If it is right, raise corpus.missing_tail"
            )


def from_lengths(lengths: dict[str, int], task: Task, path: Path) -> TestList:
    """A list of every frame 1..length of every video, in the official form; `path` says where the lengths come from."""
    names = sorted(lengths)
    counts = [lengths[name] for name in names]
    video_of = np.repeat(np.arange(len(names), dtype=np.int32), counts)
    frame_of = np.concatenate([np.empty(0, np.int32), *(np.arange(1, n + 1, dtype=np.int32) for n in counts)])
    images = [f"{name}/{frame:05d}.jpg" for name, n in zip(names, counts, strict=True) for frame in range(1, n + 1)]
    return TestList(path, task.list_header, images, names, video_of, frame_of)


def _first_problem(path: Path, body: memoryview, images: list[str]) -> InputError:
    lines = (line.decode().rstrip("\n") for line in io.BytesIO(body))
    for number, (line, image) in enumerate(zip(lines, images, strict=True), start=2):
        video, _, name = image.rpartition("/")
        stem = name.partition(".")[0]
        if not video or "." not in name or not limits.frame(stem):
            return InputError(
                f"{path}: line {number} is {line[:80]!r}, expected <video>/<frame number from 1>.jpg, "
                f"as in video/00001.jpg,"
            )
    return InputError(f"{path}: not a list of pictures <video>/<frame number>.jpg")
