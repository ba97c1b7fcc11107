"""Jobs on this machine: what they say and how they end is told, and none is left."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from extract.jobs.job import Job, Needs
from extract.jobs.local import LocalMachine, read_log

STARTS = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"


def job(folder: Path, name: str, statement: str, stdin: str = "") -> Job:
    arguments = ("-n", "1", "-r", "1", statement)
    return Job(name, "timeit", arguments, folder / "logs" / f"{name}.txt", Needs(3), {"OWN": "1"}, stdin)


class Told:
    """What a step hears of its jobs."""

    def __init__(self) -> None:
        self.news: list[dict[str, Any]] = []
        self.ends: dict[str, dict[str, Any]] = {}

    def hear(self, job: Job, news: dict[str, Any]) -> None:
        self.news.append(news)

    def end(self, job: Job, result: dict[str, Any]) -> None:
        self.ends[job.name] = result


def test_what_jobs_say_and_how_they_end_is_told(tmp_path):
    says = "import sys; print('{\"pid\": 1}'); print('[1]'); print('no news'); print(input(), file=sys.stderr)"
    shows = "import os, json; print(json.dumps({n: os.environ[n] for n in ('OWN', 'AFFECT_HEADS_THREADS')}))"
    jobs = [job(tmp_path, "says", says, "told"), job(tmp_path, "shows", shows), job(tmp_path, "fails", "1 / 0")]
    told = Told()
    LocalMachine(2).run("test", jobs, told.hear, told.end)
    assert {name: result["code"] for name, result in told.ends.items()} == {"says": 0, "shows": 0, "fails": 1}
    assert told.ends["says"]["last"] == {"pid": 1} and told.ends["fails"]["last"] is None
    assert {"OWN": "1", "AFFECT_HEADS_THREADS": "3"} in told.news and len(told.news) == 2
    assert read_log(jobs[0].log) == ["told"] and "ZeroDivisionError" in read_log(jobs[2].log)[-1]


def test_a_job_is_taken_when_it_can_begin_and_one_may_follow_another(tmp_path):
    told, taken, follows = Told(), [], [job(tmp_path, "follows", "pass")]

    def jobs():
        for name in "abcd":
            if told.ends:
                return
            taken.append(name)
            yield job(tmp_path, name, "pass")

    def end(ended: Job, result: dict[str, Any]) -> Job | None:
        told.end(ended, result)
        return follows.pop() if follows else None

    LocalMachine(1).run("test", jobs(), told.hear, end)
    assert taken == ["a"] and [*told.ends] == ["a", "follows"]


def sleeps(child: psutil.Process) -> bool:
    """Whether a process is one of the jobs', and none of a server that other tests have started."""
    with contextlib.suppress(psutil.Error):
        return any("time.sleep(600)" in word for word in child.cmdline())
    return False


@pytest.mark.parametrize("alone", [False, True])
def test_however_it_ends_no_process_is_left(tmp_path, alone):
    started: list[psutil.Process] = []

    def look() -> None:
        here = [child for child in psutil.Process().children(recursive=True) if sleeps(child)]
        if len(here) >= (4 if alone else 2):
            started.extend(here)
            raise KeyboardInterrupt

    statement = f"{STARTS}; p.wait()" if alone else "import time; time.sleep(600)"
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        jobs = [job(tmp_path, name, statement) for name in "ab"]
        LocalMachine(2, alone).run("test", jobs, lambda *_: None, lambda *_: None, look)
    _, alive = psutil.wait_procs(started, timeout=30)
    assert started and not alive and time.monotonic() - began < 300
