"""The main job as users start it, on the embedded corpus: whole, repeated, killed, and with bad input."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from support import command_server
from support.sweeps import sweep

from blend.submission import check as submission_check
from extract.config import DEFAULT
from extract.demo import corpus
from heads.abaw import read
from heads.abaw.tasks import TASKS

SMALL = """
[corpus]
name = "small"
frames = "corpus/cropped_aligned"
[corpus.au]
train = "corpus/AU_Detection_Challenge/Train_Set"
val = "corpus/AU_Detection_Challenge/Validation_Set"
test = "corpus/test_set/AU_test_set.txt"
[features]
networks = ["demo_enet", "demo_mt_enet"]
[heads.au]
use = ["mlp", "lightgbm"]
[heads.au.mlp]
min_steps = 60
[heads.au.lightgbm]
trees = 40
[blend.au]
trials = 30
draws = 200
folds = 3
select_folds = 2
"""


OWN = '{path="net.onnx", size=8, mean=[0,0,0], std=[1,1,1], logits="x", sha256="00"}'


def start(task: str, work: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "blend.run", "--task", task, "--work", str(work), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(task: str, work: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return command_server.run([sys.executable, "-m", "blend.run", "--task", task, "--work", work, *more], timeout=1800)


def hashes(folder: Path) -> dict[str, str]:
    """Relative path -> content and time of change, of every file."""
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name[0] != "."
    }


@pytest.mark.parametrize("task", sweep(["au", "expr", "va"], ["au"]))
def test_the_demo_ends_with_a_checked_submission_and_a_report(demo, task):
    with start(task, demo) as process:
        _, error = process.communicate()
    assert process.returncode == 0, error
    out = demo / "blend" / task
    for name in ("submission.txt", "report.json", "report.html", "params.json", "study.db", "DONE"):
        assert (out / name).stat().st_size, name
    schema = json.loads(files("blend").joinpath("params.schema.json").read_text(encoding="utf-8"))
    table = json.loads((out / "params.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(table)
    assert not jsonschema.Draft202012Validator(schema).is_valid(table | {"k": -1})
    report = json.loads((out / "report.json").read_text())
    assert report["heads_tuned_here"] and report["prior_from"] == "train"
    assert report["expected"] == report["cross_fitted"]["pooled"] == report["ways"][report["select"]]["cross_fitted"]
    assert report["searched"] == report["ways"]["tuned"]["tuned"]
    assert len(report["heads"]) >= 4
    assert any("demo_enet" in head for head in report["heads"]) and any(
        "demo_mt_enet" in head for head in report["heads"]
    )
    assert report["submitted"] >= max(*report["heads"].values(), report["equal"])
    assert len(report["cross_fitted"]["folds"]) == 5
    low, high = report["interval"]
    assert low <= report["cross_fitted"]["pooled"] <= high
    assert 0 < report["test"]["score"] < 1
    assert report["alike"]["network"] == "demo_enet" and not report["alike"]["pairs"], "everybody is somebody else"

    lines = (out / "submission.txt").read_text().splitlines()
    listed = Path(corpus.paths(demo / "corpus")[task]["test"]).read_text().splitlines()
    assert lines[0] == listed[0]
    assert [line.split(",")[0] for line in lines[1:]] == [line.split(",")[0] for line in listed[1:]]

    before = hashes(demo)
    again = run(task, demo)
    assert again.returncode == 0, again.stderr
    assert hashes(demo) == before, "a second run reuses everything"


def test_the_demos_test_score_is_the_official_score_of_the_submission_on_the_truth(demo):
    """By hand, from the submission's text and the truth's text."""
    task, out = TASKS["au"], demo / "blend" / "au"
    if not (out / "DONE").exists():
        pytest.skip("the demo's au run did not end")
    from sklearn.metrics import f1_score

    truth = read.read_folder(corpus.paths(demo / "corpus")["truth"]["au"], task)
    pairs = []
    for line in (out / "submission.txt").read_text().splitlines()[1:]:
        image, *decided = line.split(",")
        video, name = image.split("/")
        if truth[video].valid[int(name[:-4]) - 1]:
            pairs.append((truth[video].values[int(name[:-4]) - 1], [int(unit) for unit in decided]))
    actual, decided = (np.array(values) for values in zip(*pairs, strict=True))
    expected = np.mean([f1_score(a, b, zero_division=0) for a, b in zip(actual.T, decided.T, strict=True)])
    assert json.loads((out / "report.json").read_text())["test"]["score"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_the_demo_as_the_multi_task_challenge_ends_with_one_checked_file(demo):
    """From its annotation files on; P_MTL on test by hand, from the submission's text and the truth's text."""
    from sklearn.metrics import f1_score

    where = corpus.paths(demo / "corpus")
    tasks = ("va", "expr", "au")
    quick = [f"blend.{task}={{trials=3, draws=100, folds=2, select_folds=2}}" for task in tasks]
    quick += [f'heads.{task}={{use=["lightgbm"], lightgbm={{trees=30}}}}' for task in tasks]
    quick.append('features.networks=["demo_mt_enet"]')
    done = run("mtl", demo, *(part for setting in quick for part in ("--set", setting)))
    assert done.returncode == 0, done.stderr
    out = demo / "blend" / "mtl"
    template = submission_check.read_template(where["mtl"]["test"])
    assert template.kind.name == "mtl" and submission_check.list_problems(out / "submission.txt", template) == []
    report = json.loads((out / "report.json").read_text())
    texts = (where["truth"]["mtl"], out / "submission.txt")
    truth, said = (
        np.array([line.split(",")[1:] for line in sorted(path.read_text().splitlines()[1:])], np.float32).astype(float)
        for path in texts
    )
    expected = []
    for columns, missing in ((slice(0, 2), -5), (slice(2, 3), -1), (slice(3, 15), -1)):
        valid = (truth[:, columns] > missing).all(1)
        t, s = truth[valid, columns].T, said[valid, columns].T
        if columns.start == 0:
            moments = [np.cov(a, b, bias=True) for a, b in zip(t, s, strict=True)]
            apart = (t.mean(1) - s.mean(1)) ** 2
            expected.append(np.mean([2 * m[0, 1] / (np.trace(m) + d) for m, d in zip(moments, apart, strict=True)]))
        elif columns.start == 2:
            expected.append(f1_score(t[0], s[0], average="macro", labels=range(8), zero_division=0))
        else:
            expected.append(np.mean([f1_score(a, b, zero_division=0) for a, b in zip(t, s, strict=True)]))
    assert [report["parts"][task]["test"]["score"] for task in tasks] == pytest.approx(expected, abs=1e-9)
    assert report["test"] == pytest.approx(sum(expected), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_two_undisturbed_runs_give_the_same_bytes(demo, tmp_path, task):
    """au from the frames on, expr and va from the features on, which are the same for all tasks."""
    if not (demo / "blend" / task / "DONE").exists():
        pytest.skip("the demo's run did not end")
    (tmp_path / "corpus").symlink_to(demo / "corpus")
    if task != "au":
        shutil.copytree(demo / "features", tmp_path / "features")
    done = run(task, tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("submission.txt", "params.json"):
        assert (tmp_path / "blend" / task / name).read_bytes() == (demo / "blend" / task / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["submission.txt", "report.json"])
def test_a_finished_folder_that_lost_a_result_is_made_again(small, undisturbed, tmp_path, lost):
    work = tmp_path / "work"
    shutil.copytree(small / "calm", work)
    (work / "blend" / "au" / lost).unlink()
    done = run("au", work, "--config", str(small / "small.toml"))
    assert done.returncode == 0, done.stderr
    assert (work / "blend" / "au" / lost).exists()
    assert results(work) == undisturbed


@pytest.mark.slow
def test_two_runs_at_once_in_one_work_folder_give_the_same_bytes(small, undisturbed, tmp_path):
    work = tmp_path / "odd {name}?"
    arguments = ("au", work, "--config", str(small / "small.toml"))
    with start(*arguments) as one, start(*arguments) as two:
        said = [process.communicate()[1] for process in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0), said
    assert results(work) == undisturbed


@pytest.fixture(scope="session")
def small(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config over the demo's corpus with few and quick heads; the folder also holds the corpus (links)."""
    if not (demo / "corpus" / "DONE").exists():
        corpus.make(demo / "corpus")
    folder = tmp_path_factory.mktemp("small")
    (folder / "corpus").symlink_to(demo / "corpus")
    (folder / "small.toml").write_text(SMALL)
    return folder


@pytest.fixture(scope="session")
def undisturbed(small: Path) -> dict[str, bytes]:
    """The bytes of an undisturbed run."""
    done = run("au", small / "calm", "--config", str(small / "small.toml"))
    assert done.returncode == 0, done.stderr
    return results(small / "calm")


def results(work: Path) -> dict[str, bytes]:
    return {name: (work / "blend" / "au" / name).read_bytes() for name in ("submission.txt", "params.json")}


def extracting(work: Path) -> bool:
    return len(list((work / "features").glob("*/*.safetensors"))) >= 3


def training(work: Path) -> bool:
    return len(list((work / "heads" / "au").glob("*/job.json"))) >= 2


def half_trained(work: Path) -> bool:
    return len(list((work / "heads" / "au").glob("*/DONE"))) >= 1


def searching(work: Path) -> bool:
    return (work / "blend" / "au" / "study.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("moment", sweep([extracting, training, half_trained, searching], [extracting]))
def test_killed_and_started_again_it_gives_the_same_bytes(small, undisturbed, tmp_path, moment: Callable[[Path], bool]):
    arguments = ("au", tmp_path, "--config", str(small / "small.toml"))
    with start(*arguments) as process:
        while not moment(tmp_path) and process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.1)
        assert process.poll() is None, "the run ended before it could be killed"
        process.kill()
        process.communicate()
    assert not (tmp_path / "blend" / "au" / "DONE").exists()
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path) == undisturbed


def copy(small: Path, folder: Path) -> Path:
    """A copy of the small corpus's annotations to damage (frames stay linked); returns its config."""
    source, target = small / "corpus", folder / "corpus"
    target.mkdir(parents=True)
    (target / "cropped_aligned").symlink_to((source / "cropped_aligned").resolve())
    for name in ("AU_Detection_Challenge", "test_set"):
        shutil.copytree(source / name, target / name)
    (folder / "small.toml").write_text(SMALL)
    return folder / "small.toml"


def first(folder: Path) -> Path:
    return sorted(folder.glob("*.txt"))[0]


def header(path: Path) -> None:
    path.write_text("AU1,AU2\n" + path.read_text().split("\n", 1)[1])


def no_number(path: Path) -> None:
    lines = path.read_text().splitlines()
    lines[3] = "0,0,x,0,0,0,0,0,0,0,0,0"
    path.write_text("\n".join(lines) + "\n")


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def too_long(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, *[lines[1]] * 2000]) + "\n")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda c: shutil.rmtree(c / "AU_Detection_Challenge" / "Train_Set"), r"Train_Set"),
        (lambda c: header(first(c / "AU_Detection_Challenge" / "Train_Set")), r"\.txt.*line 1.*AU1,AU2"),
        (lambda c: no_number(first(c / "AU_Detection_Challenge" / "Validation_Set")), r"\.txt.*line 4"),
        (lambda c: too_long(first(c / "AU_Detection_Challenge" / "Train_Set")), r"\.txt.*line \d+.*missing_tail"),
        (
            lambda c: shutil.copy(
                first(c / "AU_Detection_Challenge" / "Train_Set"), c / "AU_Detection_Challenge" / "Validation_Set"
            ),
            r"Validation_Set.*\.txt: the video is in .*Train_Set too",
        ),
        (
            lambda c: append(c / "test_set" / "AU_test_set.txt", "nobody/00001.jpg,\n"),
            r"AU_test_set\.txt.*line \d+.*nobody",
        ),
    ],
    ids=[
        "missing folder",
        "wrong header",
        "no number",
        "longer than its frames",
        "video in two parts",
        "unknown test video",
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_nothing_made_is_lost(small, demo, tmp_path, damage, said):
    config = copy(small, tmp_path)
    damage(tmp_path / "corpus")
    work = tmp_path / "work"
    if not (demo / "blend" / "au" / "DONE").exists():
        pytest.skip("the demo's run did not end")
    for part in ("features", "heads", "blend"):
        shutil.copytree(demo / part, work / part)
    before = hashes(work)
    done = run("au", work, "--config", str(config))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(said, line), line
    after = hashes(work)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["blend.au.trails=3"], "blend.au.trails"),
        (["heads.au.mlp.epoch=3"], "epoch"),
        (["corpus.frames=/nowhere"], "/nowhere"),
        ([f"networks.own={OWN}", 'features.networks=["own"]'], "net.onnx: SHA-256"),
    ],
    ids=["unknown blend key", "unknown head key", "missing frames", "wrong hash"],
)  # fmt: skip
def test_a_wrong_config_is_one_line_and_exit_code_2(small, tmp_path, monkeypatch, changes, said):
    (tmp_path / "net.onnx").write_bytes(b"not the network")
    config = copy(small, tmp_path)
    options = [option for change in changes for option in ("--set", change)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(DEFAULT.parents[1]))
    done = run("au", tmp_path / "w", "--config", str(config), *options)
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ") and said in line
    assert not list((tmp_path / "w").glob("features/*/*.safetensors")), "said before hours of extraction"


@pytest.mark.slow
def test_a_video_without_any_face_is_predicted_from_the_training_prior_and_counted(small, undisturbed, tmp_path):
    config = copy(small, tmp_path)
    frames = tmp_path / "corpus" / "cropped_aligned"
    source = frames.resolve()
    frames.unlink()
    frames.mkdir()
    for video in source.iterdir():
        (frames / video.name).symlink_to(video)
    (frames / "faceless").mkdir()
    lines = (f"faceless/{number:05d}.jpg,\n" for number in range(1, 21))
    append(tmp_path / "corpus" / "test_set" / "AU_test_set.txt", "".join(lines))
    done = run("au", tmp_path / "work", "--config", str(config))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "work" / "blend" / "au" / "report.json").read_text())
    assert "faceless" in json.dumps(report["submission"])
    lines = (tmp_path / "work" / "blend" / "au" / "submission.txt").read_text().splitlines()[-20:]
    assert [line.split(",", 1)[0] for line in lines] == [f"faceless/{number:05d}.jpg" for number in range(1, 21)]
    assert len({line.split(",", 1)[1] for line in lines}) == 1, "one answer for all frames without a face"
