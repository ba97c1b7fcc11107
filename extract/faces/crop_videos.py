"""Raw videos -> face crops in the ABAW layout: `<out>/<video>/00001.jpg`, numbered as the video's frames are.

A video's folder appears whole or not at all. `<out>/.crops/` holds what made it, what is under way, and the locks by
which several processes share the videos.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from extract.faces import boxes, crops
from extract.faces.detector import DETECT_SIDE, DETECTOR, Detect, yunet
from extract.faces.people import PeopleOptions
from extract.media import video
from extract.media.frames import SIDES as TWO
from extract.runtime import file_names, inputs, locks
from extract.runtime.errors import InputError, warn
from extract.runtime.progress import progress
from extract.runtime.run_folder import unwritable_error, write_json

SIDES = {1: ("",), 2: TWO}
"""What is added to a video's name, per number of people."""
FILE_SIZE = "file size"


@dataclass(frozen=True)
class Clip:
    """One video to crop."""

    video: str
    file: Path
    out: Path
    faces: int
    people: PeopleOptions | None = None
    """Everybody is wanted, by number: a folder for each in the video's folder (crops.crop_people)."""

    def targets(self, settings: dict[str, Any] | None = None) -> list[Path]:
        """Its finished folders, from left to right; those that are asked for, or that other settings made."""
        faces, by_number = self.faces, self.people is not None
        if settings is not None:
            faces, by_number = settings.get("faces", 0), "people" in settings
        return [self.out / f"{self.video}{side}" for side in (SIDES[1] if by_number else SIDES.get(faces, ()))]

    @property
    def record(self) -> Path:
        """What is known of the crops: a JSON file that is written before their folders appear."""
        return self.out / ".crops" / f"{self.video}.json"


@dataclass
class Report:
    """What became of the videos; counts include those finished by earlier runs and by other processes."""

    videos: int = 0
    crops: int = 0
    without_face: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Video -> what is wrong with its file. Crops of the frames that can be read, if any, are kept."""


def crop_files(
    files: dict[str, Path],
    out: Path,
    *,
    faces: int = 1,
    size: int = 112,
    detector: Path | None = None,
    redo: bool = False,
    people: PeopleOptions | None = None,
) -> Report:
    """Crop the faces of videos, by name, together with whoever else works on them; done ones are left alone.

    `faces=1`: one person per video, `<out>/<video>/`; `faces=2`: `<out>/<video>_left/` and `<out>/<video>_right/`; with
    `people`, and whatever `faces` is, everybody, `<out>/<video>/<video>_1/`. Frames without a detected face have no
    file; a video without faces gets an empty folder. Crops are `size` pixels square; where the faces were is left in
    `boxes.path(out, video)`. `detector` is YuNet's file; None: the cache folder, else downloaded. Broken videos (also
    those whose name can be no folder's) are listed in the report and in `<out>/failures.json`, and done again when
    their file has another size. `redo` does all again, except crops that came from elsewhere.
    Raises InputError for a detector file or settings that cannot be used; videos finished before that stay.
    """
    faces = people.at_once if people else faces
    if (not people and faces not in SIDES) or size < 1:
        raise InputError(f"--faces {faces} --size {size}: expected 1 or 2 faces, and a positive size")
    whys = {name: file_names.problem(file_names.VIDEO, name) for name in files}
    printed = {name: file_names.printable(file.name) for name, file in files.items()}
    unnamable = {name: f"{printed[name]}: its name {why}: rename it" for name, why in whys.items() if why}
    clips = [Clip(name, file, out, faces, people) for name, file in files.items() if name not in unnamable]
    began = time.time()
    settings: dict[str, Any] = {"faces": faces, "size": size, "margin": crops.MARGIN}
    settings |= {"detect_side": DETECT_SIDE, "detector": DETECTOR.sha256}
    settings |= {"people": asdict(people)} if people else {}

    def is_done(clip: Clip) -> bool:
        return _is_done(clip, settings, began, redo)

    todo = [clip for clip in clips if not is_done(clip)]
    if todo:
        detect = yunet(detector, people.min_size) if people else yunet(detector)
        claims = locks.Claims(out / ".crops" / "locks")
        frames = {clip.video: video.read_frame_count(clip.file) for clip in todo}
        with progress("crop faces", 2 * sum(frames.values()), "frames", parts=2) as bar:
            for clip in locks.take_turns(todo, claims, is_done, lambda clip: bar.advance(2 * frames[clip.video])):
                if clip is not None:
                    bar.advance(0, clip.video)
                    with _replacing(clip) as folders:
                        made, write_boxes = _crop(clip, folders, size, detect, bar.advance)
                        made |= {"file": clip.file.name, "bytes": inputs.file_size(clip.file), "settings": settings}
                        _publish(clip, made, write_boxes)
                    claims.release(clip.video)
    return _report(clips, out, unnamable)


def _crop(
    clip: Clip, folders: list[Path], size: int, detect: Detect, advance: crops.Advance
) -> tuple[dict[str, Any], Callable[[Path], None]]:
    """Crop a video; returns what is known of the crops, and what writes the boxes to a file."""
    if clip.people is None:
        made, sides = crops.crop_video(clip.file, folders, size, detect, advance)
        return made, lambda target: boxes.write(target, sides)
    made, people = crops.crop_people(clip.file, folders[0], clip.video, size, detect, clip.people, advance)
    return made, lambda target: boxes.write_people(target, people)


def _is_done(clip: Clip, settings: dict[str, Any], began: float, redo: bool) -> bool:
    """True if nothing is left to do; a file of which no frame can be read is tried once in every run.

    Raises InputError where crops are there that were made otherwise.
    """
    record, there = _record(clip), all(target.is_dir() for target in clip.targets())
    if not record:
        return there  # crops from elsewhere: taken as they are
    if redo or not record["frames"]:
        return clip.record.stat().st_mtime >= began and (there or not record["frames"])
    before, now = record["settings"] | {FILE_SIZE: record["bytes"]}, settings | {FILE_SIZE: inputs.file_size(clip.file)}
    differs = [key for key in now if before.get(key) != now[key]]
    if not there and not any(target.is_dir() for target in clip.targets(before)):
        return False
    if differs == [FILE_SIZE] and record["broken"]:
        return False  # its file was mended
    if differs:
        said, here = (", ".join(f"{key} {facts.get(key)}" for key in differs) for facts in (before, now))
        raise InputError(
            f"{clip.out / clip.video}: made with {said}; now there is {here}; --redo makes it anew, another folder for "
            f"the crops keeps both"
        )
    return there


@contextmanager
def _replacing(clip: Clip) -> Iterator[list[Path]]:
    """Give folders to be made and filled; nothing of them is left where the block ends badly."""
    folders = [_under_way(target) for target in clip.targets()]
    for target in clip.targets():
        if target.exists() and not target.is_dir():
            raise InputError(f"{target}: a file is in the way; move it, or choose another folder for the crops")
    try:
        for folder in folders:  # of a process that was killed: the video is ours now
            shutil.rmtree(folder, ignore_errors=True)
        yield folders
    except OSError as error:
        advice = "free some space or choose another folder for the crops"
        raise unwritable_error(clip.targets()[0], error, advice) from error
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _under_way(target: Path) -> Path:
    return target.parent / ".crops" / f"{target.name}.part"


def _publish(clip: Clip, record: dict[str, Any], write_boxes: Callable[[Path], None]) -> None:
    """Put the record, the boxes, then the folders, into place. What was there goes first: it never passes for new."""
    if hasattr(os, "sync"):
        os.sync()  # once a video: a crash must not leave empty pictures in a folder that counts
    before = _record(clip).get("settings", {})
    for target in {*clip.targets(), *clip.targets(before)}:
        old = _under_way(target).with_suffix(".old")
        shutil.rmtree(old, ignore_errors=True)
        with suppress(FileNotFoundError):
            os.replace(target, old)
        shutil.rmtree(old, ignore_errors=True)
    write_json(clip.record, record)
    write_boxes(boxes.path(clip.out, clip.video))
    for target in clip.targets() if record["frames"] else []:
        os.replace(_under_way(target), target)


def _record(clip: Clip) -> dict[str, Any]:
    """What a run noted of a video, or {}."""
    record = inputs.load_json(clip.record)
    known = isinstance(record, dict) and {"frames", "crops", "broken", "settings", "bytes"} <= record.keys()
    return record if known else {}


def _report(clips: list[Clip], out: Path, unnamable: dict[str, str]) -> Report:
    report = Report(videos=len(clips) + len(unnamable), broken=dict(unnamable))
    for clip in clips:
        record = _record(clip)
        report.crops += record.get("crops", 0)
        if record.get("broken"):
            report.broken[clip.video] = f"{clip.file.name}: {record['broken']}"
        elif record and not record["crops"]:
            report.without_face.append(clip.video)
    failures = out / "failures.json"
    if report.broken:
        write_json(failures, [{"video": name, "reason": reason} for name, reason in report.broken.items()])
    elif failures.exists():
        failures.unlink(missing_ok=True)
    return report


def command(
    videos: Path, out: Path, *, faces: int = 1, size: int = 112, redo: bool = False, as_json: bool = False
) -> int:
    """Crop a folder's videos and tell what became of them; the exit code is 1 where a video is broken, else 0."""
    report = crop_files(video.list_files(videos), out, faces=faces, size=size, redo=redo)
    if as_json:
        print(json.dumps({"folder": str(out)} | asdict(report), indent=2))
    else:
        print(f"{report.crops:,} face crops of {report.videos} videos are in {out}")
    if report.without_face and not as_json:
        print(f"no face in {len(report.without_face)} of them: {', '.join(report.without_face)}")
    for reason in report.broken.values():
        warn(f"{videos / reason}")
    if report.broken:
        print(
            f"{len(report.broken)} videos are broken; crops of the frames that can be read are kept. Once a file is "
            f"whole, start again: it is done anew. The list is in {out / 'failures.json'}",
            file=sys.stderr,
        )
    return 1 if report.broken else 0
