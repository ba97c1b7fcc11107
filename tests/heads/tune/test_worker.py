from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from extract.config import ClusterSettings
from extract.features import store
from extract.jobs import cluster, session
from extract.runtime import run_folder
from extract.runtime.errors import InputError, WorkError
from heads.data import feature_file
from heads.families.lightgbm_head import LightGbm
from heads.search_space import leaves
from heads.tune import retry
from heads.tune import study as tune_study
from heads.tune import worker as tune_worker
from heads.tune.processes import WorkerPool
from heads.tune.study import ClaimedTrial
from heads.tune.worker import Job, Worker

Corpus = Any  # tests/heads/conftest.py
ROOT = Path(__file__).resolve().parents[3]
RAW = {
    "family": "lightgbm",
    "networks": ["two"],
    "inputs": ["tune", "choice", [["logits"], ["logits", "va"]]],
    "trees": ["tune", "int", 2, 5],
}
Told = list[dict[str, Any]]


def job(corpus: Corpus, trials: int = 2, **more: Any) -> Job:
    made = Job(
        task="va",
        head="lightgbm-two",
        raw=RAW,
        has={"two": ["embedding", "logits", "va"]},
        work=str(corpus.work),
        train=str(corpus.folder / "va" / "train"),
        folder=str(corpus.folder / "search"),
        study="tiny",
        storage="",
        start=None,
        trials=trials,
        folds=3,
        seed=0,
        prune=True,
        heartbeat=15,
        worker="me",
    )
    return replace(made, **more)


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def worker(corpus: Corpus, told: Told) -> Iterator[Worker]:
    study = job(corpus).open({})
    yield Worker(job(corpus), study, told.append)
    study.close()


def test_trials_are_kept_before_they_count(worker: Worker, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(worker.job.folder) / "trials"
    finish = worker.study.finish

    def check(trial: ClaimedTrial, *rest: Any) -> bool:
        place = folder / str(trial.number)
        assert run_folder.is_done(place, (place / "DONE").read_text().splitlines()[0])
        return finish(trial, *rest)

    monkeypatch.setattr(worker.study, "finish", check)
    assert worker.run() == "enough"
    trials = worker.study.trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 2
    assert [news for news in told if "state" in news] == [
        {"trial": trial.number, "state": "COMPLETE", "score": trial.value} for trial in trials
    ]
    for trial in trials:
        report = json.loads((folder / str(trial.number) / "report.json").read_text())
        assert report["score"] == trial.value and report["params"] == trial.params and len(report["folds"]) == 3
        assert list(trial.intermediate_values) == [0, 1, 2] and trial.intermediate_values[2] == trial.value
        assert report["folds"][2]["score_so_far"] == trial.value


def test_a_hopeless_trial_is_pruned_and_kept_as_far_as_it_went(
    worker: Worker, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_study.Study, "is_hopeless", lambda *_: True)
    assert worker.run() == "enough"
    assert {trial.state.name for trial in worker.study.trials()} == {"PRUNED"}
    report = json.loads((Path(worker.job.folder) / "trials" / "0" / "report.json").read_text())
    assert len(report["folds"]) == 1 and report["pruned"] == "below the median after fold 1"
    worker.job = replace(worker.job, trials=3, prune=False)
    assert worker.run() == "enough" and worker.study.trials()[-1].state.name == "COMPLETE"


def test_a_trial_of_which_others_think_that_it_is_dead_is_thrown_away(
    worker: Worker, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, times = worker._score, 0

    def slow(trial: ClaimedTrial, prepared: Any) -> Any:
        nonlocal times
        times += 1
        if times == 1:
            worker.study.release("me", False)
        return score(trial, prepared)

    monkeypatch.setattr(worker, "_score", slow)
    assert worker.run() == "enough"
    assert told[[news.get("state") for news in told].index("LATE")]["trial"] == 0
    assert not (Path(worker.job.folder) / "trials" / "0").exists()
    assert [trial.state.name for trial in worker.study.trials()] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_an_error_is_the_trials_own_and_the_next_is_done(
    worker: Worker, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, times = LightGbm.fit, 0

    def fit(self: LightGbm, *rest: Any) -> Any:
        nonlocal times
        times += 1
        if times == 1:
            raise ZeroDivisionError("no rows\nleft")
        return real(self, *rest)

    monkeypatch.setattr(LightGbm, "fit", fit)
    assert worker.run() == "enough"
    assert {"trial": 0, "error": "ZeroDivisionError: no rows left"} in told
    first = worker.study.trials()[0]
    assert first.state.name == "FAIL" and "ZeroDivisionError" in first.user_attrs[retry.ERROR]


def test_bad_input_stops_and_its_parameters_are_tried_again_when_it_is_mended(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(InputError, match="disk is full"):

        def full(*_: Any) -> None:
            raise InputError("disk is full")

        patch.setattr(run_folder, "write_json", full)
        worker.run()
    assert worker.run() == "enough"
    trials = worker.study.trials()
    assert [trial.state.name for trial in trials] == ["FAIL", *["COMPLETE"] * 2]
    assert trials[1].params == trials[0].params


def test_no_trial_is_begun_after_the_time_nor_too_many_in_one_process(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_worker, "TRIALS_PER_PROCESS", 1)
    assert worker.run() == "turn" and len(worker.study.trials()) == 1
    worker.job = replace(worker.job, until=time.time())
    assert worker.run() == "time" and len(worker.study.trials()) == 1


def test_a_process_that_begins_late_has_no_more_time(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait for a slot of a cluster, and those that are begun again, are told the same moment."""
    sent: list[Any] = []

    class Machines:
        settings = ClusterSettings()

        def log(self, name: str) -> Path:
            return corpus.folder / name

        def run(self, what: str, some: list[Any], *_: Any) -> None:
            sent.extend(Job(**json.loads(one.stdin)) for one in some)

    mine = job(corpus, trials=9, until=time.time() + 3600.0)
    study = mine.open({})
    WorkerPool(mine, study, 4, lambda trials: None, Machines()).run()  # type: ignore[arg-type]
    assert [one.until for one in sent] == [mine.until] * 4
    monkeypatch.setattr(tune_worker.time, "time", lambda: sent[-1].until)
    assert Worker(sent[-1], study, lambda news: None).run() == "time" and study.trials() == []
    study.close()


def test_no_trial_is_begun_on_features_that_are_not_seen_yet(
    corpus: Corpus, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, path = [f"t{k}" for k in range(6)], store.path(corpus.work, "two", "t3")
    study = job(corpus).open({"features": {"two": feature_file.mark(corpus.work, "two", videos)[:16]}})
    hidden = path.rename(path.with_suffix(".hidden"))
    monkeypatch.setattr(session, "SECONDS_UNTIL_VISIBLE", 0.0)
    with pytest.raises(WorkError, match=r"work/features: the command found it whole, but it is not seen here; is the"):
        Worker(job(corpus), study, told.append).run()
    assert study.trials() == []
    monkeypatch.setattr(session, "SECONDS_UNTIL_VISIBLE", 60.0)
    monkeypatch.setattr(cluster.time, "sleep", lambda _: hidden.rename(path))
    assert Worker(job(corpus), study, told.append).run() == "enough" and len(study.trials()) == 2
    study.close()


def test_rows_are_read_again_only_for_other_columns(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    prepare = tune_worker.fit.prepare_train
    monkeypatch.setattr(
        tune_worker.fit, "prepare_train", lambda *given, **more: read.append(given[1]) or prepare(*given, **more)
    )
    worker.job = replace(worker.job, trials=6)
    assert worker.run() == "enough"
    inputs = [trial.params["inputs"] for trial in worker.study.trials()]
    changes = 1 + sum(a != b for a, b in itertools.pairwise(inputs))
    assert len(read) == changes and len(set(inputs)) == 2


def without_faces(corpus: Corpus, videos: list[str]) -> None:
    for video in videos:
        (corpus.work / "features" / "two" / f"{video}.safetensors").unlink()


def test_features_of_one_video_or_one_fold_are_too_few(worker: Worker, corpus: Corpus) -> None:
    without_faces(corpus, worker._folds[1] + worker._folds[2])
    with pytest.raises(InputError, match="2 of its videos has features of two, in 1 of 3 folds; a search needs 2"):
        worker.run()
    without_faces(corpus, worker._folds[0][1:])
    with pytest.raises(InputError, match="1 of its videos has features of two"):
        worker.run()


def test_the_last_fold_with_a_face_is_the_last(worker: Worker, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it a trial is complete, whatever its score: nothing is left that pruning could save."""
    without_faces(corpus, worker._folds[2])
    asked: list[int] = []
    monkeypatch.setattr(tune_study.Study, "is_hopeless", lambda _, trial: asked.append(trial.number))
    assert worker.run() == "enough"
    assert [trial.state.name for trial in worker.study.trials()] == ["COMPLETE"] * 2 and asked == [0, 1]
    report = json.loads((Path(worker.job.folder) / "trials" / "0" / "report.json").read_text())
    assert [fold["videos"] for fold in report["folds"]] == worker._folds[:2]


def test_a_process_ends_with_its_parent(corpus: Corpus) -> None:
    asked = job(corpus, trials=1000, worker="process")
    study = asked.open({})
    process = subprocess.Popen(
        [sys.executable, "-m", "heads.tune.worker"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(asdict(asked)) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        if "state" in json.loads(line):
            break
    process.stdin.close()  # as when heads.tune is killed
    began = time.monotonic()
    process.stdout.read()
    assert process.wait() == 1 and time.monotonic() - began < 30
    process.stdout.close()
    study.release("process", True)
    assert len(tune_study.list_finished_trials(study.trials())) >= 1
    assert isinstance(study.claim(1000, "next", leaves(RAW, "test"), None, 0), ClaimedTrial)
    study.close()
