"""One video -> folders of face crops, `00001.jpg` by the video's own frame numbers.

It is read twice: once to find and follow faces (every frame, at a bounded size), once to cut them out. Memory holds
one frame and the boxes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.faces import steady_boxes
from extract.faces.detector import Detect
from extract.faces.people import PeopleFollower, PeopleOptions, Sighting, measure_sharpness
from extract.media import video

MARGIN = 0.1
"""Part of the longer side of the face's box that is added on each side of the square crop."""
QUALITY = 95
CHANGE_REASON = "changed while it was read"
Boxes = dict[int, NDArray[np.float64]]
"""One person's box [4] by frame."""
Advance = Callable[[int], None]


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


def crop_video(
    file: Path, folders: list[Path], size: int, detect: Detect, advance: Advance
) -> tuple[dict[str, Any], list[Boxes]]:
    """Crop one video's faces into `folders`, one per person from left to right; they are made unless no frame is read.

    `advance(1)` is called twice per frame. Returns `frames` (read), `crops` and `broken` (why the file is not whole, or
    None), and everybody's boxes by frame. Of a file that changes meanwhile no frame counts as read: boxes and frames
    may not belong together. Raises OSError where the folders cannot be written.
    """
    follower, width, people = steady_boxes.Follower(), 0, list[Boxes]()

    def add(frame: int, pixels: NDArray[np.uint8]) -> None:
        nonlocal width
        follower.add(frame, detect(pixels))
        width = pixels.shape[1]

    def choose() -> dict[Path, Boxes]:
        people.extend(steady_boxes.choose(follower.tracks(), len(folders), width))
        return dict(zip(folders, people, strict=True))

    return _make(file, add, choose, size, advance), people


def crop_people(
    file: Path, folder: Path, name: str, size: int, detect: Detect, options: PeopleOptions, advance: Advance
) -> tuple[dict[str, Any], list[Sighting]]:
    """Crop everybody's faces into `<folder>/<name>_1`, `_2`, ..., by the people's numbers; the rest as `crop_video`."""
    follower, people = PeopleFollower(options), dict[Path, Sighting]()
    sharpness: dict[Path, list[float]] = defaultdict(list)

    def add(frame: int, pixels: NDArray[np.uint8]) -> None:
        follower.add(frame, detect(pixels), pixels)

    def choose() -> dict[Path, Boxes]:
        people.update({folder / f"{name}_{n}": person for n, person in enumerate(follower.people(), 1)})
        return {target: person.boxes for target, person in people.items()}

    def look(target: Path, cut: NDArray[np.uint8]) -> None:
        sharpness[target].append(measure_sharpness(cut))

    made = _make(file, add, choose, size, advance, look)
    if not made["frames"]:
        return made, []
    folder.mkdir(parents=True, exist_ok=True)
    for target, person in people.items():
        person.sharpness = np.array(sharpness[target], np.float32)
    return made, list(people.values())


def _make(
    file: Path,
    add: Callable[[int, NDArray[np.uint8]], None],
    choose: Callable[[], dict[Path, Boxes]],
    size: int,
    advance: Advance,
    look: Callable[[Path, NDArray[np.uint8]], None] = lambda folder, cut: None,
) -> dict[str, Any]:
    """Give every frame to `add`, then read the file again and save the crops of each folder that `choose` gives.

    Returns `frames`, `crops` and `broken`; `look` is shown every crop.
    """
    before, frames, broken = _state(file), 0, None
    try:
        for frames, pixels in enumerate(video.read(file), 1):
            add(frames, pixels)
            advance(1)
    except video.BrokenVideo as error:
        broken = str(error)
    folders = choose()
    crops = sum(map(len, folders.values()))
    for folder in folders if frames else ():
        folder.mkdir(parents=True)
    try:
        for number, pixels in _again(file, frames if crops else 0):
            for folder, boxes in folders.items():
                if number in boxes:
                    cut = crop(pixels, boxes[number], size)
                    _save(cut, folder / f"{number:05d}.jpg")
                    look(folder, cut)
            advance(1)
        if _state(file) != before:
            raise video.BrokenVideo(CHANGE_REASON)
    except video.BrokenVideo as error:
        return {"frames": 0, "crops": 0, "broken": str(error)}
    return {"frames": frames, "crops": crops, "broken": broken}


def _again(file: Path, frames: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames that were read before, with their numbers."""
    frame = video.read(file)
    for number in range(1, frames + 1):
        try:
            yield number, next(frame)
        except (video.BrokenVideo, StopIteration):
            raise video.BrokenVideo(CHANGE_REASON) from None


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
