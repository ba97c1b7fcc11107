"""A canvas that knows the head's pose: filled shapes, strokes, soft light and dark spots, skin lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from .geometry import CANVAS, SHIFT, Points, Pose, spline, to_fixed_point
from .identity import Colour

_SHADE = CANVAS // 4  # shading is soft, a quarter of the resolution is enough
_AT = np.arange(_SHADE) + 0.5
_RAMP = (_AT - _SHADE / 2) / (_SHADE / 2)
_TURN = np.arange(16) * (2 * np.pi / 16)
_RING = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)

# What a level 0..255 of a mask or of the creases comes to: a table costs one pass over the pixels.
_LEVELS = np.arange(256).astype(np.float32)
_ALPHA = _LEVELS * np.float32(1 / 255)
_REST = 1 - _ALPHA
_CREASED = 1 - 0.8 * (_LEVELS / 255)

Curve = int
"""Number of a curve that a canvas was told of."""


class Canvas:
    """Picture in the making. Points are in face units; colours are blue, green, red in 0..255.

    What is asked for is noted, and drawn in that order by `develop`: to project all curves together costs a tenth of
    one by one.
    """

    def __init__(self, image: np.ndarray, pose: Pose) -> None:
        """Start from a background uint8 [224, 224, 3], which is copied."""
        self.pose = pose
        self._image = image
        self._unit = pose.unit()
        self._lines = np.zeros((CANVAS, CANVAS), np.uint8)
        self._spots: list[tuple[float, float, float, float, float]] = []
        self._curves: list[Points] = []
        self._lifts: list[float] = []
        self._polygons: list[np.ndarray] = []
        self._steps: list[tuple[Callable[..., None], Curve, tuple[Any, ...]]] = []
        self._below: list[np.ndarray] = []

    def develop(self) -> np.ndarray:
        """Draw all that was asked for, once; returns the picture, uint8 [224, 224, 3]."""
        lengths = [len(curve) for curve in self._curves]
        pixels = to_fixed_point(self.pose.project(np.concatenate(self._curves), np.repeat(self._lifts, lengths)))
        end = 0
        for length in lengths:
            self._polygons.append(pixels[end : end + length])
            end += length
        self._image = self._image.copy()
        for step, curve, rest in self._steps:
            step(self, curve, *rest)
        return self._image

    def repeat(self, canvas: Canvas) -> None:
        """Ask for all that another canvas was asked for, spots excepted: what is the same in many pictures."""
        first = len(self._curves)
        self._curves += canvas._curves
        self._lifts += canvas._lifts
        self._steps += [(step, first + curve, rest) for step, curve, rest in canvas._steps]

    def _note(self, points: Points, lift: float, closed: bool, smooth: bool) -> Curve:
        self._curves.append(spline(points, closed) if smooth else np.asarray(points, dtype=np.float64))
        self._lifts.append(lift)
        return len(self._curves) - 1

    def fill(self, points: Points, colour: Colour, lift: float = 0.0, smooth: bool = True) -> None:
        """Fill a closed outline through knots [K, 2]."""
        self._steps.append((Canvas._fill, self._note(points, lift, True, smooth), (colour,)))

    def _fill(self, curve: Curve, colour: Colour) -> None:
        cv2.fillPoly(self._image, [self._polygons[curve]], colour, cv2.LINE_AA, SHIFT)

    def stroke(self, points: Points, colour: Colour, width: float, lift: float = 0.0) -> None:
        """Draw an open curve; width in face units, at least one canvas pixel."""
        self._steps.append((Canvas._stroke, self._note(points, lift, False, True), (colour, width)))

    def _stroke(self, curve: Curve, colour: Colour | float, width: float, crease: bool = False) -> None:
        image, thickness = self._lines if crease else self._image, max(1, round(width * self._unit))
        cv2.polylines(image, [self._polygons[curve]], False, colour, thickness, cv2.LINE_AA, SHIFT)  # type: ignore[call-overload]

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Colour, lift: float = 0.0) -> None:
        """Fill an ellipse with its axes upright."""
        self.fill(_RING * (rx, ry) + (x, y), colour, lift, smooth=False)

    def outline(self, points: Points, smooth: bool = True) -> Curve:
        """A closed outline through knots [K, 2], as `tint`, `inside` and `shade` take it."""
        return self._note(points, 0.0, True, smooth)

    def _mask(self, curve: Curve) -> np.ndarray:
        """Coverage of a closed outline, uint8 [224, 224], 255 inside."""
        mask = np.zeros((CANVAS, CANVAS), np.uint8)
        cv2.fillPoly(mask, [self._polygons[curve]], 255, cv2.LINE_AA, SHIFT)  # type: ignore[call-overload]
        return mask

    def add_grain(self, lighter: np.ndarray, darker: np.ndarray) -> None:
        """Make the whole picture lighter and darker by so much, each uint8 [224, 224, 3]."""
        self._steps.append((Canvas._add_grain, 0, (lighter, darker)))

    def _add_grain(self, _curve: Curve, lighter: np.ndarray, darker: np.ndarray) -> None:
        cv2.add(self._image, lighter, self._image)
        cv2.subtract(self._image, darker, self._image)

    def tint(self, outline: Curve, colour: Colour, strength: float, soften: int = 0) -> None:
        """Mix a colour in inside an outline; `soften` is an odd blur width in pixels."""
        self._steps.append((Canvas._tint, outline, (colour, strength, soften)))

    def _tint(self, outline: Curve, colour: Colour, strength: float, pad: int) -> None:
        mask = self._mask(outline)
        x, y, w, h = cv2.boundingRect(mask)
        left, top = max(x - pad, 0), max(y - pad, 0)
        right, bottom = min(x + w + pad, CANVAS), min(y + h + pad, CANVAS)
        if right <= left or bottom <= top:
            return
        part = mask[top:bottom, left:right]
        if pad:
            part = cv2.blur(part, (pad, pad))
        alpha = part.astype(np.float32) * np.float32(strength / 255)
        region = self._image[top:bottom, left:right]
        paint = np.empty_like(region)
        paint[...] = np.round(colour).astype(np.uint8)
        region[...] = cv2.blendLinear(paint, region, alpha, 1 - alpha)

    @contextmanager
    def inside(self, outline: Curve) -> Iterator[None]:
        """What is drawn meanwhile shows only inside an outline, with soft edges."""
        self._steps.append((Canvas._begin_layer, outline, ()))
        yield
        self._steps.append((Canvas._end_layer, outline, ()))

    def _begin_layer(self, _outline: Curve) -> None:
        self._below.append(self._image)
        self._image = self._image.copy()

    def _end_layer(self, outline: Curve) -> None:
        layer, self._image = self._image, self._below.pop()
        mask = self._mask(outline)
        x, y, w, h = cv2.boundingRect(mask)
        box = np.s_[y : y + h, x : x + w]
        self._paste(layer[box], mask[box], box)

    def _paste(self, part: np.ndarray, mask: np.ndarray, box: tuple[slice, slice]) -> None:
        """Take the pixels of a part where its mask is set."""
        if mask.size:
            region = self._image[box]
            region[...] = cv2.blendLinear(part, region, cv2.LUT(mask, _ALPHA), cv2.LUT(mask, _REST))

    def line(self, points: Points, depth: float, width: float = 0.02, lift: float = 0.0) -> None:
        """Crease the skin along an open curve; depth 0 none .. 1 black. Takes effect in `shade`."""
        if depth < 0.02:
            return
        value = float(min(depth, 1.0) * 255)
        self._steps.append((Canvas._stroke, self._note(points, lift, False, True), (value, width, True)))

    def spot(self, x: float, y: float, rx: float, ry: float, amount: float) -> None:
        """Lighten (amount > 0) or darken (< 0) softly around a point. Takes effect in `shade`."""
        self._spots.append((x, y, rx, ry, amount))

    def shade(self, skin: Curve, light: tuple[float, float]) -> None:
        """Apply all spots and lines to the skin in an outline, with the roundness of the head and the light: the change
        of brightness across the face towards the right and towards the bottom.
        """
        self._steps.append((Canvas._shade, skin, (light,)))

    def _shade(self, skin: Curve, light: tuple[float, float]) -> None:
        mask = self._mask(skin)
        spots = np.array(self._spots).reshape(-1, 5)
        centres = self.pose.project(spots[:, :2]) * (_SHADE / CANVAS)
        unit = self._unit * _SHADE / CANVAS
        across = np.exp(-0.5 * ((_AT[None] - centres[:, :1]) / (spots[:, 2:3] * unit)) ** 2)
        down = np.exp(-0.5 * ((_AT[None] - centres[:, 1:]) / (spots[:, 3:4] * unit)) ** 2)
        gain = 1 + (down * spots[:, 4:]).T @ across
        small = cv2.resize(mask, (_SHADE, _SHADE), interpolation=cv2.INTER_AREA)
        roundness = cv2.blur(cv2.blur(small, (13, 13)), (9, 9)).astype(np.float64) / 255
        gain = gain * (0.66 + 0.36 * roundness) * (1 + light[0] * _RAMP[None] + light[1] * _RAMP[:, None])
        gain = np.clip(gain, 0.15, 1.9).astype(np.float32) * 128
        wide = cv2.resize(gain, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
        x, y, w, h = cv2.boundingRect(mask)
        if not w:
            return
        box = np.s_[y : y + h, x : x + w]
        left, top = max(x - 3, 0), max(y - 3, 0)  # as far as the blur looks
        creases = cv2.GaussianBlur(self._lines[top : y + h + 3, left : x + w + 3], (7, 7), 1.5)
        creases = creases[y - top : y - top + h, x - left : x - left + w]
        level = (wide[box] * cv2.LUT(creases, _CREASED)).astype(np.uint8)
        lit = cv2.multiply(self._image[box], cv2.merge([level, level, level]), scale=1 / 128)
        self._paste(lit, mask[box], box)
