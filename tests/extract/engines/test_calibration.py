"""What is on record of a network on this machine: when it is measured, kept, taken and ignored."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest

from extract.config import Config
from extract.engines import calibration, create
from extract.engines.openvino_engine import OpenVinoEngine, Setting
from extract.engines.race import Calibration
from extract.features import pipeline, store
from extract.features import step as feature_step
from extract.media import frames
from extract.networks import registry, weights
from extract.runtime import process

NETWORK = registry.NETWORKS["demo_enet"]
ENDLESS = 10**9
"""Frames that take long with any network."""
OWN, SETTING = Setting(streams=2, threads=2, requests=4), Setting(streams=1, threads=1, requests=3)
FOUND = Calibration(own=OWN, setting=SETTING, gain=1.25)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(process.VARIABLE, raising=False)
    return tmp_path / "cache" / "calibration"


@pytest.fixture
def subject():
    return calibration.Subject(NETWORK.path, NETWORK, "fp32", None)


@pytest.fixture
def races(monkeypatch):
    """The races that were run; each finds FOUND."""
    run = []
    monkeypatch.setattr(calibration, "measure_apart", lambda subject, *_: run.append(subject) or FOUND)
    return run


def answers(engine: OpenVinoEngine) -> bytes:
    pictures = np.random.default_rng(3).integers(0, 256, (5, NETWORK.size, NETWORK.size, 3), np.uint8)
    return b"".join(engine.run(picture)[kind].tobytes() for picture in pictures for kind in ("embedding", "logits"))


def test_what_was_measured_is_kept_and_the_engine_takes_it(subject, races, capsys):
    before = calibration.create(subject)
    assert calibration.recall(subject) is None and not races
    assert calibration.calibrate(subject) == FOUND == calibration.recall(subject)
    after = calibration.create(subject)
    assert before.setting != after.setting == SETTING and after.runs == before.runs
    assert answers(before) == answers(after)
    assert len(races) == 1 and capsys.readouterr().err == ""


def test_openvino_s_own_choice_is_a_finding_too(subject, monkeypatch):
    monkeypatch.setattr(calibration, "measure_apart", lambda *_: Calibration(own=OWN))
    calibration.calibrate(subject)
    assert calibration.recall(subject) == Calibration(own=OWN)
    assert calibration.create(subject).setting == OpenVinoEngine(*subject).setting


def test_long_work_is_calibrated_once_and_short_work_never(subject, races, capsys):
    calibration.create(subject, frames=1000)
    calibration.create(subject)
    assert not races and capsys.readouterr().err == ""
    assert calibration.create(subject, ENDLESS).setting == SETTING
    said = capsys.readouterr().err
    assert said.startswith("demo_enet on this machine: ") and "1.25 times" in said and said.count("\n") == 1
    assert calibration.create(subject, ENDLESS).setting == SETTING
    assert len(races) == 1 and capsys.readouterr().err == ""
    calibration.calibrate(subject)
    assert len(races) == 2, "who asks has it measured anew"


@pytest.mark.parametrize("what", ["threads", "precision", "weights", "mean", "version", "processor", "cores"])
def test_a_record_is_of_one_machine_network_version_and_limit_of_threads(subject, races, monkeypatch, tmp_path, what):
    calibration.calibrate(subject)
    if what == "threads":
        subject = subject._replace(threads=1)
    if what == "precision":
        subject = subject._replace(precision="bf16")
    if what == "weights":
        (tmp_path / "other.onnx").write_bytes(NETWORK.path.read_bytes() + b"\n")
        subject = subject._replace(path=tmp_path / "other.onnx")
    if what == "mean":
        subject = subject._replace(network=calibration.replace(NETWORK, mean=(0.1, 0.2, 0.3)))
    if what == "version":
        monkeypatch.setattr(calibration, "version", lambda _: "1.0")
    if what in ("processor", "cores"):
        true = calibration.list_facts(subject)
        monkeypatch.setattr(calibration, "list_facts", lambda _: true | {what: 3})
    assert calibration.recall(subject) is None


def test_a_copy_of_the_network_elsewhere_is_the_same_network(subject, races, tmp_path):
    calibration.calibrate(subject)
    (tmp_path / "copy.onnx").write_bytes(NETWORK.path.read_bytes())
    network = calibration.replace(NETWORK, path=tmp_path / "copy.onnx")
    assert calibration.recall(calibration.Subject(network.path, network, "fp32", None)) == FOUND


def test_workers_with_a_limit_of_threads_have_a_record_of_their_own(subject, races, monkeypatch):
    calibration.calibrate(subject)
    monkeypatch.setenv(process.VARIABLE, "1")
    assert create.create("openvino", NETWORK.path, NETWORK, "fp32").setting.requests == 2
    calibration.calibrate(subject._replace(threads=1))
    assert create.create("openvino", NETWORK.path, NETWORK, "fp32").setting == SETTING


def change(**values):
    return lambda told: json.dumps(told | {"found": told["found"] | values})


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda _: "{",
        lambda _: "[1, 2]",
        lambda _: "[" * 10_000,
        lambda told: json.dumps(told | {"facts": told["facts"] | {"cores": 99}}),
        lambda told: json.dumps({"facts": told["facts"]}),
        change(setting={"streams": 0, "threads": 1, "requests": 1}),
        change(setting={"streams": 10**9, "threads": 1, "requests": 1}),
        change(setting={"streams": True, "threads": 1, "requests": 1}),
        change(setting={"streams": 1, "threads": 2, "requests": 1}),  # more than the limit
        change(run="rm -rf"),
    ],
)
def test_a_damaged_record_is_warned_of_and_measured_again(subject, races, cache, capsys, damage):
    subject = subject._replace(threads=1)
    calibration.calibrate(subject)
    [file] = cache.glob("*.json")
    good = file.read_text()
    file.write_text(damage(json.loads(good)))
    assert calibration.create(subject).setting == OpenVinoEngine(*subject).setting
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {file}: ") and said.count("\n") == 1 and "extract.run --calibrate" in said
    assert calibration.create(subject, ENDLESS).setting == SETTING and file.read_text() == good
    assert len(races) == 2


def test_what_is_no_file_in_its_place_does_no_harm(subject, races, cache, capsys):
    calibration.calibrate(subject)
    [file] = cache.glob("*.json")
    file.unlink()
    os.mkfifo(file)
    assert calibration.recall(subject) is None and "named pipe" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_only_costs_a_warning(subject, races, tmp_path, capsys):
    (tmp_path / "cache").write_text("")
    assert calibration.create(subject, ENDLESS).setting == OpenVinoEngine(*subject).setting
    said = capsys.readouterr().err
    assert said.startswith("warning: ") and "is not kept" in said


def test_a_process_that_fails_costs_a_warning_and_is_not_on_record(subject, tmp_path, cache, capsys):
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    assert calibration.calibrate(subject._replace(path=tmp_path / "broken.onnx")) is None
    assert "could not be measured (exit code 2)" in capsys.readouterr().err and not [*cache.glob("*.json")]


@pytest.mark.parametrize("budget", [0.5, 3])
def test_a_real_race_takes_no_longer_than_it_may(subject, budget):
    """Half a second is not enough for most machines to race at all, three are."""
    began = time.monotonic()
    found = calibration.measure_apart(subject, budget)
    assert time.monotonic() - began < budget + 20
    own = OpenVinoEngine(*subject)
    assert found.own == own.setting and found.gain >= 1
    if found.setting is not None:
        assert answers(OpenVinoEngine(*subject, found.setting)) == answers(own)


@pytest.fixture
def work(tmp_path, crops):
    """`work(name)`: the step that makes the crops' features by demo_enet in a folder of that name."""
    config = Config.model_validate(
        {"corpus": {"name": "c", "frames": str(crops)}, "features": {"networks": ["demo_enet"], "engine": "openvino"}}
    )
    videos = frames.list_videos([crops])
    jobs = [pipeline.Job(video, folder, frames.list_frames(folder)) for video, folder in videos.items()]

    def begin(name: str) -> feature_step.NetworkStep:
        return feature_step.NetworkStep(NETWORK, jobs, tmp_path / name, config.features, "", False)

    return begin


def test_features_are_the_same_bytes_with_a_record_and_a_run_goes_on_with_it(subject, races, work):
    work("before").make()
    half = work("both")
    half.make_of(half.todo()[:1], lambda _: None)
    calibration.calibrate(subject)
    work("after").make()
    work("both").make()
    assert work("before").todo() == [] == work("both").todo()
    for video in ("a", "b_left"):
        paths = [store.path(work(name).work, "demo_enet", video) for name in ("before", "after", "both")]
        assert len({path.read_bytes() for path in paths}) == 1


def test_the_step_says_how_many_frames_there_are_to_do(races, work, monkeypatch):
    work("demo").make()
    assert not races
    asked = []
    monkeypatch.setattr(create.calibration, "create", lambda subject, frames: asked.append(frames) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        work("new").make()
    assert asked == [10]
