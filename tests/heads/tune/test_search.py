"""The command as a user runs it: on SQLite, killed and gone on, and its best config given to heads.run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import command_server

from extract import config as extract_config
from extract.features import store
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads import run
from heads.config import Config
from heads.train import job as training_job
from heads.train import processes
from heads.tune import __main__
from heads.tune import search as tune_search
from heads.tune import storage as tune_storage
from heads.tune.retry import RETRY_OF
from heads.tune.search import SearchRequest, SearchResult
from heads.tune.study import find_best, list_finished_trials

Corpus = Any  # tests/heads/conftest.py
ROOT = Path(__file__).resolve().parents[3]
SPACE = """
family = "lightgbm"
networks = ["two"]
inputs = ["logits"]
trees = ["tune", "int", 2, 6]
num_leaves = ["tune", "logint", 3, 31]
learning_rate = ["tune", "loguniform", 0.01, 0.3]
"""
"""A whole head, so that the standard ones may change: it learns in much less than a second."""


def small() -> Path:
    """The space's file: one for all, as best.toml tells its path."""
    return Path(tempfile.gettempdir()) / f"heads_tune_{os.getpid()}" / "small.toml"


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    small().parent.mkdir()
    small().write_text(SPACE)
    yield
    shutil.rmtree(small().parent)


def command(corpus: Corpus, work: Path, *more: object) -> list[str]:
    asked = ["--task", "va", "--space", small()]
    where = ["--config", corpus.toml(), "--work", work]
    return [sys.executable, "-m", "heads.tune", *map(str, [*asked, *where, *more])]


def load(corpus: Corpus, extra: str = "") -> Config:
    return extract_config.load(Config, corpus.toml(extra))


def trials(work: Path) -> list[Any]:
    storage, _ = tune_storage.open_sqlite(work / "tune" / "va" / "small" / "study.db", 15)
    found = storage.get_all_trials(storage.get_study_id_from_name("tiny/va/small"))
    tune_storage.close(storage)
    return found


def search(corpus: Corpus, extra: str = "", **more: Any) -> SearchResult:
    asked = {"task": "va", "trials": 6, "space": small()}
    return tune_search.main(load(corpus, extra), SearchRequest(**(asked | more)), corpus.work)


@pytest.fixture(scope="module")
def straight(tiny: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, SearchResult]:
    """A search that ran through, on a corpus of its own."""
    folder = tmp_path_factory.mktemp("straight") / "corpus"
    shutil.copytree(tiny.folder, folder)
    corpus = replace(tiny, folder=folder, work=folder / "work")
    return corpus, search(corpus)


@pytest.mark.slow
def test_one_process_on_sqlite_goes_on_after_any_kill_and_finds_the_same(
    corpus: Corpus, straight: tuple[Corpus, SearchResult]
) -> None:
    folder = corpus.work / "tune" / "va" / "small"
    six = command(corpus, corpus.work, "--trials", 6)
    process = subprocess.Popen(six, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(list(folder.glob("trials/*/DONE"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)  # everything at once, in the middle of a trial
    process.wait()
    before = {trial.number: trial.value for trial in list_finished_trials(trials(corpus.work))}
    assert len(before) < 6, "too fast to be killed"

    process = subprocess.Popen(six, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while len(list(folder.glob("trials/*/DONE"))) < 4 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130 and "the same command goes on from there" in said

    last = command_server.run(six, cwd=ROOT)
    assert last.returncode == 0 and "6 of 6 trials are finished" in last.stdout, last.stderr
    found = trials(corpus.work)
    finished = list_finished_trials(found)
    assert len(finished) == 6 and before.items() <= {trial.number: trial.value for trial in finished}.items()
    for trial in found:
        if RETRY_OF in trial.user_attrs:
            lost = found[trial.user_attrs[RETRY_OF]]
            assert lost.state.name == "FAIL" and lost.params == trial.params
    assert {int(path.name) for path in (folder / "trials").iterdir()} == {trial.number for trial in finished}

    through = straight[1]
    assert [trial.params for trial in finished] == [trial.params for trial in through.trials], "the same draws"
    assert [trial.value for trial in finished] == [trial.value for trial in through.trials]
    ours, theirs = (
        re.sub(r"trial \d+", "trial", (place / "best.toml").read_text())  # what is tried again has another number
        for place in (folder, through.folder)
    )
    assert ours == theirs


def test_a_score_that_was_changed_in_the_study_makes_no_best(
    straight: tuple[Corpus, SearchResult], tmp_path: Path
) -> None:
    shutil.copytree(straight[0].folder, tmp_path / "corpus")
    corpus = replace(straight[0], folder=tmp_path / "corpus", work=tmp_path / "corpus" / "work")
    best = corpus.work / "tune" / "va" / "small" / "best.toml"
    before = best.read_bytes()
    assert search(corpus) and best.read_bytes() == before
    worst = min(straight[1].trials, key=lambda trial: trial.value).number
    with sqlite3.connect(best.with_name("study.db")) as database:
        change = "UPDATE trial_values SET value = 0.99 WHERE trial_id = (SELECT trial_id FROM trials WHERE number = ?)"
        assert database.execute(change, [worst]).rowcount == 1
    database.close()
    with pytest.raises(InputError, match=rf"^study 'tiny/va/small': its trial {worst} is not what was written"):
        search(corpus)
    assert best.read_bytes() == before


def test_heads_run_takes_the_best_config_as_it_is(
    straight: tuple[Corpus, SearchResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, found = straight
    text = (found.folder / "best.toml").read_text()
    best = find_best(found.trials)
    assert best is not None
    head = text.splitlines()[:2]
    assert head[0] == f"# python -m heads.tune --task va --space {small()} --trials 6 --folds 3 --seed 0"
    assert f"mean CCC: {best.value:.4f}, out of fold on train, trial {best.number}" in head[1]
    kept = found.folder / "trials" / str(best.number)
    assert text.split("\n", 2)[2] == (kept / "config.toml").read_text()

    stamp = (found.folder / "best.toml").stat().st_mtime_ns
    assert len(search(corpus).trials) == 6, "nothing to do"
    assert (found.folder / "best.toml").stat().st_mtime_ns == stamp

    def run_jobs(jobs: list[Any], what: str) -> None:
        for job in jobs:
            run_folder.begin(job.folder)
            training_job.main(job, lambda done, note: None)

    monkeypatch.setattr(processes, "run_jobs", run_jobs)
    second = found.folder.with_name("second") / "best.toml"  # of another search
    second.parent.mkdir()
    second.write_text(text)
    both = [str(found.folder / "best.toml"), str(second)]
    config = load(corpus, f"[heads.va]\nuse = {json.dumps(both)}\n[heads.va.second-best]\ntrees = 1\n")
    folders = run.main(config, "va", corpus.work)
    assert list(folders) == ["small-best", "second-best"]
    for name, most in (("small-best", best.params["trees"]), ("second-best", 1)):
        report = json.loads((folders[name] / "report.json").read_text())
        assert report["family"] == "lightgbm" and max(report["trees"].values()) <= most
    shutil.rmtree(second.parent)


def test_a_search_under_a_taken_name_is_refused_by_what_differs(
    straight: tuple[Corpus, SearchResult], capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, found = straight
    with pytest.raises(InputError, match="seed: 0 there, 1 now"):
        search(corpus, seed=1)
    with pytest.raises(InputError, match="folds: 3 there, 2 now"):
        search(corpus, folds=2)
    with pytest.raises(InputError, match=r"space\.num_leaves: .* there, 7 now"):
        search(corpus, "[heads.va.small]\nnum_leaves = 7\n")
    path = corpus.folder / "va" / "train" / "t0.txt"
    text = path.read_text()
    path.write_text(text.replace("0.", "0.0", 1))
    with pytest.raises(InputError, match="annotations: "):
        search(corpus)
    path.write_text(text)
    features = store.path(corpus.work, "two", "t0")
    kept = features.read_bytes()
    changed = store.read(features)
    store.write(features, replace(changed, frame=changed.frame + 1), {"mark": "two"})
    with pytest.raises(InputError, match=r"features\.two: "):
        search(corpus)
    features.write_bytes(kept)
    other = search(corpus, seed=1, study="second", seconds=0.0)
    assert other.folder == found.folder.with_name("second") and other.trials == [], "no trial is begun after the time"
    assert not (other.folder / "best.toml").exists()
    __main__._print(other, SearchRequest("va", 6))
    assert "0 of 6 trials are finished" in capsys.readouterr().out


def test_bad_input_in_a_process_is_one_line(corpus: Corpus) -> None:
    path = store.path(corpus.work, "two", "t3")
    features = store.read(path)
    assert features.logits is not None
    features.logits[2, 0] = float("nan")
    store.write(path, features, {"mark": "two"})
    said = command_server.run(command(corpus, corpus.work, "--trials", 2), cwd=ROOT)
    assert said.returncode == 2 and said.stderr.count("\n") == 1
    assert re.search(r"error: .*t3\.safetensors: network 'two', video 't3', frame 4: logits is not finite", said.stderr)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--task", "aus"], "no such task; there are au, expr, va, lsd"),
        (["--study", "../elsewhere"], "expected a name"),
        (["--storage", "mysql://h/d"], "--storage: mysql is not supported"),
        (["--head", "trees"], "--head trees: no such head"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(corpus: Corpus, wrong: list[str], said: str) -> None:
    ran = command_server.run(command(corpus, corpus.work, "--trials", 2, *wrong), cwd=ROOT)
    assert ran.returncode == 2 and said in ran.stderr and ran.stderr.count("\n") == 1


def test_help_is_instant_and_loads_nothing_heavy() -> None:
    heavy = ("optuna", "sqlalchemy", "lightgbm", "sklearn", "pandas", "tensorflow", "torch", "numba")
    code = f"import sys, heads.tune; print(*(name for name in {heavy} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
