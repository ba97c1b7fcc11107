"""Pictures: reproducible, every unit visible where it acts, defects and occluders visible too."""

import cv2
import numpy as np
import pytest

from extract.demo.affect import AU_NAMES
from extract.demo.dynamics import FaceState, Occluder, animate, blend_units
from extract.demo.geometry import Pose
from extract.demo.identity import make_identity
from extract.demo.render import Renderer

# Rows of the 112-pixel picture in which each unit must show most: forehead and brows, eyes and cheeks, nose, mouth.
ROWS = {
    "AU1": (10, 45),
    "AU2": (10, 50),
    "AU4": (25, 55),
    "AU6": (40, 75),
    "AU7": (40, 60),
    "AU10": (60, 100),
    "AU12": (60, 105),
    "AU15": (75, 112),
    "AU23": (75, 105),
    "AU24": (75, 105),
    "AU25": (75, 105),
    "AU26": (75, 112),
}


def draw(seed: int = 11, noise_seed: int = 0, **state: object) -> np.ndarray:
    """One picture; clean unless asked otherwise."""
    defaults: dict = {"noise": 0.0, "blur": 0.0}
    return Renderer(make_identity(seed)).draw(FaceState(**{**defaults, **state}), np.random.default_rng(noise_seed))


def units(**intensities: float) -> tuple[float, ...]:
    """Intensities by unit name, official order."""
    return tuple(blend_units({int(name[2:]): value for name, value in intensities.items()}))


def test_a_picture_has_the_documented_form_and_the_same_bytes_twice():
    first = draw(aus=units(AU12=0.8), noise=5.0, blur=0.5)
    assert first.shape == (112, 112, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, draw(aus=units(AU12=0.8), noise=5.0, blur=0.5))
    assert not np.array_equal(first, draw(aus=units(AU12=0.8), noise=5.0, blur=0.5, noise_seed=1))


def test_a_film_is_its_frames_drawn_one_by_one():
    who = make_identity(4)
    states = animate(np.random.default_rng(1), 60, ["Happiness", "Surprise", "Anger"], 0.1, occluded=True).states
    assert len({state.occluder and state.occluder.kind for state in states}) == 2
    film = Renderer(who).film(states, (np.random.default_rng(i) for i in range(60)))
    for i, picture in enumerate(film):
        np.testing.assert_array_equal(picture, Renderer(who).draw(states[i], np.random.default_rng(i)), f"frame {i}")
    assert i == 59


@pytest.mark.parametrize("name", AU_NAMES)
def test_each_unit_changes_the_face_in_its_own_region(name):
    first, last = ROWS[name]
    for seed in (2, 3, 11):
        change = np.abs(draw(seed, aus=units(**{name: 0.9})).astype(float) - draw(seed)).mean(axis=2)[:, 15:97]
        inside = change[first:last].sum() / change.sum()
        assert inside > 0.75, f"{name}: {inside:.2f} of the change is in rows {first}..{last}"
        assert (change > 8).sum() > 40, f"{name} changes {(change > 8).sum()} pixels only"


def test_a_stronger_unit_changes_more():
    rest = draw().astype(float)
    for name in ("AU1", "AU4", "AU12", "AU15", "AU26"):
        change = [np.abs(draw(aus=units(**{name: v})) - rest).sum() for v in (0.2, 0.5, 0.9)]
        assert change[0] < change[1] < change[2], name


def test_an_open_jaw_shows_a_dark_mouth_and_a_closed_one_does_not():
    rest, opened = (draw(aus=a)[80:100, 46:66].max(axis=2) for a in (units(), units(AU25=1, AU26=1)))
    assert (opened < 70).sum() > 40 > (rest < 70).sum()


def test_a_one_sided_smile_changes_one_side():
    rest = draw().astype(float)
    change = np.abs(draw(aus=units(AU12=0.9), side=1.0) - rest).mean(axis=2)[75:100]
    left, right = change[:, :50].sum(), change[:, 62:].sum()
    assert right > 2 * left


def test_closed_eyes_hide_the_white():
    eyes = (slice(44, 54), slice(25, 87))
    assert np.percentile(draw(blink=1.0)[eyes].min(axis=2), 97) < np.percentile(draw()[eyes].min(axis=2), 97)
    assert np.abs(draw(blink=1.0)[eyes].astype(float) - draw()[eyes]).mean() > 5


def test_people_look_different_beyond_noise():
    faces = np.array([draw(seed) for seed in range(12)], dtype=float)
    gaps = [np.abs(a - b).mean() for i, a in enumerate(faces) for b in faces[i + 1 :]]
    assert min(gaps) > 8


def test_pose_light_blur_noise_and_occluders_change_the_picture():
    rest = draw().astype(float)

    def sharpness(image: np.ndarray) -> float:
        return float(cv2.Laplacian(image, cv2.CV_64F).var())

    assert np.abs(draw(pose=Pose(yaw=0.3)) - rest).mean() > 5
    assert draw(exposure=0.7).mean() < 0.8 * rest.mean() + 1
    assert sharpness(draw(blur=1.2)) < 0.5 * sharpness(draw())
    assert sharpness(draw(noise=8.0)) > 1.5 * sharpness(draw())
    for kind in ("hand", "microphone", "bar"):
        assert np.abs(draw(occluder=Occluder(kind, 0.0, 0.6, 1.0, 0.0)) - rest).mean() > 1.5, kind


def test_light_falls_from_its_side():
    picture = draw(light_angle=0.0, light_strength=0.5)[30:80].mean(axis=(0, 2))
    assert picture[65:85].mean() > 1.15 * picture[27:47].mean()
