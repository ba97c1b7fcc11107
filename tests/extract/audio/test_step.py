"""The sound's part of the store: which frames, whose sound, what is counted, what is refused."""

import json
from fractions import Fraction

import numpy as np
import pytest
from support.sounds import tone, write_sound

from extract import config, run
from extract.audio import logmel
from extract.audio import step as audio_step
from extract.audio.logmel import BANDS, RATE, WIDTH
from extract.config import Config
from extract.features import store
from extract.media import synthetic
from extract.runtime.errors import InputError


@pytest.fixture
def corpus(tmp_path):
    """Videos with and without sound, and crops of their faces."""
    sound, times = tone(440, 2), [Fraction(k, 25) for k in range(50)]
    (tmp_path / "videos").mkdir()
    where = tmp_path / "videos"
    synthetic.write_video(where / "two.mp4", times, sound)
    synthetic.write_video(where / "mute.mp4", times[:20], None)
    synthetic.write_video(where / "quiet.mkv", times[:20], 0 * sound[:40_000], sound="pcm_s16le")
    write_sound(where / "spoken.wav", sound)
    for video, numbers in {"two_left": [1, 2, 30], "two_right": [51, 53], "mute": [3], "quiet": [1], "spoken": [7],
                           "empty": []}.items():  # fmt: skip
        (tmp_path / "crops" / video).mkdir(parents=True)
        for number in numbers:
            (tmp_path / "crops" / video / f"{number:05d}.jpg").touch()
    return tmp_path


def settings(corpus, **more):
    section = {"name": "c", "frames": corpus / "crops", "videos": corpus / "videos", "missing_videos": 0.2} | more
    return Config.model_validate({"corpus": section, "features": {"networks": ["audio"]}})


def read(corpus, video):
    return store.read(store.path(corpus / "work", "audio", video))


def test_every_frame_of_the_file_has_a_vector_and_the_last_face_too(corpus):
    run.main(settings(corpus, fps=30), corpus / "work")
    counts = {video: len(read(corpus, video).frame) for video in ("two_left", "two_right", "mute", "spoken", "empty")}
    assert counts == {"two_left": 50, "two_right": 53, "mute": 20, "spoken": 60, "empty": 0}
    left, right = read(corpus, "two_left"), read(corpus, "two_right")
    assert left.embedding.shape == (50, WIDTH) and left.frame.tolist() == list(range(1, 51))
    np.testing.assert_array_equal(left.embedding, right.embedding[:50])
    (corpus / "videos" / "empty.wav").write_bytes((corpus / "videos" / "spoken.wav").read_bytes())
    run.main(settings(corpus, fps=30), corpus / "work")
    assert len(read(corpus, "empty").frame) == 0, "no face: the other networks have none of its frames either"
    assert left.embedding[20, :BANDS].max() > 10


def test_videos_without_sound_are_zeros_and_counted(corpus, capsys):
    run.main(settings(corpus), corpus / "work")
    for video in ("mute", "quiet"):
        assert not read(corpus, video).embedding.any()
    told = json.loads((corpus / "work" / "features" / "audio" / "soundless.json").read_text())
    assert told["videos"] == 6 and told["damaged"] == []
    assert [(one["video"], one["reason"]) for one in told["soundless"]] == [
        ("empty", audio_step.NO_FILE),
        ("mute", "no sound in it"),
        ("quiet", "silent"),
    ]
    assert "warning: 3 of 6 videos have no sound, so zeros: empty (no file" in capsys.readouterr().err


def test_a_second_run_does_nothing_and_other_sound_is_noticed(corpus):
    run.main(settings(corpus), corpus / "work")
    files = sorted((corpus / "work" / "features" / "audio").glob("*.*"))
    before = {path.name: path.stat().st_mtime_ns for path in files}
    run.main(settings(corpus), corpus / "work")
    assert {path.name: path.stat().st_mtime_ns for path in files} == before
    write_sound(corpus / "videos" / "spoken.wav", tone(300, 1))
    (corpus / "crops" / "mute" / "00040.jpg").touch()
    run.main(settings(corpus), corpus / "work")
    after = {path.name: path.stat().st_mtime_ns for path in files}
    assert {name for name in after if after[name] != before[name]} == {"spoken.safetensors", "mute.safetensors"}
    assert len(read(corpus, "spoken").frame) == 30 and len(read(corpus, "mute").frame) == 40


def test_a_sound_file_beside_a_video_keeps_the_times_of_the_pictures(tmp_path):
    """25 pictures a second and a click 50 s into the sound file: the frames of 50 s hear it, whatever corpus.fps is."""
    times = [Fraction(k, 25) for k in range(52 * 25)]
    (tmp_path / "videos").mkdir()
    pictures = synthetic.write_video(tmp_path / "videos" / "v.mp4", times, None)
    write_sound(tmp_path / "videos" / "v.wav", synthetic.make_clicks([50.0], 52, length=0.1))
    (tmp_path / "crops" / "v").mkdir(parents=True)
    (tmp_path / "crops" / "v" / "00001.jpg").touch()
    run.main(settings(tmp_path), tmp_path / "work")
    found = read(tmp_path, "v")
    assert len(found.frame) == 52 * 25
    loud = found.embedding[:, :BANDS].astype(float).sum(1)
    assert abs(int(np.argmax(loud)) - 50 * 25) <= 1
    first = store.path(tmp_path / "work", "audio", "v").stat().st_mtime_ns
    run.main(settings(tmp_path), tmp_path / "work")
    assert store.path(tmp_path / "work", "audio", "v").stat().st_mtime_ns == first
    synthetic.write_video(pictures, times[:100], None)
    run.main(settings(tmp_path), tmp_path / "work")
    assert len(read(tmp_path, "v").frame) == 100, "another video beside the same sound is noticed"


def test_the_same_file_gives_the_same_bytes(corpus):
    run.main(settings(corpus), corpus / "work")
    first = (corpus / "work" / "features" / "audio" / "two_left.safetensors").read_bytes()
    run.main(settings(corpus), corpus / "work", redo=True)
    assert (corpus / "work" / "features" / "audio" / "two_left.safetensors").read_bytes() == first


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize(
    "fps", [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]
)
def test_a_frames_vector_is_centred_on_its_own_time(tmp_path, fps, variable):
    """To within half a frame: the vectors are those of the known sound at the frames' times, moved by no more."""
    rng = np.random.default_rng(int(fps))
    steps = rng.choice([1, 1, 2, 3], size=200) if variable else np.ones(200, int)
    times = [Fraction(int(k)) / fps for k in np.cumsum(steps)]
    seconds = float(times[-1]) + 1
    samples = round(seconds * RATE)
    corners = np.arange(0, seconds, 0.1)
    swell = np.interp(np.arange(samples) / RATE, corners, rng.uniform(0, 0.5, len(corners)))
    sound = (swell * rng.standard_normal(samples) * 0.3).astype(np.float32)
    path = synthetic.write_video(tmp_path / "v.mkv", times, sound, sound="pcm_s16le", rate=RATE)
    found = audio_step.compute_features(audio_step.LogMel(), audio_step.Job("v", path), 30.0)[0].embedding.astype(
        np.float64
    )
    errors = {}
    for part in np.arange(-10, 11) / 10:  # of a frame
        moved = np.array(times, float) + part / float(fps)
        expected = audio_step.LogMel().listen([(0, sound)], moved)["embedding"].astype(np.float64)
        errors[part] = np.abs(found - expected)[:, :BANDS].mean()
    assert abs(min(errors, key=errors.__getitem__)) < 0.5, errors
    assert errors[0.0] < 0.5 * min(errors[-1.0], errors[1.0])


def test_frames_behind_the_files_last_go_on_at_its_rate():
    assert audio_step.extend_times(np.array([1.0, 1.5, 2.0]), 5, 30).tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert audio_step.extend_times(np.array([1.0, 1.5]), 1, 30).tolist() == [1.0, 1.5]
    assert audio_step.extend_times(np.empty(0), 3, 4.0).tolist() == [0.0, 0.25, 0.5]
    assert audio_step.extend_times(np.array([2.0]), 2, 4.0).tolist() == [2.0, 2.25]


def test_too_many_videos_without_a_file_are_a_mix_up(corpus):
    with pytest.raises(InputError, match=r"videos: no file of the video 'empty' \(1 of 6 have none\)"):
        run.main(settings(corpus, missing_videos=0.05), corpus / "work")
    with pytest.raises(InputError, match=r"give corpus\.videos"):
        run.main(settings(corpus, videos=[]), corpus / "work")


def test_videos_alone_without_crops(corpus):
    run.main(settings(corpus, frames=[]), corpus / "work")
    assert store.videos(corpus / "work", "audio") == ["mute", "quiet", "spoken", "two"]


def test_features_of_other_settings_are_never_mixed(corpus, monkeypatch):
    run.main(settings(corpus), corpus / "work")
    monkeypatch.setitem(logmel.SETTINGS, "bands", 40)
    with pytest.raises(InputError, match=r"made with other settings; python -m extract\.run --redo"):
        run.main(settings(corpus), corpus / "work")
    run.main(settings(corpus), corpus / "work", redo=True)


def test_a_table_imported_by_that_name_is_used_as_it_is(corpus, monkeypatch):
    monkeypatch.setattr("extract.features.provenance.is_imported", lambda work, name: True)
    assert audio_step.names(settings(corpus), corpus / "work") == []


def test_the_folder_of_videos_is_relative_to_the_config(corpus):
    path = corpus / "c.toml"
    path.write_text('[corpus]\nname = "c"\nvideos = "videos"\nfps = 25\n[features]\nnetworks = ["audio"]\n')
    assert config.load(Config, path).corpus.videos == [corpus / "videos"] and RATE == 16_000
