"""All people of a film, each with a number: their boxes by frame, and how well each face can be seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from extract.faces import steady_boxes
from extract.faces.steady_boxes import KEEP_SCORE, SHORTEST, START_SCORE, Track
from extract.faces.tracker import MIN_SIZE, Person, Tracker
from extract.runtime.errors import InputError

MAX_PEOPLE = 100
"""People at once, at most."""


@dataclass(frozen=True)
class PeopleOptions:
    """Whom to follow."""

    at_once: int
    """Faces of a frame, at most: of the people who are largest and longest in the film."""
    min_size: float = MIN_SIZE
    """Pixels (root of the box's area) below which a face is passed over."""
    min_score: float = START_SCORE
    """A face is believed in when the detector was once this sure."""

    def __post_init__(self) -> None:
        """Raise InputError for what nobody can mean."""
        if not isinstance(self.at_once, int) or not 1 <= self.at_once <= MAX_PEOPLE:
            raise InputError(f"--faces {self.at_once}: expected 1 to {MAX_PEOPLE}")
        if not (math.isfinite(self.min_size) and self.min_size >= 0):
            raise InputError(f"--min-face {self.min_size}: expected pixels, 0 or more")
        if not KEEP_SCORE <= self.min_score < 1:
            raise InputError(
                f"--min-score {self.min_score}: expected {KEEP_SCORE} to below 1; below that the detector says nothing"
            )


@dataclass
class Sighting:
    """One person's faces: `frame` int [N], rising, gaps allowed; the others by frame."""

    frame: NDArray[np.int64]
    box: NDArray[np.float64]
    """[N, 4], smoothed: x, y, width, height in pixels."""
    score: NDArray[np.float32]
    """[N]: how sure the detector was, 0 to 1."""
    roll: NDArray[np.float32]
    """[N], degrees by which the head is turned clockwise in the picture, by the line of the eyes; NaN: unknown."""
    sharpness: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    """[N]: `measure_sharpness` of the crops, once they are made."""

    @property
    def boxes(self) -> dict[int, NDArray[np.float64]]:
        """The boxes by frame."""
        return {int(frame): box for frame, box in zip(self.frame, self.box, strict=True)}


class PeopleFollower:
    """Gathers everybody's detections, frame by frame; `people` tells who was there."""

    def __init__(self, options: PeopleOptions) -> None:
        self.options = options
        self._tracker = Tracker(options.min_score, options.min_size)
        self._rows: dict[Person, list[tuple[int, NDArray[np.float64]]]] = {}
        self._seen = 0

    def add(self, frame: int, detections: NDArray[np.float64], pixels: NDArray[np.uint8]) -> None:
        """Take a frame (BGR) with its detections [K, 5 or more]; frames come in rising order."""
        self._seen += 1
        for person, row in zip(self._tracker.match(detections, pixels, frame), detections, strict=True):
            if person is not None:
                self._rows.setdefault(person, []).append((frame, row))

    def people(self) -> list[Sighting]:
        """Everybody, by first frame, then from left to right; of more than `at_once` in a frame, the heaviest."""
        tracks = []
        for rows in self._rows.values():
            if len(rows) >= min(SHORTEST, self._seen):
                values = np.array([row for _, row in rows])
                tracks.append((Track(np.array([frame for frame, _ in rows]), values[:, :4]), values[:, 4:]))
        taken: dict[int, int] = {}
        results = []
        for track, values in sorted(tracks, key=lambda item: (-item[0].weight, item[0].frame[0], item[0].middle)):
            free = np.array([taken.get(int(frame), 0) < self.options.at_once for frame in track.frame])
            if free.sum() < min(SHORTEST, self._seen):
                continue
            for frame in track.frame[free]:
                taken[int(frame)] = taken.get(int(frame), 0) + 1
            box, score, roll = steady_boxes.smooth(track), values[:, 0], measure_roll(values[:, 1:])
            results.append(Sighting(track.frame[free], box[free], *(v[free].astype(np.float32) for v in (score, roll))))
        return sorted(results, key=lambda person: (person.frame[0], person.box[0, 0]))


def measure_roll(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees [N] by which heads are turned clockwise, of YuNet's landmarks [N, 10] (x and y of the right eye, the left
    eye, ...): the angle of the line through the eyes. NaN where there are no landmarks.
    """
    if landmarks.shape[1] < 4:
        return np.full(len(landmarks), np.nan)
    across, down = (landmarks[:, 2:4] - landmarks[:, :2]).T
    return np.degrees(np.arctan2(down, across))


def measure_sharpness(crop: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a crop's grey levels (Pech-Pacheco et al. 2000): small where it is blurred, larger
    where there is noise. It compares crops of one size.
    """
    import cv2

    return float(cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var())
