"""The canvas draws what OpenCV draws of each curve by itself, in the order asked for, one frame or many."""

import cv2
import numpy as np

from extract.demo.canvas import Canvas
from extract.demo.geometry import CANVAS, SHIFT, Number, Pose, curve, spline, to_fixed_point

POSE = Pose(yaw=0.2, pitch=-0.1, roll=0.1, scale=1.02, dx=0.01)
SQUARE = np.array([[-0.3, -0.3], [0.3, -0.3], [0.3, 0.3], [-0.3, 0.3]])
ROOM = np.random.default_rng(0).integers(0, 255, (CANVAS, CANVAS, 3)).astype(np.uint8)


def test_curves_are_projected_together_as_one_by_one_to_the_bit():
    rng = np.random.default_rng(1)
    curves = [rng.uniform(-1.5, 1.5, (n, 2)) for n in (1, 2, 7, 48, 3)]
    lifts = rng.uniform(0, 0.2, len(curves))
    together = POSE.project(np.concatenate(curves), np.repeat(lifts, [len(curve) for curve in curves]))
    one_by_one = [POSE.project(curve, float(lift)) for curve, lift in zip(curves, lifts, strict=True)]
    np.testing.assert_array_equal(together, np.concatenate(one_by_one))


def test_shapes_are_drawn_in_order_as_opencv_draws_them():
    canvas, expected = Canvas(ROOM, POSE), ROOM.copy()
    canvas.fill(SQUARE, (10, 200, 30))
    canvas.stroke(SQUARE * 1.5, (250, 10, 10), 0.05, lift=0.1)
    canvas.fill(SQUARE * 0.5 + 0.2, (0, 0, 255), smooth=False)
    for points, lift, closed in ((SQUARE, 0, True), (SQUARE * 1.5, 0.1, False)):
        polygon = [to_fixed_point(POSE.project(spline(points, closed), lift))]
        if closed:
            cv2.fillPoly(expected, polygon, (10, 200, 30), cv2.LINE_AA, SHIFT)
        else:
            cv2.polylines(expected, polygon, False, (250, 10, 10), round(0.05 * POSE.unit()), cv2.LINE_AA, SHIFT)
    last = [to_fixed_point(POSE.project(SQUARE * 0.5 + 0.2))]
    cv2.fillPoly(expected, last, (0, 0, 255), cv2.LINE_AA, SHIFT)
    np.testing.assert_array_equal(canvas.develop(), expected)
    assert not np.array_equal(expected, ROOM)


def ask(canvas: Canvas, shift: Number) -> None:
    """One of everything."""
    square = SQUARE + curve((shift, 0.1))
    canvas.fill(square, (10, 200 * abs(shift), 30))
    canvas.add_grain(np.full_like(ROOM, 9), np.zeros_like(ROOM))
    canvas.tint(canvas.outline(square + 0.1), (0, 0, 0), 0.5, soften=5)
    canvas.line(square, 0.2 + shift)
    canvas.spot(shift, 0, 0.2, 0.3, 0.5)
    canvas.shade(canvas.outline(square * 2), (0.1, shift))
    with canvas.inside(canvas.outline(square - 0.1, smooth=False)), canvas.only(shift > 0):
        canvas.disc(shift, shift, 0.3, 0.2, (99, 99, 240))
        with canvas.only(shift < 0.2):
            canvas.stroke(square, (0, 0, 0), 0.02 + 0.1 * abs(shift))


def test_frames_asked_for_together_are_drawn_as_each_by_itself():
    shifts, yaws = np.array([-0.3, 0.3, 0.1]), np.array([0.0, 0.2, -0.3])
    together = Canvas(ROOM, Pose(yaw=yaws[:, None], scale=1 + 0.1 * yaws[:, None]))
    ask(together, shifts[:, None])
    pictures = []
    for frame in (2, 0, 1):  # in any order
        alone = Canvas(ROOM, Pose(yaw=yaws[frame], scale=1 + 0.1 * yaws[frame]))
        ask(alone, float(shifts[frame]))
        pictures.append(alone.develop())
        np.testing.assert_array_equal(together.develop(frame), pictures[-1])
    assert len({picture.tobytes() for picture in pictures}) == 3


def test_soft_shapes_and_shades_are_those_of_the_whole_canvas():
    """Only the pixels that a shape touches are computed; all would come to the same, also at the canvas's edge."""
    noise = np.random.default_rng(2).uniform(-0.05, 0.05, (40, 2))
    for points in (SQUARE * 1.3, SQUARE + 0.7, SQUARE * 0.02, SQUARE[:3] * 0.4 - 0.9, 0.3 + noise):
        canvas = Canvas(ROOM, POSE)
        canvas.tint(canvas.outline(points, smooth=False), (9, 99, 199), 0.7, soften=9)
        canvas.line(points, 0.8, 0.03)
        canvas.shade(canvas.outline(points * 1.5, smooth=False), (0.3, -0.2))
        tint, skin = (to_fixed_point(POSE.project(points * size)) for size in (1, 1.5))
        crease = to_fixed_point(POSE.project(spline(points)))
        np.testing.assert_array_equal(canvas.develop(), shade_all(tint_all(ROOM, tint), skin, crease, (0.3, -0.2)))


def cover(polygon: np.ndarray) -> np.ndarray:
    """Coverage of an outline, float32 [224, 224, 1] in 0..255."""
    mask = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.fillPoly(mask, [polygon], 255, cv2.LINE_AA, SHIFT)
    return mask


def mix(paint: np.ndarray, below: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Mix two pictures by a share float32 [224, 224] of the first."""
    return cv2.blendLinear(paint, below, alpha, 1 - alpha)


def tint_all(image: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Tint as `tint` in the test above, pixel by pixel of the whole picture."""
    alpha = cv2.blur(cover(polygon), (9, 9)).astype(np.float32) * np.float32(0.7 / 255)
    return mix(np.full_like(image, (9, 99, 199)), image, alpha)


def shade_all(image: np.ndarray, skin: np.ndarray, crease: np.ndarray, light: tuple[float, float]) -> np.ndarray:
    """Shade without spots, with one crease, the whole picture."""
    mask, lines = cover(skin), np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.polylines(lines, [crease], False, 0.8 * 255, round(0.03 * POSE.unit()), cv2.LINE_AA, SHIFT)
    small = cv2.resize(mask, (56, 56), interpolation=cv2.INTER_AREA)
    ramp = np.linspace(-55, 55, 56) / 56
    gain = 0.66 + 0.36 * (cv2.blur(cv2.blur(small, (13, 13)), (9, 9)) / 255)
    gain = np.clip(gain * (1 + light[0] * ramp + light[1] * ramp[:, None]), 0.15, 1.9).astype(np.float32) * 128
    wide = cv2.resize(gain, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
    dark = (1 - 0.8 * (cv2.GaussianBlur(lines, (7, 7), 1.5).astype(np.float32) / 255)).astype(np.float32)
    lit = cv2.multiply(image, cv2.merge([(wide * dark).astype(np.uint8)] * 3), scale=1 / 128)
    return mix(lit, image, mask.astype(np.float32) * np.float32(1 / 255))


def test_inside_an_outline_nothing_outside_changes():
    canvas = Canvas(ROOM, Pose())
    with canvas.inside(canvas.outline(SQUARE, smooth=False)):
        canvas.disc(0.3, 0, 0.5, 0.5, (0, 0, 0))
    mask = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.fillPoly(mask, [to_fixed_point(Pose().project(SQUARE))], 255, cv2.LINE_AA, SHIFT)
    changed = (canvas.develop() != ROOM).any(2)
    assert changed.sum() > 1000 and not changed[mask == 0].any()
