"""Points of a face: smooth curves through them, and where they fall on the canvas under a head pose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CANVAS = 224
"""Side of the drawing canvas in pixels: twice the side of the picture."""

SHIFT = 4
"""OpenCV draws with this many fractional bits, so that small movements do not snap to whole pixels."""

Points = np.ndarray


@lru_cache(maxsize=64)
def _spline_basis(knots: int, steps: int, closed: bool) -> np.ndarray:
    """Weights [segments * steps (+ 1), knots] of a Catmull-Rom curve through `knots` points."""
    segments = knots if closed else knots - 1
    rows = []
    for s in range(segments):
        around = [s - 1, s, s + 1, s + 2]
        around = [k % knots for k in around] if closed else [min(max(k, 0), knots - 1) for k in around]
        for t in np.arange(steps) / steps:
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
            row = np.zeros(knots)
            for k, w in zip(around, weights, strict=True):
                row[k] += w / 2
            rows.append(row)
    if not closed:
        rows.append(np.eye(knots)[-1])
    return np.array(rows)


def spline(points: Points, closed: bool = False, steps: int = 6) -> Points:
    """Draw a smooth curve through points [K, 2]; returns [M, 2]."""
    points = np.asarray(points, dtype=np.float64)
    return _spline_basis(len(points), steps, closed) @ points


def mirror(half: Points) -> Points:
    """Complete a symmetric open outline from its right half [K, 2], listed from top to bottom on x >= 0.

    Returns the closed outline: down the right side and up the left; points on the middle line are not doubled.
    """
    half = np.asarray(half, dtype=np.float64)
    left = half[::-1] * [-1, 1]
    return np.concatenate([half, left[np.abs(left[:, 0]) > 1e-9]])


@dataclass(frozen=True)
class Pose:
    """Where the head is: angles in radians, scale around 1, shift in face units."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0

    def project(self, points: Points, lift: float | np.ndarray = 0.0) -> Points:
        """Place face points [K, 2] on the canvas: pixels [K, 2], float64.

        The face is a shallow ellipsoid: points near its middle are closer to the viewer and move further when the head
        turns. `lift`, a number or [K], is how far points stand out of it, for instance 0.2 for the tip of the nose.
        """
        points = np.asarray(points, dtype=np.float64)
        x, y = points[:, 0], points[:, 1]
        inside = 1 - (0.95 / 0.85**2) * x * x - (0.55 / 1.1**2) * y * y
        z = 0.62 * np.sqrt(np.maximum(inside, 0)) + lift
        x = x * math.cos(self.yaw) + z * math.sin(self.yaw)
        y = y * math.cos(self.pitch) + z * math.sin(self.pitch)
        c, s, unit = math.cos(self.roll), math.sin(self.roll), self.unit()
        out = np.empty((len(points), 2))
        out[:, 0] = unit * (c * x - s * y) + (CANVAS / 2 + unit * self.dx)
        out[:, 1] = unit * (s * x + c * y) + (CANVAS * 0.52 + unit * self.dy)
        return out

    def unit(self) -> float:
        """Canvas pixels per face unit."""
        return 0.475 * CANVAS * self.scale


def to_fixed_point(pixels: Points) -> np.ndarray:
    """Turn canvas pixels [K, 2] into the int32 [K, 1, 2] with fractional bits that OpenCV draws."""
    return np.round(pixels * (1 << SHIFT)).astype(np.int32).reshape(-1, 1, 2)
