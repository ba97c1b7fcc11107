"""Faces of a video while it is being made: who is where, from what was seen so far.

A follower is anything with `update(frame, detections, pixels)`: `LargestFace` follows one person, `NumberedFaces` those
whom a tracker numbers.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from extract.faces import steady_boxes
from extract.faces.steady_boxes import MEMORY, SIZE_SIGMA, START_SCORE, Track
from extract.faces.tracker import Tracker

REACH = round(4 * SIZE_SIGMA)
"""Frames back that a box is smoothed over, as `steady_boxes.smooth` cuts its kernel off."""
Face = tuple[int, NDArray[np.float64]]
"""A person's number, from 1, and the smoothed box [4] in the frame: x, y, width, height in pixels."""


class FaceFollower(Protocol):
    """What a stream needs to know who is where."""

    def update(self, frame: int, detections: NDArray[np.float64], pixels: NDArray[np.uint8]) -> list[Face]:
        """The faces in a frame, by its detections [K, 5 or more] (box, score) and pixels; frame numbers only rise."""


class RecentBoxes:
    """One person's last boxes: smoothed over the frames before, as a file's are over those on both sides."""

    def __init__(self) -> None:
        self._frames: list[int] = []
        self._boxes: list[NDArray[np.float64]] = []

    @property
    def frame(self) -> int:
        """The number of the last frame."""
        return self._frames[-1]

    @property
    def box(self) -> NDArray[np.float64]:
        """The last box [4], as it was given."""
        return self._boxes[-1]

    def add(self, frame: int, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the next frame's box [4]; returns the smoothed one."""
        self._frames, self._boxes = [*self._frames, frame], [*self._boxes, box]
        while self._frames[0] < frame - REACH:
            del self._frames[0], self._boxes[0]
        return steady_boxes.smooth(Track(np.array(self._frames), np.array(self._boxes)))[-1]


class LargestFace:
    """Follows the largest face, until that is gone; then the largest again, as another person.

    A face counts from its first sure detection on; of a file, three make one. A person may go undetected for MEMORY
    frames, and is looked for twice at least: of a slow stream few frames are seen.
    """

    def __init__(self) -> None:
        self._number = self._missed = 0
        self._person: RecentBoxes | None = None

    def update(self, frame: int, detections: NDArray[np.float64], pixels: NDArray[np.uint8]) -> list[Face]:
        """As `FaceFollower.update`; no face or one."""
        detections = detections[detections[:, 4] >= steady_boxes.KEEP_SCORE]
        if self._person is not None and frame - self._person.frame > MEMORY and self._missed >= 2:
            self._person = None
        row = _largest(detections) if self._person is None else _same(self._person.box, detections)
        if row is None:
            self._missed += 1
            return []
        if self._person is None:
            self._number, self._person = self._number + 1, RecentBoxes()
        self._missed = 0
        return [(self._number, self._person.add(frame, detections[row, :4]))]


def _same(box: NDArray[np.float64], detections: NDArray[np.float64]) -> int | None:
    """Which detection is the person who was at `box`."""
    if not len(detections):
        return None
    closeness = steady_boxes.closeness(box[None], detections[:, :4])[0]
    return int(closeness.argmax()) if closeness.max() > 0 else None


def _largest(detections: NDArray[np.float64]) -> int | None:
    """Which detection is a new person."""
    sizes = np.where(detections[:, 4] >= START_SCORE, detections[:, 2] * detections[:, 3], 0.0)
    return int(sizes.argmax()) if sizes.any() else None


class NumberedFaces:
    """The people whom a tracker numbers, `most` at once: of more, those with the lowest numbers, who came first."""

    def __init__(self, tracker: Tracker, most: int) -> None:
        self._tracker, self._most = tracker, most
        self._people: dict[int, RecentBoxes] = {}

    def update(self, frame: int, detections: NDArray[np.float64], pixels: NDArray[np.uint8]) -> list[Face]:
        """As `FaceFollower.update`."""
        numbers = self._tracker.update(detections, pixels, frame)
        self._people = {number: boxes for number, boxes in self._people.items() if boxes.frame >= frame - REACH}
        rows = sorted((int(number), row) for row, number in enumerate(numbers) if number)[: self._most]
        return [(n, self._people.setdefault(n, RecentBoxes()).add(frame, detections[row, :4])) for n, row in rows]
