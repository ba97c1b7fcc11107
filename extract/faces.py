"""Raw videos -> face crops in the ABAW layout: `<out>/<video>/00001.jpg`, numbered as the video's frames are.

Each video is read twice: once to find and follow faces (every frame, at a bounded size), once to cut them out. Memory
holds one frame and the boxes. A video's folder appears whole or not at all; what made it stands in `<out>/.crops/`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract import tracking, video, weights
from extract.errors import InputError
from extract.networks import Network
from extract.progress import progress
from extract.rundir import write_json

DETECT_SIDE = 480
"""Longer side, pixels, at which faces are looked for: YuNet finds faces from about 10 pixels there, in a full-HD
video from 40, and smaller ones say little about affect. Twice as fast as 640."""
MARGIN = 0.1
"""Part of the longer side of the face's box that is added on each side of the square crop."""
QUALITY = 95
DETECTOR = Network(
    "face_detection_yunet_2023mar",
    DETECT_SIDE,
    (0.0, 0.0, 0.0),
    (1 / 255, 1 / 255, 1 / 255),
    "bgr",
    None,
    None,
    False,
    "face_detection_yunet_2023mar.onnx",
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    url="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
    classifier=False,
)
"""YuNet (MIT licence), run by cv2.FaceDetectorYN."""

Detect = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


@dataclass
class Report:
    """What became of the videos; counts include those finished by earlier runs."""

    videos: int = 0
    crops: int = 0
    without_face: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Video -> what is wrong with its file. Crops of the frames before the break, if any, are kept."""


def main(videos: Path, out: Path, *, faces: int = 1, size: int = 112, detector: Path | None = None) -> Report:
    """Crop the faces of all videos in a folder; videos that have their folder in `out` already are left as they are.

    `faces=1`: one person per video, `<out>/<video>/`; `faces=2`: `<out>/<video>_left/` and `<out>/<video>_right/`.
    Frames without a detected face have no file; a video without faces gets an empty folder. Crops are `size` pixels
    square. `detector` is YuNet's file; None: the cache folder, else downloaded. Videos that are broken are listed in
    the report and in `<out>/failures.json`.
    Raises InputError for a folder, a detector file or settings that cannot be used; videos finished before that stay.
    """
    if faces not in (1, 2) or size < 1:
        raise InputError(f"--faces {faces} --size {size}: expected 1 or 2 faces, and a positive size")
    files = video.list_files(videos)
    sides = [""] if faces == 1 else ["_left", "_right"]
    targets = {name: [out / f"{name}{side}" for side in sides] for name in files}
    detect = yunet(detector)
    settings = {"faces": faces, "size": size, "margin": MARGIN, "detect_side": DETECT_SIDE, "detector": DETECTOR.sha256}
    done = {name: _record(out, name, settings) for name in files if all(target.is_dir() for target in targets[name])}
    _sweep(out)
    todo = [name for name in files if name not in done]
    with progress("crop faces", 2 * sum(video.stated_frames(files[name]) for name in todo), "frames") as bar:
        for name in todo:
            bar.advance(0, name)
            done[name] = _crop(files[name], targets[name], size, detect, bar.advance) | {"settings": settings}
            _finish(out, name, targets[name], done[name])
    return _report(done, out)


def yunet(path: Path | None = None) -> Detect:
    """A function from BGR pixels [H, W, 3] to detections [K, 5]: x, y, width, height in pixels, score in 0..1."""
    import cv2

    if path is not None and not path.is_file():
        raise InputError(f"{path}: no such file; expected the face detector {DETECTOR.file}")
    path = path or weights.find(DETECTOR)
    weights.verify(path, DETECTOR)
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 notes a default it ignores
    model = cv2.FaceDetectorYN.create(str(path), "", (DETECT_SIDE, DETECT_SIDE), tracking.KEEP_SCORE, 0.3, 500)
    cv2.utils.logging.setLogLevel(level)

    def detect(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        height, width = pixels.shape[:2]
        scale = min(1.0, DETECT_SIDE / max(height, width))
        shape = max(1, round(width * scale)), max(1, round(height * scale))
        if scale < 1:
            pixels = np.asarray(cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA), np.uint8)
        model.setInputSize(shape)
        found = model.detect(pixels)[1]
        if found is None:
            return np.empty((0, 5))
        return found[:, [0, 1, 2, 3, 14]].astype(np.float64) * np.array([width / shape[0], height / shape[1]] * 2 + [1])

    return detect


def crop(pixels: NDArray[np.uint8], box: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """The square around a box [x, y, width, height], with MARGIN, as [size, size, 3]; black outside the frame.

    Cut at fractions of pixels and resized bilinearly with antialiasing, as PIL does.
    """
    from PIL import Image

    side = max(box[2:]) * (1 + 2 * MARGIN)
    low = box[:2] + box[2:] / 2 - side / 2
    first, last = np.floor(low).astype(int) - 1, np.ceil(low + side).astype(int) + 1
    height, width = pixels.shape[:2]
    cut = np.zeros((last[1] - first[1], last[0] - first[0], 3), np.uint8)
    (x0, y0), (x1, y1) = np.maximum(first, 0), np.minimum(last, (width, height))
    if x1 > x0 and y1 > y0:
        cut[y0 - first[1] : y1 - first[1], x0 - first[0] : x1 - first[0]] = pixels[y0:y1, x0:x1]
    left, top = low - first
    square = Image.fromarray(cut).resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    return np.asarray(square)


def _crop(file: Path, targets: list[Path], size: int, detect: Detect, advance: Callable[[int], None]) -> dict[str, Any]:
    """Crop one video into temporary folders beside `targets`; return its record. An unreadable video makes none."""
    follower, frames, width, broken = tracking.Follower(), 0, 0, None
    try:
        for frames, pixels in enumerate(video.read(file), 1):
            follower.add(frames, detect(pixels))
            width = pixels.shape[1]
            advance(1)
    except video.BrokenVideo as error:
        broken = str(error)
    record: dict[str, Any] = {"file": file.name, "frames": frames, "crops": 0, "broken": broken}
    if not frames:
        return record
    people = tracking.choose(follower.tracks(), len(targets), width)
    with _disk(targets[0]):
        for target in targets:
            shutil.rmtree(_temporary(target), ignore_errors=True)
            _temporary(target).mkdir(parents=True)
        for number, pixels in _again(file, frames if any(people) else 0):
            for target, boxes in zip(targets, people, strict=True):
                if number in boxes:
                    _save(crop(pixels, boxes[number], size), _temporary(target) / f"{number:05d}.jpg")
            advance(1)
    return record | {"crops": sum(len(boxes) for boxes in people)}


def _again(file: Path, frames: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames that were read before, with their numbers."""
    frame = video.read(file)
    for number in range(1, frames + 1):
        try:
            yield number, next(frame)
        except (video.BrokenVideo, StopIteration):
            raise InputError(f"{file}: changed while it was read; start again once it is complete") from None


def _save(bgr: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1])).save(path, quality=QUALITY)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{platform.node()}.{os.getpid()}.part")


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose another folder "
            f"for the crops"
        ) from error


def _finish(out: Path, name: str, targets: list[Path], record: dict[str, Any]) -> None:
    """Put the record, then the folders, into place. A folder that another process finished meanwhile stays."""
    write_json(out / ".crops" / f"{name}.json", record)
    for target in targets:
        if not _temporary(target).is_dir():
            continue
        with _disk(target):
            if target.is_dir():
                shutil.rmtree(_temporary(target))
            else:
                os.replace(_temporary(target), target)


def _sweep(out: Path) -> None:
    """Remove what interrupted runs left half-done: folders of processes of this machine that are no more."""
    for folder in out.glob(f".*.{platform.node()}.*.part"):
        process = folder.name.split(".")[-2]
        if Path("/proc/self").exists() and process.isdigit() and not Path("/proc", process).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _record(out: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run noted of a finished video. Raises InputError where it was made with other settings."""
    path = out / ".crops" / f"{name}.json"
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}  # crops from elsewhere: taken as they are
    differs = [key for key in settings if record.get("settings", {}).get(key) != settings[key]]
    if differs:
        raise InputError(
            f"{out / name}: made with "
            + ", ".join(f"{key} {record.get('settings', {}).get(key)}" for key in differs)
            + "; now asked for: "
            + ", ".join(f"{key} {settings[key]}" for key in differs)
            + "; choose another folder for the crops, or delete that one"
        )
    return record


def _report(done: dict[str, dict[str, Any]], out: Path) -> Report:
    report = Report(videos=len(done))
    for name, record in sorted(done.items()):
        report.crops += record.get("crops", 0)
        if record.get("broken"):
            report.broken[name] = f"{record['file']}: {record['broken']}"
        elif record and not record["crops"]:
            report.without_face.append(name)
    failures = out / "failures.json"
    if report.broken:
        write_json(failures, [{"video": name, "reason": reason} for name, reason in report.broken.items()])
    else:
        failures.unlink(missing_ok=True)
    return report


def command(videos: Path, out: Path, *, faces: int = 1, size: int = 112, detector: Path | None = None) -> int:
    """Run `main` and tell what became of the videos; the exit code is 1 where a video is broken, else 0."""
    report = main(videos, out, faces=faces, size=size, detector=detector)
    print(f"{report.crops:,} face crops of {report.videos} videos are in {out}")
    if report.without_face:
        print(f"no face in {len(report.without_face)} of them: {', '.join(report.without_face)}")
    for reason in report.broken.values():
        print(f"warning: {videos / reason}", file=sys.stderr)
    if report.broken:
        print(
            f"{len(report.broken)} videos are broken; crops of the frames before the break are kept. Once a file is "
            f"whole, delete its folder in {out} and start again. The list is in {out / 'failures.json'}",
            file=sys.stderr,
        )
    return 1 if report.broken else 0
