"""One video -> folders of face crops, `00001.jpg` by the video's own frame numbers.

It is read twice: once to find and follow faces (every frame, at a bounded size), once to cut them out. Memory holds
one frame and the boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.faces import tracking
from extract.faces.detector import Detect
from extract.faces.people import PeopleFollower, PeopleOptions, Sighting, measure_sharpness
from extract.media import video

MARGIN = 0.1
"""Part of the longer side of the face's box that is added on each side of the square crop."""
QUALITY = 95
CHANGED = "changed while it was read"
Boxes = dict[int, NDArray[np.float64]]
"""One person's box [4] by frame."""


def crop(pixels: NDArray[np.uint8], box: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """The square around a box [x, y, width, height], with MARGIN, as [size, size, 3]; black outside the frame. Cut at
    fractions of pixels and resized bilinearly with antialiasing, as PIL does.
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


def crop_video(
    file: Path,
    folders: list[Path],
    size: int,
    detect: Detect,
    advance: Callable[[int], None],
    keep: Callable[[list[Boxes]], None] = lambda people: None,
) -> dict[str, Any]:
    """Crop one video's faces into `folders`, one per person from left to right; they are made unless no frame is read.

    `advance(1)` is called twice per frame; `keep` gets everybody's boxes by frame, once all are known. Returns `frames`
    (read), `crops` and `broken` (why the file is not whole, or None). Of a file that changes meanwhile no frame counts
    as read: boxes and frames may not belong together.
    Raises OSError where the folders cannot be written.
    """
    before, follower, width = _state(file), tracking.Follower(), 0

    def add(frame: int, pixels: NDArray[np.uint8]) -> None:
        nonlocal width
        follower.add(frame, detect(pixels))
        width = pixels.shape[1]

    frames, broken = _read(file, add, advance)
    people = tracking.choose(follower.tracks(), len(folders), width)
    keep(people)
    found = {"frames": frames, "crops": sum(len(boxes) for boxes in people), "broken": broken}
    return _cut_out(file, before, found, dict(zip(folders, people, strict=True)), size, advance)


def crop_people(
    file: Path,
    folder: Path,
    name: str,
    size: int,
    detect: Detect,
    options: PeopleOptions,
    advance: Callable[[int], None],
    keep: Callable[[list[Sighting]], None] = lambda people: None,
) -> dict[str, Any]:
    """Crop everybody's faces into `<folder>/<name>_1`, `_2`, ..., by the people's numbers; the rest as `crop_video`."""
    before, follower = _state(file), PeopleFollower(options)
    frames, broken = _read(file, lambda frame, pixels: follower.add(frame, detect(pixels), pixels), advance)
    people = follower.people()
    folders = {folder / f"{name}_{number}": person.boxes for number, person in enumerate(people, 1)}
    sharpness: dict[Path, list[float]] = {target: [] for target in folders}
    found = {"frames": frames, "crops": sum(map(len, folders.values())), "broken": broken}
    if frames:
        folder.mkdir(parents=True)
    made = _cut_out(
        file,
        before,
        found,
        folders,
        size,
        advance,
        lambda target, cut: sharpness[target].append(measure_sharpness(cut)),
    )
    for person, values in zip(people, sharpness.values(), strict=True):
        person.sharpness = np.array(values, np.float32)
    keep(people if made["frames"] else [])
    return made


def _read(
    file: Path, add: Callable[[int, NDArray[np.uint8]], None], advance: Callable[[int], None]
) -> tuple[int, str | None]:
    """Give every frame to `add`; returns how many there are, and why the file is not whole."""
    frames = 0
    try:
        for frames, pixels in enumerate(video.read(file), 1):
            add(frames, pixels)
            advance(1)
    except video.BrokenVideo as error:
        return frames, str(error)
    return frames, None


def _cut_out(
    file: Path,
    before: tuple[int, int] | None,
    found: dict[str, Any],
    folders: dict[Path, Boxes],
    size: int,
    advance: Callable[[int], None],
    look: Callable[[Path, NDArray[np.uint8]], None] = lambda folder, cut: None,
) -> dict[str, Any]:
    """Read the file again and save each folder's crops; returns `found`, or that no frame counts.

    `before` is the file's state at the start; `look` is shown every crop.
    """
    if found["frames"]:
        for folder in folders:
            folder.mkdir(parents=True)
        try:
            for number, pixels in _again(file, found["frames"] if found["crops"] else 0):
                for folder, boxes in folders.items():
                    if number in boxes:
                        cut = crop(pixels, boxes[number], size)
                        _save(cut, folder / f"{number:05d}.jpg")
                        look(folder, cut)
                advance(1)
        except video.BrokenVideo as error:
            return {"frames": 0, "crops": 0, "broken": str(error)}
    if _state(file) != before:
        return {"frames": 0, "crops": 0, "broken": CHANGED}
    return found


def _again(file: Path, frames: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames that were read before, with their numbers."""
    frame = video.read(file)
    for number in range(1, frames + 1):
        try:
            yield number, next(frame)
        except (video.BrokenVideo, StopIteration):
            raise video.BrokenVideo(CHANGED) from None


def _state(file: Path) -> tuple[int, int] | None:
    """What differs where a file was written to; None where it is gone."""
    try:
        now = file.stat()
    except OSError:
        return None
    return now.st_size, now.st_mtime_ns


def _save(bgr: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1])).save(path, quality=QUALITY)
