"""What is on record of a network on this machine: when it is measured, kept, taken and ignored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import weakref

import numpy as np
import pytest

from extract.config import Config
from extract.engines import calibration, create, race
from extract.engines.openvino_engine import OpenVinoEngine, Setting
from extract.engines.race import Calibration
from extract.features import pipeline, store
from extract.features import step as feature_step
from extract.media import frames
from extract.networks import registry, weights
from extract.runtime import process
from extract.runtime.errors import InputError

NETWORK = registry.NETWORKS["demo_enet"]
ENDLESS = 10**9
"""Frames that take long with any network."""
OWN, SETTING = Setting(streams=2, threads=2, requests=4), Setting(streams=1, threads=1, requests=3)
TRIED = {SETTING.describe(): 7}
FOUND = Calibration(own=OWN, setting=SETTING, gain=1.25, tried=TRIED)


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
    monkeypatch.setattr(calibration, "measure_apart", lambda *_: Calibration(own=OWN, tried=TRIED))
    calibration.calibrate(subject)
    assert calibration.recall(subject) == Calibration(own=OWN, tried=TRIED)
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


@pytest.mark.parametrize("what", ["threads", "precision", "weights", "mean", "version", "processor", "quota"])
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
    if what in ("processor", "quota"):
        path = {"processor": "/proc/cpuinfo", "quota": "/sys/fs/cgroup/cpu.max"}[what]
        true = calibration._read_system
        said = "model : 999\n" if what == "processor" else "150000 100000\n"
        monkeypatch.setattr(calibration, "_read_system", lambda asked: said if asked == path else true(asked))
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
    [file] = cache.glob("*/*.json")
    good = file.read_text()
    file.write_text(damage(json.loads(good)))
    assert calibration.create(subject).setting == OpenVinoEngine(*subject).setting
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {file}: ") and said.count("\n") == 1 and "extract.run --calibrate" in said
    assert calibration.create(subject, ENDLESS).setting == SETTING and file.read_text() == good
    assert len(races) == 2 and capsys.readouterr().err.count("warning: ") == 1


def test_what_is_no_file_in_its_place_does_no_harm(subject, races, cache, capsys):
    calibration.calibrate(subject)
    [file] = cache.glob("*/*.json")
    file.unlink()
    os.mkfifo(file)
    assert calibration.recall(subject) is None and "named pipe" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_only_costs_a_warning(subject, races, tmp_path, capsys):
    (tmp_path / "cache").write_text("")
    assert calibration.create(subject, ENDLESS).setting == OpenVinoEngine(*subject).setting
    said = capsys.readouterr().err
    assert said.startswith("warning: ") and "is not kept" in said and not races


def test_nothing_is_measured_for_a_folder_that_may_only_be_read(subject, races, monkeypatch, cache, capsys):
    calibration.calibrate(subject)
    [file] = cache.glob("*/*.json")
    file.unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert calibration.create(subject, ENDLESS).setting == OpenVinoEngine(*subject).setting
    assert len(races) == 1 and "cannot be written" in capsys.readouterr().err


def test_two_networks_are_raced_for_beside_each_other(subject, monkeypatch, cache):
    other = subject._replace(precision="bf16")
    folders = [calibration._file(calibration.list_facts(one)).parent for one in (subject, other)]

    def race(_):
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        free = [hold(folder / ".lock") for folder in folders]
        assert free == [False, True]
        return FOUND

    monkeypatch.setattr(calibration, "measure_apart", race)
    assert calibration.calibrate(subject) == FOUND


def hold(path) -> bool:
    """Whether another process can lock it now."""
    code = f"import filelock; filelock.FileLock({str(path)!r}, timeout=0).acquire()"
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def test_the_engine_before_the_race_is_freed_before_it(subject, monkeypatch):
    made, create_engine = [], calibration.OpenVinoEngine
    monkeypatch.setattr(
        calibration,
        "OpenVinoEngine",
        lambda *args: (made.append(weakref.ref(engine := create_engine(*args))), engine)[1],
    )
    alive = []
    monkeypatch.setattr(calibration, "measure_apart", lambda _: alive.append(made[0]()) or FOUND)
    assert calibration.create(subject, ENDLESS).setting == SETTING
    assert alive == [None] and len(made) == 2


def test_a_setting_on_record_that_does_not_compile_costs_a_warning(subject, races, monkeypatch, capsys):
    calibration.calibrate(subject)
    create_engine = calibration.OpenVinoEngine

    def create(*args):
        if args[4:]:
            raise InputError("net.onnx: OpenVINO cannot run it")
        return create_engine(*args)

    monkeypatch.setattr(calibration, "OpenVinoEngine", create)
    assert calibration.create(subject).setting == create_engine(*subject).setting
    said = capsys.readouterr().err
    assert said.startswith("warning: net.onnx") and SETTING.describe() in said and said.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_ctrl_c_in_the_middle_of_a_race_is_said_by_the_command_alone(subject):
    code = (
        "from extract.engines import calibration\nfrom extract.networks import registry\n"
        "from extract.runtime.errors import exits\n"
        "network = registry.NETWORKS['demo_enet']\n"
        "with exits():\n"
        "    print('begin', flush=True)\n"
        "    calibration.measure_apart(calibration.Subject(network.path, network, 'fp32', None), 20)\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as command:
        command.stdout.readline()
        time.sleep(4)  # the race is on
        os.killpg(command.pid, signal.SIGINT)
        said = command.communicate()[1]  # ends when the race's process has, too
    assert command.returncode == 130 and said.startswith("interrupted: ") and said.count("\n") == 1


def test_a_process_that_fails_costs_a_warning_and_is_not_on_record(subject, tmp_path, cache, capsys):
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    assert calibration.calibrate(subject._replace(path=tmp_path / "broken.onnx")) is None
    assert "could not be measured (exit code 2)" in capsys.readouterr().err and not [*cache.glob("*/*.json")]


@pytest.mark.parametrize("budget", [0.5, 3])
def test_a_real_race_takes_no_longer_than_it_may(subject, budget):
    began = time.monotonic()
    found = calibration.measure_apart(subject, budget)
    assert time.monotonic() - began < budget + 20
    own = OpenVinoEngine(*subject)
    assert found.own == own.setting and found.gain >= 1 and min(found.tried.values()) >= race.LEAST
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
