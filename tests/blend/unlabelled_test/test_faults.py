"""Faults planted in made predictions of test are found and called what they are; honest predictions have none."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from support.sweeps import sweep

from blend.decision import combine
from blend.decision.combine import Params
from blend.report import pointers
from blend.report import unlabelled_test as unlabelled_sentences
from blend.studies.simulation import population
from blend.unlabelled_test import compare as unlabelled
from blend.unlabelled_test import faults as unlabelled_faults
from heads.abaw.tasks import TASKS

VIDEOS = 14
VIDEO, OTHER = 3, 7
LATE = 5


@pytest.fixture(scope="module")
def made():
    """task -> validation and test of one population, and a blend of equal weights."""
    found = {}
    for number, task in enumerate(TASKS):
        rng = np.random.default_rng(number)
        validation, test = population.draw(task, VIDEOS, rng), population.draw(task, VIDEOS, rng)
        weights = (1 / len(test.heads),) * len(test.heads)
        thresholds = tuple(0.3 for _ in TASKS[task].outputs) if task == "au" else None
        params = Params(task, TASKS[task].outputs, test.heads, weights, "box", 3, thresholds=thresholds)
        found[task] = validation, test, params
    return found


def shifted(x, offsets, frames=LATE):
    parts = [x[a:b] for a, b in pairwise(offsets)]
    return np.concatenate([part[np.clip(np.arange(len(part)) - frames, 0, len(part) - 1)] for part in parts])


def foreign(x, offsets):
    """The scores of one video take the place of another's."""
    out, there = x.copy(), x[offsets[OTHER] : offsets[OTHER + 1]]
    own = slice(offsets[VIDEO], offsets[VIDEO + 1])
    out[own] = there[np.minimum(np.arange(own.stop - own.start), len(there) - 1)]
    return out


def swapped(x, i=0, j=1):
    out = x.copy()
    out[:, [i, j]] = out[:, [j, i]]
    return out


FAULTS = {
    "columns": lambda x, offsets, task: swapped(x),
    "order": lambda x, offsets, task: -x if task == "va" else 1 - x,
    "frames": lambda x, offsets, task: shifted(x, offsets),
    "video": lambda x, offsets, task: foreign(x, offsets),
}


@pytest.mark.parametrize("task", TASKS)
def test_honest_predictions_have_no_fault_and_no_share_outside(made, task):
    found = unlabelled.facts(*made[task], 0)
    assert found["faults"] == []
    assert not any(one["outside"] for one in found["shares"]["statistics"].values())
    assert unlabelled_sentences.sentences({"unlabelled_test": found}) == []


@pytest.mark.parametrize("task", sweep(TASKS, ["expr"]))
def test_a_fault_in_one_heads_predictions_is_found_and_no_other_head_is_blamed(made, task):
    validation, test, _ = made[task]
    for number, (kind, plant) in enumerate(FAULTS.items()):
        head = number + 1
        scores = test.scores.copy()
        scores[head] = plant(scores[head], test.offsets, task)
        found, left = unlabelled.of_heads(validation, replace(test, scores=scores), 0)
        assert {(one["of"], one["kind"]) for one in found} == {(f"the head {test.heads[head]}", kind)}, (kind, found)
        assert left == [name for name in test.heads if name != test.heads[head]]
        if kind == "columns":
            names = list(test.task.outputs[:2])
            assert (found[0]["outputs"], found[0]["others"]) == (names, names[::-1])
            assert found[0]["other"] > found[0]["own"]
        elif kind == "frames":
            assert abs(found[0]["lag"] - LATE) <= 1
        elif kind == "video":
            assert [one["video"] for one in found] == [test.videos[VIDEO]]


@pytest.mark.parametrize("task", TASKS)
def test_a_fault_in_the_decisions_is_found(made, task):
    """expr: decisions are classes, so columns are swapped by name and argmin is taken of the scores."""
    validation, test, params = made[task]
    usual, decided = (combine.combine(pool, params) for pool in (validation, test))
    last = len(test.task.outputs) - 1
    blended = combine.scores(test, params.weights, params.kernel, params.k)
    planted = {
        "columns": np.select([decided == 0, decided == last], [last, 0], decided)
        if task == "expr"
        else swapped(decided, 0, last),
        "order": {"expr": blended.argmin(1), "au": 1 - decided, "va": -decided}[task],
        "frames": shifted(decided, test.offsets),
    }
    for kind, wrong in planted.items():
        found = unlabelled.of_decisions(validation, test, usual, wrong.astype(decided.dtype), list(test.heads), 0)
        assert [one["kind"] for one in found] == [kind], (kind, found)


def test_a_single_output_with_its_sign_turned_is_named(made):
    validation, test, _ = made["va"]
    scores = test.scores.copy()
    scores[2, :, 1] *= -1
    found, _ = unlabelled.of_heads(validation, replace(test, scores=scores), 0)
    assert [(one["of"], one["kind"], one["output"]) for one in found] == [
        (f"the head {test.heads[2]}", "sign", "arousal")
    ]


def test_what_validation_shows_too_is_no_fault_of_test(made):
    """A head whose columns are swapped everywhere is a bad head, not a bad file; so is one that is late everywhere."""
    validation, test, _ = made["au"]
    for plant in (FAULTS["columns"], FAULTS["frames"]):
        both = []
        for pool in (validation, test):
            scores = pool.scores.copy()
            scores[2] = plant(scores[2], pool.offsets, "au")
            both.append(replace(pool, scores=scores))
        assert unlabelled.of_heads(both[0], both[1], 0)[0] == []


def test_a_head_that_says_the_same_of_every_frame_is_named(made):
    validation, test, _ = made["expr"]
    scores = test.scores.copy()
    scores[2] = 1 / 8
    found, left = unlabelled.of_heads(validation, replace(test, scores=scores), 0)
    [fault] = found
    assert (fault["of"], fault["kind"]) == (f"the head {test.heads[2]}", "constant")
    assert test.heads[2] not in left and len(left) == len(test.heads) - 1
    report = {"unlabelled_test": {"shares": None, "faults": found}}
    assert unlabelled_sentences.sentences(report)[0].startswith(
        f"On test the head {test.heads[2]} gives every frame the same"
    )


def test_frames_without_a_prediction_of_their_own_are_not_compared(made):
    validation, test, _ = made["va"]
    scores, present = test.scores.copy(), test.present.copy()
    rows = np.random.default_rng(0).random(len(present)) < 0.3
    scores[1, rows], present[rows] = 1.0, False
    assert unlabelled.of_heads(validation, replace(test, scores=scores, present=present), 0)[0] == []


def test_one_head_and_no_frame_and_one_video_are_taken():
    rng = np.random.default_rng(0)
    validation, test = population.draw("va", 2, rng), population.draw("va", 2, rng)
    one = {"heads": test.heads[:1]}
    alone = [replace(pool, scores=pool.scores[:1], **one) for pool in (validation, test)]
    params = Params("va", test.task.outputs, test.heads[:1], (1.0,))
    assert unlabelled.facts(*alone, params, 0)["faults"] == []
    single = test.select([0])
    assert unlabelled.of_heads(validation, single, 0)[1] == list(test.heads)
    blind = replace(test, present=np.zeros_like(test.present))
    assert unlabelled.of_heads(validation, blind, 0)[0] == []


def test_rings_of_a_permutation():
    found = unlabelled_faults._rings(np.array([1, 0, 2, 4, 5, 3]))
    assert sorted(ring.tolist() for ring in found) == [[0, 1], [3, 4, 5]]


def test_sentences_name_what_and_whose_and_the_figures():
    base = {"of": "the head a", "against": "the other heads", "own": 0.1, "other": 0.9, "usual": 0.8}
    faults = [
        base | {"kind": "columns", "outputs": ["AU1", "AU2"], "others": ["AU2", "AU1"]},
        base | {"kind": "frames", "lag": -4, "usual": None},
        base | {"kind": "video", "video": "v1", "like": "v2", "other": None},
        base | {"kind": "order", "other": None},
        base | {"kind": "sign", "output": "AU4", "other": None},
    ]
    one = {"test": 0.31, "validation": 0.05, "low": 0.02, "high": 0.12, "deviation": 9.0, "outside": True}
    shares = {"statistics": {"AU1": one, "certainty": one | {"outside": False}}}
    report = {"unlabelled_test": {"faults": faults, "shares": shares}}
    said = [pointers.plain(text, report, digits=2) for text in unlabelled_sentences.sentences(report)]
    assert said[0] == (
        "On test the head a goes with other columns of the other heads: AU1 with AU2, AU2 with AU1 (correlation 0.90, "
        "with their own 0.10, 0.80 on validation): are columns swapped?"
    )
    assert "4 frames early (correlation 0.90, in place 0.10): are" in said[1]
    assert "in the video v1 (correlation 0.10, 0.80 in other videos; it fits what they say of v2)" in said[2]
    assert said[4] == "So it is with 1 more."
    assert said[5].startswith("Test decides AU1 in 0.31 of the frames, more often than validation; draws of as many")
    assert len(said) == 6 and unlabelled_sentences.sentences({"unlabelled_test": None}) == []
