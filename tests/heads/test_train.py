from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from extract import rundir, store
from extract.errors import InputError
from heads import labels, predictions, train
from heads.base import family
from heads.table import Source
from heads.tasks import TASKS
from heads.train import Job

Corpus = Any  # tests/heads/conftest.py
ROOT = Path(__file__).resolve().parents[2]
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
        folder / "train",
        folder / "val",
        folder / "test.txt",
        0,
        "the mark",
        rundir.fingerprint([task, settings]),
    )
    rundir.begin(made.folder)
    return made


def quiet(done: float, note: str) -> None:
    assert 0 <= done <= 1


def test_a_job_file_is_read_as_it_was_written(corpus: Corpus, tmp_path: Path) -> None:
    before = job(corpus)
    before.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == before


def test_it_writes_the_contracts_files_and_an_official_score(corpus: Corpus) -> None:
    a_job = job(corpus)
    report = train.main(a_job, quiet)
    assert rundir.is_done(a_job.folder, "the mark")
    assert json.loads((a_job.folder / "report.json").read_text()) == report
    assert (a_job.folder / "provenance.json").exists() and (a_job.folder / "model").is_dir()

    task = TASKS["expr"]
    read = predictions.read(a_job.folder / "val.parquet", task)
    assert list(read.videos) == corpus.videos["val"]
    truth, decided = [], []
    for video, annotation in labels.read_folder(a_job.val, task).items():
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
    scores = [train.main(job(corpus, name=str(refit), refit=refit), quiet) for refit in (True, False)]
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
    report = train.main(a_job, quiet)
    assert report["videos_without_features"] == 1
    assert list(predictions.read(a_job.folder / "val.parquet", TASKS["expr"]).videos) == ["v0"]
    assert list(predictions.read(a_job.folder / "test.parquet", TASKS["expr"]).videos) == ["x1_left"]


def test_nothing_labelled_is_named(corpus: Corpus) -> None:
    for path in (corpus.folder / "expr" / "train").glob("*.txt"):
        path.write_text(TASKS["expr"].header + "\n" + "-1\n" * corpus.frames)
    with pytest.raises(InputError, match="train: none of its annotated frames has features of one"):
        train.main(job(corpus), quiet)


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
    process = child(corpus.folder / "job.json", stdin=subprocess.DEVNULL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
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
