"""The demo's sound: a voice whose pitch and loudness follow the arousal, over noise, one 16-bit WAV file a video.

The speaker pauses, speaks in syllables, and has a pitch and a loudness of its own, so the sound tells something of the
arousal but not all. Both halves of a `_left` / `_right` pair speak on one sound track.
"""

from __future__ import annotations

import io
import wave

import numpy as np

from extract.media.frames import strip_side

from . import affect, plan
from .plan import DemoVideo

FPS = 25.0
"""Frames per second of the demo: frame k is at (k - 1) / FPS seconds."""
RATE = 16_000
HARMONICS = 10
OCTAVES_PER_AROUSAL, DECIBELS_PER_AROUSAL = 0.8, 24.0
LOUDNESS, NOISE = -30.0, -62.0
"""Decibels below full scale: of a calm voice, and of the background."""


def tracks(rows: tuple[DemoVideo, ...]) -> dict[str, list[DemoVideo]]:
    """Name of each sound track, that of a video without its side -> the videos that it belongs to, in their order."""
    results: dict[str, list[DemoVideo]] = {}
    for row in rows:
        results.setdefault(strip_side(row.name), []).append(row)
    return results


def render(seed: int, rows: list[DemoVideo]) -> np.ndarray:
    """The sound of the videos of one track together: int16 [samples] at RATE, as long as the longest."""
    voices = [_voice(seed, row) for row in rows]
    rng = plan.stream(seed, strip_side(rows[0].name), "background")
    out = _gain(NOISE) * rng.standard_normal(max(map(len, voices)))
    for voice in voices:
        out[: len(voice)] += voice
    return np.round(np.clip(out, -1, 1) * 32767).astype("<i2")


def encode(samples: np.ndarray) -> bytes:
    """A mono WAV file of int16 samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def _voice(seed: int, row: DemoVideo) -> np.ndarray:
    """One person's voice, [samples] in [-1, 1]."""
    rng, motion = plan.stream(seed, row.name, "voice"), plan.motion(seed, row.name)
    arousal = affect.valence_arousal(motion.aus, motion.side)[:, 1]
    felt = arousal + affect.wander(rng, row.frames, 1, scale=0.1, memory=20)[:, 0]  # a voice has moods of its own
    own_pitch, own_loudness = 110.0 * 2 ** rng.uniform(0, 1), rng.normal(0, 2.0)
    pitch = own_pitch * 2 ** (OCTAVES_PER_AROUSAL * felt)
    loudness = LOUDNESS + own_loudness + DECIBELS_PER_AROUSAL * felt
    speaks = affect.wander(rng, row.frames, 1, scale=1.0, memory=12)[:, 0] > -0.8  # pauses: a fifth of the time
    syllables = rng.uniform(3.5, 5.5)

    samples = round(row.frames / FPS * RATE)
    at, times = np.arange(samples) * (FPS / RATE), np.arange(row.frames)
    phase = np.cumsum(np.interp(at, times, pitch)) * (2 * np.pi / RATE)
    envelope = np.interp(at, times, _gain(loudness) * speaks)
    envelope *= 0.6 + 0.4 * np.sin(2 * np.pi * syllables * np.arange(samples) / RATE + rng.uniform(0, 2 * np.pi))
    # sin(n x) = 2 cos(x) sin((n-1) x) - sin((n-2) x): one sine for all harmonics
    before, now, twice = np.zeros(samples), np.sin(phase), 2 * np.cos(phase)
    voice = now.copy()
    for n in range(2, HARMONICS + 1):
        before, now = now, twice * now - before
        voice += now / n
    return np.asarray(voice * envelope)


def _gain(decibels: np.ndarray | float) -> np.ndarray:
    return np.asarray(10.0 ** (np.asarray(decibels) / 20))
