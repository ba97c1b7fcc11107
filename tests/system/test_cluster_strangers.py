"""Workers that do not belong to the run: refused at its start, left out where they come later."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from extract.config import ClusterSettings
from extract.jobs import cluster, session
from extract.jobs.job import Job
from extract.runtime.errors import InputError

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
SETTINGS = ClusterSettings()


def refused(where: str, work: Path, said: str) -> None:
    with pytest.raises(InputError, match=said), session.use_cluster(where, SETTINGS, work):
        pytest.fail("it was let in")


def old_version(folder: Path) -> Path:
    """The project, but for a comment."""
    for package in ("extract", "heads", "blend", "configs"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "heads" / "tasks.py", "a") as changed:
        changed.write("# as it was\n")
    return folder


def test_a_worker_with_another_version_is_refused_by_name(machines, tmp_path):
    old = old_version(tmp_path / "old")
    with machines(tmp_path) as some:
        some.worker("stale", root=old)
        refused(some.where, tmp_path, r"worker stale .*another version of the project, code \w{12} in .*old; ")
        some.end("stale")
        some.worker("none", root=without_project(tmp_path / "none"))
        refused(some.where, tmp_path, r"worker none .*cannot import the project")


def test_a_worker_that_does_not_see_the_work_folder_is_refused_by_name(machines, tmp_path):
    (tmp_path / "work").mkdir()
    hidden = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {tmp_path / "work"} && exec "$@"', "sh")
    try:
        subprocess.run([*hidden, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mount namespace may be made here")
    with machines(tmp_path) as some:
        some.worker("far", before=hidden)
        refused(some.where, tmp_path / "work", r"worker far .*does not see the work folder .*work \(No such file")


def without_project(folder: Path) -> Path:
    """Another thing of that name stands before the project, which may be installed."""
    folder.mkdir()
    (folder / "extract.py").write_text("")
    return folder


def waiting(work: Path, name: str) -> Job:
    """A job that says so when it has begun, and ends when the file `go` is there."""
    say = "import json, os, time\nprint(json.dumps(dict(begun=1)))"
    statement = f"{say}\nwhile not os.path.exists({str(work / 'go')!r}): time.sleep(0.05)"
    return Job(name, "timeit", ("-n", "1", "-r", "1", statement), work / "cluster" / "logs" / f"{name}.txt")


SECONDS = 300.0
"""What a test waits for has come by then, or never does."""


def in_time(until: float) -> None:
    assert time.monotonic() < until, "it has not come"


def record_of(work: Path) -> dict[str, dict]:
    return {job["job"]: job for job in json.loads((work / "cluster" / "some.json").read_text())["jobs"]}


@pytest.mark.slow
def test_workers_that_come_later_and_do_not_belong_are_left_out(machines, tmp_path, capfd):
    """Jobs that they were given go to those that belong, one that comes last too, and count as no failure of them."""
    with machines(tmp_path, "good") as some, session.use_cluster(some.where, SETTINGS, tmp_path):
        ours, done, until = session.current_cluster(), [], time.monotonic() + SECONDS

        def look() -> None:
            in_time(until)
            if "stale" not in some.processes:
                some.worker("stale", root=old_version(tmp_path / "old"))
            elif ours.refused_workers and "none" not in some.processes:
                some.worker("none", root=without_project(tmp_path / "none"))
            elif len(ours.refused_workers) == 2 and "late" not in some.processes:
                some.worker("late")
            elif any(" on worker late (" in log.read_text() for log in (tmp_path / "cluster" / "logs").iterdir()):
                (tmp_path / "go").touch()

        jobs = [waiting(tmp_path, f"job{k}") for k in range(8)]
        ours.run("some", jobs, lambda job, news: None, lambda job, result: done.append(result["worker"]), look)
    assert len(done) == 8 and {*done} == {"good", "late"}
    said = capfd.readouterr().err
    assert said.count("worker stale is left out: it has another version of the project, code ") == 1
    assert said.count("worker none is left out: it cannot import the project (") == 1
    failures = [one for job in record_of(tmp_path).values() for one in job["failures"]]
    assert {one["worker"] for one in failures} == {"stale", "none"}


@pytest.mark.slow
def test_where_only_such_are_left_jobs_wait_for_one_that_belongs(machines, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(cluster, "SECONDS_FOR_WORKERS", 600.0)  # a worker's start on a busy machine
    with machines(tmp_path, "good") as some, session.use_cluster(some.where, SETTINGS, tmp_path):
        ours, begun, until = session.current_cluster(), [], time.monotonic() + SECONDS

        def look() -> None:
            in_time(until)
            if begun and [*some.processes] == ["scheduler", "good"]:
                some.worker("stale", root=old_version(tmp_path / "old"))
            elif "good" in some.processes and len(ours.workers()) == 2:
                some.end("good")
            elif ours.refused_workers and "better" not in some.processes:
                (tmp_path / "go").touch()
                some.worker("better")

        ours.run("some", [waiting(tmp_path, "one")], lambda job, news: begun.append(news), lambda *_: None, look)
    one = record_of(tmp_path)["one"]
    assert one["starts"] == ["good", "better"] and [failure["worker"] for failure in one["failures"]] == ["stale"]
    assert "worker stale is left out" in capfd.readouterr().err
