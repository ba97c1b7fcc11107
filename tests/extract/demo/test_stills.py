"""Posed pictures: labels by the rules, classes balanced, people of their own."""

import numpy as np

from extract.demo import stills
from extract.demo.dynamics import blend_units


def test_classes_follow_the_rules_and_one_sided_smiles_are_contempt():
    assert stills.still_class(blend_units({12: 0.9}), 0.0) == stills.CLASSES.index("Happiness")
    assert stills.still_class(blend_units({12: 0.9}), 0.9) == stills.CLASSES.index("Contempt")
    assert stills.still_class(blend_units({23: 0.9}), 0.0) is None
    assert stills.still_class(np.zeros(12), 0.0) == stills.CLASSES.index("Neutral")


def test_posed_faces_have_the_wanted_class():
    rng = np.random.default_rng(0)
    for wanted in list(range(8)) * 5:
        aus, side = stills.pose_face(rng, wanted, 0.0)
        assert stills.still_class(aus, side) == wanted and aus.min() >= 0 and aus.max() <= 1


def test_stills_are_balanced_and_reproducible():
    first = stills.make_stills(stills.HELD_OUT, people=8, per_person=8, roughness=1.0)
    again = stills.make_stills(stills.HELD_OUT, people=8, per_person=8, roughness=1.0)
    np.testing.assert_array_equal(first.images, again.images)
    assert first.images.shape == (64, 112, 112, 3) and first.affect.shape == (64, 2) and len(first) == 64
    np.testing.assert_array_equal(np.bincount(first.classes), np.full(8, 8))
    by_class = [first.affect[first.classes == c, 0].mean() for c in range(8)]
    assert np.argmax(by_class) == stills.CLASSES.index("Happiness")
