"""A search on a real PostgreSQL server that the test starts, with processes killed at random."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads.search_space import leaves
from heads.tune import storage as tune_storage
from heads.tune.retry import RETRY_OF, list_lost_trials
from heads.tune.study import ClaimedTrial, Study, list_finished_trials

Corpus = Any  # tests/heads/conftest.py
ROOT = Path(__file__).resolve().parents[3]
SPACE = """
family = "lightgbm"
networks = ["two"]
inputs = ["logits"]
trees = ["tune", "int", 30, 90]
patience = 1000
num_leaves = ["tune", "logint", 3, 31]
learning_rate = ["tune", "loguniform", 0.01, 0.3]
"""
"""A whole head, so that the standard ones may change. Its trees take some time, so that it can be killed at work."""


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        pytest.skip("no /proc of Linux here")
    return [int(child) for child in found]


def start(corpus: Corpus, url: str, trials: int = 40, workers: int = 4) -> subprocess.Popen[str]:
    space = corpus.folder / "small.toml"
    space.write_text(SPACE)
    options = ["--task", "va", "--space", space, "--trials", trials, "--workers", workers]
    options += ["--storage", url, "--heartbeat", 1, "--config", corpus.toml(), "--work", corpus.work]
    return subprocess.Popen(
        [sys.executable, "-m", "heads.tune", *map(str, options)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_forty_trials_by_four_processes_that_are_killed_at_random(corpus: Corpus, server: str) -> None:
    folder = corpus.work / "tune" / "va" / "small"
    rng, command = random.Random(0), start(corpus, server)
    kills = [("one", 2), ("one", 7), ("all", 14), ("one", 20), ("one", 27), ("one", 33)]
    while command.poll() is None:
        time.sleep(0.02)
        if not kills or len(list(folder.glob("trials/*/DONE"))) < kills[0][1]:
            continue
        time.sleep(rng.uniform(0, 0.2))
        if kills[0][0] == "one" and (alive := children(command.pid)):
            os.kill(rng.choice(alive), signal.SIGKILL)
            del kills[0]
        elif kills[0][0] == "all":
            command.kill()
            command.communicate()
            command = start(corpus, server)
            del kills[0]
    said = command.communicate()[1]
    assert command.returncode == 0, said
    assert len(kills) <= 1, "too fast to be killed at"

    study = Study.open(server, Path("unused"), "tiny/va/small", 1)
    trials = study.trials()
    finished = list_finished_trials(trials)
    assert len(finished) == 40
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED", "FAIL"}, "none is left half-done"
    assert not list_lost_trials(trials), "what was lost is done again"
    drawn = {trial.number: trial for trial in trials}

    def origin(trial: Any) -> int:
        while RETRY_OF in trial.user_attrs:
            earlier = drawn[trial.user_attrs[RETRY_OF]]
            assert earlier.params == trial.params and earlier.state.name == "FAIL"
            trial = earlier
        return int(trial.number)

    assert len({origin(trial) for trial in finished}) == 40, "none is counted twice"
    assert len({json.dumps(trial.params, sort_keys=True) for trial in finished}) == 40
    assert any(RETRY_OF in trial.user_attrs for trial in finished), "some were done again"
    assert {int(path.name) for path in (folder / "trials").iterdir()} == {trial.number for trial in finished}
    for trial in finished:
        place = folder / "trials" / str(trial.number)
        report = json.loads((place / "report.json").read_text())
        assert (report["trial"], report["state"], report["params"]) == (trial.number, trial.state.name, trial.params)
        assert report["score"] == pytest.approx(trial.value, abs=1e-15)
        assert run_folder.is_done(place, (place / "DONE").read_text().splitlines()[0])

    two = [start(corpus, server, trials=44, workers=1) for _ in range(2)]  # as on two machines
    for command in two:
        said = command.communicate()[1]
        assert command.returncode == 0, said
    assert len(list_finished_trials(study.trials())) == 44
    study.close()


def test_exactly_as_many_finish_whoever_races(server: str) -> None:
    space = leaves({"x": ["tune", "uniform", 0.0, 1.0]}, "test")
    Study.open(server, Path("unused"), "race", 60, {}).close()

    def work(seed: int) -> None:
        from optuna.trial import TrialState

        study, rng = Study.open(server, Path("unused"), "race", 60), random.Random(seed)
        while (claimed := study.claim(12, f"worker {seed}", space, None, 0)) != "enough":
            if not isinstance(claimed, ClaimedTrial):
                time.sleep(0.1)
            elif rng.random() < 0.3:  # dies: somebody notices, and it tries to finish all the same
                study.release(f"worker {seed}", True)
                assert not study.finish(claimed, TrialState.COMPLETE, 0.0)
            else:
                assert study.finish(claimed, TrialState.COMPLETE, claimed.params["x"])
        study.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = Study.open(server, Path("unused"), "race", 60)
    finished = list_finished_trials(study.trials())
    study.close()
    assert len(finished) == 12 and len({trial.params["x"] for trial in finished}) == 12


def test_a_silent_trial_is_taken_for_dead_by_the_servers_clock(server: str) -> None:
    from optuna.trial import TrialState

    space = leaves({"x": ["tune", "uniform", 0.0, 1.0]}, "test")
    study = Study.open(server, Path("unused"), "silent", 1, {})
    first = study.claim(1, "gone", space, None, 0)
    assert isinstance(first, ClaimedTrial) and study.claim(1, "other", space, None, 0) == "wait"
    until = time.monotonic() + 20
    while (second := study.claim(1, "other", space, None, 0)) == "wait" and time.monotonic() < until:
        time.sleep(0.2)
    assert isinstance(second, ClaimedTrial) and second.params == first.params and second.number != first.number
    assert not study.finish(first, TrialState.COMPLETE, 1.0), "it lives after all: too late"
    assert study.finish(second, TrialState.COMPLETE, 0.5) and study.claim(1, "other", space, None, 0) == "enough"
    study.close()


def test_a_score_that_was_changed_on_the_server_is_named_by_who_goes_on(server: str) -> None:
    import sqlalchemy
    from optuna.trial import TrialState

    space = leaves({"x": ["tune", "uniform", 0.0, 1.0]}, "test")
    study = Study.open(server, Path("unused"), "changed by hand", 60, {})
    for score in (0.1 + 0.2, None, -1e-300):
        trial = study.claim(9, "me", space, None, 0)
        assert isinstance(trial, ClaimedTrial)
        state = TrialState.PRUNED if score is None else TrialState.COMPLETE
        study.report(trial, 0, 1 / 3)
        assert study.finish(trial, state, score)
    study.close()
    study = Study.open(server, Path("unused"), "changed by hand", 60, {})
    assert len(study.trials()) == 3, "what a server gives back is what it was given, to the bit"
    with study.storage.engine.begin() as connection:
        change = sqlalchemy.text("UPDATE trial_values SET value = 0.9 WHERE trial_id = :id")
        assert connection.execute(change, {"id": trial.id}).rowcount == 1
    with pytest.raises(InputError, match=r"^study 'changed by hand': its trial 2 is not what was written"):
        study.claim(9, "me", space, None, 0)
    study.close()


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    url = tune_storage.parse(f"postgresql://tune:secret@/postgres?host={tmp_path}")
    with pytest.raises(InputError, match=r"^--storage postgresql") as found:
        tune_storage.open_postgresql(url, "study", 15)
    assert "secret" not in str(found.value)
