from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from extract.jobs import local
from extract.runtime.errors import InputError, WorkError
from heads.tune import processes as tune_processes
from heads.tune.processes import WorkerPool
from heads.tune.worker import Job

FAKE = """
import sys, json, os, signal, time
from pathlib import Path
job = json.loads(sys.stdin.readline())
folder = Path(job["folder"])
(folder / f"threads {os.getpid()}").write_text(os.environ["AFFECT_HEADS_THREADS"])
def say(**news): print(json.dumps(news), flush=True)
how = job["raw"]["how"]
number = len(list(folder.glob("threads *")))
if how == "well":
    say(trial=number, state="COMPLETE", score=0.5)
    (folder / f"finished {os.getpid()}").touch()
    say(over="enough")
if how == "once killed" and number == 1 or how == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "once killed" or how == "turns" and number == 3:
    say(over="enough")
elif how == "turns":
    say(over="turn")
if how == "input":
    print("a warning", file=sys.stderr)
    print("error: frame 3 is bad", file=sys.stderr)
    sys.exit(2)
if how == "storage":
    print("failed: the server is away", file=sys.stderr)
    sys.exit(1)
if how == "bug":
    raise ZeroDivisionError("oops")
if how == "errors":
    for trial in range(99):
        say(trial=trial, error=f"ValueError: {trial}")
    time.sleep(60)
if how == "hangs":
    (folder / "hangs").touch()
    time.sleep(60)
"""


class FakeStudy:
    """Counts the files that FAKE leaves as finished trials."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.released = folder, []  # type: ignore[var-annotated]

    def trials(self) -> list[Any]:
        from optuna.trial import TrialState

        finished = sorted(self.folder.glob("finished *"))
        return [SimpleNamespace(number=i, value=0.5, state=TrialState.COMPLETE) for i, _ in enumerate(finished)]

    def release(self, worker: str, freed: bool) -> None:
        self.released.append((worker, freed))


@pytest.fixture(autouse=True)
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    popen = local.subprocess.Popen
    monkeypatch.setattr(local.subprocess, "Popen", lambda command, **more: popen([sys.executable, str(script)], **more))


def crew(folder: Path, how: str, workers: int = 1, on_look: Any = lambda _: None) -> WorkerPool:
    job = Job(
        task="au",
        head="head",
        raw={"how": how},
        has={},
        work="",
        train="",
        folder=str(folder),
        study="s",
        storage="",
        start=None,
        trials=9,
        folds=3,
        seed=0,
        prune=True,
        heartbeat=15,
    )
    return WorkerPool(job, FakeStudy(folder), workers, on_look)  # type: ignore[arg-type]


def started(folder: Path) -> int:
    return len(list(folder.glob("threads *")))


def test_all_work_and_what_is_found_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_processes.pipeline, "cores", lambda: 8)
    seen: list[int] = []
    crew(tmp_path, "well", 3, lambda trials: seen.append(len(trials))).run()
    assert started(tmp_path) == 3 and seen[-1] == 3
    assert {path.read_text() for path in tmp_path.glob("threads *")} == {"2"}, "8 cores for 3 processes"
    assert list((tmp_path / "logs").iterdir()) == [], "logs of what went well are not kept"


def test_nothing_is_started_where_enough_are_finished(tmp_path: Path) -> None:
    for i in range(9):
        (tmp_path / f"finished {i}").touch()
    seen: list[int] = []
    crew(tmp_path, "well", 3, lambda trials: seen.append(len(trials))).run()
    assert started(tmp_path) == 0 and seen == [9]


def test_the_dead_and_those_that_had_their_turn_are_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = crew(tmp_path, "once killed")
    one.run()
    assert started(tmp_path) == 2 and "ended by signal 9: its trial is retried" in capsys.readouterr().err
    assert [freed for _, freed in one.study.released] == [False, False]  # type: ignore[attr-defined]
    (tmp_path / "turns").mkdir()
    crew(tmp_path / "turns", "turns").run()
    assert started(tmp_path / "turns") == 3


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("input", InputError, "^frame 3 is bad$"),
        ("storage", WorkError, "^the server is away$"),
        ("bug", RuntimeError, "(?s)exit code 1; .*ZeroDivisionError: oops"),
        ("killed", WorkError, "processes of the search were ended by signals one after the other, the last by 9"),
        ("errors", WorkError, "5 trials failed, the last with: ValueError: 4; narrow"),
    ],
)
def test_failures_are_named(tmp_path: Path, how: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        crew(tmp_path, how).run()
    assert started(tmp_path) == (tune_processes.MOST_DEATHS if how == "killed" else 1)


def test_after_ctrl_c_no_process_is_left_and_trials_are_free(tmp_path: Path) -> None:
    def on_look(_: Any) -> None:
        if (tmp_path / "hangs").exists():
            raise KeyboardInterrupt

    one = crew(tmp_path, "hangs", 2, on_look)
    with pytest.raises(KeyboardInterrupt):
        one.run()
    pids = [int(path.name.split()[1]) for path in tmp_path.glob("threads *")]
    assert pids and not [pid for pid in pids if _alive(pid)]
    assert [freed for _, freed in one.study.released] == [True, True]  # type: ignore[attr-defined]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
