"""YuNet, the face detector: a picture's faces as boxes. MIT licence; run by cv2.FaceDetectorYN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.faces import steady_boxes
from extract.networks import weights
from extract.networks.registry import Network
from extract.runtime.errors import InputError

DETECT_SIDE = 480
"""Longer side, pixels, at which faces are looked for: YuNet finds faces from about 10 pixels there, in a full-HD
video from 40, and smaller ones say little about affect. Twice as fast as 640."""
MIN_FACE_PIXELS = 10
"""Pixels of a face, as YuNet looks at it, from which it is found."""
DETECTOR = Network(
    "face_detection_yunet_2023mar", DETECT_SIDE, (0.0,) * 3, (1 / 255,) * 3, "bgr",
    file="face_detection_yunet_2023mar.onnx", classifier=False,
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    url="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
)  # fmt: skip
Detect = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


def yunet(path: Path | None = None, smallest: float | None = None) -> Detect:
    """A function from BGR pixels [H, W, 3] to detections [K, 15]: x, y, width, height in pixels, score in 0..1, then x
    and y of five points: the person's right eye, left eye, nose, right and left corner of the mouth.

    `path` is the detector's file; None: the cache folder, else downloaded. With `smallest`, large pictures are looked
    at closely enough for faces from so many pixels on. Raises InputError where the file is missing or another one.
    """
    import cv2

    if path is not None and not path.is_file():
        found = "found a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {found}; expected the face detector {DETECTOR.file}")
    path = path or weights.find(DETECTOR)
    weights.verify(path, DETECTOR)
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 notes a default it ignores
    model = cv2.FaceDetectorYN.create(str(path), "", (DETECT_SIDE, DETECT_SIDE), steady_boxes.KEEP_SCORE, 0.3, 500)
    cv2.utils.logging.setLogLevel(level)

    def detect(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        height, width = pixels.shape[:2]
        scale = DETECT_SIDE / max(height, width)
        if smallest is not None:
            scale = max(scale, MIN_FACE_PIXELS / max(smallest, MIN_FACE_PIXELS))
        scale = min(1.0, scale)
        shape = max(1, round(width * scale)), max(1, round(height * scale))
        if scale < 1:
            pixels = np.asarray(cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA), np.uint8)
        model.setInputSize(shape)
        result = model.detect(pixels)[1]
        if result is None:
            return np.empty((0, 15))
        grow = [width / shape[0], height / shape[1]]
        return result[:, [0, 1, 2, 3, 14, *range(4, 14)]].astype(np.float64) * np.array(grow * 2 + [1] + grow * 5)

    return detect
