"""The film of a crowd (extract.bench.crowd), drawn."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from extract.bench.crowd import HEIGHT, WIDTH
from extract.demo import dynamics, identity, render

PORTRAITS = 12
"""Different pictures of each person, shown in turn."""


def film(boxes: NDArray[np.float64], seed: int) -> Iterator[NDArray[np.uint8]]:
    """The frames, BGR [HEIGHT, WIDTH, 3]: drawn heads whose faces fill the boxes, before a room."""
    frames, people = boxes.shape[:2]
    rng = np.random.default_rng([0xF11, seed])
    ellipse = np.zeros((render.SIZE, render.SIZE), np.float32)
    cv2.ellipse(ellipse, (56, 56), (38, 50), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    heads = []
    for person in range(people):
        who = identity.make_identity(1000 * seed + person)
        states = dynamics.animate(rng, PORTRAITS, ["Neutral", "Happiness"], who.asymmetry).states
        heads.append([render.Renderer(who).draw(state, rng) for state in states])
    room = cv2.resize(rng.integers(60, 160, (5, 8, 3), dtype=np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for number in range(frames):
        picture = room.copy()
        for person, (x, y, width, _) in enumerate(boxes[number]):
            scale = width / 60  # a drawn face is about 60 of its picture's 112 pixels wide
            place = np.array([[scale, 0, x + width / 2 - 56 * scale], [0, scale, y + 0.6 * width - 56 * scale]])
            head = heads[person][number // 3 % PORTRAITS]
            warped = cv2.warpAffine(head, place, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
            cover = cv2.warpAffine(ellipse, place, (WIDTH, HEIGHT))[:, :, None]
            picture = (picture * (1 - cover) + warped * cover).astype(np.uint8)
        yield picture
