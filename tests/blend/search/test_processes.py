"""How the processes of a shared search on this machine may end."""

import sys
from itertools import count

import pytest

from blend.config import BlendSettings
from blend.search import processes
from blend.search.processes import WorkerPool
from blend.search.shared_study import SharedStorage
from extract.jobs import local
from extract.runtime.errors import WorkError

FAKES = {"bug": "print(1 / 0)", "killed": "import os; os.kill(os.getpid(), 9)", "hangs": "input(); input()"}


class Study:
    """A study that is counted; each look finds so many more trials."""

    def __init__(self, step: int) -> None:
        self.counts = count(0, step)

    def count(self) -> int:
        return next(self.counts)


def run(pool, folder, monkeypatch, how, step, workers=1):
    (folder / "fake.py").write_text(FAKES[how])
    popen, started = local.subprocess.Popen, []

    def start(_, **more):
        started.append(popen([sys.executable, str(folder / "fake.py")], **more))
        return started[-1]

    monkeypatch.setattr(local.subprocess, "Popen", start)
    where, shown = SharedStorage("", folder / "blend" / "study.db", "study", {}), []
    try:
        WorkerPool(pool, BlendSettings(), 0, where, 9, workers, None).run(Study(step), shown.append)
    finally:
        assert all(process.poll() is not None for process in started), "none is left"
        assert list((folder / "blend").iterdir()) == [], "nor what they were told"
    return len(started), sum(shown)


def test_an_error_is_shown_and_ends_the_search(make_pool, tmp_path, monkeypatch, capsys):
    with pytest.raises(WorkError, match="ended with exit code 1; what it said is above"):
        run(make_pool("va"), tmp_path, monkeypatch, "bug", 0, workers=2)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_the_dead_are_replaced_unless_all_die(make_pool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "MOST_DEATHS", 3)
    monkeypatch.setattr(local, "SECONDS_BETWEEN_LOOKS", 600.0)
    with pytest.raises(WorkError, match=r"3 processes of the search were ended by signals one after the other, .* 9 "):
        run(make_pool("va"), tmp_path, monkeypatch, "killed", 0)
    assert capsys.readouterr().err.count("ended by signal 9; another takes its place") == 2
    started, shown = run(make_pool("va"), tmp_path, monkeypatch, "killed", 1)
    assert started == 9 and shown == 9, "a finished trial in between is all it takes"


def test_processes_do_not_go_on_once_there_are_enough(make_pool, tmp_path, monkeypatch):
    started, shown = run(make_pool("va"), tmp_path, monkeypatch, "hangs", 5, workers=2)
    assert started == 2 and shown == 10
