"""People: the same seed is the same person, different seeds look different."""

from dataclasses import asdict

import numpy as np

from extract.demo.identity import HAIR_STYLES, make_identity


def test_same_seed_is_the_same_person_and_another_seed_is_not():
    assert make_identity(7) == make_identity(7)
    people = [make_identity(seed) for seed in range(50)]
    assert len({(p.face_width, p.skin, p.hair) for p in people}) == 50


def test_proportions_stay_human_over_many_people():
    people = [make_identity(seed) for seed in range(400)]
    for key in ("face_width", "jaw_width", "eye_gap", "eye_size", "mouth_width", "nose_length", "lid_rest"):
        values = np.array([getattr(p, key) for p in people])
        assert values.min() > 0.7 and values.max() < 1.35 and values.std() > 0.02, key
    for person in people:
        for key in ("skin", "lips", "hair", "iris", "shirt"):
            assert all(0 <= channel <= 255 for channel in asdict(person)[key])


def test_every_kind_of_person_occurs():
    people = [make_identity(seed) for seed in range(400)]
    assert {p.hair_style for p in people} == set(HAIR_STYLES)
    assert 0.1 < np.mean([p.glasses for p in people]) < 0.3
    assert any(p.beard for p in people) and any(p.makeup for p in people) and any(p.moles for p in people)
    assert not any(p.beard and p.makeup for p in people)
    lightness = [sum(p.skin) for p in people]
    assert max(lightness) > 600 and min(lightness) < 250
    assert min(p.age for p in people) < 0.1 and max(p.age for p in people) > 0.9
