"""Points of a face: smooth curves through them, and where they fall on the canvas under a head pose."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

CANVAS = 224
"""Side of the drawing canvas in pixels: twice the side of the picture."""

SHIFT = 4
"""OpenCV draws with this many fractional bits, so that small movements do not snap to whole pixels."""

Points = np.ndarray
"""Face points [K, 2], or [N, K, 2] in N frames."""
Number = float | np.ndarray
"""A number, or one for each of N frames: a column [N, 1]."""


def row(*values: Number) -> np.ndarray:
    """Numbers beside each other, [N, K]; N is 1 where all are the same in every frame."""
    out = np.empty((max([v.size for v in values if isinstance(v, np.ndarray)], default=1), len(values)))
    for k, value in enumerate(values):
        out[:, k : k + 1] = value
    return out


def join(x: np.ndarray, y: np.ndarray) -> Points:
    """Points [N, K, 2] of their coordinates, each [K] or [N, K]."""
    frames, length = np.broadcast(x[None], y).shape[-2:]
    out = np.empty((frames, length, 2))
    out[..., 0], out[..., 1] = x, y
    return out


def curve(*points: tuple[Number, Number]) -> Points:
    """A curve [N, K, 2] of its points; N is 1 where it is the same in every frame."""
    return row(*itertools.chain.from_iterable(points)).reshape(-1, len(points), 2)


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
    """Draw a smooth curve through points [..., K, 2]; returns [..., M, 2]."""
    points = np.asarray(points, dtype=np.float64)
    return _spline_basis(points.shape[-2], steps, closed) @ points


def enclose(first: Points, second: Points) -> Points:
    """Closed outline between smooth curves through two rows of points that share their direction."""
    return np.concatenate([spline(first), spline(second)[..., ::-1, :]], axis=-2)


def mirror(half: Points) -> Points:
    """Complete a symmetric open outline from its right half [..., K, 2], listed from top to bottom on x >= 0.

    Returns the closed outline: down the right side and up the left; points on the middle line are not doubled.
    """
    half = np.asarray(half, dtype=np.float64)
    left = half[..., ::-1, :] * [-1, 1]
    beside = np.abs(left[..., 0]).reshape(-1, left.shape[-2]).max(axis=0) > 1e-9
    return np.concatenate([half, left[..., beside, :]], axis=-2)


@dataclass(frozen=True)
class Pose:
    """Where the head is, in one frame or in many: angles in radians, scale around 1, shift in face units."""

    yaw: Number = 0.0
    pitch: Number = 0.0
    roll: Number = 0.0
    scale: Number = 1.0
    dx: Number = 0.0
    dy: Number = 0.0

    def project(self, points: Points, lift: float | np.ndarray = 0.0) -> Points:
        """Place face points on the canvas: pixels, float64.

        The face is a shallow ellipsoid: points near its middle are closer to the viewer and move further when the head
        turns. `lift`, a number or [K], is how far points stand out of it, for instance 0.2 for the tip of the nose.
        """
        points = np.asarray(points, dtype=np.float64)
        out = np.empty(points.shape)
        x, y = points[..., 0], points[..., 1]
        inside = 1 - (0.95 / 0.85**2) * x * x - (0.55 / 1.1**2) * y * y
        z = 0.62 * np.sqrt(np.maximum(inside, 0)) + lift
        x = x * np.cos(self.yaw) + z * np.sin(self.yaw)
        y = y * np.cos(self.pitch) + z * np.sin(self.pitch)
        c, s, unit = np.cos(self.roll), np.sin(self.roll), self.unit()
        out[..., 0] = unit * (c * x - s * y) + (CANVAS / 2 + unit * self.dx)
        out[..., 1] = unit * (s * x + c * y) + (CANVAS * 0.52 + unit * self.dy)
        return out

    def unit(self) -> Number:
        """Canvas pixels per face unit."""
        return 0.475 * CANVAS * self.scale


def to_fixed_point(pixels: Points) -> np.ndarray:
    """Turn canvas pixels [..., K, 2] into the int32 [..., K, 1, 2] with fractional bits that OpenCV draws."""
    return np.round(pixels * (1 << SHIFT)).astype(np.int32)[..., None, :]
