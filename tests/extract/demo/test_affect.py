"""The rules give the stated classes; the annotator is late, noisy and mostly right."""

import numpy as np
import pytest

from extract.demo import affect
from extract.demo.dynamics import PROTOTYPES, blend_units


def classes(*faces: dict[int, float], side: float = 0.0) -> list[str]:
    """Name the expressions of faces given as {unit: intensity}."""
    aus = np.array([blend_units(face) for face in faces])
    return [affect.EXPRESSIONS[c] for c in affect.expression(aus, np.full(len(faces), side))]


@pytest.mark.parametrize("name", [n for n in PROTOTYPES if n != "Contempt"])
@pytest.mark.parametrize("strength", [0.85, 1.0])
def test_every_variant_of_an_expression_is_named_by_the_rules(name, strength):
    faces = [{unit: strength * value for unit, value in variant.items()} for variant in PROTOTYPES[name]]
    assert classes(*faces) == [name] * len(faces)


def test_parted_lips_and_narrowed_eyes_alone_are_neutral():
    assert classes({}, {25: 1.0}, {7: 0.9}, {25: 0.8, 7: 0.6}) == ["Neutral"] * 4


def test_a_one_sided_smile_is_other_and_a_two_sided_one_happiness():
    assert classes({12: 0.9}) == ["Happiness"]
    assert classes({12: 0.9}, side=1.0) == classes({12: 0.9}, side=-1.0) == ["Other"]


def test_valence_and_arousal_have_the_stated_signs():
    faces = [{6: 0.8, 12: 0.9}, {4: 0.8, 15: 0.8, 1: 0.7}, {1: 0.9, 2: 0.9, 25: 1, 26: 1}, {}]
    smile, sad, startled, calm = affect.valence_arousal(np.array([blend_units(f) for f in faces]), np.zeros(4))
    assert smile[0] > 0.5 and sad[0] < -0.5 and abs(calm[0]) < 0.15
    assert startled[1] > 0.6 and sad[1] < calm[1] < smile[1]


def test_valence_and_arousal_stay_in_range_for_any_face():
    rng = np.random.default_rng(0)
    out = affect.valence_arousal(rng.random((5000, 12)), rng.uniform(-1, 1, 5000))
    assert np.abs(out).max() < 1


def test_wander_has_the_asked_spread_and_memory():
    noise = affect.wander(np.random.default_rng(1), 20000, 3, scale=0.5, memory=10)
    assert noise.shape == (20000, 3)
    np.testing.assert_allclose(noise.std(axis=0), 0.5, atol=0.05)
    lagged = [np.corrcoef(column[:-10], column[10:])[0, 1] for column in noise.T]
    np.testing.assert_allclose(lagged, np.exp(-1), atol=0.06)


def test_delayed_shifts_and_fills_the_start():
    np.testing.assert_array_equal(affect.delay(np.array([3, 4, 5, 6]), 2), [3, 3, 3, 4])


def test_annotators_follow_the_face_late_and_noisily():
    rng = np.random.default_rng(3)
    course = np.repeat([0.0, 0.9, 0.0], 100)
    aus = np.zeros((300, 12))
    aus[:, affect.column("AU12")] = course
    side = np.zeros(300)
    units = affect.annotate_units(rng, aus)
    assert set(np.unique(units)) <= {0, 1}
    assert (units[:, affect.column("AU12")] == (course > 0.35)).mean() > 0.97
    expression = affect.annotate_expression(rng, aus, side)
    truth = affect.expression(aus, side)
    assert 0.9 < (expression == truth).mean() < 1
    assert expression[100] == 0 and expression[112] == 4  # the label comes after the smile
    trace = affect.annotate_affect(rng, aus, side)
    target = affect.valence_arousal(aus, side)
    assert np.abs(trace).max() <= 1 and not np.array_equal(trace, np.round(target, 3))
    late = [np.corrcoef(target[: 300 - k, 0], trace[k:, 0])[0, 1] for k in range(25)]
    assert late[int(np.argmax(late))] > 0.9 and np.argmax(late) >= 4


def test_unlabelled_stretches_reach_the_asked_share():
    missing = affect.unlabelled_frames(np.random.default_rng(0), 300, 0.1)
    assert 0.1 <= missing.mean() < 0.17
