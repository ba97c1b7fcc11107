"""`python -m extract.bench.people`: how often trackers mistake one person for another in made crowds.

Beside ours stand the follower of one or two people, and SORT, ByteTrack and OC-SORT of Roboflow's `trackers`, where
that is installed (`pip install trackers`); all are given the same detections, and have their own defaults.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from extract.bench import crowd
from extract.faces.steady_boxes import Follower, overlaps
from extract.faces.tracker import NO_PERSON, Tracker
from extract.runtime import cli, errors

Frame = tuple[NDArray[np.int64], NDArray[np.float64]]
"""A frame's numbers [K] and boxes [K, 4]."""
MATCH_IOU = 0.5
"""Intersection over union from which a box is of a person."""
LIBRARY = {"SORT": "SORTTracker", "ByteTrack": "ByteTrackTracker", "OC-SORT": "OCSORTTracker"}


def count_switches(truth: Sequence[Frame], tracks: Sequence[Frame]) -> tuple[int, float]:
    """Identity switches as MOTChallenge counts them (IDSW), and the part of all true boxes that was found.

    In every frame true and found boxes that overlap by MATCH_IOU or more are paired, as many as can be, pairs of the
    frame before first. A switch is a person who is paired with another number than the last one he or she had, however
    long ago (Bernardin and Stiefelhagen, Evaluating multiple object tracking performance: the CLEAR MOT metrics,
    EURASIP JIVP 2008; Milan et al., MOT16, 2016; pairs are carried over as TrackEval does).
    """
    from scipy.optimize import linear_sum_assignment

    last: dict[int, int] = {}
    before: dict[int, int] = {}
    switches = hits = 0
    for (people, boxes), (numbers, others) in zip(truth, tracks, strict=True):
        now: dict[int, int] = {}
        if len(people) and len(numbers):
            overlap = overlaps(boxes, others)
            kept = np.array([[before.get(int(person)) == number for number in numbers] for person in people])
            score = np.where(overlap >= MATCH_IOU, overlap + 1000 * kept, 0)
            for i, j in zip(*linear_sum_assignment(-score), strict=True):
                if score[i, j] > 0:
                    person, number = int(people[i]), int(numbers[j])
                    switches += last.get(person, number) != number
                    last[person] = now[person] = number
        before, hits = now, hits + len(now)
    return switches, hits / max(1, sum(len(people) for people, _ in truth))


def track(detections: list[NDArray[np.float64]]) -> list[Frame]:
    """What ours makes of every frame's detections [K, 5]."""
    tracker = Tracker()
    numbers = [tracker.update(frame) for frame in detections]
    return [
        (each[each > NO_PERSON], frame[each > NO_PERSON, :4]) for each, frame in zip(numbers, detections, strict=True)
    ]


def follow(detections: list[NDArray[np.float64]]) -> list[Frame]:
    """The same of the follower of one or two people, whose pairs are the nearest, one after the other."""
    follower = Follower()
    for number, frame in enumerate(detections, 1):
        follower.add(number, frame)
    rows: list[list[tuple[int, NDArray[np.float64]]]] = [[] for _ in detections]
    for number, person in enumerate(follower.tracks(), 1):
        for at, box in zip(person.frame, person.box, strict=True):
            rows[at - 1].append((number, box))
    return [(np.array([n for n, _ in row], np.int64), np.array([b for _, b in row]).reshape(-1, 4)) for row in rows]


def with_library(name: str) -> Callable[[list[NDArray[np.float64]]], list[Frame]]:
    """The same of a tracker of the library."""

    def run(detections: list[NDArray[np.float64]]) -> list[Frame]:
        supervision: Any = importlib.import_module("supervision")
        tracker = getattr(importlib.import_module("trackers"), name)()
        results = []
        for frame in detections:
            corners = np.hstack([frame[:, :2], frame[:, :2] + frame[:, 2:4]])
            given = supervision.Detections(corners, confidence=frame[:, 4], class_id=np.zeros(len(frame), int))
            told = tracker.update(given)
            known = told.tracker_id >= 0
            boxes = np.hstack([told.xyxy[:, :2], told.xyxy[:, 2:] - told.xyxy[:, :2]])
            results.append((told.tracker_id[known], boxes[known]))
        return results

    return run


def main(people: int, frames: int, seeds: range) -> dict[str, dict[str, dict[str, list[float]]]]:
    """{tracker: {"cross" or "roam": {"switches": [crowds], "found": [crowds]}}}: switches, parts of boxes found."""
    trackers = {"ours": track, "one or two people": follow}
    if importlib.util.find_spec("trackers"):
        trackers |= {name: with_library(place) for name, place in LIBRARY.items()}
    results: dict[str, dict[str, dict[str, list[float]]]] = {name: {} for name in trackers}
    for kind, wander in (("cross", 0.0), ("roam", 1.0)):
        for seed in seeds:
            boxes = crowd.boxes_of(seed, people, frames, wander)
            detections, truth = crowd.detect(boxes, seed), [(np.arange(people), frame) for frame in boxes]
            for name, tracker in trackers.items():
                counts = results[name].setdefault(kind, {"switches": [], "found": []})
                for key, value in zip(counts, count_switches(truth, tracker(detections)), strict=True):
                    counts[key].append(value)
    return results


def describe(counts: dict[str, list[float]]) -> str:
    """Switches and the part found, their means with standard errors: few switches are no merit where few are found."""
    switches, found = (f"{np.mean(values):.2f} ± {standard_error(values):.2f}" for values in counts.values())
    return f"{switches} switches a crowd, {max(counts['switches'])} at most, {found} found"


def standard_error(values: list[float]) -> float:
    """Of the mean; 0 of a single value."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


EXAMPLES = """Examples:
python -m extract.bench.people
python -m extract.bench.people --people 12 --crowds 50 --json
python -m extract.bench.people --seed 100      other crowds than those by which constants may have been chosen"""


def command(
    people: Annotated[int, typer.Option(help="In each crowd.", min=2)] = 8,
    frames: Annotated[int, typer.Option(help="Of each crowd.", min=30)] = 240,
    crowds: Annotated[int, typer.Option(help="Of each kind.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Of the first crowd; the next has the next.", min=0)] = 0,
    as_json: cli.AsJson = False,
) -> None:
    """Count identity switches in made crowds. Takes about half a minute."""
    with errors.exits():
        results = main(people, frames, range(seed, seed + crowds))
        if as_json:
            print(json.dumps(results))
            return
        for name, kinds in results.items():
            print(f"{name:18} {'; '.join(f'{kind}: {describe(counts)}' for kind, counts in kinds.items())}")


if __name__ == "__main__":
    cli.start(command, EXAMPLES)
