"""Curves go through their points; poses move what they should."""

import numpy as np

from extract.demo.geometry import CANVAS, Pose, mirror, spline, to_fixed_point


def test_splines_pass_through_their_knots():
    knots = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_allclose(spline(knots, steps=6)[::6], knots, atol=1e-12)
    np.testing.assert_allclose(spline(knots, closed=True, steps=6)[::6], knots, atol=1e-12)


def test_mirrored_outline_is_symmetric_and_keeps_the_middle_once():
    outline = mirror(np.array([[0, -1], [0.5, 0], [0, 1]]))
    assert outline.tolist() == [[0, -1], [0.5, 0], [0, 1], [-0.5, 0]]


def test_frontal_pose_keeps_the_middle_line_and_scale():
    pose = Pose()
    x, y = pose.project(np.array([[0.0, 0.0]]))[0]
    assert (x, y) == (CANVAS / 2, CANVAS * 0.52)
    np.testing.assert_allclose(pose.project(np.array([[0.5, 0.0]]))[0, 0] - x, 0.5 * pose.unit())


def test_turning_the_head_moves_the_nose_further_than_the_ear():
    points = np.array([[0.0, 0.2], [0.8, 0.2]])
    moved = Pose(yaw=0.3).project(points) - Pose().project(points)
    assert moved[0, 0] > 10 > abs(moved[1, 0])
    lifted = Pose(yaw=0.3).project(points[:1], lift=0.2)[0, 0]
    assert lifted > Pose(yaw=0.3).project(points[:1])[0, 0]


def test_roll_turns_and_shift_moves():
    down = Pose(roll=np.pi / 2).project(np.array([[0.5, 0.0]]))[0] - Pose(roll=np.pi / 2).project(np.zeros((1, 2)))[0]
    np.testing.assert_allclose(down, [0, 0.5 * Pose().unit()], atol=1e-9)
    shift = Pose(dx=0.1, dy=-0.2).project(np.zeros((1, 2))) - Pose().project(np.zeros((1, 2)))
    np.testing.assert_allclose(shift[0], [0.1 * Pose().unit(), -0.2 * Pose().unit()])


def test_fixed_point_keeps_sixteenths_of_a_pixel():
    assert to_fixed_point(np.array([[1.5, 2.0625]])).tolist() == [[[24, 33]]]
