"""Detected face boxes -> one steady box per frame and person: following, choosing, smoothing. Pure functions.

Boxes are [x, y, width, height] in pixels of the upright frame, a score in 0..1 behind them where detections are meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

START_SCORE = 0.8
"""A face is believed in when the detector was once this sure; after that KEEP_SCORE will do to go on."""
KEEP_SCORE = 0.6
SHORTEST = 3
"""Detections that make a track; fewer are the detector's flicker, unless the video has no more frames."""
MEMORY = 15
"""Frames that a person may go undetected (half a second) and still be the same person; no frame of them gets a box."""
OVERLAP = 0.3
"""Intersection over union from which two boxes are one person's."""
NEAR = 0.5
"""Boxes that overlap less are one person's if their centres are nearer than this part of their size: fast heads."""
POSITION_SIGMA, SIZE_SIGMA = 1.5, 5.0
"""Frames; a head's place changes faster than its size does."""


@dataclass(frozen=True)
class Track:
    """One person's boxes: `frame` int [N], rising, gaps allowed; `box` float [N, 4]."""

    frame: NDArray[np.int64]
    box: NDArray[np.float64]

    @property
    def weight(self) -> float:
        """Frames times mean size: large by being near, and by being there long."""
        return float(np.sqrt(self.box[:, 2] * self.box[:, 3]).sum())

    @property
    def middle(self) -> float:
        """Median horizontal centre, pixels."""
        return float(np.median(self.box[:, 0] + self.box[:, 2] / 2))


class Follower:
    """Joins detections to tracks, frame by frame."""

    def __init__(self) -> None:
        self._open: list[_Growing] = []
        self._closed: list[_Growing] = []
        self._seen = 0

    def add(self, frame: int, detections: NDArray[np.float64]) -> None:
        """Take the detections [K, 5 or more] of a frame; frames come in rising order."""
        detections = detections[detections[:, 4] >= KEEP_SCORE]
        self._seen += 1
        self._closed += [track for track in self._open if frame - track.frames[-1] > MEMORY]
        self._open = [track for track in self._open if frame - track.frames[-1] <= MEMORY]
        taken: set[int] = set()
        for track, row in self._pairs(detections):
            if row not in taken and track.frames[-1] != frame:
                taken.add(row)
                track.add(frame, detections[row])
        free = [detection for row, detection in enumerate(detections) if row not in taken]
        self._open += [_Growing(frame, detection) for detection in free if detection[4] >= START_SCORE]

    def tracks(self) -> list[Track]:
        """All tracks of at least SHORTEST frames (of a shorter video: of all of them), by falling weight."""
        long = [track for track in self._closed + self._open if len(track.frames) >= min(SHORTEST, self._seen)]
        joined = [Track(np.array(track.frames), np.array(track.boxes)) for track in long]
        return sorted(joined, key=lambda track: (-track.weight, track.frame[0], track.middle))

    def _pairs(self, detections: NDArray[np.float64]) -> list[tuple[_Growing, int]]:
        """Tracks and detections that may belong together, the closest first."""
        if not self._open or not len(detections):
            return []
        close = closeness(np.array([track.boxes[-1] for track in self._open]), detections[:, :4])
        rows, columns = np.unravel_index(np.argsort(-close, axis=None, kind="stable"), close.shape)
        return [(self._open[i], int(j)) for i, j in zip(rows, columns, strict=True) if close[i, j] > 0]


class _Growing:
    def __init__(self, frame: int, detection: NDArray[np.float64]) -> None:
        self.frames, self.boxes = [frame], [detection[:4]]

    def add(self, frame: int, detection: NDArray[np.float64]) -> None:
        self.frames.append(frame)
        self.boxes.append(detection[:4])


def closeness(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """How surely boxes [N, 4] and [M, 4] are one person's [N, M]: above 1 where they overlap, 0 where they are not."""
    overlap, distance = overlaps(a, b), distances(a, b)
    return np.where(overlap >= OVERLAP, 1 + overlap, np.where(distance < NEAR, 1 - distance, 0.0))


def overlaps(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union [N, M] of boxes [N, 4] and [M, 4]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    both = np.clip(high - low, 0, None).prod(2)
    return both / (a[:, 2:].prod(1)[:, None] + b[:, 2:].prod(1)[None] - both)


def distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance between centres [N, M] in units of the boxes' size, plus how much the sizes differ (log ratio)."""
    centres = np.linalg.norm((a[:, :2] + a[:, 2:] / 2)[:, None] - (b[:, :2] + b[:, 2:] / 2)[None], axis=2)
    size_a, size_b = np.sqrt(a[:, 2:].prod(1))[:, None], np.sqrt(b[:, 2:].prod(1))[None]
    return centres / np.sqrt(size_a * size_b) + np.abs(np.log(size_a / size_b))


def choose(tracks: list[Track], people: int, width: float) -> list[dict[int, NDArray[np.float64]]]:
    """The smoothed box of every frame, for each of 1 or 2 people; for two, the left one comes first.

    The heaviest track is the person (of two: the two heaviest that were seen together, else the two heaviest). Further
    tracks, say behind a cut, go on from the nearer one, in frames outside the time it spans: within that, another face
    is another person's. One person alone, where two are asked for, is the left or the right one by the middle of the
    frame (`width` pixels).
    """
    if not tracks:
        return [{} for _ in range(people)]
    seeds = [tracks[0]]
    if people == 2 and len(tracks) > 1:
        together = [track for track in tracks[1:] if np.isin(track.frame, seeds[0].frame).any()]
        seeds.append((together or tracks[1:])[0])
        seeds.sort(key=lambda track: track.middle)
    lanes = [_Lane(seed) for seed in seeds]
    for track in tracks:
        if not any(track is seed for seed in seeds):
            min(lanes, key=lambda lane: abs(lane.middle - track.middle)).add(track)
    boxes = [lane.boxes for lane in lanes]
    if len(boxes) < people:
        boxes.insert(1 if lanes[0].middle < width / 2 else 0, {})
    return boxes


class _Lane:
    """One person's boxes, joined from tracks; each track has the time between its first and last frame to itself."""

    def __init__(self, seed: Track) -> None:
        self.middle = seed.middle
        self.boxes: dict[int, NDArray[np.float64]] = {}
        self._spans: list[tuple[int, int]] = []
        self.add(seed)

    def add(self, track: Track) -> None:
        free = np.ones(len(track.frame), bool)
        for first, last in self._spans:
            free &= (track.frame < first) | (track.frame > last)
        if free.any():
            boxes = smooth(track)
            self.boxes |= {int(frame): box for frame, box in zip(track.frame[free], boxes[free], strict=True)}
            self._spans.append((int(track.frame[0]), int(track.frame[-1])))


def smooth(track: Track) -> NDArray[np.float64]:
    """A track's boxes [N, 4], centre and (log) size smoothed over time with a Gaussian: crops do not jitter.

    It is centred, so that steady motion is kept as it is, and weighs by frame number, so gaps do no harm.
    """
    centre = track.box[:, :2] + track.box[:, 2:] / 2
    centre = _gaussian(track.frame, centre, POSITION_SIGMA)
    size = np.exp(_gaussian(track.frame, np.log(track.box[:, 2:]), SIZE_SIGMA))
    return np.hstack([centre - size / 2, size])


def _gaussian(frame: NDArray[np.int64], values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Local linear regression with Gaussian weights over frame numbers, cut off at 4 sigma: no drag at the ends."""
    out = np.empty_like(values)
    reach = 4 * sigma
    low, high = np.searchsorted(frame, frame - reach), np.searchsorted(frame, frame + reach, "right")
    for i in range(len(frame)):
        at = (frame[low[i] : high[i]] - frame[i]).astype(np.float64)
        weight = np.exp(-0.5 * (at / sigma) ** 2)
        total, first, second = weight.sum(), weight @ at, weight @ at**2
        spread = total * second - first**2
        line = weight * (second - first * at) / spread if spread > 1e-9 else weight / total
        out[i] = line @ values[low[i] : high[i]]
    return out
