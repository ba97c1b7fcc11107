"""The demo's sound: deterministic, as long as the video, and it tells something of the arousal."""

import io
import wave

import numpy as np
import pytest

from extract.audio import step as audio_step
from extract.audio.logmel import BANDS
from extract.demo import affect, corpus, plan, sound


def test_both_people_of_a_pair_speak_on_one_track():
    found = sound.tracks(plan.DEMO_VIDEOS)
    assert len(found) == 27 and [row.name for row in found["demo-13"]] == ["demo-13_left", "demo-13_right"]
    one = sound.render(plan.SEED, found["demo-13"]).astype(float)
    left = sound.render(plan.SEED, found["demo-13"][:1]).astype(float)
    assert np.abs(one).sum() > 1.2 * np.abs(left).sum()


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones():
    rows = [plan.video("demo-12")]
    first = sound.encode(sound.render(plan.SEED, rows))
    assert first == sound.encode(sound.render(plan.SEED, rows)) != sound.encode(sound.render(plan.SEED + 1, rows))
    with wave.open(io.BytesIO(first)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (sound.RATE, 1, 2)
        assert file.getnframes() == rows[0].frames / sound.FPS * sound.RATE
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert 1000 < np.abs(samples.astype(int)).max() < 32_700, "neither silent nor clipped"


def test_loudness_follows_the_arousal_but_does_not_tell_all():
    rises = []
    for name in ("demo-01", "demo-09", "demo-15", "demo-24", "demo-26"):
        row, motion = plan.video(name), plan.motion(plan.SEED, name)
        samples = sound.render(plan.SEED, [row]).astype(np.float32) / 32768
        times = np.arange(row.frames) / sound.FPS
        loud = (
            audio_step.LogMel().listen([(0, samples)], times)["embedding"][:, BANDS : 2 * BANDS].astype(float).mean(1)
        )
        rises.append(np.corrcoef(loud, affect.valence_arousal(motion.aus, motion.side)[:, 1])[0, 1])
    assert 0.35 < np.mean(rises) < 0.9, rises


def test_the_corpus_names_its_sound(tmp_path):
    where = corpus.paths(tmp_path)
    assert where["videos"] == tmp_path / "sound" and where["fps"] == pytest.approx(25)
