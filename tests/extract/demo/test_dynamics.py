"""Motion: onset, apex, offset; smooth, seeded, within range."""

import numpy as np
import pytest

from extract.demo.affect import AU_NAMES, column
from extract.demo.dynamics import PROTOTYPES, animate, blend_units, drift, time_course


def test_time_course_rises_holds_and_falls():
    course = time_course(60, onset=10, apex=20, offset=40, end=55)
    assert course[:11].max() == 0 and course[55:].max() < 1e-12
    np.testing.assert_array_equal(course[20:41], 1)
    assert (np.diff(course[10:21]) >= 0).all() and (np.diff(course[40:56]) <= 0).all()
    assert course[15] == pytest.approx(0.5)


def test_blend_units_puts_numbers_in_official_columns():
    out = blend_units({1: 0.5, 26: 1.0})
    assert out[0] == 0.5 and out[-1] == 1.0 and out.sum() == 1.5 and len(out) == len(AU_NAMES)


def test_drift_is_slow_and_without_jerks():
    slow = drift(np.random.default_rng(0), 5000, 2, memory=45)
    assert slow.shape == (5000, 2)
    np.testing.assert_allclose(slow.std(axis=0), 0.95, atol=0.15)
    assert np.abs(np.diff(slow, axis=0)).max() < 0.5


def test_same_seed_same_motion_other_seed_other_motion():
    first, again, other = (animate(np.random.default_rng(s), 80, ["Neutral", "Fear"]) for s in (4, 4, 5))
    np.testing.assert_array_equal(first.aus, again.aus)
    assert first.states == again.states
    assert not np.array_equal(first.aus, other.aus)


def test_motion_is_smooth_and_in_range_and_matches_the_states():
    tracks = animate(np.random.default_rng(2), 250, ["Happiness", "Surprise", "Other", "Anger", "Neutral"])
    assert len(tracks.states) == 250 and tracks.aus.shape == (250, 12)
    assert tracks.aus.min() >= 0 and tracks.aus.max() <= 1
    without_talk = np.delete(tracks.aus, [column("AU25"), column("AU26")], axis=1)
    assert np.abs(np.diff(without_talk, axis=0)).max() < 0.45
    assert np.abs(np.diff([s.pose.yaw for s in tracks.states])).max() < 0.25
    np.testing.assert_array_equal([s.aus for s in tracks.states], tracks.aus)


@pytest.mark.parametrize("name", [n for n in PROTOTYPES if n != "Neutral"])
def test_an_episode_shows_the_units_of_its_variant_at_its_apex(name):
    for number, variant in enumerate(PROTOTYPES[name]):
        tracks = animate(np.random.default_rng(1), 90, ["Neutral/0", f"{name}/{number}", "Neutral/0"])
        for unit, value in variant.items():
            course = tracks.aus[:, column(f"AU{unit}")]
            assert course[20:75].max() > 0.65 * value, (name, unit)


def test_contempt_is_one_sided_only_while_it_lasts():
    side = animate(np.random.default_rng(1), 100, ["Neutral", "Contempt", "Neutral"], asymmetry=0.1).side
    assert abs(side[50]) > 0.9
    assert side[0] == side[-1] == pytest.approx(0.1)


def test_an_occluder_passes_only_where_asked():
    passing = animate(np.random.default_rng(0), 200, ["Neutral"], occluded=True)
    assert 1 <= sum(s.occluder is not None for s in passing.states) <= 40
    clear = animate(np.random.default_rng(0), 200, ["Neutral"])
    assert all(s.occluder is None for s in clear.states)


def test_eyes_blink_and_open_again():
    blink = np.array([s.blink for s in animate(np.random.default_rng(0), 300, ["Neutral"]).states])
    assert blink.max() > 0.5 and 0.0 < (blink > 0.1).mean() < 0.2
