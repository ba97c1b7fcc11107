"""Log-mels of frames against naive loops, and where in time they are."""

import tracemalloc

import numpy as np
import pytest
from support.sounds import tone

from extract.audio import step as audio_step
from extract.audio.logmel import (
    AROUND,
    BANDS,
    FFT,
    FLOOR,
    HIGH,
    HOP,
    LOW,
    NEAR,
    RATE,
    SIDE,
    WIDTH,
    WINDOW,
    FrameVectors,
    Hops,
    mel_filters,
)
from extract.media import synthetic


def vectors(samples, times, start=0, size=RATE):
    """Through the streaming code, in blocks of `size`."""
    blocks = ((start + at, samples[at : at + size]) for at in range(0, len(samples), size))
    return audio_step.LogMel().listen(blocks, np.asarray(times, np.float64))["embedding"].astype(np.float64)


def naive_log_mel(samples, centre):
    """One window's log-mels, sample by sample; silence around the sound."""
    window = np.zeros(WINDOW)
    for i in range(WINDOW):
        at = centre - WINDOW // 2 + i
        if 0 <= at < len(samples):
            window[i] = samples[at] * (0.5 - 0.5 * np.cos(2 * np.pi * i / WINDOW))
    power = np.abs(np.fft.fft(window, FFT)[: FFT // 2 + 1]) ** 2 / (WINDOW / 4) ** 2
    mel = lambda f: 2595 * np.log10(1 + f / 700)  # noqa: E731
    edges = [700 * (10 ** (m / 2595) - 1) for m in np.linspace(mel(LOW), mel(HIGH), BANDS + 2)]
    out = []
    for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
        inside = [k for k in range(len(power)) if low < k * RATE / FFT < high]
        parts = [
            min((k * RATE / FFT - low) / (middle - low), (high - k * RATE / FFT) / (high - middle)) for k in inside
        ]
        out.append(np.log(1 + sum(p * power[k] for k, p in zip(inside, parts, strict=True)) / FLOOR))
    return np.array(out)


def test_frames_are_means_of_the_windows_around_their_own_times():
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=RATE) * np.linspace(0.01, 0.2, RATE)).astype(np.float32)
    windows = np.array([naive_log_mel(samples, HOP * j) for j in range(-60, 160)])

    def mean(low, high):  # the windows as steps of one hop, integrated numerically
        at = np.linspace(low, high, 4001)
        at = (at[:-1] + at[1:]) / 2 * RATE / HOP
        return windows[np.round(at).astype(int) + 60].mean(0)

    times = [0.0, 0.1234, 0.5, 0.777, 0.999]
    for t, found in zip(times, vectors(samples, times, size=1000), strict=True):
        expected = np.concatenate([mean(t - NEAR, t + NEAR), mean(t - AROUND, t + AROUND),
                                   mean(t, t + SIDE) - mean(t - SIDE, t)])  # fmt: skip
        np.testing.assert_allclose(found, expected, atol=0.02)  # float16 up to 16 is exact to 0.008


@pytest.mark.parametrize("size", [160, 399, 400, 1024, 50_000])
def test_the_size_of_blocks_does_not_matter(size):
    rng = np.random.default_rng(1)
    samples = rng.normal(scale=0.1, size=3 * RATE + 77).astype(np.float32)
    times = np.sort(rng.uniform(-0.2, 3.5, 90))
    np.testing.assert_allclose(vectors(samples, times, size=size), vectors(samples, times, size=10**6), atol=1e-2)


def test_a_click_is_where_it_was():
    """The energy's centre in time, on frames a millisecond apart."""
    times = np.arange(0, 3, 0.001)
    for click in (0.4, 1.23456, 2.5):
        energy = vectors(synthetic.make_clicks([click], 3, RATE), times)[:, :BANDS].sum(1)
        assert (energy * times).sum() / energy.sum() == pytest.approx(click, abs=0.001)


def test_sound_that_begins_late_or_pauses_stays_where_it_belongs():
    times = np.arange(0, 4, 0.001)
    click = synthetic.make_clicks([0.25], 0.5, RATE)
    late = vectors(click, times, start=2 * RATE)[:, :BANDS].sum(1)
    assert (late * times).sum() / late.sum() == pytest.approx(2.25, abs=0.001)
    blocks = [(0, click), (3 * RATE, click)]
    twice = audio_step.LogMel().listen(blocks, times)["embedding"].astype(np.float64)[:, :BANDS].sum(1)
    for low, high, expected in ((0, 2, 0.25), (2, 4, 3.25)):
        part = (times >= low) & (times < high)
        assert (twice * times)[part].sum() / twice[part].sum() == pytest.approx(expected, abs=0.001)


def test_a_long_pause_costs_little_memory():
    """Half an hour: 46 MB of log-mels, were they all kept."""
    click = synthetic.make_clicks([0.1], 0.2, RATE)
    tracemalloc.start()
    found = audio_step.LogMel().listen([(0, click), (1800 * RATE, click)], np.array([0.1, 900.0, 1800.1]))["embedding"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[0].any() and not found[1].any() and peak < 35e6
    np.testing.assert_array_equal(found[2, :BANDS], found[0, :BANDS])


def test_sound_before_time_0_is_heard_by_no_frame_but_those_near():
    found = vectors(synthetic.make_clicks([0.1], 0.3, RATE), [0.0, 0.6], start=-RATE // 2)
    assert found[0, BANDS : 2 * BANDS].max() > 0 and not found[1].any()


def test_silence_is_zero_and_a_tone_is_in_its_band():
    assert not vectors(np.zeros(RATE, np.float32), np.arange(0, 1, 0.04)).any()
    filters = mel_filters(RATE, FFT, BANDS, LOW, HIGH)
    assert (filters.max(0) > 0.3).all(), "no band lies between two bins"
    for hertz in (200, 440, 1000, 5000):
        found = vectors(tone(hertz, 2, rate=RATE), [1.0])[0]
        assert found[:BANDS].argmax() == filters[round(hertz * FFT / RATE)].argmax()
        np.testing.assert_allclose(found[:BANDS], found[BANDS : 2 * BANDS], atol=0.05)
        np.testing.assert_allclose(found[2 * BANDS :], 0, atol=0.05)


def test_louder_is_more_and_rising_is_positive():
    quiet, loud = (vectors(tone(300, 1, level, RATE), [0.5])[0] for level in (0.05, 0.5))
    assert loud[:BANDS].max() == pytest.approx(quiet[:BANDS].max() + np.log(100), abs=0.02), "20 dB"
    rising = tone(300, 2, 1, RATE) * np.linspace(0, 0.5, 2 * RATE, dtype=np.float32)
    assert vectors(rising, [1.0])[0, 2 * BANDS :].max() > 0.1


def test_no_frames_and_no_sound():
    assert vectors(np.ones(100, np.float32), []).shape == (0, WIDTH)
    assert not vectors(np.empty(0, np.float32), [0.0, 1.0]).any()
    assert list(Hops().finish()) == [] and FrameVectors(np.empty(0)).finish().shape == (0, WIDTH)
