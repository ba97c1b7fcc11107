"""A canvas that knows the head's pose: filled shapes, strokes, soft light and dark spots, skin lines."""

from __future__ import annotations

import cv2
import numpy as np

from .geometry import CANVAS, SHIFT, Points, Pose, spline, to_fixed_point
from .identity import Colour

_SHADE = CANVAS // 4  # shading is soft, a quarter of the resolution is enough


class Canvas:
    """Picture in the making. Points are in face units; colours are blue, green, red in 0..255."""

    def __init__(self, image: np.ndarray, pose: Pose) -> None:
        """Start from a background uint8 [224, 224, 3], which is copied."""
        self.image = image.copy()
        self.pose = pose
        self._lines = np.zeros((CANVAS, CANVAS), np.uint8)
        self._spots: list[tuple[float, float, float, float, float]] = []

    def outline(self, points: Points, lift: float = 0.0, closed: bool = True, smooth: bool = True) -> np.ndarray:
        """Turn knots [K, 2] into the fixed-point polygon OpenCV draws."""
        curve = spline(points, closed) if smooth else np.asarray(points, dtype=np.float64)
        return to_fixed_point(self.pose.project(curve, lift))

    def fill(self, points: Points, colour: Colour, lift: float = 0.0, smooth: bool = True) -> None:
        """Fill a closed outline."""
        cv2.fillPoly(self.image, [self.outline(points, lift, True, smooth)], colour, cv2.LINE_AA, SHIFT)

    def stroke(self, points: Points, colour: Colour, width: float, lift: float = 0.0) -> None:
        """Draw an open curve; width in face units, at least one canvas pixel."""
        thickness = max(1, round(width * self.pose.unit()))
        cv2.polylines(self.image, [self.outline(points, lift, False)], False, colour, thickness, cv2.LINE_AA, SHIFT)

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Colour, lift: float = 0.0) -> None:
        """Fill an ellipse with its axes upright."""
        turn = np.arange(16) * (2 * np.pi / 16)
        ring = np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], axis=1)
        self.fill(ring, colour, lift, smooth=False)

    def mask(self, points: Points, lift: float = 0.0, smooth: bool = True) -> np.ndarray:
        """Coverage of a closed outline, uint8 [224, 224], 255 inside."""
        out = np.zeros((CANVAS, CANVAS), np.uint8)
        cv2.fillPoly(out, [self.outline(points, lift, True, smooth)], 255, cv2.LINE_AA, SHIFT)
        return out

    def tint(self, mask: np.ndarray, colour: Colour, strength: float, soften: int = 0) -> None:
        """Mix a colour in where a mask uint8 [224, 224] is set; `soften` is an odd blur width in pixels."""
        x, y, w, h = cv2.boundingRect(mask)
        pad = soften
        left, top = max(x - pad, 0), max(y - pad, 0)
        right, bottom = min(x + w + pad, CANVAS), min(y + h + pad, CANVAS)
        if right <= left or bottom <= top:
            return
        part = mask[top:bottom, left:right]
        if soften:
            part = cv2.blur(part, (soften, soften))
        alpha = part.astype(np.float32) * np.float32(strength / 255)
        region = self.image[top:bottom, left:right]
        paint = np.empty_like(region)
        paint[...] = np.round(colour).astype(np.uint8)
        region[...] = cv2.blendLinear(paint, region, alpha, 1 - alpha)

    def paste(self, other: np.ndarray, mask: np.ndarray) -> None:
        """Take the pixels of another picture of the same size where a mask is set, with soft edges."""
        x, y, w, h = cv2.boundingRect(mask)
        if not w or not h:
            return
        box = np.s_[y : y + h, x : x + w]
        alpha = mask[box].astype(np.float32) * np.float32(1 / 255)
        self.image[box] = cv2.blendLinear(other[box], self.image[box], alpha, 1 - alpha)

    def line(self, points: Points, depth: float, width: float = 0.02, lift: float = 0.0) -> None:
        """Crease the skin along an open curve; depth 0 none .. 1 black. Takes effect in `shade`."""
        if depth < 0.02:
            return
        thickness = max(1, round(width * self.pose.unit()))
        value = float(min(depth, 1.0) * 255)
        cv2.polylines(self._lines, [self.outline(points, lift, False)], False, value, thickness, cv2.LINE_AA, SHIFT)

    def spot(self, x: float, y: float, rx: float, ry: float, amount: float) -> None:
        """Lighten (amount > 0) or darken (< 0) softly around a point. Takes effect in `shade`."""
        self._spots.append((x, y, rx, ry, amount))

    def shade(self, mask: np.ndarray, light: tuple[float, float]) -> None:
        """Apply all spots and lines to the skin under a mask, with the roundness of the head and the light.

        Args:
            mask: Skin, uint8 [224, 224].
            light: Change of brightness across the face towards the right and towards the bottom.
        """
        spots = np.array(self._spots).reshape(-1, 5)
        centres = self.pose.project(spots[:, :2]) * (_SHADE / CANVAS)
        unit = self.pose.unit() * _SHADE / CANVAS
        at = np.arange(_SHADE) + 0.5
        across = np.exp(-0.5 * ((at[None] - centres[:, :1]) / (spots[:, 2:3] * unit)) ** 2)
        down = np.exp(-0.5 * ((at[None] - centres[:, 1:]) / (spots[:, 3:4] * unit)) ** 2)
        gain = 1 + (down * spots[:, 4:]).T @ across
        small = cv2.resize(mask, (_SHADE, _SHADE), interpolation=cv2.INTER_AREA)
        roundness = cv2.blur(cv2.blur(small, (13, 13)), (9, 9)).astype(np.float64) / 255
        ramp = (at - _SHADE / 2) / (_SHADE / 2)
        gain = gain * (0.66 + 0.36 * roundness) * (1 + light[0] * ramp[None] + light[1] * ramp[:, None])
        wide = cv2.resize(np.clip(gain, 0.15, 1.9).astype(np.float32), (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
        creases = cv2.GaussianBlur(self._lines, (7, 7), 1.5).astype(np.float32) / 255
        wide = wide * (1 - 0.8 * creases)
        level = np.clip(wide * 128, 0, 255).astype(np.uint8)
        lit = cv2.multiply(self.image, cv2.merge([level, level, level]), scale=1 / 128)
        self.paste(lit, mask)
