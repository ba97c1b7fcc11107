from __future__ import annotations

import numpy as np
import pytest

from heads.abaw.tasks import TASKS
from heads.families.lama import data as lama_data
from heads.families.lama.data import Target

VIDEO = np.repeat(np.arange(4), 10)


def units() -> np.ndarray:
    truth = (np.random.default_rng(0).random((40, 12)) < 0.4).astype(np.uint8)
    truth[:, 2], truth[:, 7] = 0, 0
    truth[3, 7] = 1
    return truth


def test_units_are_learnt_one_by_one_and_what_hardly_occurs_is_its_rate() -> None:
    found, base = lama_data.find_targets(TASKS["au"], units(), VIDEO, True, 2, 0)
    assert [target.name for target in found] == [n for n in TASKS["au"].outputs if n not in ("AU4", "AU15")]
    assert {target.kind for target in found} == {"binary"}
    assert base[2] == 0 and base[7] == pytest.approx(1 / 40)
    assert lama_data.list_constant(TASKS["au"], found) == ["AU4", "AU15"]
    np.testing.assert_array_equal(found[3].label(units()), units()[:, found[3].columns[0]])


def test_units_together_are_those_that_change_outside_of_every_fold() -> None:
    truth = units()
    truth[:, 5] = VIDEO == 1
    (target,), _ = lama_data.find_targets(TASKS["au"], truth, VIDEO, False, 2, 0)
    assert target.kind == "multilabel" and target.is_joint
    assert not {2, 5, 7} & set(target.columns), "AU10 occurs in one video alone"
    np.testing.assert_array_equal(target.label(truth), truth[:, target.columns])


def test_values() -> None:
    truth = np.random.default_rng(0).uniform(-1, 1, (40, 2)).astype(np.float32)
    found, _ = lama_data.find_targets(TASKS["va"], truth, VIDEO, True, 2, 0)
    assert [(t.name, t.kind) for t in found] == [("valence", "reg"), ("arousal", "reg")]
    (both,), _ = lama_data.find_targets(TASKS["va"], truth, VIDEO, False, 2, 0)
    assert both.kind == "multi:reg" and both.columns == (0, 1)
    truth[:, 1] = 0.25
    found, base = lama_data.find_targets(TASKS["va"], truth, VIDEO, True, 2, 0)
    assert len(found) == 1 and base[1] == 0.25 and lama_data.list_constant(TASKS["va"], found) == ["arousal"]


@pytest.mark.parametrize(("there", "kind"), [([1, 4, 6], "multiclass"), ([3, 7], "binary")])
def test_classes_that_train_lacks_score_0(there: list[int], kind: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(there, 40).astype(np.int8)
    (target,), base = lama_data.find_targets(TASKS["expr"], truth, VIDEO, True, 2, 0)
    assert target.kind == kind and list(target.columns) == there and base == [0.0] * 8
    np.testing.assert_array_equal(np.array(there)[target.label(truth)], truth)
    out = np.zeros((5, 8), np.float32)
    scores = rng.random((5, 3 if kind == "multiclass" else 1)).astype(np.float32)
    target.fill(scores, out)
    np.testing.assert_allclose(out.sum(1), 1, rtol=1e-6)
    assert not out[:, [i for i in range(8) if i not in there]].any()
    expected = scores[:, 1] / scores.sum(1) if kind == "multiclass" else scores[:, 0]
    np.testing.assert_allclose(out[:, there[1]], expected, rtol=1e-6)


def test_one_class_needs_no_learning() -> None:
    found, base = lama_data.find_targets(TASKS["expr"], np.full(40, 4, np.int8), VIDEO, True, 2, 0)
    assert found == [] and base == [0, 0, 0, 0, 1, 0, 0, 0]
    assert lama_data.list_constant(TASKS["expr"], found) == ["all classes"]


def test_one_output_left_of_several_keeps_its_dimension() -> None:
    assert Target("all outputs", "multilabel", (3,)).label(units()).shape == (40, 1)
