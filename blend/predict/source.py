"""What is predicted: a video file, a folder of face crops (`<video>/00001.jpg`) or of pictures, with its faces."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from extract.faces import boxes, crop_videos
from extract.faces.boxes import Boxes, Measures
from extract.faces.people import PeopleOptions
from extract.media import images, timestamps, video
from extract.media.frames import list_frames
from extract.runtime import file_names, inputs
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose

NAMES = {1: ("single",), 2: ("left", "right")}
"""What a face is called in the tables, by how many are asked for; of more they have numbers."""
PICTURES = (".jpg", ".jpeg", ".png")
GREY = 40
"""Of a frame without a picture, in a folder of crops."""


def choose_people(
    faces: int, ids: bool = False, min_face: float | None = None, min_score: float | None = None
) -> PeopleOptions | None:
    """Whom to follow by number; None: the one person, or the left and the right one, whom ABAW's corpora have.

    `faces` above 2, or `ids`: by number. Raises InputError for values that nobody can mean.
    """
    if faces not in NAMES or ids:
        given = {"min_size": min_face, "min_score": min_score}
        return PeopleOptions(faces, **{name: value for name, value in given.items() if value is not None})
    for option, value in (("--min-face", min_face), ("--min-score", min_score)):
        if value is not None:
            raise InputError(
                f"{option} {value:g}: is for people by number; add --ids, or --faces {max(NAMES) + 1} or more"
            )
    return None


class NoVideo(InputError):
    """Not one frame of a file can be read. Of several videos the others can be predicted."""


@dataclass(frozen=True)
class Timing:
    """How the frames of a video follow each other."""

    rate: Fraction
    """Frames per second, on average."""
    seconds: NDArray[np.float64]
    """[frames]: when each is shown; the first at 0, rising."""

    @property
    def constant(self) -> bool:
        """Whether every frame is shown where the rate says, to half a millisecond."""
        expected = np.arange(len(self.seconds)) / float(self.rate)
        return bool(np.all(np.abs(self.seconds - expected) < 5e-4))


@dataclass(frozen=True)
class DetectedFaces:
    """What looking for faces found in a video."""

    timing: Timing
    people: list[Boxes]
    """One per face asked for, from left to right, or per number: frames and boxes."""
    videos: tuple[str, ...]
    """What each of them is called in one of `crops`."""
    crops: tuple[Path, ...]
    """Folders that hold <video>/00001.jpg."""
    defect: str = ""
    """Why the video is not whole; empty: it is."""
    measures: tuple[Measures, ...] | None = None
    """Of people by number, one per person: what is known of the faces beside their boxes."""

    @property
    def frames(self) -> int:
        """The video's frames, with or without a face."""
        return len(self.timing.seconds)

    @property
    def by_number(self) -> bool:
        """Whether people have numbers, and rows where they are seen only."""
        return self.measures is not None

    @property
    def names(self) -> tuple[str | int, ...]:
        """What the faces are called in the tables."""
        return NAMES[len(self.people)] if self.measures is None else tuple(range(1, len(self.people) + 1))

    def spans(self, frames: int) -> dict[str, tuple[int, int]]:
        """The first frame and how many there are to be predicted of each face's video, of `frames` in all: from the
        first to the last with a face where people have numbers.
        """
        if not self.by_number:
            return dict.fromkeys(self.videos, (1, frames))
        ends = [(int(seen[0]), int(seen[-1])) for seen, _ in self.people]
        return {video: (first, last - first + 1) for video, (first, last) in zip(self.videos, ends, strict=True)}


@dataclass(frozen=True)
class VideoSource:
    """A video to predict."""

    path: Path
    fps: float
    """Frames per second of a folder of crops; a file knows its own."""
    is_album: ClassVar[bool] = False
    """Whether it is a folder of pictures that have nothing to do with each other."""

    @property
    def name(self) -> str:
        """What its results are called."""
        return compose(self.path.name if self.is_folder else self.path.stem)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of crops."""
        return self.path.is_dir()

    def facts(self) -> dict[str, Any]:
        """What differs where the video is another one under the same name."""
        if self.is_folder:
            return {"crops": str(self.path.absolute()), "pictures": list(list_frames(self.path).names), "fps": self.fps}
        now = self.path.stat()
        return {"file": str(self.path.absolute()), "bytes": now.st_size, "changed": now.st_mtime_ns}

    def find_faces(
        self, work: Path, count: int, size: int, detector: Path | None, people: PeopleOptions | None = None
    ) -> DetectedFaces:
        """Find, follow and crop the faces below `work`; what is there already is left alone. With `people` by number.

        Raises NoVideo for a file of which no frame can be read.
        """
        crops = work / "crops"
        if self.is_folder:
            return self._linked(crops, count, people)
        files = {self.name: self.path}
        report = crop_videos.crop_files(files, crops, faces=count, size=size, detector=detector, people=people)
        clip = crop_videos.Clip(self.name, self.path, crops, count)
        record = inputs.parse_json(clip.record.read_text(encoding="utf-8"))
        broken = report.broken.get(self.name, "")
        if not record["frames"]:
            raise NoVideo(f"{self.path}: {record['broken']}; expected a video file, or a folder <video>/00001.jpg")
        timing = Timing(*timestamps.read_frame_times(self.path, record["frames"]))
        if people:
            found, videos, measures = _numbered(crops, self.name)
            return DetectedFaces(timing, found, videos, (crops / self.name,), broken, measures)
        names = tuple(f"{self.name}{side}" for side in crop_videos.SIDES[count])
        return DetectedFaces(timing, boxes.read(boxes.path(crops, self.name), count), names, (crops,), broken)

    def _linked(self, crops: Path, count: int, people: PeopleOptions | None) -> DetectedFaces:
        """A folder of crops as it stands: one face, that fills the picture."""
        if count != 1 or people:
            option = f"--faces {count}" if count != 1 else "--ids"
            raise InputError(f"{self.path}: a folder of crops shows one face; {option} is for video files")
        numbers = list_frames(self.path).numbers
        crops.mkdir(parents=True, exist_ok=True)
        link = crops / self.name
        if not link.is_symlink():
            os.symlink(self.path.absolute(), link)
        first = next(iter(self.pictures(1)))
        whole = np.tile(np.array([0, 0, first.shape[1], first.shape[0]], np.float32), (len(numbers), 1))
        rate = Fraction(self.fps).limit_denominator(1001)
        seconds = np.arange(int(numbers[-1])) / float(rate)
        return DetectedFaces(Timing(rate, seconds), [(numbers, whole)], (self.name,), (crops,))

    def pictures(self, count: int) -> Iterator[NDArray[np.uint8]]:
        """The first `count` frames, BGR [height, width, 3], all of one size; one at a time."""
        if not self.is_folder:
            reading = video.read(self.path)
            for _ in range(count):
                try:
                    yield next(reading)
                except (StopIteration, video.BrokenVideo):
                    raise InputError(f"{self.path}: changed while it was read; start again") from None
            return
        import cv2

        listed = list_frames(self.path)
        by_number = dict(zip(listed.numbers.tolist(), listed.names, strict=True))
        readable = (_pixels(self.path / name) for name in listed.names)
        shape = next((picture.shape for picture in readable if picture is not None), (112, 112, 3))
        for number in range(1, count + 1):
            picture = _pixels(self.path / by_number[number]) if number in by_number else None
            if picture is None:
                picture = np.full(shape, GREY, np.uint8)
            elif picture.shape != shape:
                picture = cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
            yield np.asarray(picture, np.uint8)


@dataclass(frozen=True)
class PictureFolder(VideoSource):
    """A folder of pictures with any names: each is looked for faces and predicted by itself, as a clip of one frame."""

    is_album = True

    @property
    def names(self) -> list[str]:
        """The pictures' file names, sorted."""
        return [name for name in list_frames(self.path).odd if Path(name).suffix.lower() in PICTURES]

    def facts(self) -> dict[str, Any]:
        """What differs where a picture is another one."""
        now = {name: (self.path / name).stat() for name in self.names}
        files = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in now.items()}
        return {"album": str(self.path.absolute()), "pictures": files}

    def find_faces(
        self, work: Path, count: int, size: int, detector: Path | None, people: PeopleOptions | None = None
    ) -> DetectedFaces:
        """Find and crop the faces of every picture. As `people`, those of the first picture, of the second, ...

        Raises NoVideo where no picture can be read.
        """
        crops, names = work / "crops", self.names
        files = {f"{number:05d}": self.path / name for number, name in enumerate(names, 1)}
        report = crop_videos.crop_files(files, crops, faces=count, size=size, detector=detector, people=people)
        found: list[Boxes] = []
        videos: list[str] = []
        measures: list[Measures] = []
        nobody = (np.empty(0, np.int32), np.empty((0, 4), np.float32))
        for number in files:
            sides = [f"{number}{side}" for side in crop_videos.SIDES.get(count, ())]
            if people:
                if (crops / number).is_dir():
                    more = _numbered(crops, number)
                    found, videos, measures = found + more[0], [*videos, *more[1]], [*measures, *more[2]]
                continue
            there = (crops / sides[0]).is_dir()
            found += boxes.read(boxes.path(crops, number), count) if there else [nobody] * count
            videos += sides
        broken = [report.broken[number] for number in files if number in report.broken]
        if len(broken) == len(files):
            raise NoVideo(f"{self.path / broken[0]}; no picture in the folder can be read, expected .jpg or .png files")
        rest = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        timing = Timing(Fraction(1), np.arange(len(files), dtype=np.float64))
        numbers = dict.fromkeys(face.partition("_")[0] for face in videos)
        folders = tuple(crops / number for number in numbers) if people else (crops,)
        why, told = f"{self.path / broken[0]}{rest}" if broken else "", tuple(measures) if people else None
        return DetectedFaces(timing, found, tuple(videos), folders, why, told)

    def split(self, result: DetectedFaces) -> Iterator[tuple[str, DetectedFaces]]:
        """Every picture's name with its faces, as those of a video of one frame."""
        timing = Timing(result.timing.rate, result.timing.seconds[:1])
        rows: dict[str, list[int]] = {}
        for row, face in enumerate(result.videos):
            rows.setdefault(face.partition("_")[0], []).append(row)
        for number, name in enumerate(self.names, 1):
            at = rows.get(f"{number:05d}", [])
            people, videos = [result.people[row] for row in at], tuple(result.videos[row] for row in at)
            measures = None if result.measures is None else tuple(result.measures[row] for row in at)
            yield name, DetectedFaces(timing, people, videos, result.crops, measures=measures)


def _numbered(crops: Path, video: str) -> tuple[list[Boxes], tuple[str, ...], tuple[Measures, ...]]:
    """Everybody's boxes, names of folders and measures, of a video that crop_videos did by number."""
    rows = boxes.read_people(boxes.path(crops, video))
    names = tuple(f"{video}_{number}" for number in range(1, len(rows) + 1))
    return [person for person, _ in rows], names, tuple(measures for _, measures in rows)


def clips(paths: list[Path], fps: float) -> list[VideoSource]:
    """Videos by their paths. Raises InputError for one that is missing, not named like a video, or called like another.

    A folder must hold frames itself, or else other pictures; of a folder of video folders or files, name those.
    """
    results: dict[str, VideoSource] = {}
    for path in paths:
        clip = VideoSource(path, fps)
        if not path.exists():
            raise InputError(f"{path}: no such video; expected a video file, or a folder of crops <video>/00001.jpg")
        if clip.is_folder and not len(list_frames(path).numbers):
            clip = PictureFolder(path, fps)
            for name in clip.names:
                file_names.check("picture", name, path)
            films = sorted(film for film in path.iterdir() if film.suffix.lower() in video.EXTENSIONS)
            if not clip.names:
                hint = f"; of the videos in it name the files, as in {films[0]}" if films else ""
                if (path / "params.json").is_file():
                    hint = "; it is a blend: put --blend before it"
                raise InputError(
                    f"{path}: no pictures called like frames in it, nor others; expected 00001.jpg, ... or any .jpg or "
                    f".png files in {path}{hint}"
                )
            if films:
                print(
                    f"warning: {path}: its pictures are predicted, not its {len(films)} videos (first: "
                    f"{films[0].name}): name those",
                    file=sys.stderr,
                )
        file_names.check(file_names.VIDEO, clip.name, path)
        if clip.name in results:
            raise InputError(
                f"{path}: {results[clip.name].path} is called {clip.name!r} too, and so would be their results; rename "
                f"one, or predict it into another --out"
            )
        results[clip.name] = clip
    return list(results.values())


def _pixels(path: Path) -> NDArray[np.uint8] | None:
    """A picture as BGR, None where it cannot be read."""
    with suppress(images.UnreadablePicture):
        return images.bgr(path)
    return None
