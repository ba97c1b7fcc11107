"""The benchmark of sound on small videos: it measures what it says, and memory does not grow with the length."""

from fractions import Fraction

import numpy as np
import pytest

from extract.audio.logmel import WIDTH
from extract.bench import audio


@pytest.mark.parametrize("variable", [False, True])
def test_clicks_are_heard_within_half_a_frame(variable):
    taken = audio.main(500, Fraction(24000, 1001), variable, seed=1)
    assert taken.off < 0.5 and taken.frames == 500 and taken.seconds > 0
    assert taken.features == pytest.approx(500 * WIDTH * 2 / 1e6)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_but_by_the_features():
    """Twelve times as long a sound, 45 MB of samples at 48 kHz more: a few MB more."""
    short, long = (audio.main(frames, Fraction(10), False, seed=0) for frames in (250, 2750))
    assert long.features - short.features < 1.0
    assert long.peak < short.peak + 12


def test_distances_are_from_the_click_to_the_middle_of_the_loudness():
    times = np.arange(100) / 10
    embedding = np.zeros((100, WIDTH), np.float16)
    embedding[50:52] = 3.0  # between 5.0 and 5.1
    assert audio.distances(times, embedding, np.array([5.0, 5.1])) == pytest.approx([0.05, -0.05])


def test_times_of_pictures():
    assert audio.picture_times(3, Fraction(4), False, 0).tolist() == [0, 0.25, 0.5]
    steps = np.diff(audio.picture_times(1000, Fraction(10), True, 0))
    assert set(np.round(steps, 6)) == {0.1, 0.2}
