from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from extract.runtime.errors import WorkError
from heads.families.lama import pool as lama_pool

FAKE = """
import os, sys, time
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
while True:
    try:
        order = connection.recv()
    except EOFError:
        sys.exit()
    what, seconds = order.split()
    time.sleep(float(seconds))
    if what == "dies":
        os._exit(3)
    connection.send((None, "oops") if what == "fails" else (what, None))
"""


@dataclass
class Known:
    """The processes that were started."""

    workers: list[lama_pool.Worker]


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Known]:
    """Workers run FAKE: no libraries."""
    (tmp_path / "fake.py").write_text(FAKE)
    popen, found = lama_pool.subprocess.Popen, Known([])
    monkeypatch.setattr(
        lama_pool.subprocess,
        "Popen",
        lambda command, **more: popen([sys.executable, str(tmp_path / "fake.py"), command[-1]], **more),
    )
    monkeypatch.setattr(lama_pool, "_idle", [])
    made = lama_pool.Worker.__init__

    def note(self: lama_pool.Worker) -> None:
        made(self)
        found.workers.append(self)

    monkeypatch.setattr(lama_pool.Worker, "__init__", note)
    yield found
    lama_pool.close()
    assert all(worker.process.poll() is not None for worker in found.workers), "no process is left behind"


def run(orders: list[str], at_once: int, seconds: float = 60.0) -> tuple[list[str | None], list[int]]:
    done: list[int] = []
    found = lama_pool.run(len(orders), orders.__getitem__, at_once, time.monotonic() + seconds, done.append)
    return found, done


def test_orders_are_fitted_some_at_once_and_processes_serve_again(known: Known) -> None:
    found, done = run(["a 0.2", "b 0", "c 0", "d 0.1"], 2)
    assert found == ["a", "b", "c", "d"] and done == [1, 2, 3, 4]
    assert run(["e 0"], 2) == (["e"], [1])
    assert len(known.workers) == 2
    assert run([], 2) == ([], [])


def test_when_the_time_is_up_what_runs_is_ended_and_what_is_finished_stays(known: Known) -> None:
    began = time.monotonic()
    found, done = run(["a 0", "b 60", "c 0", "d 0"], 1, seconds=3)
    assert found == ["a", None, None, None] and done == [1]
    assert time.monotonic() - began < 30
    assert run(["e 0"], 1)[0] == ["e"]


def test_a_failure_is_raised_with_its_reason_and_the_others_are_ended(known: Known) -> None:
    with pytest.raises(RuntimeError, match="LightAutoML failed: oops"):
        run(["a 60", "fails 0"], 2)
    with pytest.raises(WorkError, match=r"ended with exit code 3 .* lower max_rows"):
        run(["dies 0"], 1)
