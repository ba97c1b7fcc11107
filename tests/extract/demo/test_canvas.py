"""The canvas draws what OpenCV draws of each curve by itself, in the order asked for, repeated or not."""

import cv2
import numpy as np

from extract.demo.canvas import Canvas
from extract.demo.geometry import CANVAS, SHIFT, Pose, spline, to_fixed_point

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


def ask(canvas: Canvas, shift: float) -> None:
    """One of everything that can be repeated."""
    canvas.fill(SQUARE + shift, (10, 200, 30))
    canvas.add_grain(np.full_like(ROOM, 9), np.zeros_like(ROOM))
    canvas.tint(canvas.outline(SQUARE + shift + 0.1), (0, 0, 0), 0.5, soften=5)
    with canvas.inside(canvas.outline(SQUARE + shift - 0.1, smooth=False)):
        canvas.disc(shift, shift, 0.3, 0.2, (99, 99, 240))


def test_what_is_repeated_is_drawn_as_if_it_were_asked_for_again():
    noted, repeated, asked = (Canvas(ROOM, pose) for pose in (Pose(), POSE, POSE))
    ask(noted, 0.2)
    ask(repeated, -0.3)
    repeated.repeat(noted)
    repeated.repeat(noted)
    for shift in (-0.3, 0.2, 0.2):
        ask(asked, shift)
    np.testing.assert_array_equal(repeated.develop(), asked.develop())


def test_inside_an_outline_nothing_outside_changes():
    canvas = Canvas(ROOM, Pose())
    with canvas.inside(canvas.outline(SQUARE, smooth=False)):
        canvas.disc(0.3, 0, 0.5, 0.5, (0, 0, 0))
    mask = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.fillPoly(mask, [to_fixed_point(Pose().project(SQUARE))], 255, cv2.LINE_AA, SHIFT)
    changed = (canvas.develop() != ROOM).any(2)
    assert changed.sum() > 1000 and not changed[mask == 0].any()
