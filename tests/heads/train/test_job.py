from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from extract.config import TaskPaths
from extract.features import store
from extract.runtime import process, run_folder
from extract.runtime.errors import InputError
from heads.abaw import read as labels
from heads.abaw.tasks import TASKS
from heads.base.head import family
from heads.data import predictions
from heads.data.table import Source
from heads.families.mlp import network as mlp_network
from heads.train import cluster_job
from heads.train import job as training_job
from heads.train.job import Job
from heads.train.model import Model

Corpus = Any  # tests/heads/conftest.py
ROOT = Path(__file__).resolve().parents[3]
FAST = {"family": "lightgbm", "inputs": ["logits"], "trees": 5}


def job(corpus: Corpus, task: str = "expr", name: str = "fast", **changed: Any) -> Job:
    settings = family("lightgbm").Settings.model_validate(FAST | changed).model_dump(mode="json")
    folder = corpus.folder / task
    made = Job(
        name,
        task,
        settings,
        [Source("one", ("logits",))],
        corpus.work,
        TaskPaths(train=folder / "train", val=folder / "val", test=folder / "test.txt"),
        0,
        "the mark",
        run_folder.fingerprint([task, settings]),
    )
    run_folder.begin(made.folder)
    return made


def quiet(done: float, note: str) -> None:
    assert 0 <= done <= 1


def test_a_job_file_is_read_as_it_was_written(corpus: Corpus, tmp_path: Path) -> None:
    before = replace(job(corpus), sources=[Source("one", ("logits",), ("embedding",)), Source("two", ("va",))])
    before.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == before


def test_it_writes_the_contracts_files_and_an_official_score(corpus: Corpus) -> None:
    a_job = job(corpus)
    report = training_job.main(a_job, quiet)
    assert run_folder.is_done(a_job.folder, "the mark")
    assert json.loads((a_job.folder / "report.json").read_text()) == report
    assert (a_job.folder / "provenance.json").exists() and (a_job.folder / "model").is_dir()

    task = TASKS["expr"]
    read = predictions.read(a_job.folder / "val.parquet", task)
    assert list(read.videos) == corpus.videos["val"]
    truth, decided = [], []
    for video, annotation in labels.read_folder(a_job.paths.val, task).items():
        frames, scores = read.videos[video]
        assert set(frames) == set(range(1, corpus.frames + 1)) - corpus.missing, "all frames with features"
        for frame, row in zip(frames, scores, strict=True):
            if annotation.valid[frame - 1]:
                truth.append(annotation.values[frame - 1])
                decided.append(row.argmax())
    expected = f1_score(truth, decided, average="macro", labels=range(8), zero_division=0)
    assert report["val_score"] == pytest.approx(expected)
    assert report["val_frames"]["with_features"] == len(truth) < report["val_frames"]["labelled"]
    assert list(predictions.read(a_job.folder / "test.parquet", task).videos) == corpus.videos["test"]
    assert report["videos"] == {"train": 5, "dev": 1} and report["columns"] == 8


def test_the_dev_score_is_of_the_head_before_it_learnt_dev(corpus: Corpus) -> None:
    scores = [training_job.main(job(corpus, name=str(refit), refit=refit), quiet) for refit in (True, False)]
    assert [report["refit"] for report in scores] == [True, False]
    assert scores[0]["dev_score"] == scores[1]["dev_score"]
    one, two = (
        predictions.read(corpus.work / "heads" / "expr" / name / "val.parquet", TASKS["expr"]).videos["v0"][1]
        for name in ("True", "False")
    )
    assert not np.array_equal(one, two)


def test_a_video_without_a_face_has_no_rows_and_is_counted(corpus: Corpus) -> None:
    for video in ("t2", "v1", "x0"):
        store.path(corpus.work, "one", video).unlink()
    a_job = job(corpus)
    report = training_job.main(a_job, quiet)
    assert report["videos_without_features"] == 1
    assert list(predictions.read(a_job.folder / "val.parquet", TASKS["expr"]).videos) == ["v0"]
    assert list(predictions.read(a_job.folder / "test.parquet", TASKS["expr"]).videos) == ["x1_left"]


def test_nothing_labelled_is_named(corpus: Corpus) -> None:
    for path in (corpus.folder / "expr" / "train").glob("*.txt"):
        path.write_text(TASKS["expr"].header + "\n" + "-1\n" * corpus.frames)
    with pytest.raises(InputError, match="train: none of its annotated frames has features of one"):
        training_job.main(job(corpus), quiet)


def test_refit_on_train_and_validation_has_each_row_once_and_never_makes_a_validation_score(corpus: Corpus) -> None:
    task = TASKS["expr"]
    plain, both = job(corpus, name="plain"), job(corpus, name="both", refit_val=True)
    reports = [training_job.main(one, quiet) for one in (plain, both)]
    for name in ("val.parquet", "test.parquet"):
        assert (plain.folder / name).read_bytes() == (both.folder / name).read_bytes(), "of the model of train alone"
    assert reports[0]["val_score"] == reports[1]["val_score"] and "trainval" not in reports[0]

    labelled = 0
    for part in ("train", "val"):
        for video, annotation in labels.read_folder(corpus.folder / "expr" / part, task).items():
            frames = store.read(store.path(corpus.work, "one", video)).frame
            labelled += int(annotation.valid[frames - 1].sum())
    assert reports[1]["trainval"] == {"rows": labelled, "videos": 8}
    alone, together = (
        predictions.read(both.folder / f"{name}.parquet", task).videos for name in ("test", "test_trainval")
    )
    assert list(alone) == list(together) == corpus.videos["test"]
    assert not np.array_equal(alone["x0"][1], together["x0"][1])
    assert not (plain.folder / "model_trainval").exists() and not (plain.folder / "test_trainval.parquet").exists()

    kept = Model.load(both.folder / "model_trainval")
    grown = (both.folder / "model_trainval" / "booster_0.txt").read_text().count("\nTree=")
    assert grown == 8 * reports[1]["trees"]["all classes"], "with what was chosen on train"
    np.testing.assert_array_equal(kept.predict_videos(corpus.work, ["x0"]).videos["x0"][1], together["x0"][1])


def test_a_family_that_learns_dev_is_fitted_on_train_and_validation(corpus: Corpus, monkeypatch: Any) -> None:
    kind = family("lightgbm")
    monkeypatch.setattr(kind, "learns_dev", True)
    report = training_job.main(job(corpus, refit_val=True), quiet)
    assert report["dev_score"] is None and report["refit"] is False and report["trainval"]["videos"] == 8


def test_a_model_is_kept_when_only_the_test_list_changes(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    first = job(corpus, refit_val=True, folds=2)
    report = training_job.main(first, quiet)
    before = {path.name: path.read_bytes() for path in first.folder.glob("*.parquet")}
    assert sorted(before) == ["oof.parquet", "test.parquet", "test_trainval.parquet", "val.parquet"]
    listed = corpus.folder / "expr" / "test.txt"
    lines = listed.read_text().splitlines()
    listed.write_text("\n".join(line for line in lines if "x1_left" not in line) + "\n")
    changed = replace(first, mark="another list")
    run_folder.begin(first.folder)
    with monkeypatch.context() as patched:
        for name in ("fit", "refit"):
            patched.setattr(family("lightgbm"), name, lambda *args, **more: pytest.fail("it was trained again"))
        again = training_job.main(changed, quiet)
    assert run_folder.is_done(first.folder, "another list")
    assert {**again, "seconds": 0} == {**report, "seconds": 0}
    after = {path.name: path.read_bytes() for path in first.folder.glob("*.parquet")}
    assert {name for name in before if before[name] != after[name]} == {"test.parquet", "test_trainval.parquet"}
    assert list(predictions.read(first.folder / "test.parquet", TASKS["expr"]).videos) == ["x0"]

    shutil.rmtree(first.folder)
    run_folder.begin(first.folder)
    training_job.main(changed, quiet)
    assert {path.name: path.read_bytes() for path in first.folder.glob("*.parquet")} == after, "as from nothing"

    run_folder.begin(first.folder)
    training_job.main(replace(changed, paths=changed.paths.model_copy(update={"test": None})), quiet)
    assert sorted(path.name for path in first.folder.glob("*.parquet")) == ["oof.parquet", "val.parquet"]


def test_nothing_of_another_making_stays(corpus: Corpus) -> None:
    training_job.main(job(corpus, refit_val=True, folds=2), quiet)
    plain = job(corpus)
    training_job.main(plain, quiet)
    assert sorted(path.name for path in plain.folder.glob("*.parquet")) == ["test.parquet", "val.parquet"]
    assert not [name for name in ("model_trainval", "folds") if (plain.folder / name).exists()]


@pytest.mark.parametrize("lost", ["model/booster_0.txt", "model/learnt.json", "val.parquet"])
def test_a_model_of_which_a_part_is_lost_is_learnt_again(corpus: Corpus, lost: str) -> None:
    one = job(corpus)
    training_job.main(one, quiet)
    before = (one.folder / "val.parquet").read_bytes()
    (one.folder / lost).unlink()
    run_folder.begin(one.folder)
    training_job.main(one, quiet)
    assert (one.folder / lost).exists() and (one.folder / "val.parquet").read_bytes() == before


def test_temporal_columns_reach_the_head_and_its_report(corpus: Corpus) -> None:
    one = job(corpus, temporal=[{"of": "embedding", "windows": [3], "components": 2}])
    one = replace(one, sources=[Source("one", ("logits",), ("embedding",))])
    assert training_job.main(one, quiet)["columns"] == 8 + 2 * 3
    assert len(Model.load(one.folder / "model").temporal.components) == 1


def test_as_a_process_it_first_makes_its_familys_imports(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(mlp_network, "load", lambda: calls.append("load"))
    replace(job(corpus), settings={"family": "mlp"}).import_libraries()
    assert calls == ["load"]
    job(corpus).write(corpus.folder / "job.json")
    monkeypatch.setattr(training_job.Job, "import_libraries", lambda self: calls.append(self.family))
    monkeypatch.setattr(training_job, "main", lambda one, say: calls.append("main"))
    monkeypatch.setattr(sys, "argv", ["heads.train", str(corpus.folder / "job.json")])
    monkeypatch.setattr(process, "end_with_parent", lambda: None)
    monkeypatch.setattr(process, "reserve_stdout", lambda: print)
    runpy.run_module("heads.train", run_name="__main__")
    cluster_job.main(job(corpus).as_json(), print)
    assert calls == ["load", *["lightgbm", "main"] * 2]


def child(path: Path, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "heads.train", str(path)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        **more,
    )


def test_as_a_process_bad_input_is_one_line_and_exit_code_2(corpus: Corpus) -> None:
    path = store.path(corpus.work, "one", "t4")
    features = store.read(path)
    assert features.logits is not None
    features.logits[9, 2] = np.nan
    store.write(path, features, {"mark": "one"})
    job(corpus).write(corpus.folder / "job.json")
    one = child(corpus.folder / "job.json", stdin=subprocess.DEVNULL)
    out, err = one.communicate(timeout=60)
    assert one.returncode == 2
    assert err.startswith("error: ") and err.count("\n") == 1 and "video 't4'" in err
    assert [set(json.loads(line)) for line in out.splitlines()] == [{"done", "note"}] * len(out.splitlines())


def test_as_a_process_it_dies_with_its_parent(corpus: Corpus) -> None:
    job(corpus, task="au", trees=10**6, patience=10**6, learning_rate=1e-6).write(corpus.folder / "job.json")
    code = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-m', 'heads.train', {str(corpus.folder / 'job.json')!r}],"
        " stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)\n"
        "print(p.pid, flush=True)\ntime.sleep(100)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(3)
    assert alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie that nobody waits for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
