from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from extract.config import TaskPaths
from extract.jobs import job as machine_jobs
from extract.jobs import local
from extract.jobs.local import LocalMachine
from extract.runtime.errors import InputError, WorkError
from extract.runtime.process import ROOT
from heads.data.table import Source
from heads.train import processes
from heads.train.job import Job

FAKE = """
import os, sys, json
from pathlib import Path
from extract.runtime import run_folder
from heads.train.job import Job
job = Job.read(Path(sys.argv[-1]))
print("a library prints something")
print(json.dumps({"done": 0.5, "note": "half"}), flush=True)
how = job.settings["how"]
if how == "input":
    print("some warning", file=sys.stderr)
    print("error: frame 3 is bad", file=sys.stderr)
    sys.exit(2)
if how == "bug":
    raise ZeroDivisionError("oops")
if how == "killed":
    import signal
    os.kill(os.getpid(), signal.SIGKILL)
(job.folder / "cores").write_text(os.environ["AFFECT_HEADS_THREADS"])
if how == "well":
    run_folder.finish(job.folder, job.mark, {}, [])
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run FAKE instead of heads.train: no libraries, no data."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    monkeypatch.setattr(local, "can_fork", lambda: False)
    popen = local.subprocess.Popen
    monkeypatch.setattr(
        local.subprocess, "Popen", lambda command, **more: popen([sys.executable, str(script), command[-1]], **more)
    )


def job(work: Path, name: str, how: str) -> Job:
    return Job(name, "au", {"how": how}, [], work, TaskPaths(train=work, val=work), 0, "mark", "learning")


def done(work: Path) -> set[str]:
    return {path.parent.name for path in (work / "heads" / "au").glob("*/DONE")}


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(("names", "each"), [("a", 6), ("ab", 3), ("abc", 3)])
def test_jobs_share_the_cores(names: str, each: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "CORES", 6)
    monkeypatch.setattr(processes, "AT_ONCE", 2)
    processes.run_jobs([job(tmp_path, name, "well") for name in names], "test")
    assert {path.read_text() for path in (tmp_path / "heads" / "au").glob("*/cores")} == {str(each)}


@pytest.mark.usefixtures("fake")
def test_all_jobs_run(tmp_path: Path) -> None:
    processes.run_jobs([job(tmp_path, name, "well") for name in "abcde"], "test")
    assert done(tmp_path) == set("abcde")
    processes.run_jobs([], "nothing to do")


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("input", InputError, "^head bad: frame 3 is bad$"),
        ("bug", RuntimeError, "(?s)head bad ended with exit code 1; .*ZeroDivisionError: oops"),
        ("killed", WorkError, "head bad was ended by signal 9"),
        ("silent", RuntimeError, "head bad ended with exit code 0"),
    ],
)
def test_failures_are_named_and_running_jobs_may_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, kind: type[Exception], said: str
) -> None:
    monkeypatch.setattr(processes, "AT_ONCE", 2)
    jobs = [job(tmp_path, name, how if name == "bad" else "well") for name in ("bad", "good", *"xyzuvw")]
    with pytest.raises(kind, match=said):
        processes.run_jobs(jobs, "test")
    assert "good" in done(tmp_path) and len(done(tmp_path)) < 7, "none is started after a failure"


@pytest.mark.usefixtures("fake")
def test_bad_input_is_shown_before_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "AT_ONCE", 2)
    with pytest.raises(InputError, match="head b"):
        processes.run_jobs([job(tmp_path, "a", "bug"), job(tmp_path, "b", "input")], "test")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not share out single cores")
def test_only_cores_that_this_process_may_use_count() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    code += "; from heads.train.processes import CORES, AT_ONCE; print(CORES, AT_ONCE)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1", "1"]


@pytest.mark.usefixtures("fake")
def test_what_learns_from_most_networks_begins_first_and_libraries_are_shared_by_families_with_several_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[machine_jobs.Job] = []
    monkeypatch.setattr(LocalMachine, "run", lambda _self, _what, jobs, *_rest: sent.extend(jobs))
    families = {"one": ("mlp", 1), "two": ("lightgbm", 1), "all": ("mlp", 2), "lama": ("lama", 2)}
    jobs = [
        replace(job(tmp_path, name, "well"), settings={"family": kind}, sources=[Source("n", ("va",))] * networks)
        for name, (kind, networks) in families.items()
    ]
    processes.run_jobs(jobs, "test")
    assert [job.name.removeprefix("head-au-") for job in sent] == ["all", "lama", "one", "two"]
    keras = "heads.families.mlp.network:load"
    assert [keras in job.imports for job in sent] == [True, False, True, False]
    assert sent[1].imports == sent[3].imports == ("heads.train.job",) == sent[0].imports[:1]
