"""Faces of a video while it is being made: who is where, from what was seen so far.

A tracker is anything with `update(frame, detections)`; `LargestFace` follows one person.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from extract.faces import tracking
from extract.faces.tracking import MEMORY, NEAR, OVERLAP, SIZE_SIGMA, START_SCORE, Track

REACH = round(4 * SIZE_SIGMA)
"""Frames back that a box is smoothed over, as `tracking.smooth` cuts its kernel off."""
Face = tuple[int, NDArray[np.float64]]
"""A person's number, from 1, and the smoothed box [4] in the frame: x, y, width, height in pixels."""


class Tracker(Protocol):
    """What a stream needs of a tracker."""

    def update(self, frame: int, detections: NDArray[np.float64]) -> list[Face]:
        """Take the detections [K, 5] (box, score) of a frame; returns the faces in it. Frame numbers only rise."""


class LargestFace:
    """Follows the largest face, until that is gone; then the largest again, as another person.

    A face counts from its first sure detection on; of a file, three make one. A person may go undetected for MEMORY
    frames, and is looked for twice at least: of a slow stream few frames are seen. The box is smoothed over the frames
    before it, as a file's is over those on both sides.
    """

    def __init__(self) -> None:
        self._number = self._missed = 0
        self._frames: list[int] = []
        self._boxes: list[NDArray[np.float64]] = []

    def update(self, frame: int, detections: NDArray[np.float64]) -> list[Face]:
        """As `Tracker.update`; no face or one."""
        detections = np.asarray(detections, np.float64).reshape(-1, 5)
        detections = detections[detections[:, 4] >= tracking.KEEP_SCORE]
        if self._frames and frame - self._frames[-1] > MEMORY and self._missed >= 2:
            self._frames, self._boxes = [], []
        row = self._same(detections) if self._frames else self._largest(detections)
        if row is None:
            self._missed += 1
            return []
        if not self._frames:
            self._number += 1
        self._missed = 0
        self._frames, self._boxes = [*self._frames, frame], [*self._boxes, detections[row, :4]]
        while self._frames[0] < frame - REACH:
            del self._frames[0], self._boxes[0]
        return [(self._number, tracking.smooth(Track(np.array(self._frames), np.array(self._boxes)))[-1])]

    def _same(self, detections: NDArray[np.float64]) -> int | None:
        """Which detection is the person who is followed."""
        if not len(detections):
            return None
        last = self._boxes[-1][None]
        overlap, distance = (f(last, detections[:, :4])[0] for f in (tracking.overlaps, tracking.distances))
        closeness = np.where(overlap >= OVERLAP, 1 + overlap, np.where(distance < NEAR, 1 - distance, 0.0))
        return int(closeness.argmax()) if closeness.max() > 0 else None

    def _largest(self, detections: NDArray[np.float64]) -> int | None:
        """Which detection is a new person."""
        sizes = np.where(detections[:, 4] >= START_SCORE, detections[:, 2] * detections[:, 3], 0.0)
        return int(sizes.argmax()) if sizes.any() else None
