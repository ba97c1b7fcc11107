"""A made film of people who cross, with the truth about who is where, and what a detector would say.

`boxes_of` plans it, `detect` stands in for a face detector: who is hidden is not found, boxes jitter, some are missed
and some are of nobody.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 360
MAX_OCCLUSION = 0.5
"""Part of a face that nearer ones may cover before a detector misses it."""
JITTER = 0.03
"""Standard deviation of a detection's place and size, in sizes of the face."""
MISS_RATE, FALSE_RATE = 0.04, 0.02
"""Chances that a face in sight is not found, and that a frame has a detection of nobody."""


def boxes_of(seed: int, people: int, frames: int, wander: float = 0.0) -> NDArray[np.float64]:
    """Boxes [frames, people, 4], farthest person first: half go right and half left, all at different heights, straight
    (`wander` 0), or roaming and turning round at times (1).
    """
    rng = np.random.default_rng([0xC40D, seed])
    time = np.linspace(-1, 1, frames)[:, None]
    order = rng.permutation(people)
    way, row = np.where(order % 2, 1.0, -1.0), order // 2 - (people // 2 - 1) / 2
    pace = rng.uniform(0.4, 0.5, people) * WIDTH
    size = np.sort(rng.uniform(40, 72, people))
    phase, period = rng.uniform(0, 2 * np.pi, (2, people)), rng.uniform(0.35, 1.2, (2, people))
    roam = np.sin(time[None] * np.pi / period[:, None] + phase[:, None])
    x = WIDTH / 2 + way * pace * time + 85 * row + rng.normal(0, 12, people) + wander * 90 * roam[0]
    y = HEIGHT * rng.uniform(0.35, 0.65, people) + 10 * roam[1] * (1 + 2 * wander)
    width = size * (1 + 0.05 * roam[1])
    return np.stack([x - width / 2, y - 0.6 * width, width, 1.2 * width], axis=2)


def visible(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of each face [people] that nobody nearer covers, of the boxes [people, 4] of a frame, by its pixels."""
    canvas = np.full((HEIGHT + 200, WIDTH + 200), -1)
    full = np.zeros(len(boxes))
    for person, (x, y, width, height) in enumerate((boxes + np.array([100, 100, 0, 0])).round().astype(int)):
        canvas[max(y, 0) : y + height, max(x, 0) : x + width] = person
        full[person] = width * height
    inside = canvas[100:-100, 100:-100]
    return np.bincount(inside[inside >= 0], minlength=len(boxes)) / full


def detect(boxes: NDArray[np.float64], seed: int) -> list[NDArray[np.float64]]:
    """What a detector would say: for each frame [K, 5], in no order, of the true boxes [frames, people, 4]."""
    rng = np.random.default_rng([0xDE7, seed])
    results = []
    for frame in boxes:
        seen = (visible(frame) > MAX_OCCLUSION) & (rng.random(len(frame)) > MISS_RATE)
        found = frame[seen] + rng.normal(0, JITTER, (seen.sum(), 4)) * frame[seen][:, [2]]
        if rng.random() < FALSE_RATE:
            found = np.vstack([found, [*rng.uniform((0, 0), (WIDTH - 60, HEIGHT - 60)), 50, 60]])
        scores = rng.uniform(0.7, 0.95, len(found))
        results.append(rng.permutation(np.column_stack([found, scores])))
    return results
