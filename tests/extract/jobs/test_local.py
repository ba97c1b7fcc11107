"""Jobs on this machine: what they say and how they end is told, and none is left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from extract.jobs.fork_server import can_fork
from extract.jobs.job import Job, Needs
from extract.jobs.local import LocalMachine, read_log

STARTS = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"


SHARED = ("colorsys", "no_such_module")


def job(folder: Path, name: str, statement: str, stdin: str = "", imports: tuple[str, ...] = ()) -> Job:
    arguments = ("-n", "1", "-r", "1", statement)
    return Job(name, "timeit", arguments, folder / "logs" / f"{name}.txt", Needs(3), {"OWN": "1"}, stdin, imports)


class Told:
    """What a step hears of its jobs."""

    def __init__(self) -> None:
        self.news: list[dict[str, Any]] = []
        self.ends: dict[str, dict[str, Any]] = {}

    def hear(self, job: Job, news: dict[str, Any]) -> None:
        self.news.append(news)

    def end(self, job: Job, result: dict[str, Any]) -> None:
        self.ends[job.name] = result


@pytest.mark.parametrize("imports", [(), SHARED])
def test_what_jobs_say_and_how_they_end_is_told(tmp_path, imports):
    says = "import sys; print('{\"pid\": 1}'); print('[1]'); print('no news'); print(input(), file=sys.stderr)"
    shows = "import os, json; print(json.dumps({n: os.environ[n] for n in ('OWN', 'AFFECT_HEADS_THREADS')}))"
    dies = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    jobs = [job(tmp_path, "says", says, "told", imports), job(tmp_path, "shows", shows, "", imports)]
    jobs += [job(tmp_path, "fails", "1 / 0", "", imports), job(tmp_path, "dies", dies, "", imports)]
    told = Told()
    LocalMachine(2).run("test", jobs, told.hear, told.end)
    codes = {"says": 0, "shows": 0, "fails": 1, "dies": -9}
    assert {name: result["code"] for name, result in told.ends.items()} == codes
    assert told.ends["says"]["last"] == {"pid": 1} and told.ends["fails"]["last"] is None
    assert {"OWN": "1", "AFFECT_HEADS_THREADS": "3"} in told.news and len(told.news) == 2
    assert read_log(jobs[0].log) == ["told"] and "ZeroDivisionError" in read_log(jobs[2].log)[-1]


@pytest.mark.skipif(not can_fork(), reason="this system cannot wait for a process by a file")
def test_jobs_with_the_same_imports_come_from_one_process_that_has_made_them(tmp_path):
    shows = "import json, os, sys; print(json.dumps([os.getpid(), os.getppid(), 'colorsys' in sys.modules]))"
    shows = shows.replace("json.dumps([", "json.dumps({'is': [").replace("])", "]})")
    told, imports = Told(), {"a": SHARED, "b": SHARED, "c": ()}
    LocalMachine(1).run("test", [job(tmp_path, n, shows, "", i) for n, i in imports.items()], told.hear, told.end)
    a, b, c = (news["is"] for news in told.news)
    assert a[1] == b[1] != os.getpid() == c[1] and len({a[0], b[0], c[0], a[1]}) == 4
    assert (a[2], b[2], c[2]) == (True, True, False)
    with pytest.raises(psutil.NoSuchProcess):
        psutil.Process(a[1])


@pytest.mark.skipif(not can_fork(), reason="this system cannot wait for a process by a file")
def test_who_imports_more_comes_from_a_process_that_was_forked_by_that_of_the_first_import(tmp_path):
    shows = "import json, os, psutil, sys; parent = psutil.Process(os.getppid()); print(json.dumps({'is': "
    shows += "[os.getppid(), parent.ppid(), 'sndhdr' in sys.modules]}))"
    told, more, first = Told(), (*SHARED, "sndhdr"), SHARED[:1]
    jobs = [job(tmp_path, name, shows, "", imports) for name, imports in {"a": more, "b": first, "c": more}.items()]
    LocalMachine(1).run("test", jobs, told.hear, told.end)
    a, b, c = (news["is"] for news in told.news)
    assert a == c == [c[0], b[0], True] and b == [b[0], os.getpid(), False]
    for server in (a[0], b[0]):
        with pytest.raises(psutil.NoSuchProcess):
            psutil.Process(server)


@pytest.mark.skipif(not can_fork(), reason="this system cannot wait for a process by a file")
def test_where_their_server_is_killed_a_job_counts_as_killed_and_the_next_begins_without(tmp_path):
    kills = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    shows = "import os; print('{\"parent\": %d}' % os.getppid())"
    told = Told()
    jobs = [job(tmp_path, "kills", kills, "", SHARED), job(tmp_path, "shows", shows, "", SHARED)]
    told.hear = lambda _, news: told.news.append(news)  # type: ignore[method-assign]
    LocalMachine(1).run("test", iter(jobs), told.hear, told.end)
    assert {name: result["code"] for name, result in told.ends.items()} == {"kills": -9, "shows": 0}
    assert told.news == [{"parent": os.getpid()}]


@pytest.mark.skipif(not can_fork(), reason="this system cannot wait for a process by a file")
def test_where_the_server_above_its_own_was_killed_a_job_begins_without(tmp_path):
    kills = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    shows = "import os; print('{\"parent\": %d}' % os.getppid())"
    told = Told()
    jobs = [job(tmp_path, "kills", kills, "", SHARED[:1]), job(tmp_path, "shows", shows, "", (SHARED[0], "sndhdr"))]
    LocalMachine(1).run("test", iter(jobs), told.hear, told.end)
    assert {name: result["code"] for name, result in told.ends.items()} == {"kills": -9, "shows": 0}
    assert told.news == [{"parent": os.getpid()}]


@pytest.mark.skipif(not can_fork(), reason="this system cannot wait for a process by a file")
def test_what_an_import_of_the_server_above_says_stands_in_the_first_jobs_log(tmp_path, monkeypatch):
    source = "import sys, os\nprint('important words', file=sys.stderr, flush=True)\nos.abort()"
    (tmp_path / "speaks.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told, one = Told(), job(tmp_path, "a", "pass", "", ("speaks", "json"))
    LocalMachine(1).run("test", [one], told.hear, told.end)
    assert told.ends["a"]["code"] == -6 and "important words" in one.log.read_text()


@pytest.mark.skipif(not can_fork(), reason="this system cannot wait for a process by a file")
def test_a_server_in_a_long_import_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "takes_long.py").write_text("import time\ntime.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    began = time.monotonic()

    def look() -> None:
        if time.monotonic() - began > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs = [job(tmp_path, "a", "pass", "", ("takes_long", "json"))]
        LocalMachine(1).run("test", jobs, lambda *_: None, lambda *_: None, look)
    assert time.monotonic() - began < 30


@pytest.mark.skipif(not can_fork(), reason="this system cannot wait for a process by a file")
def test_threads_of_a_job_are_waited_for_and_what_is_left_for_the_end_is_done(tmp_path, monkeypatch):
    source = f"""
import atexit, threading, time
from pathlib import Path
atexit.register(lambda: Path({str(tmp_path)!r}, "at the end").touch())
threading.Thread(target=lambda: (time.sleep(0.5), Path({str(tmp_path)!r}, "in a thread").touch())).start()
"""
    (tmp_path / "works_on.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told, one = Told(), replace(job(tmp_path, "a", "pass", "", SHARED), module="works_on", arguments=())
    LocalMachine(1).run("test", [one], told.hear, told.end)
    assert told.ends["a"]["code"] == 0
    assert (tmp_path / "at the end").exists() and (tmp_path / "in a thread").exists()


@pytest.mark.skipif(not can_fork(), reason="this system cannot wait for a process by a file")
@pytest.mark.parametrize("imports", [("ends_at_once",), ("ends_at_once", "json"), ("json", "ends_at_once")])
@pytest.mark.parametrize(("source", "code"), [("import sys\nsys.exit(3)", 0), ("import os\nos.abort()", -6)])
def test_an_import_that_ends_its_process_is_left_to_the_jobs_or_told_as_it_was(
    tmp_path, monkeypatch, source, code, imports
):
    (tmp_path / "ends_at_once.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told = Told()
    jobs = [job(tmp_path, name, "pass", "", imports) for name in "ab"]
    LocalMachine(1).run("test", iter(jobs), told.hear, told.end)
    assert [result["code"] for result in told.ends.values()] == [code, 0], "the second begins without a server"


def test_where_a_system_cannot_wait_for_a_process_by_a_file_each_makes_its_imports(tmp_path, monkeypatch):
    def refuse(pid: int) -> int:
        raise PermissionError(1, "no")

    monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    can_fork.cache_clear()
    try:
        told = Told()
        shows = "import os; print('{\"parent\": %d}' % os.getppid())"
        LocalMachine(1).run("test", [job(tmp_path, "a", shows, "", SHARED)], told.hear, told.end)
        assert told.news == [{"parent": os.getpid()}] and told.ends["a"]["code"] == 0
    finally:
        can_fork.cache_clear()


@pytest.mark.skipif(not can_fork(), reason="this system cannot wait for a process by a file")
@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_what_ctrl_c_does_is_inherited(tmp_path, handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        told = Told()
        shows = "import signal; print('{\"ignored\": %d}' % (signal.getsignal(signal.SIGINT) == signal.SIG_IGN))"
        LocalMachine(1).run("test", [job(tmp_path, "a", shows, "", SHARED)], told.hear, told.end)
    finally:
        signal.signal(signal.SIGINT, before)
    assert told.news == [{"ignored": int(handler == signal.SIG_IGN)}]


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
    """Whether a process is one of the jobs', or forks them, and none of a server that other tests have started."""
    with contextlib.suppress(psutil.Error):
        return any("time.sleep(600)" in word or word == SHARED[0] for word in child.cmdline())
    return False


@pytest.mark.parametrize(("alone", "imports"), [(False, ()), (True, ()), (False, SHARED)])
def test_however_it_ends_no_process_is_left(tmp_path, alone, imports):
    started: list[psutil.Process] = []

    def look() -> None:
        here = [child for child in psutil.Process().children(recursive=True) if sleeps(child)]
        if len(here) >= (4 if alone else 3 if imports else 2):
            started.extend(here)
            raise KeyboardInterrupt

    statement = f"{STARTS}; p.wait()" if alone else "import time; time.sleep(600)"
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        jobs = [job(tmp_path, name, statement, "", imports) for name in "ab"]
        LocalMachine(2, alone).run("test", jobs, lambda *_: None, lambda *_: None, look)
    _, alive = psutil.wait_procs(started, timeout=30)
    assert started and not alive and time.monotonic() - began < 300
