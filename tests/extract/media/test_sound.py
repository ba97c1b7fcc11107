"""Times of pictures and sound from real containers, against the times that were written into them."""

import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from support.sounds import tone, write_sound

from extract.media import synthetic, video
from extract.media.sound import Tally, Unreadable, blocks
from extract.media.timestamps import picture_times

RATES = {
    "23.976": Fraction(24000, 1001),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "30": Fraction(30),
    "60": Fraction(60),
}


def heard(path, rate=16_000):
    """All of a file's sound on the grid from 0, gaps as silence."""
    parts = list(blocks(path, rate, Tally()))
    out = np.zeros(max(start + len(samples) for start, samples in parts), np.float32)
    for start, samples in parts:
        out[max(start, 0) : start + len(samples)] = samples[max(-start, 0) :]
    return out


def peaks(samples, rate, count):
    """Times of the loudest bursts: the middle of each."""
    loud = np.abs(samples) > 0.1
    at = np.flatnonzero(loud)
    runs = np.split(at, np.flatnonzero(np.diff(at) > rate // 20) + 1)
    assert len(runs) == count
    return np.array([(run[0] + run[-1]) / 2 / rate for run in runs])


def frame_times(fps, variable, seconds=4):
    count = int(seconds * fps)
    keep = np.random.default_rng(0).random(count) < 0.6 if variable else np.ones(count, bool)
    keep[0] = True
    return [Fraction(int(i)) / fps for i in np.flatnonzero(keep)]


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize("name", RATES)
def test_times_of_pictures_and_clicks(tmp_path, name, variable):
    """Clicks at pictures' times come out at pictures' times, to a small part of a frame."""
    times = frame_times(RATES[name], variable)
    at = [float(times[len(times) * part // 8]) for part in (1, 4, 7)]
    path = synthetic.write_video(tmp_path / "v.mp4", times, synthetic.make_clicks(at, 4.5))
    found = picture_times(path)
    np.testing.assert_allclose(found, np.array(times, float), atol=0.001)
    np.testing.assert_allclose(peaks(heard(path), 16_000, 3), at, atol=0.001)


@pytest.mark.parametrize(
    ("ending", "codec", "sound", "fps"),
    [
        (".mkv", "libx264", "pcm_s16le", None),
        (".webm", "libvpx", "libopus", None),
        (".mov", "mpeg4", "aac", Fraction(25)),
        (".avi", "mpeg4", "pcm_s16le", Fraction(25)),
        (".mpg", "mpeg2video", "mp2", Fraction(25)),
        (".ts", "libx264", "aac", None),
    ],
)
def test_other_containers(tmp_path, ending, codec, sound, fps):
    """Some containers begin at another time: what counts is the sound against the pictures."""
    times = frame_times(Fraction(25), False)
    at = [float(times[k]) for k in (20, 50, 80)]
    path = synthetic.write_video(
        tmp_path / f"v{ending}", times, synthetic.make_clicks(at, 4.5), codec=codec, sound=sound, fps=fps
    )
    found = picture_times(path)
    assert len(found) == len(times) == len(list(video.read(path)))
    np.testing.assert_allclose(peaks(heard(path), 16_000, 3), found[[20, 50, 80]], atol=0.008)


def test_sound_that_begins_later_than_the_pictures(tmp_path):
    times = frame_times(Fraction(25), False)
    path = synthetic.write_video(tmp_path / "v.mkv", times, synthetic.make_clicks([0.5, 1.5], 2), begins=1.25,
                                   sound="pcm_s16le")  # fmt: skip
    np.testing.assert_allclose(peaks(heard(path), 16_000, 2), [1.75, 2.75], atol=0.001)


def test_a_pause_in_the_sound_is_a_gap_and_not_a_shift(tmp_path):
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for begins in (0.0, 2.0):
            samples = synthetic.make_clicks([0.5], 1, 16_000)
            for start in range(0, len(samples), 1000):
                frame = av.AudioFrame.from_ndarray(
                    (samples[None, start : start + 1000] * 32767).astype(np.int16), format="s16", layout="mono"
                )
                frame.sample_rate, frame.time_base = 16_000, Fraction(1, 16_000)
                frame.pts = round(begins * 16_000) + start
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(peaks(heard(path), 16_000, 2), [0.5, 2.5], atol=0.001)
    parts = list(blocks(path, 16_000, Tally()))
    assert [start for start, _ in parts] == [0, 32_000]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 96_000])
def test_any_rate_and_stereo_become_mono_at_the_wanted_one(tmp_path, rate):
    path = tmp_path / "v.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="stereo")
        left = (tone(440, 1, 0.5, rate) * 32767).astype(np.int16)
        both = np.stack([left, left], 1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = heard(path)
    assert len(found) == pytest.approx(16_000, abs=2)
    expected = tone(440, 1, 0.5, 16_000)
    np.testing.assert_allclose(found[200:15_800], expected[200:15_800], atol=0.002)


def test_what_cannot_be_heard_says_why(tmp_path):
    silent = synthetic.write_video(tmp_path / "v.mp4", frame_times(Fraction(25), False, 1), None)
    with pytest.raises(Unreadable, match="no sound in it"):
        list(blocks(silent, 16_000, Tally()))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(Unreadable, match="cannot be read"):
        list(blocks(tmp_path / "text.mp4", 16_000, Tally()))
    with pytest.raises(Unreadable, match="cannot be read"):
        list(blocks(tmp_path / "none.mp4", 16_000, Tally()))
    assert len(picture_times(tmp_path / "text.mp4")) == len(picture_times(tmp_path / "none.mp4")) == 0


def test_a_cut_file_is_heard_up_to_the_cut(tmp_path):
    at = [0.5, 3.5]
    whole = synthetic.write_video(
        tmp_path / "v.mkv", frame_times(Fraction(25), False), synthetic.make_clicks(at, 4), sound="pcm_s16le"
    )
    data = whole.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    found = heard(tmp_path / "cut.mkv")
    np.testing.assert_allclose(peaks(found, 16_000, 1), at[:1], atol=0.001)
    assert 20 < len(picture_times(tmp_path / "cut.mkv")) < 100


def damaged_aac(path, seconds, begin, end, seed=0):
    """A 440 Hz tone with random bytes from `begin` to `end`, parts of its length."""
    write_sound(path, tone(440, seconds), "aac")
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 4
    length = int.from_bytes(data[at - 8 : at - 4], "big") - 8
    place = slice(at + int(begin * length), at + int(end * length))
    data[place] = np.random.default_rng(seed).bytes(place.stop - place.start)
    path.write_bytes(bytes(data))
    return path


def is_tone(found, begin, end):
    """Whether the 440 Hz tone sounds in its place between these seconds."""
    part = slice(int(begin * 16_000), int(end * 16_000))
    return np.corrcoef(found[part], tone(440, 120, 0.5, 16_000)[part])[0, 1] > 0.99


def test_damaged_pieces_are_counted_and_leave_silence(tmp_path):
    path = damaged_aac(tmp_path / "v.m4a", 6, 1 / 3, 2 / 3)
    said = Tally()
    parts = list(blocks(path, 16_000, said))
    assert 80 < said.damaged_pieces < 100  # of 48,000 / 1,024 a second
    found = heard(path)
    assert is_tone(found, 0.1, 1.8) and not found[int(2.1 * 16_000) : int(3.9 * 16_000)].any()
    assert is_tone(found, 4.2, 5.9)
    assert said.samples == sum(len(samples) for _, samples in parts) < 4.1 * 16_000


def test_a_long_damaged_piece_does_not_end_the_sound(tmp_path):
    path = damaged_aac(tmp_path / "v.m4a", 60, 0.2, 0.8)
    said = Tally()
    list(blocks(path, 16_000, said))
    assert said.damaged_pieces > 1500
    found = heard(path)
    assert is_tone(found, 1, 11) and is_tone(found, 49, 59)


@pytest.mark.parametrize("seed", [49, 64, 86])
def test_damage_that_looks_like_more_channels(tmp_path, seed):
    found = heard(damaged_aac(tmp_path / "v.m4a", 10, 0.2, 0.8, seed))
    assert is_tone(found, 0.1, 1.8) and is_tone(found, 8.3, 9.9)


def write_channels(path, channels):
    """A second of wave file of which only the last channel sounds."""
    samples = np.zeros((16_000, channels), "<i2")
    samples[:, -1] = tone(440, 1, 0.5, 16_000) * 32767
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, 16_000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 16, 64])
def test_many_channels_become_their_mean(tmp_path, channels):
    found = heard(write_channels(tmp_path / "v.wav", channels))
    np.testing.assert_allclose(found, tone(440, 1, 0.5 / channels, 16_000), atol=1e-4)


def test_sound_that_cannot_be_resampled_is_damage(tmp_path):
    said = Tally()
    assert not list(blocks(write_channels(tmp_path / "v.wav", 65), 16_000, said))
    assert said.damaged_pieces and not said.samples


def test_sound_behind_a_clock_that_begins_anew_is_left_out_and_said(tmp_path):
    path = synthetic.write_video(
        tmp_path / "v.ts",
        frame_times(Fraction(25), False),
        tone(440, 4),
        codec="mpeg2video",
        fps=Fraction(25),
    )
    once, said = heard(path), Tally()
    path.write_bytes(2 * path.read_bytes())
    list(blocks(path, 16_000, said))
    assert len(heard(path)) < len(once) + 8_000 and 100 < said.damaged_pieces < 200  # of 48 a second


def test_a_cover_picture_is_no_video(tmp_path):
    path = write_sound(tmp_path / "v.flac", tone(440, 1), "flac")
    assert len(picture_times(path)) == 0
