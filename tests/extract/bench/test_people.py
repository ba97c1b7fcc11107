"""Identity switches: counted as TrackEval counts them, and few in a crowd that crosses."""

from pathlib import Path

import numpy as np
import pytest
from support.crowd_film import film

from extract.bench import crowd, people
from extract.faces import detector
from extract.faces.tracker import Tracker

YUNET = Path(__file__).parents[4] / "shared" / "models" / detector.DETECTOR.file


def box(x):
    return [float(x), 10.0, 20.0, 20.0]


def frame(**places):
    """Numbers and boxes: `a=5` is number 1 at x = 5, `b` is 2, ..."""
    numbers = [ord(name) - ord("a") + 1 for name in places]
    return np.array(numbers, int), np.array([box(x) for x in places.values()]).reshape(-1, 4)


@pytest.mark.parametrize(
    ("found", "switches"),
    [
        ([frame(a=0, b=100)] * 3, 0),
        ([frame(a=0, b=100), frame(b=0, a=100), frame(b=0, a=100)], 2),  # each has the other's number, once
        ([frame(a=0, b=100), frame(b=100), frame(a=0, b=100)], 0),  # not found for a while
        ([frame(a=0, b=100), frame(b=100), frame(c=0, b=100)], 1),  # found again under another number
        ([frame(a=0, b=100), frame(a=4, c=-2, b=100), frame(a=0, b=100)], 0),  # the pair of before goes on
        ([frame(a=300, b=400)] * 3, 0),  # of nobody
        ([frame(), frame(a=0), frame(b=0)], 1),
    ],
)
def test_a_switch_is_another_number_than_the_last_one(found, switches):
    assert people.count_switches([frame(a=0, b=100)] * 3, found)[0] == switches


def test_the_part_that_is_found_is_of_all_true_boxes():
    assert people.count_switches([frame(a=0, b=100)] * 2, [frame(a=0), frame(a=0, b=100)])[1] == 0.75


def test_who_is_behind_somebody_is_hidden():
    boxes = np.array([[100, 100, 40, 40], [120, 100, 40, 40], [300, 100, 40, 40], [-20, 100, 40, 40]], float)
    assert crowd.visible(boxes).tolist() == [0.5, 1, 1, 0.5]


@pytest.mark.parametrize("seed", range(6))
def test_eight_people_who_cross_are_confused_twice_at_most(seed):
    boxes = crowd.boxes_of(seed, 8, 240)
    truth, detections = [(np.arange(8), each) for each in boxes], crowd.detect(boxes, seed)
    switches, found = people.count_switches(truth, people.track(detections))
    assert switches <= 2
    seen = (
        sum(((crowd.visible(each) > crowd.MAX_OCCLUSION) & (each[:, 0] > -20)).sum() for each in boxes)
        / boxes[..., 0].size
    )
    assert found > 0.9 * seen, "few switches are no merit where few are found"


def test_the_follower_of_two_would_not_do():
    boxes = crowd.boxes_of(0, 8, 240)
    truth = [(np.arange(8), each) for each in boxes]
    assert people.count_switches(truth, people.follow(crowd.detect(boxes, 0)))[0] > 2


def test_both_counts_of_every_tracker_are_told_with_standard_errors():
    results = people.main(3, 40, range(5, 7))
    assert {"ours", "one or two people"} <= set(results)
    for kind, wander in (("cross", 0.0), ("roam", 1.0)):
        boxes = [crowd.boxes_of(seed, 3, 40, wander) for seed in (5, 6)]
        expected = [
            people.count_switches([(np.arange(3), each) for each in of], people.track(crowd.detect(of, seed)))
            for of, seed in zip(boxes, (5, 6), strict=True)
        ]
        assert [*zip(*results["ours"][kind].values(), strict=True)] == expected
    said = people.describe({"switches": [0, 2, 4, 2], "found": [0.5, 0.7, 0.9, 0.7]})
    assert said == "2.00 ± 0.82 switches a crowd, 4 at most, 0.70 ± 0.08 found"
    assert people.standard_error([3]) == 0


@pytest.mark.slow
@pytest.mark.skipif(not YUNET.is_file(), reason="the shared detector is not here")
def test_the_drawn_crowd_as_the_real_detector_sees_it():
    boxes, tracker, found = crowd.boxes_of(1, 8, 240), Tracker(), []
    detect = detector.yunet(YUNET)
    for pixels in film(boxes, 1):
        detections = detect(pixels)
        numbers = tracker.update(detections, pixels)
        found.append((numbers[numbers > 0], detections[numbers > 0, :4]))
    switches, part = people.count_switches([(np.arange(8), each) for each in boxes], found)
    assert switches <= 2 and part > 0.7
