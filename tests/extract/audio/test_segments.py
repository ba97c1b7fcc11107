"""Which sound is heard for which frames, against cutting it from the whole."""

import numpy as np
import pytest

from extract.audio import segments as audio_segments

RATE = 1000


@pytest.mark.parametrize("every", [1, 3, 4])
def test_one_each_is_centred_on_the_middle_frame(every):
    times = np.sort(np.random.default_rng(0).uniform(0, 5, 50))
    found = list(audio_segments.plan_single(times, RATE, 100, every))
    assert [i for segment in found for i in range(segment.rows.start, segment.rows.stop)] == list(range(50))
    for segment in found:
        own = times[segment.rows]
        assert segment.first + 99 / 2 == pytest.approx(own[(len(own) - 1) // 2] * RATE, abs=0.5)


def test_overlapping_segments_hold_every_frame_in_their_middle_half():
    times = np.concatenate([np.arange(0, 3, 0.04), [9.0, 9.1]])  # with a long pause
    found = list(audio_segments.plan_overlaps(times, RATE, 400))
    assert [i for segment in found for i in range(segment.rows.start, segment.rows.stop)] == list(range(len(times)))
    for segment in found:
        place = times[segment.rows] * RATE - segment.first
        assert (place >= 99).all() and (place <= 300).all()
    assert not list(audio_segments.plan_overlaps(np.empty(0), RATE, 400))


def test_cutting_from_blocks_with_gaps_is_cutting_from_the_whole():
    rng = np.random.default_rng(1)
    whole = np.zeros(5000, np.float32)
    blocks = []
    for start, stop in ((100, 900), (900, 1400), (2600, 2605), (2605, 4000)):
        whole[start:stop] = rng.normal(size=stop - start)
        blocks.append((start, whole[start:stop]))
    firsts = [-300, -50, 0, 90, 90, 850, 1300, 1350, 1800, 2500, 2550, 3950, 4200]
    segments = [audio_segments.Segment(first, slice(0, 1)) for first in firsts]
    padded = np.concatenate([np.zeros(300, np.float32), whole])
    for segment, samples in audio_segments.cut_segments(iter(blocks), segments, 200):
        np.testing.assert_array_equal(samples, padded[segment.first + 300 : segment.first + 500])


def test_only_what_is_needed_is_read():
    read = []

    def blocks():
        for start in range(0, 10_000, 100):
            read.append(start)
            yield start, np.ones(100, np.float32)

    segments = [audio_segments.Segment(first, slice(0, 1)) for first in (0, 50, 400)]
    for segment, _ in audio_segments.cut_segments(blocks(), segments, 100):
        assert max(read) <= segment.first + 100
