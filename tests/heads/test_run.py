from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import command_server

from extract import config as extract_config
from extract.config import TaskPaths
from extract.features import store
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads import run
from heads.abaw import read
from heads.abaw.tasks import TASKS
from heads.config import Config
from heads.data import predictions
from heads.train import job as training_job
from heads.train import processes
from heads.train.job import Job

Corpus = Any  # tests/heads/conftest.py
ROOT = Path(__file__).resolve().parents[2]
FAST = '[heads.{task}]\nuse = ["lightgbm"]\n[heads.{task}.lightgbm]\ntrees = 5\n'


def load(corpus: Corpus, task: str, overrides: list[str] | None = None) -> Config:
    return extract_config.load(Config, corpus.toml(FAST.format(task=task)), overrides)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads are trained in the test's own process: no imports to wait for (LightGBM shares a process well)."""

    def run_jobs(jobs: list[Job], what: str) -> None:
        for job in jobs:
            run_folder.begin(job.folder)
            training_job.main(job, lambda done, note: None)

    monkeypatch.setattr(processes, "run_jobs", run_jobs)


def changed(folders: dict[str, Path]) -> dict[str, int]:
    return {name: (folder / "DONE").stat().st_mtime_ns for name, folder in folders.items()}


@pytest.mark.usefixtures("in_process")
def test_finished_heads_are_kept_and_only_what_changed_is_made_again(corpus: Corpus) -> None:
    folders = run.main(load(corpus, "va"), "va", corpus.work)
    assert {name: path.relative_to(corpus.work).as_posix() for name, path in folders.items()} == {
        "lightgbm-one": "heads/va/lightgbm-one",
        "lightgbm-two": "heads/va/lightgbm-two",
    }
    before = changed(folders)
    bytes_before = {name: (folder / "val.parquet").read_bytes() for name, folder in folders.items()}
    assert changed(run.main(load(corpus, "va"), "va", corpus.work)) == before

    (folders["lightgbm-two"] / "DONE").unlink()  # as after a kill
    again = changed(run.main(load(corpus, "va"), "va", corpus.work))
    assert again["lightgbm-one"] == before["lightgbm-one"] and again["lightgbm-two"] != before["lightgbm-two"]
    for name, folder in folders.items():
        assert (folder / "val.parquet").read_bytes() == bytes_before[name], "the same seed, the same bytes"

    path = store.path(corpus.work, "one", "t0")
    features = store.read(path)
    features.logits[0] += 1
    store.write(path, features, {"mark": "one"})
    newer = changed(run.main(load(corpus, "va"), "va", corpus.work))
    assert newer["lightgbm-one"] != again["lightgbm-one"] and newer["lightgbm-two"] == again["lightgbm-two"]

    only = run.main(load(corpus, "va", ["heads.va.lightgbm.trees=6"]), "va", corpus.work, only=["lightgbm-two"])
    assert list(only) == ["lightgbm-two"] and changed(only) != {"lightgbm-two": newer["lightgbm-two"]}


@pytest.mark.usefixtures("in_process")
def test_heads_of_several_tasks_are_trained_in_one_go_but_for_a_task_with_bad_input(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = extract_config.load(Config, corpus.toml("".join(FAST.format(task=task) for task in TASKS)))
    alone = run.main(config, "va", corpus.work)
    predicted = {name: (folder / "val.parquet").read_bytes() for name, folder in alone.items()}
    for folder in alone.values():
        (folder / "DONE").unlink()
    (corpus.folder / "expr" / "val" / "v0.txt").write_text("no annotation")
    rounds, train = [], processes.run_jobs
    monkeypatch.setattr(processes, "run_jobs", lambda jobs, what: (rounds.append(jobs), train(jobs, what)))
    run.train_side_by_side(config, {"va": None, "expr": None, "au": ["lightgbm-two"]}, corpus.work)
    expected = [("au", "lightgbm-two"), ("va", "lightgbm-one"), ("va", "lightgbm-two")]
    assert [[(job.task, job.name) for job in jobs] for jobs in rounds] == [expected]
    assert {name: (folder / "val.parquet").read_bytes() for name, folder in alone.items()} == predicted
    assert run.main(config, "va", corpus.work) == alone and rounds[1:] == [[]], "nothing was left to do"
    with pytest.raises(InputError, match=r"v0\.txt"):
        run.main(config, "expr", corpus.work)
    with pytest.raises(InputError, match="none of expr can be trained"):
        run.train_side_by_side(config, {"expr": None}, corpus.work)


@pytest.mark.parametrize("name", TASKS)
def test_prior_against_a_loop(tiny: Corpus, name: str) -> None:
    task = TASKS[name]
    annotations = read.read_folder(tiny.folder / name / "train", task)
    prior = run.prior(annotations, task)
    values = [value for a in annotations.values() for value, valid in zip(a.values, a.valid, strict=True) if valid]
    for i, output in enumerate(task.outputs):
        each = [float(value == i) if name == "expr" else float(value[i]) for value in values]
        assert prior[output] == pytest.approx(np.mean(each))
    assert prior["counts"] == {"videos": 6, "frames": len(values)}


def test_a_failing_head_is_named_and_finished_ones_stay(corpus: Corpus) -> None:
    path = store.path(corpus.work, "two", "x0")  # a test video: found only after training
    features = store.read(path)
    assert features.logits is not None
    features.logits[0, 0] = np.inf
    store.write(path, features, {"mark": "two"})
    with pytest.raises(
        InputError, match=r"head lightgbm-two: .*network 'two', video 'x0', frame 1: logits is not finite"
    ):
        run.main(load(corpus, "expr"), "expr", corpus.work)
    folder = corpus.work / "heads" / "expr"
    assert (folder / "lightgbm-one" / "DONE").exists() and not (folder / "lightgbm-two" / "DONE").exists()
    assert json.loads((folder / "prior.json").read_text())["counts"]["videos"] == 6


def test_bad_input_is_found_before_anything_is_trained(corpus: Corpus) -> None:
    config = load(corpus, "expr")
    long = corpus.folder / "expr" / "val" / "v0.txt"
    good = long.read_text()
    long.write_text(good + "0\n" * 40)
    with pytest.raises(InputError, match=r"v0\.txt: line 41: the annotation goes on for 41 of its 80 frames"):
        run.main(config, "expr", corpus.work)
    long.write_text(good.replace("\n-1\n", "\nx\n", 1))
    with pytest.raises(InputError, match=r"v0\.txt: line 6: 'x' is no number"):
        run.main(config, "expr", corpus.work)
    long.write_text(good)
    store.path(corpus.work, "one", "t1").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"t1\.safetensors: damaged feature file"):
        run.main(config, "expr", corpus.work)
    assert not list((corpus.work / "heads" / "expr").glob("*/DONE"))


@pytest.mark.usefixtures("in_process")
def test_another_test_list_trains_nothing(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = run.main(load(corpus, "va"), "va", corpus.work)
    before = {name: (folder / "test.parquet").read_bytes() for name, folder in folders.items()}
    learn = training_job._learn
    monkeypatch.setattr(training_job, "_learn", lambda *args: pytest.fail("it was trained again"))
    listed = corpus.folder / "va" / "test.txt"
    whole = listed.read_text()
    listed.write_text("".join(line for line in whole.splitlines(keepends=True) if "x1_left" not in line))
    run.main(load(corpus, "va"), "va", corpus.work)
    for folder in folders.values():
        assert list(predictions.read(folder / "test.parquet", TASKS["va"]).videos) == ["x0"]
    path = store.path(corpus.work, "one", "x1_left")  # features of a test video are of no concern to the model
    features = store.read(path)
    features.logits[0] += 1
    store.write(path, features, {"mark": "one"})
    listed.write_text(whole)
    run.main(load(corpus, "va"), "va", corpus.work)
    after = {name: (folder / "test.parquet").read_bytes() for name, folder in folders.items()}
    assert after["lightgbm-two"] == before["lightgbm-two"] and after["lightgbm-one"] != before["lightgbm-one"]

    trained = []
    monkeypatch.setattr(training_job, "_learn", lambda job, *rest: trained.append(job.name) or learn(job, *rest))
    (corpus.folder / "va" / "val" / "v1.txt").unlink()
    run.main(load(corpus, "va"), "va", corpus.work)
    assert trained == ["lightgbm-one", "lightgbm-two"], "validation is part of what a finished model stands for"


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(("part", "video"), [("validation", "v1"), ("test", "x0")])
def test_a_video_that_one_heads_network_lacks_is_refused_before_training(corpus: Corpus, part: str, video: str) -> None:
    store.path(corpus.work, "two", video).unlink()
    config = load(corpus, "expr")
    said = rf"no features of two for the {part} video '{video}', which head 'lightgbm-two' must predict"
    with pytest.raises(InputError, match=said):
        run.main(config, "expr", corpus.work)
    assert not list((corpus.work / "heads" / "expr").glob("*/model"))
    run.main(config, "expr", corpus.work, only=["lightgbm-one"])
    store.path(corpus.work, "one", video).unlink()  # nobody found a face: the prior will do
    run.main(config, "expr", corpus.work)


def test_features_of_two_makings_are_refused(corpus: Corpus) -> None:
    path = store.path(corpus.work, "one", "t1")
    store.write(path, store.read(path), {"mark": "other weights"})
    with pytest.raises(InputError, match="made by 2 different weights or preprocessings"):
        run.main(load(corpus, "au"), "au", corpus.work)


def test_a_task_or_head_that_is_not_there_is_named(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="--head forest: no such head; there are lightgbm-one, lightgbm-two"):
        run.main(load(corpus, "au"), "au", corpus.work, only=["forest"])
    config = load(corpus, "au")
    config = config.model_copy(update={"corpus": config.corpus.model_copy(update={"au": None})})
    with pytest.raises(InputError, match="corpus 'tiny' has no task 'au'"):
        run.main(config, "au", corpus.work)


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return command_server.run(
        [sys.executable, "-m", "heads.run", *arguments],
        timeout=120,
        cwd=ROOT,
    )


def test_the_command_prints_a_table_and_help_loads_nothing_heavy(corpus: Corpus) -> None:
    done = call(
        "--task",
        "au",
        "--config",
        str(corpus.toml(FAST.format(task="au"))),
        "--work",
        str(corpus.work),
        "--head",
        "lightgbm-one",
    )
    assert done.returncode == 0, done.stderr
    assert "lightgbm-one" in done.stdout and "mean F1" in done.stdout
    shown = call("--help")
    assert "Examples" in shown.stdout and "--task" in shown.stdout
    heavy = ("optuna", "lightgbm", "sklearn", "pandas", "tensorflow", "torch", "numba")
    code = f"import sys, heads.run; print(*(name for name in {heavy} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_the_command_says_what_is_wrong_in_one_line(corpus: Corpus) -> None:
    for arguments, said in (
        (["--task", "pain"], "error: --task pain: no such task; there are au, expr, va, lsd, mtl\n"),
        (["--task", "au", "--set", "heads.au.mlp.speed=3"], "unknown key 'speed'"),
    ):
        done = call(*arguments, "--config", str(corpus.toml()), "--work", str(corpus.work))
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_killed_run_leaves_no_process_behind_and_goes_on(corpus: Corpus) -> None:
    config = str(corpus.toml(FAST.format(task="au")))
    arguments = [sys.executable, "-m", "heads.run", "--task", "au", "--config", config, "--work", str(corpus.work)]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = corpus.work / "heads" / "au" / "lightgbm-one"
    until = time.monotonic() + 60
    while not (folder / "log.txt").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (folder / "DONE").exists()
    assert set(run.main(load(corpus, "au"), "au", corpus.work)) == {"lightgbm-one", "lightgbm-two"}


def test_an_unknown_head_is_told_by_the_option_that_named_it_with_the_one_that_was_meant(corpus: Corpus) -> None:
    for asked, option, meant in (
        ("lightgmb", "--heads", "'lightgbm-one' or 'lightgbm-two'"),
        ("lightgbm", "--head", "'lightgbm-one' or 'lightgbm-two'"),
        ("lightgbm-tow", "--heads", "'lightgbm-two'"),
    ):
        with pytest.raises(InputError) as raised:
            run.main(load(corpus, "va"), "va", corpus.work, only=[asked], option=option)
        said = str(raised.value)
        assert said.startswith(f"{option} {asked}: no such head; there are lightgbm-one, lightgbm-two"), said
        assert said.endswith(f"; did you mean {meant}?"), said
    assert not (corpus.work / "heads").exists()


def test_a_process_that_failed_on_a_full_disk_is_one_line(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it said could not be written either."""

    def full(folder: Path) -> None:
        raise InputError(f"{folder}: cannot be written")

    job = Job("h", "va", {}, [], tmp_path, TaskPaths(train=tmp_path, val=tmp_path), 0, "m", "l")
    job.folder.mkdir(parents=True)
    (job.folder / "log.txt").touch()
    assert isinstance(processes._failure(job, 1), RuntimeError)
    monkeypatch.setattr(run_folder, "refuse_if_full", full)
    with pytest.raises(InputError, match="cannot be written"):
        processes._failure(job, 1)


@pytest.mark.usefixtures("in_process")
def test_inputs_relative_to_a_person_hang_on_who_is_in_which_video_of_every_part(corpus: Corpus) -> None:
    extra = '[heads.va]\nuse = ["linear"]\n[heads.va.linear]\nnetworks = ["two"]\nrelative = "person"\n'

    def scores(people: dict[str, str]) -> tuple[dict[str, np.ndarray], int]:
        table = corpus.folder / "people.csv"
        everybody = {video: video for part in corpus.videos.values() for video in part} | people
        table.write_text("video,person\n" + "".join(f"{video},{who}\n" for video, who in everybody.items()))
        config = extract_config.load(Config, corpus.toml(extra), [f"corpus.people={table}"])
        [folder] = run.main(config, "va", corpus.work).values()
        found: dict[str, np.ndarray] = {}
        for part in ("val", "test"):
            videos = predictions.read(folder / f"{part}.parquet", TASKS["va"]).videos
            found |= {video: values for video, (_, values) in videos.items()}
        return found, (folder / "model" / "DONE").stat().st_mtime_ns

    apart, learnt = scores({})
    again, kept = scores({})
    assert kept == learnt and all(np.array_equal(again[video], apart[video]) for video in apart)
    tested, kept = scores({"x0": "Eve", "x1_left": "Eve"})
    assert kept == learnt, "who is in the test list is nothing that a head learns"
    assert {video for video in apart if not np.array_equal(tested[video], apart[video])} == {"x0", "x1_left"}
    validated, anew = scores({"v0": "Eve", "v1": "Eve", "t0": "Ada", "x0": "Ada"})
    assert anew != learnt
    assert {video for video in apart if not np.array_equal(validated[video], apart[video])} == {"v0", "v1"}


def test_a_killed_run_goes_on_with_the_bags_that_are_missing(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = corpus.toml('[heads.expr]\nuse = ["lightgbm"]\n[heads.expr.lightgbm]\ntrees = 30\nbags = 4\n', '["one"]')
    settings = extract_config.load(Config, config)
    shutil.copytree(corpus.work, whole := tmp_path / "whole")
    command = ["--task", "expr", "--config", str(config), "--work", str(corpus.work)]
    process = subprocess.Popen([sys.executable, "-m", "heads.run", *command], cwd=ROOT, stderr=subprocess.DEVNULL)
    folder, until = corpus.work / "heads" / "expr" / "lightgbm-one", time.monotonic() + 60
    while not [*folder.glob("folds/*/DONE")] and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    process.wait()
    with contextlib.ExitStack() as ended:  # its processes end with it
        for number in range(4):
            ended.enter_context(run_folder.hold_folder(folder / "folds" / str(number)))
        kept = {path.parent.name for path in folder.glob("folds/*/DONE")}
    assert kept and not (folder / "DONE").exists()
    labels: list[str] = []
    original = processes._send
    monkeypatch.setattr(processes, "_send", lambda name, *more: labels.append(name) or original(name, *more))
    run.main(settings, "expr", corpus.work)
    missing = [f"head-expr-lightgbm-one/bag{i + 1}" for i in range(4) if str(i) not in kept]
    assert labels == [*missing, "head-expr-lightgbm-one"]
    run.main(settings, "expr", whole)
    for name in ("val", "test", "oof"):
        assert (folder / f"{name}.parquet").read_bytes() == (
            whole / "heads" / "expr" / "lightgbm-one" / f"{name}.parquet"
        ).read_bytes()
