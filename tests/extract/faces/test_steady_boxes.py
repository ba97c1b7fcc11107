"""Following faces: identity through gaps and crossings, choice of people, smoothing."""

import numpy as np
import pytest

from extract.faces import steady_boxes
from extract.faces.steady_boxes import KEEP_SCORE, MEMORY, SHORTEST, START_SCORE, Follower, Track


def follow(frames):
    """{frame number: [[x, y, w, h, score], ...]} -> tracks."""
    follower = Follower()
    for frame in sorted(frames):
        follower.add(frame, np.array(frames[frame], float).reshape(-1, 5))
    return follower.tracks()


def face(x, y=50.0, size=40.0, score=0.95):
    return [x, y, size, size * 1.2, score]


def test_overlaps_equal_counting_pixels():
    rng = np.random.default_rng(0)
    a, b = (np.hstack([rng.integers(0, 20, (6, 2)), rng.integers(1, 20, (6, 2))]).astype(float) for _ in range(2))

    def pixels(box):
        x, y, w, h = box.astype(int)
        return {(i, j) for i in range(x, x + w) for j in range(y, y + h)}

    expected = [[len(pixels(p) & pixels(q)) / len(pixels(p) | pixels(q)) for q in b] for p in a]
    np.testing.assert_allclose(steady_boxes.overlaps(a, b), expected)


def test_a_moving_face_is_one_track_and_a_gap_gets_no_box():
    seen = {frame: [face(0.8 * frame)] for frame in range(1, 60) if not 20 <= frame < 19 + MEMORY}
    (track,) = follow(seen | {frame: [] for frame in range(20, 19 + MEMORY)})
    assert track.frame.tolist() == sorted(seen)
    boxes = steady_boxes.choose([track], 1, 640)[0]
    assert sorted(boxes) == sorted(seen)


def test_who_is_away_for_longer_than_memory_is_a_new_track():
    tracks = follow({frame: [face(50)] for frame in (*range(1, 10), *range(10 + MEMORY, 20 + MEMORY))})
    assert sorted(track.frame[0] for track in tracks) == [1, 10 + MEMORY]


def test_two_people_side_by_side_stay_apart_whatever_order_they_are_detected_in():
    rng = np.random.default_rng(1)
    frames = {}
    for frame in range(1, 80):
        both = [face(100 + rng.normal()), face(150 + rng.normal(), size=38)]
        frames[frame] = both[:: 1 if rng.random() < 0.5 else -1]
    tracks = follow(frames)
    assert len(tracks) == 2
    assert all(np.ptp(track.box[:, 0]) < 15 and len(track.frame) == 79 for track in tracks)


def test_a_track_begins_with_a_sure_detection_and_goes_on_with_less_sure_ones():
    scores = [0.7] * 5 + [START_SCORE] + [KEEP_SCORE] * 5 + [KEEP_SCORE - 0.05] * 5
    (track,) = follow({frame: [face(50, score=score)] for frame, score in enumerate(scores, 1)})
    assert track.frame.tolist() == list(range(6, 12))


def test_flicker_of_the_detector_is_no_face():
    none = {frame: [] for frame in range(1, 9)}
    assert follow(none | {frame: [face(50)] for frame in range(1, SHORTEST)}) == []
    assert len(follow(none | {frame: [face(50)] for frame in range(1, SHORTEST + 1)})) == 1


def test_a_face_in_every_frame_of_a_video_of_one_or_two_frames_is_a_face():
    for count in range(1, SHORTEST):
        (track,) = follow({frame: [face(50)] for frame in range(1, count + 1)})
        assert track.frame.tolist() == list(range(1, count + 1))
        assert sorted(steady_boxes.choose([track], 1, 640)[0]) == track.frame.tolist()
    assert follow({1: [face(50)], 2: []}) == []


def make(frames, x, size=40.0):
    frames = np.array(list(frames))
    return Track(frames, np.tile([x, 50.0, size, size], (len(frames), 1)))


def chosen_x(boxes):
    return {frame: round(float(box[0])) for frame, box in boxes.items()}


def test_the_largest_face_wins_and_nobody_else_fills_its_short_gaps():
    near = make([*range(1, 20), *range(25, 40)], 100, size=80)
    far = make(range(1, 60), 400, size=30)
    (boxes,) = steady_boxes.choose([near, far], 1, 640)
    assert chosen_x(boxes) == {frame: 100 for frame in near.frame} | {frame: 400 for frame in range(40, 60)}


def test_two_people_are_left_and_right_and_tracks_behind_a_cut_join_the_nearer():
    right, left = make(range(1, 50), 400), make(range(5, 45), 100)
    right_later, left_later = make(range(60, 80), 380), make(range(60, 70), 130)
    boxes = steady_boxes.choose([right, left, right_later, left_later], 2, 640)
    assert set(chosen_x(boxes[0]).values()) == {100, 130} and set(chosen_x(boxes[1]).values()) == {400, 380}
    assert sorted(boxes[0]) == [*range(5, 45), *range(60, 70)]


def test_two_people_were_seen_together_rather_than_one_of_them_twice():
    long, again, beside = make(range(1, 100), 100), make(range(120, 200), 130), make(range(1, 30), 500)
    boxes = steady_boxes.choose([long, again, beside], 2, 640)
    assert sorted(boxes[0]) == [*range(1, 100), *range(120, 200)] and sorted(boxes[1]) == [*range(1, 30)]


@pytest.mark.parametrize(("x", "side"), [(50, 0), (500, 1)])
def test_one_person_where_two_are_asked_for_has_a_side(x, side):
    boxes = steady_boxes.choose([make(range(1, 9), x)], 2, 640)
    assert len(boxes[side]) == 8 and boxes[1 - side] == {}


def test_no_tracks_no_boxes():
    assert steady_boxes.choose([], 1, 640) == [{}] and steady_boxes.choose([], 2, 640) == [{}, {}]


def test_smoothing_removes_jitter():
    rng = np.random.default_rng(2)
    steady = np.tile([100.0, 60.0, 40.0, 50.0], (300, 1))
    track = Track(np.arange(300), steady + rng.normal(scale=2, size=steady.shape))
    smooth = steady_boxes.smooth(track)
    before, after = np.abs(np.diff(track.box, axis=0)).mean(0), np.abs(np.diff(smooth, axis=0)).mean(0)
    assert (after < before / 4).all()
    np.testing.assert_allclose(smooth[:, 2:].mean(0), [40, 50], atol=0.3)


def test_smoothing_keeps_steady_motion_to_the_ends_and_across_gaps():
    frame = np.array([*range(1, 30), *range(40, 60)])
    x = 10 + 3.0 * frame
    box = np.stack([x, 200 - x, np.full(len(x), 40.0), np.full(len(x), 50.0)], 1)
    np.testing.assert_allclose(steady_boxes.smooth(Track(frame, box)), box, rtol=1e-9)


def test_smoothing_equals_weighted_least_squares():
    rng = np.random.default_rng(3)
    frame = np.sort(rng.choice(60, 25, replace=False))
    values = rng.normal(size=(25, 2))
    for i, row in enumerate(steady_boxes._gaussian(frame, values, 3.0)):
        at = frame - frame[i]
        weight = np.sqrt(np.exp(-0.5 * (at / 3.0) ** 2)) * (np.abs(at) <= 12)
        line = np.linalg.lstsq(weight[:, None] * np.stack([np.ones(25), at], 1), weight[:, None] * values)[0]
        np.testing.assert_allclose(row, line[0], atol=1e-7)


def test_a_track_of_one_frame_smooths_to_itself():
    track = make([7], 100)
    np.testing.assert_allclose(steady_boxes.smooth(track), track.box)
