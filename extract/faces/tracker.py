"""Detections -> who is who, frame by frame, for any number of people, by numbers that stay while in sight.

Online: a frame's numbers depend on it and earlier frames alone, so that a camera can be followed, too. As SORT does
(Bewley et al. 2016), detections are assigned to where people, going on as they did, would be now, all at once
(Hungarian method); in place of a Kalman filter there is its steady state, the alpha-beta filter (Kalata 1984).
"""

from __future__ import annotations

from itertools import count

import numpy as np
from numpy.typing import NDArray

from extract.faces.steady_boxes import KEEP_SCORE, NEAR, OVERLAP, SHORTEST, START_SCORE, distances, overlaps

MIN_SIZE = 30.0
"""Pixels of a face's box (root of its area) from which it is looked at: smaller ones say little about affect."""
MEMORY = 60
"""Frames that somebody may go undetected (two seconds) and still be the same person, where expected; looked for twice
at least: of a slow stream few frames are seen."""
ALPHA, BETA = 0.7, 0.2
"""How far a detection corrects the expected place, and the speed: smaller is steadier, larger follows turns sooner."""
SIZE_ALPHA = 0.3
"""The same of a face's size, which changes slowly."""
PATIENCE, FARTHEST = 0.06, 1.5
"""What each undetected frame adds to NEAR, as less is known of where somebody is, up to FARTHEST."""
LOOK, LOOK_ALPHA = 3.0, 0.1
"""Weight of how different two faces look (0 to 1, by their colours) beside how far they are apart, where there are
pixels; and how far a detection changes what somebody looks like."""
CUT_DISTANCE = 0.35
"""Distance of two frames' colours from which another shot begins. Of films without a cut neighbours differ by 0.1 at
most, in a pan by an eighth of the picture a frame by 0.22; close-ups of five people before one sea by 0.4 to 0.77."""
LOOKS = 16 + 16 * 16
"""Numbers that describe a face's colours."""
NO_PERSON = 0
"""The number of a detection that is not, or not yet, known to be a person."""


class Person:
    """Somebody in sight: where expected next, and the number; NO_PERSON until SHORTEST detections are there."""

    def __init__(self, frame: int, box: NDArray[np.float64], look: NDArray[np.float64], at_once: bool) -> None:
        """A detection's frame, box and `describe`d colours; `at_once`: it is enough."""
        self.number = NO_PERSON
        self.frame, self.hits, self.misses = frame, 1, 0
        self.at_once = at_once
        self._centre = box[:2] + box[2:] / 2
        self._size = box[2:].copy()
        self._speed = np.zeros(2)
        self.look = look

    def predict_box(self, frame: int) -> NDArray[np.float64]:
        """The box [4] where the face is expected in a later frame."""
        centre = self._centre + self._speed * (frame - self.frame)
        return np.concatenate([centre - self._size / 2, self._size])

    def is_forgotten(self, frame: int) -> bool:
        """Whether not seen for too long; one who was there but for a moment is soon forgotten."""
        return self.misses >= 2 and frame - self.frame > (MEMORY if self.hits >= SHORTEST else SHORTEST)

    def update(self, frame: int, box: NDArray[np.float64], look: NDArray[np.float64]) -> None:
        """Take the detection of a later frame."""
        frames = frame - self.frame
        expected = self._centre + self._speed * frames
        error = box[:2] + box[2:] / 2 - expected
        alpha, beta = (1.0, 0.5) if self.hits == 1 else (ALPHA, BETA)
        self._centre = expected + alpha * error
        self._speed += beta * error / frames
        self._size *= (box[2:] / self._size) ** SIZE_ALPHA
        self.frame, self.hits, self.misses = frame, self.hits + 1, 0
        self.look = (1 - LOOK_ALPHA) * self.look + LOOK_ALPHA * look


class Tracker:
    """Numbers people from 1, in the order in which they are sure. Who leaves and comes back later has a new number.

    >>> tracker = Tracker()
    >>> for pixels in video.read(path):
    ...     numbers = tracker.update(detect(pixels), pixels)
    """

    def __init__(self, min_score: float = START_SCORE, min_size: float = MIN_SIZE) -> None:
        """Somebody new is believed in when the detector is once `min_score` sure; below `min_size` pixels nobody is."""
        self.min_score, self.min_size = min_score, min_size
        self._people: list[Person] = []
        self._numbers = count(1)
        self._cuts = CutDetector()
        self._began, self._frame = True, 0

    def update(
        self, detections: NDArray[np.float64], pixels: NDArray[np.uint8] | None = None, frame: int | None = None
    ) -> NDArray[np.int64]:
        """The numbers [K] of a frame's detections [K, 5 or more] (x, y, width, height, score): from 1, or NO_PERSON.

        With the frame's `pixels` (BGR [H, W, 3]), given with every frame or with none, colours help, and cuts are
        found: everybody behind a cut is new. `frame` is its number; None is the next.
        """
        people = self.match(detections, pixels, frame)
        return np.array([NO_PERSON if person is None else person.number for person in people], np.int64)

    def match(
        self, detections: NDArray[np.float64], pixels: NDArray[np.uint8] | None = None, frame: int | None = None
    ) -> list[Person | None]:
        """The same as people: also those who have no number yet, but may get one."""
        self._frame = now = self._frame + 1 if frame is None else frame
        if pixels is not None and self._cuts.update(pixels):
            self._people, self._began = [], True
        score, size = detections[:, 4], np.sqrt(detections[:, 2:4].prod(1))
        rows = np.flatnonzero((score >= KEEP_SCORE) & (size >= self.min_size))
        results: list[Person | None] = [None] * len(detections)
        looks = np.zeros((len(detections), LOOKS))
        for row in rows if pixels is not None else ():
            looks[row] = describe(pixels, detections[row, :4])
        pairs = self._assign(detections[rows, :4], looks[rows])
        for person in {*self._people} - {person for person, _ in pairs}:
            person.misses += 1
        for person, i in pairs:
            person.update(now, detections[rows[i], :4], looks[rows[i]])
            results[rows[i]] = person
        self._people = [person for person in self._people if not person.is_forgotten(now)]
        for row in rows:
            if results[row] is None and score[row] >= self.min_score:
                results[row] = Person(now, detections[row, :4], looks[row], self._began)
                self._people.append(results[row])
        for person in results:
            if person is not None and not person.number and (person.hits >= SHORTEST or person.at_once):
                person.number = next(self._numbers)
        self._began = False
        return results

    def _assign(self, boxes: NDArray[np.float64], looks: NDArray[np.float64]) -> list[tuple[Person, int]]:
        """People and rows of boxes [K, 4] that belong together: as many as may, and of these the nearest and likest."""
        from scipy.optimize import linear_sum_assignment

        if not self._people or not len(boxes):
            return []
        expected = np.array([person.predict_box(self._frame) for person in self._people])
        unseen = np.array([self._frame - person.frame - 1 for person in self._people])[:, None]
        cost = distances(expected, boxes)
        near = cost < np.minimum(NEAR + PATIENCE * unseen, FARTHEST)
        possible = near | (overlaps(expected, boxes) >= OVERLAP)
        # Hellinger distance; without pixels everybody's is the same
        alike = np.array([person.look / max(np.linalg.norm(person.look), 1e-9) for person in self._people]) @ looks.T
        cost += 0.02 * unseen + LOOK * np.sqrt(np.clip(1 - alike, 0, 1))
        rows, columns = linear_sum_assignment(np.where(possible, cost, 1e3))
        return [(self._people[i], int(j)) for i, j in zip(rows, columns, strict=True) if possible[i, j]]


class CutDetector:
    """Tells frames that begin another shot, by the colours of the picture's quarters."""

    def __init__(self) -> None:
        self._before: NDArray[np.float64] | None = None

    def update(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether the frame (BGR [H, W, 3]) begins another shot; frames come in order. The first one begins none."""
        now, before = colours(pixels), self._before
        self._before = now
        return before is not None and bool(np.abs(now - before).sum() / 2 > CUT_DISTANCE)


def describe(pixels: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Roots of the shares of lightnesses and tints in the middle of a face: [LOOKS] of length 1, or zeros outside."""
    import cv2

    x, y, width, height = box
    left, right = round(x + 0.15 * width), round(x + 0.85 * width)
    top, bottom = round(y + 0.1 * height), round(y + 0.9 * height)
    part = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not part.size:
        return np.zeros(LOOKS)
    lab = cv2.cvtColor(cv2.resize(part, (32, 32), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2LAB)
    light = cv2.calcHist([lab], [0], None, [16], [0, 256])
    tint = cv2.calcHist([lab], [1, 2], None, [16, 16], [64, 192, 64, 192])
    shares = np.concatenate([light.ravel(), tint.ravel()]).astype(np.float64)
    return np.sqrt(shares / max(shares.sum(), 1))


def colours(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of each of 256 colours (hue, saturation, value) in each quarter of a BGR picture: [1024], sum 1."""
    import cv2

    small = cv2.cvtColor(cv2.resize(pixels, (64, 48), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2HSV)
    quarters = [part for half in np.split(small, 2) for part in np.split(half, 2, axis=1)]
    bins, ranges = [8, 4, 8], [0, 180, 0, 256, 0, 256]
    counts = [cv2.calcHist([part], [0, 1, 2], None, bins, ranges).ravel() for part in quarters]
    return np.concatenate(counts).astype(np.float64) / (small.shape[0] * small.shape[1])
