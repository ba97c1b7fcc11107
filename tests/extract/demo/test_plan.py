"""The cast list and the label rates it leads to."""

import numpy as np
import pytest

from extract.demo import plan
from extract.demo.affect import AU_NAMES, EXPRESSIONS

# Aff-Wild2's training part: share of frames in percent. The demo should be roughly like it.
AU_RATES = (11.8, 5.0, 15.4, 26.6, 39.7, 34.5, 24.5, 2.8, 3.2, 2.6, 62.7, 7.4)
EXPR_RATES = (30.3, 2.8, 1.8, 1.6, 16.3, 13.5, 5.4, 28.3)


def labels(task: str, part: str) -> np.ndarray:
    """All labelled rows of a part."""
    rows = [r for r in plan.DEMO_VIDEOS if r.part == part and task in r.tasks]
    values = np.concatenate([plan.annotation(plan.SEED, r.name, task) for r in rows])
    return values[(values >= (-1 if task == "va" else 0)).all(axis=1)]


def test_the_cast_has_the_documented_size_and_oddities():
    rows = plan.DEMO_VIDEOS
    assert [sum(r.part == p for r in rows) for p in plan.PARTS] == [14, 7, 7]
    assert all(150 <= r.frames <= 300 for r in rows) and 5500 < sum(r.frames for r in rows) < 6500
    assert len({r.name for r in rows}) == 28 and {"demo-13_left", "demo-13_right"} <= {r.name for r in rows}
    faces = {r.name: plan.has_face(r) for r in rows}
    assert all(face.mean() > 0.4 for face in faces.values())
    assert not faces["demo-03"][0] and not faces["demo-03"][-1]
    assert faces["demo-23"].mean() < 0.6 and plan.video("demo-23").part == "test"
    assert any(len(r.tasks) < 3 for r in rows if r.part == "train")


def test_everyone_in_the_corpus_is_a_stranger_to_the_networks_and_to_each_other():
    people = [plan.identity(plan.SEED, r.name) for r in plan.DEMO_VIDEOS]
    assert len({p.seed for p in people}) == 28
    assert max(p.seed for p in people) < plan.NETWORK_SEEDS


@pytest.mark.parametrize("part", plan.PARTS)
def test_label_rates_are_roughly_those_of_the_real_corpus(part):
    units = 100 * labels("au", part).mean(axis=0)
    for name, rate, real in zip(AU_NAMES, units, AU_RATES, strict=True):
        assert real / 3 < rate < 2.5 * real + 1, (name, rate)
    classes = 100 * np.bincount(labels("expr", part)[:, 0], minlength=8) / len(labels("expr", part))
    for name, rate, real in zip(EXPRESSIONS, classes, EXPR_RATES, strict=True):
        assert real / 3 < rate < 2.5 * real + 1, (name, rate)
    assert classes.argmin() in (1, 2, 3) and min(classes) * len(labels("expr", part)) > 1000
    valence, arousal = labels("va", part).T
    assert valence.std() > 0.25 and arousal.std() > 0.12 and abs(valence.mean()) < 0.25 and arousal.mean() > 0.1


def test_rare_classes_and_units_come_in_at_least_two_videos_of_every_part():
    for part in plan.PARTS:
        rows = [r for r in plan.DEMO_VIDEOS if r.part == part]
        played = [{card.split("/")[0] for card in plan.episodes(plan.SEED, r.name)} for r in rows]
        for name in ("Anger", "Disgust", "Fear", "Surprise"):
            assert sum(name in p for p in played) >= 2, (part, name)


def test_annotations_mark_what_nobody_labelled():
    for task, mark in (("au", -1), ("expr", -1), ("va", -5)):
        values = plan.annotation(plan.SEED, "demo-11", task)
        row = plan.video("demo-11")
        assert len(values) == row.frames
        assert 0.08 < (values == mark).all(axis=1).mean() < 0.25
        np.testing.assert_array_equal((values == mark).all(axis=1), (values == mark).any(axis=1))
    some = [
        plan.annotation(plan.SEED, "demo-23", t)[~plan.has_face(plan.video("demo-23"))] for t in ("au", "expr", "va")
    ]
    assert all(0 < (values < -0.999).all(axis=1).mean() < 0.6 for values in some)


def test_a_video_is_a_pure_function_of_seed_and_name():
    np.testing.assert_array_equal(plan.annotation(2, "demo-04", "va"), plan.annotation(2, "demo-04", "va"))
    assert plan.motion(2, "demo-04").states == plan.motion(2, "demo-04").states
    assert not np.array_equal(plan.annotation(3, "demo-04", "va"), plan.annotation(2, "demo-04", "va"))


def test_an_unknown_video_or_task_is_refused_with_what_there_is():
    with pytest.raises(KeyError, match="demo-01"):
        plan.video("nobody")
    with pytest.raises(ValueError, match="expr"):
        plan.annotation(2, "demo-01", "emotion")


def test_a_videos_motion_is_made_once_and_no_annotation_changes_it():
    tracks = plan.motion(plan.SEED, "demo-03")
    before = tracks.aus.copy(), tracks.side.copy()
    for _ in range(2):
        told = [plan.annotation(plan.SEED, "demo-03", task) for task in plan.TASKS]
    assert plan.motion(plan.SEED, "demo-03") is tracks
    np.testing.assert_array_equal(tracks.aus, before[0])
    np.testing.assert_array_equal(tracks.side, before[1])
    assert [len(values) for values in told] == [len(tracks.states)] * 3
