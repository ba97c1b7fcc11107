"""What the processes of a shared search are told, wherever they run."""

import json
import math
import os
import stat
import time
from pathlib import Path

import pytest

from blend.config import BlendSettings
from blend.search import worker
from blend.search.processes import WorkerPool
from blend.search.shared_study import SharedStorage
from extract.config import ClusterSettings


class Machines:
    """Looks at the jobs, and what lies in the work folder while they run."""

    settings = ClusterSettings()

    def __init__(self, work: Path) -> None:
        self.work, self.modes = work, []

    def log(self, name: str) -> Path:
        return self.work / name

    def run(self, what, jobs, *_):
        self.told = [json.loads(job.stdin) for job in jobs]
        self.pool = Path(self.told[0]["pool"])
        self.modes.append(stat.S_IMODE(self.pool.stat().st_mode))
        self.whole = self.pool.read_bytes()
        for told in self.told:
            worker.main(told)


class NoTrials:
    """A study, as far as it is counted."""

    def count(self) -> int:
        return 0


@pytest.fixture
def asked(make_pool, tmp_path, monkeypatch):
    """Hand two processes to a cluster; what they were told, and for how many seconds each draws."""

    def run(until: float | None) -> tuple[Machines, list[float]]:
        seconds: list[float] = []
        monkeypatch.setattr(worker, "work", lambda *given: seconds.append(given[-1]))
        machines = Machines(tmp_path)
        where = SharedStorage("postgresql://me:secret@host/db", Path(), "study", {})
        some = WorkerPool(make_pool("va"), BlendSettings(), 0, where, 9, 2, until, machines)
        some.run(NoTrials(), lambda count: None)
        return machines, seconds

    return run


def test_a_process_that_begins_late_draws_no_longer_than_the_others(asked, monkeypatch):
    machines, seconds = asked(time.monotonic() + 3600.0)
    assert all(3000.0 < left <= 3600.0 for left in seconds)
    late, other = (told["until"] for told in machines.told)
    assert other == pytest.approx(late, abs=1e-2), "one moment for all, by the clock of each one's start"
    for passed, left in ((-1.5, 1.5), (0.0, 0.0), (60.0, 0.0)):
        monkeypatch.setattr(worker.time, "time", lambda passed=passed: late + passed)
        machines.pool.write_bytes(machines.whole)
        for told in machines.told:
            worker.main(told)
        assert seconds[-2:] == pytest.approx([left] * 2, abs=1e-2)


def test_without_a_limit_there_is_none(asked):
    assert asked(None)[1] == [math.inf, math.inf]


def test_the_password_in_the_file_of_the_pool_is_for_its_owner_alone(asked, tmp_path):
    before = os.umask(0)
    try:
        machines, _ = asked(None)
    finally:
        os.umask(before)
    assert machines.modes == [0o600] and not list((tmp_path / "cluster").glob("*.pool"))
