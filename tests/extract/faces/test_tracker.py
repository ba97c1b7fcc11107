"""Numbers of people, frame by frame: kept while in sight, ended by cuts, of nobody else."""

import cv2
import numpy as np
import pytest

from extract.faces import tracker as tracking
from extract.faces.steady_boxes import KEEP_SCORE, SHORTEST
from extract.faces.tracker import MEMORY, CutDetector, Tracker


def face(x, y=50.0, size=40.0, score=0.95):
    return [x, y, size, size * 1.2, score]


def numbers(tracker, *faces, pixels=None):
    return tracker.update(np.array(faces, float).reshape(-1, 5), pixels).tolist()


def scene(seed, shift=0):
    """A picture of a place, moved sideways."""
    rng = np.random.default_rng(seed)
    wide = cv2.resize(rng.integers(0, 256, (6, 16, 3), dtype=np.uint8), (1280, 360), interpolation=cv2.INTER_CUBIC)
    return wide[:, shift : shift + 640]


def test_people_keep_their_numbers_in_whatever_order_they_are_detected():
    tracker, rng = Tracker(), np.random.default_rng(0)
    assert numbers(tracker, face(10), face(200), face(400, y=150)) == [1, 2, 3]
    for step in range(1, 50):
        order = rng.permutation(3)
        faces = [face(10 + 2 * step), face(200), face(400 - 3 * step, y=150)]
        assert numbers(tracker, *(faces[i] for i in order)) == [i + 1 for i in order]


def test_two_who_pass_each_other_keep_their_numbers_though_the_farther_is_hidden():
    tracker = Tracker()
    for step in range(80):
        near, far = face(100 + 4 * step, size=60), face(420 - 4 * step, y=56, size=44)
        hidden = abs(near[0] - far[0]) < 40
        found = numbers(tracker, near) if hidden else numbers(tracker, far, near)[::-1]
        assert found == [2] if hidden else found == [2, 1]


@pytest.mark.parametrize("coloured", [True, False])
def test_two_who_meet_and_turn_round_are_told_apart_by_their_colours_alone(coloured):
    """They meet at one place and go back: by their way alone they would have passed each other."""
    tracker, way = Tracker(), [*range(0, 160, 5), *range(160, -1, -5)]
    for step, x in enumerate(way):
        left, right = face(60 + x), face(380 - x)
        pixels = scene(0).copy()
        for (u, v, width, height, _), colour in ((left, (40, 90, 200)), (right, (200, 120, 40))):
            pixels[int(v) : int(v + height), int(u) : int(u + width)] = colour
        hidden = abs(left[0] - right[0]) < 30
        faces = [right] if hidden else [left, right]
        found = numbers(tracker, *faces, pixels=pixels if coloured else None)
        if step and not hidden:
            last = found
    assert last == ([1, 2] if coloured else [2, 1])


def test_a_face_outside_the_picture_looks_like_nothing():
    assert not tracking.describe(scene(0), np.array([-90.0, -90, 40, 40])).any()
    assert np.linalg.norm(tracking.describe(scene(0), np.array([500.0, 200, 200, 200]))) == pytest.approx(1)


@pytest.mark.parametrize(("away", "number"), [(MEMORY, 1), (MEMORY + 1, 2)])
def test_who_is_away_for_long_is_somebody_new(away, number):
    tracker = Tracker()
    for _ in range(5):
        numbers(tracker, face(50))
    for _ in range(away):
        assert numbers(tracker) == []
    for _ in range(SHORTEST):
        last = numbers(tracker, face(50))
    assert last == [number]


@pytest.mark.parametrize(("frames", "number"), [([40, 50], 1), ([40, 66], 2), ([90], 1)])
def test_of_frames_that_are_left_out_time_goes_on(frames, number):
    """Unseen for more than MEMORY frames, and looked for twice at least, somebody is forgotten."""
    tracker = Tracker()
    for frame in range(1, 6):
        tracker.update(np.array([face(50)]), frame=frame)
    for frame in frames:
        tracker.update(np.empty((0, 5)), frame=frame)
    for frame in range(100, 100 + SHORTEST):
        last = tracker.update(np.array([face(50)]), frame=frame).tolist()
    assert last == [number]


def test_one_who_leaves_on_the_left_is_not_who_comes_on_the_right():
    tracker = Tracker()
    for step in range(15):
        numbers(tracker, face(50 - 5 * step))
    for _ in range(SHORTEST):
        last = numbers(tracker, face(600))
    assert last == [2]


def test_flicker_has_no_number_and_takes_none_away():
    tracker = Tracker()
    assert numbers(tracker, face(50)) == [1], "at the beginning the first detection counts"
    for _ in range(SHORTEST - 1):
        assert numbers(tracker, face(50), face(400)) == [1, 0]
    for _ in range(2 * SHORTEST):
        numbers(tracker, face(50))
    for _ in range(SHORTEST):
        last = numbers(tracker, face(50), face(200))
    assert last == [1, 2]


def test_somebody_is_believed_in_once_sure_and_then_kept_with_less():
    tracker = Tracker(min_score=0.9)
    assert [numbers(tracker, face(50, score=score)) for score in (0.85, 0.92, KEEP_SCORE, KEEP_SCORE)] == [
        [0],
        [0],
        [0],
        [1],
    ]
    assert numbers(tracker, face(50, score=KEEP_SCORE - 0.01)) == [0]


def test_small_faces_are_passed_over():
    assert numbers(Tracker(min_size=30), face(50, size=20), face(200, size=40)) == [0, 1]
    assert numbers(Tracker(min_size=0), face(50, size=5)) == [1]


def test_behind_a_cut_everybody_is_new():
    tracker = Tracker()
    for shift in range(0, 100, 10):
        assert numbers(tracker, face(50), face(200), pixels=scene(0, shift)) == [1, 2], "a pan is no cut"
    for _ in range(5):
        assert numbers(tracker, face(200), face(50), pixels=scene(1)) == [3, 4]


def test_cuts_are_where_they_were_made_and_nowhere_else():
    rng, film = np.random.default_rng(0), []
    for shot in range(4):
        film += [scene(shot, 8 * k).astype(int) + rng.normal(0, 6, (360, 640, 3)) for k in range(20)]
    cuts = CutDetector()
    found = [k for k, pixels in enumerate(film) if cuts.update(np.clip(pixels, 0, 255).astype(np.uint8))]
    assert found == [20, 40, 60]


def test_colours_are_shares():
    values = tracking.colours(scene(0))
    assert values.shape == (1024,) and values.sum() == pytest.approx(1) and (values >= 0).all()
