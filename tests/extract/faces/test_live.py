"""One person followed by what was seen so far."""

import numpy as np
import pytest

from extract.faces import live, steady_boxes
from extract.faces.live import LargestFace, NumberedFaces
from extract.faces.steady_boxes import Follower
from extract.faces.tracker import Tracker

PIXELS = np.zeros((9, 9, 3), np.uint8)


def moving(frames, seed=0):
    """Detections of a face that wanders, [frames, 5]."""
    rng = np.random.default_rng(seed)
    places = 100 + np.cumsum(rng.normal(0, 3, (frames, 2)), 0)
    sizes = 60 * np.exp(np.cumsum(rng.normal(0, 0.01, frames)))
    return np.column_stack([places, sizes, 1.2 * sizes, np.full(frames, 0.9)])


def test_each_box_is_the_last_one_of_a_film_that_ends_there():
    detections, follower, person = moving(80), Follower(), LargestFace()
    for frame, detection in enumerate(detections, 1):
        follower.add(frame, detection[None])
        [(number, box)] = person.update(frame, detection[None], PIXELS)
        [whole] = steady_boxes.choose(follower.tracks(), 1, 640)
        assert number == 1
        np.testing.assert_allclose(box, whole[frame], atol=1e-9)
    assert len(person._person._frames) <= live.REACH + 1, "memory is bounded"


def test_the_person_is_kept_beside_a_larger_one_until_gone_and_the_next_has_another_number():
    small = np.array([50, 50, 40, 50, 0.9])
    large = np.array([300, 50, 90, 99, 0.95])
    person = LargestFace()
    assert person.update(1, small[None], PIXELS)[0][0] == 1
    for frame in range(2, 10):
        [(number, box)] = person.update(frame, np.stack([large, small]), PIXELS)
        assert number == 1 and box[0] < 60
    missed = [person.update(frame, large[None], PIXELS) for frame in range(10, 10 + steady_boxes.MEMORY)]
    assert missed == [[]] * steady_boxes.MEMORY, "no box where the person is not seen"
    [(number, box)] = person.update(10 + steady_boxes.MEMORY, np.stack([small, large]), PIXELS)
    assert number == 2 and box[0] > 290, "the largest is next"
    assert person.update(40, np.empty((0, 5)), PIXELS) == []


def test_a_person_back_within_the_memory_is_the_same():
    person, face = LargestFace(), moving(1)[0]
    assert person.update(1, face[None], PIXELS)[0][0] == 1
    for frame in range(2, 1 + steady_boxes.MEMORY):
        assert person.update(frame, np.empty((0, 5)), PIXELS) == []
    assert person.update(1 + steady_boxes.MEMORY, face[None], PIXELS)[0][0] == 1


@pytest.mark.parametrize("apart", [1, 7, 40])
def test_in_a_slow_stream_that_shows_few_frames_the_person_stays_the_same(apart):
    person, face = LargestFace(), moving(1)[0]
    numbers = [person.update(apart * i + 1, face[None], PIXELS)[0][0] for i in range(12)]
    assert numbers == [1] * 12
    assert person.update(12 * apart + 1, np.empty((0, 5)), PIXELS) == []
    assert person.update(13 * apart + 1, face[None], PIXELS)[0][0] == 1, "one frame without is not the end"


def test_a_face_begins_where_the_detector_is_sure_and_goes_on_where_it_is_less():
    person, face = LargestFace(), moving(1)[0]
    weak = np.array([*face[:4], 0.7])
    assert person.update(1, weak[None], PIXELS) == []
    assert person.update(2, face[None], PIXELS)[0][0] == 1
    assert person.update(3, weak[None], PIXELS)[0][0] == 1
    assert person.update(4, np.array([*face[:4], 0.5])[None], PIXELS) == []


class ByPlace:
    """A stand-in for a tracker: a person's number is the x coordinate's hundreds; of weak ones it knows none."""

    def update(self, detections, pixels, frame):
        assert pixels is PIXELS
        return np.where(detections[:, 4] > 0.7, detections[:, 0] // 100, 0).astype(np.int64)


def test_people_whom_a_tracker_numbers_have_each_their_own_smoothed_box():
    people, alone = NumberedFaces(ByPlace(), 2), {1: LargestFace(), 2: LargestFace()}
    rng = np.random.default_rng(0)
    for frame in range(1, 60):
        each = {n: np.array([100 * n + 40 + rng.normal(0, 2), 50, 40, 50, 0.9]) for n in (3, 2, 1)}
        weak = np.array([810, 50, 90, 99, 0.65])
        faces = people.update(frame, np.stack([weak, *each.values()]), PIXELS)
        assert [number for number, _ in faces] == [1, 2], "who came first, by number"
        for number, box in faces:
            [(_, expected)] = alone[number].update(frame, each[number][None], PIXELS)
            np.testing.assert_array_equal(box, expected)
    assert people.update(60, np.empty((0, 5)), PIXELS) == []
    assert people.update(100, np.empty((0, 5)), PIXELS) == [] and not people._people, "who has gone is forgotten"


def test_people_who_pass_each_other_while_frames_are_dropped_keep_their_numbers():
    people = NumberedFaces(Tracker(), 2)
    for frame in (*range(1, 51), 90, *range(91, 100)):
        there = np.array([[100 + 3 * frame, 50, 60, 70, 0.95], [520 - 3 * frame, 50, 60, 70, 0.95]])
        faces = people.update(frame, there, PIXELS)
        assert [number for number, _ in faces] == [1, 2]
        for number, row in zip((1, 2), there, strict=True):
            np.testing.assert_array_equal(people._people[number].box, row[:4], err_msg=f"frame {frame}")
