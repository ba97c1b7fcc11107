"""One person followed by what was seen so far."""

import numpy as np
import pytest

from extract.faces import live, tracking
from extract.faces.live import LargestFace
from extract.faces.tracking import Follower


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
        [(number, box)] = person.update(frame, detection[None])
        [whole] = tracking.choose(follower.tracks(), 1, 640)
        assert number == 1
        np.testing.assert_allclose(box, whole[frame], atol=1e-9)
    assert len(person._frames) <= live.REACH + 1, "memory is bounded"


def test_the_person_is_kept_beside_a_larger_one_until_gone_and_the_next_has_another_number():
    small = np.array([50, 50, 40, 50, 0.9])
    large = np.array([300, 50, 90, 99, 0.95])
    person = LargestFace()
    assert person.update(1, small[None])[0][0] == 1
    for frame in range(2, 10):
        [(number, box)] = person.update(frame, np.stack([large, small]))
        assert number == 1 and box[0] < 60
    missed = [person.update(frame, large[None]) for frame in range(10, 10 + tracking.MEMORY)]
    assert missed == [[]] * tracking.MEMORY, "no box where the person is not seen"
    [(number, box)] = person.update(10 + tracking.MEMORY, np.stack([small, large]))
    assert number == 2 and box[0] > 290, "the largest is next"
    assert person.update(40, np.empty((0, 5))) == []


def test_a_person_back_within_the_memory_is_the_same():
    person, face = LargestFace(), moving(1)[0]
    assert person.update(1, face[None])[0][0] == 1
    for frame in range(2, 1 + tracking.MEMORY):
        assert person.update(frame, np.empty((0, 5))) == []
    assert person.update(1 + tracking.MEMORY, face[None])[0][0] == 1


@pytest.mark.parametrize("apart", [1, 7, 40])
def test_in_a_slow_stream_that_shows_few_frames_the_person_stays_the_same(apart):
    person, face = LargestFace(), moving(1)[0]
    numbers = [person.update(apart * i + 1, face[None])[0][0] for i in range(12)]
    assert numbers == [1] * 12
    assert person.update(12 * apart + 1, np.empty((0, 5))) == []
    assert person.update(13 * apart + 1, face[None])[0][0] == 1, "one frame without is not the end"


def test_a_face_begins_where_the_detector_is_sure_and_goes_on_where_it_is_less():
    person, face = LargestFace(), moving(1)[0]
    weak = np.array([*face[:4], 0.7])
    assert person.update(1, weak[None]) == []
    assert person.update(2, face[None])[0][0] == 1
    assert person.update(3, weak[None])[0][0] == 1
    assert person.update(4, np.array([*face[:4], 0.5])[None]) == []
