"""A canvas that knows the head's pose: filled shapes, strokes, soft light and dark spots, skin lines."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache, partial
from typing import Any

import cv2
import numpy as np

from .geometry import CANVAS, SHIFT, Number, Points, Pose, join, spline, to_fixed_point
from .identity import Colour

_AT_ONCE = 16384  # points of all frames that are placed together: more would not fit the processor's cache
_SHADE = CANVAS // 4  # shading is soft, a quarter of the resolution is enough
_AT = np.arange(_SHADE) + 0.5
_RAMP = (_AT - _SHADE / 2) / (_SHADE / 2)
_TURN = np.arange(16) * (2 * np.pi / 16)
_ACROSS, _DOWN = np.cos(_TURN), np.sin(_TURN)

# What a level 0..255 of a mask or of the creases comes to: a table costs one pass over the pixels.
_LEVELS = np.arange(256).astype(np.float32)
_ALPHA = _LEVELS * np.float32(1 / 255)
_REST = 1 - _ALPHA
_CREASED = 1 - 0.8 * (_LEVELS / 255)
_ROUND = 0.66 + 0.36 * (np.arange(256) / 255)

Curve = int
"""Number of a curve that a canvas was told of."""
Step = tuple[Callable[..., None], Curve, list[bool], list[tuple[Any, ...]]]


class Canvas:
    """Pictures in the making: one person's frames, of which each has its own pose. Points are in face units; colours
    are blue, green, red in 0..255. Where a number is asked for, a column [frames, 1] gives every frame its own.

    What is asked for is noted, and drawn in that order by `develop`: to note and place the curves of all frames
    together costs a tenth of one by one.
    """

    def __init__(self, image: np.ndarray, pose: Pose) -> None:
        """Start from a background uint8 [224, 224, 3], which is copied."""
        self._pose, self._unit = pose, pose.unit()
        self._background = image
        self._frames = np.size(pose.scale)
        self._asked: list[bool] = [True] * self._frames
        self._spots: list[tuple[Number, Number, Number, Number, Number]] = []
        self._curves: list[Points] = []
        self._lifts: list[float] = []
        self._steps: list[Step] = []
        self._below: list[np.ndarray] = []

    def develop(self, frame: int = 0) -> np.ndarray:
        """Draw all that was asked for in a frame; returns the picture, uint8 [224, 224, 3]."""
        self._image, self._lines = self._background.copy(), np.zeros((CANVAS, CANVAS), np.uint8)
        pixels = self._pixels[frame]
        for step, number, asked, rest in self._steps:
            if asked[frame]:
                step(self, pixels[self._places[number]], *rest[frame])
        return self._image

    @cached_property
    def _places(self) -> list[slice]:
        """Where each curve is among the points of all."""
        ends = itertools.accumulate((points.shape[-2] for points in self._curves), initial=0)
        return list(itertools.starmap(slice, itertools.pairwise(ends)))

    @cached_property
    def _pixels(self) -> np.ndarray:
        """All curves' points as OpenCV draws them, int32 [frames, points, 1, 2]."""
        count = self._places[-1].stop
        points, lifts = np.empty((self._frames, count, 2)), np.empty(count)
        for place, noted, lift in zip(self._places, self._curves, self._lifts, strict=True):
            points[:, place], lifts[place] = noted, lift
        pixels = np.empty((self._frames, count, 1, 2), np.int32)
        width = 1 + _AT_ONCE // self._frames
        for place in (slice(start, start + width) for start in range(0, count, width)):
            pixels[:, place] = to_fixed_point(self._pose.project(points[:, place], lifts[place]))
        return pixels

    @contextmanager
    def only(self, condition: bool | np.ndarray) -> Iterator[None]:
        """What is asked for meanwhile is drawn where the condition, bool [frames, 1], holds; spots are everywhere."""
        before = self._asked
        self._asked = [a and c for a, c in zip(before, self._each(condition), strict=True)]
        yield
        self._asked = before

    def _ask(self, step: Callable[..., None], number: Curve, *arguments: object) -> None:
        """Note a step in all frames, each with its own of the arguments."""
        rest = list(zip(*map(self._each, arguments), strict=True)) if arguments else [()] * self._frames
        self._steps.append((step, number, self._asked, rest))

    def _each(self, value: Any) -> Iterable[Any]:
        """What a value, or a tuple of values, is in each frame."""
        if isinstance(value, np.ndarray):
            return value[:, 0].tolist() if value.ndim == 2 else value
        if isinstance(value, tuple) and any([isinstance(part, np.ndarray) for part in value]):
            return zip(*map(self._each, value), strict=True)
        return [value] * self._frames

    def _note(self, points: Points, lift: float, closed: bool, smooth: bool) -> Curve:
        self._curves.append(spline(points, closed) if smooth else np.asarray(points, dtype=np.float64))
        self._lifts.append(lift)
        return len(self._curves) - 1

    def fill(self, points: Points, colour: Colour, lift: float = 0.0, smooth: bool = True) -> None:
        """Fill a closed outline through knots [K, 2] or [frames, K, 2]."""
        self._ask(Canvas._fill, self._note(points, lift, True, smooth), colour)

    def _fill(self, polygon: np.ndarray, colour: Colour) -> None:
        cv2.fillPoly(self._image, [polygon], colour, cv2.LINE_AA, SHIFT)

    def stroke(self, points: Points, colour: Colour, width: Number, lift: float = 0.0) -> None:
        """Draw an open curve; width in face units, at least one canvas pixel."""
        self._ask(Canvas._stroke, self._note(points, lift, False, True), colour, self._thickness(width))

    def _stroke(self, polygon: np.ndarray, colour: Colour, thickness: int) -> None:
        cv2.polylines(self._image, [polygon], False, colour, thickness, cv2.LINE_AA, SHIFT)

    def _thickness(self, width: Number) -> Number:
        """A width in face units in canvas pixels, at least one."""
        return np.maximum(np.rint(width * self._unit), 1).astype(int)

    def disc(self, x: Number, y: Number, rx: Number, ry: Number, colour: Colour, lift: float = 0.0) -> None:
        """Fill an ellipse with its axes upright."""
        self.fill(join(_ACROSS * rx + x, _DOWN * ry + y), colour, lift, smooth=False)

    def outline(self, points: Points, smooth: bool = True) -> Curve:
        """A closed outline through knots [K, 2] or [frames, K, 2], as `tint`, `inside` and `shade` take it."""
        return self._note(points, 0.0, True, smooth)

    def add_grain(self, lighter: np.ndarray, darker: np.ndarray) -> None:
        """Make the whole picture lighter and darker by so much, each uint8 [224, 224, 3]."""
        self._ask(partial(Canvas._add_grain, lighter=lighter, darker=darker), 0)

    def _add_grain(self, _polygon: np.ndarray, lighter: np.ndarray, darker: np.ndarray) -> None:
        cv2.add(self._image, lighter, self._image)
        cv2.subtract(self._image, darker, self._image)

    def tint(self, outline: Curve, colour: Colour, strength: float, soften: int) -> None:
        """Mix a colour in inside an outline; `soften` is an odd blur width in pixels."""
        self._ask(Canvas._tint, outline, colour, strength, soften)

    def _tint(self, polygon: np.ndarray, colour: Colour, strength: float, soften: int) -> None:
        mask = _cover(polygon)
        box = _box(mask, soften)
        region = self._image[box]
        alpha = cv2.blur(mask[box], (soften, soften)).astype(np.float32) * np.float32(strength / 255)
        paint = _paint(colour)[: len(region), : region.shape[1]]
        cv2.blendLinear(paint, region, alpha, 1 - alpha, region)

    @contextmanager
    def inside(self, outline: Curve) -> Iterator[None]:
        """What is drawn meanwhile shows only inside an outline, with soft edges."""
        self._ask(Canvas._begin_layer, outline)
        yield
        self._ask(Canvas._end_layer, outline)

    def _begin_layer(self, _polygon: np.ndarray) -> None:
        self._below.append(self._image)
        self._image = self._image.copy()

    def _end_layer(self, polygon: np.ndarray) -> None:
        layer, self._image = self._image, self._below.pop()
        mask = _cover(polygon)
        box = _box(mask)
        self._image[box] = _mix(layer[box], self._image[box], mask[box])

    def line(self, points: Points, depth: Number, width: float = 0.02, lift: float = 0.0) -> None:
        """Crease the skin along an open curve; depth 0 none .. 1 black. Takes effect in `shade`."""
        with self.only(depth >= 0.02):
            if any(self._asked):
                level, thickness = np.minimum(depth, 1.0) * 255, self._thickness(width)
                self._ask(Canvas._crease, self._note(points, lift, False, True), level, thickness)

    def _crease(self, polygon: np.ndarray, level: float, thickness: int) -> None:
        cv2.polylines(self._lines, [polygon], False, level, thickness, cv2.LINE_AA, SHIFT)  # type: ignore[call-overload]

    def spot(self, x: Number, y: Number, rx: Number, ry: Number, amount: Number) -> None:
        """Lighten (amount > 0) or darken (< 0) softly around a point. Takes effect in `shade`."""
        self._spots.append((x, y, rx, ry, amount))

    def shade(self, skin: Curve, light: tuple[Number, Number]) -> None:
        """Apply all spots and lines to the skin in an outline, with the roundness of the head and the light: the change
        of brightness across the face towards the right and towards the bottom.
        """
        spots = np.empty((self._frames, len(self._spots), 5))
        for i, spot in enumerate(self._spots):
            for k, value in enumerate(spot):
                spots[:, i, k : k + 1] = value
        scale = _SHADE / CANVAS
        centres, sizes = self._pose.project(spots[..., :2]) * scale, np.reshape(self._unit * scale, (-1, 1, 1))
        turned = [part.swapaxes(1, 2)[..., None] for part in (centres, spots[..., 2:4] * sizes)]
        self._ask(Canvas._shade, skin, *turned, spots[..., 4:], light)

    def _shade(self, polygon: np.ndarray, *spots_and_light: Any) -> None:
        mask = _cover(polygon)
        wide = cv2.resize(_gain(mask, *spots_and_light), (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
        creased = _box(self._lines, 7)
        wide[creased] *= cv2.LUT(cv2.GaussianBlur(self._lines[creased], (7, 7), 1.5), _CREASED)
        level = wide.astype(np.uint8)
        lit = cv2.multiply(self._image, cv2.merge([level, level, level]), scale=1 / 128)
        rim = np.flatnonzero(mask + 1 > 1)  # few pixels are neither in nor out: only they are mixed
        pixels = self._image.reshape(-1, 3)
        below = pixels.take(rim, 0)
        cv2.copyTo(lit, mask, self._image)
        if rim.size:
            pixels[rim] = _mix(lit.reshape(-1, 3).take(rim, 0)[None], below[None], mask.take(rim)[None])[0]


def _cover(polygon: np.ndarray) -> np.ndarray:
    """Coverage of a closed outline, uint8 [224, 224], 255 inside."""
    mask = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.fillPoly(mask, [polygon], 255, cv2.LINE_AA, SHIFT)  # type: ignore[call-overload]
    return mask


def _box(mask: np.ndarray, blur: int = 1) -> tuple[slice, slice]:
    """Where a mask is not zero after a blur of so many pixels, which mirrors what it finds at the edge: zeros."""
    x, y, w, h = cv2.boundingRect(mask)
    margin = blur // 2 + 1
    return np.s_[max(y - margin, 0) : y + h + margin, max(x - margin, 0) : x + w + margin]


@lru_cache(maxsize=8)
def _paint(colour: Colour) -> np.ndarray:
    """A colour all over, uint8 [224, 224, 3]."""
    pixel = np.round(colour).astype(np.uint8).tobytes()
    return np.frombuffer(pixel * CANVAS**2, np.uint8).reshape(CANVAS, CANVAS, 3)


def _mix(part: np.ndarray, below: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pixels of a part where its mask is set, of what is below elsewhere."""
    return cv2.blendLinear(part, below, cv2.LUT(mask, _ALPHA), cv2.LUT(mask, _REST))


def _gain(
    mask: np.ndarray, centres: np.ndarray, sizes: np.ndarray, amounts: np.ndarray, light: tuple[float, float]
) -> np.ndarray:
    """Brightness of the skin under a mask, 128 times what it was, float32 [56, 56].

    Spots have centres and sizes, across and down [2, K, 1] in these pixels, and amounts [K, 1].
    """
    across, down = np.exp(-0.5 * ((_AT - centres) / sizes) ** 2)
    gain = 1 + (down * amounts).T @ across
    small = cv2.resize(mask, (_SHADE, _SHADE), interpolation=cv2.INTER_AREA)
    gain = gain * cv2.LUT(cv2.blur(cv2.blur(small, (13, 13)), (9, 9)), _ROUND)
    gain = gain * (1 + light[0] * _RAMP[None] + light[1] * _RAMP[:, None])
    return np.clip(gain, 0.15, 1.9).astype(np.float32) * 128
