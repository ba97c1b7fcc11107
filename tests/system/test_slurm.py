"""`--cluster slurm` on a real SLURM of one node: the bytes of a local run, through jobs that are cancelled, killed for
their memory or their time, and a node that is drained.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import slurm_cluster
from support.slurm_cluster import SlurmCluster

pytest.importorskip("dask_jobqueue")
if reason := slurm_cluster.explain_absence():
    pytest.skip(reason, allow_module_level=True)
ROOT = Path(__file__).parents[2]
CLUSTER = """
[cluster]
queue = "{queue}"
nodes = {nodes}
cores = 1
memory = "{memory}"
walltime = "{walltime}"
interface = "lo"
job_script_prologue = {prologue}
"""
SECONDS = 300.0
NETWORK = "demo_mt_enet"


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """A cluster for all tests of this file."""
    with slurm_cluster.start_cluster() as cluster:
        yield cluster


def config(few: Path, folder: Path, **settings: object) -> Path:
    """The corpus of few videos with a [cluster] section."""
    given = {"queue": "night", "nodes": 2, "memory": "4GB", "walltime": "00:30:00", "prologue": "[]"} | settings
    folder.mkdir(exist_ok=True)
    text = few.read_text().replace('"frames"', json.dumps(str(few.parent / "frames")))
    for task in ("au", "expr", "va"):
        text = text.replace(f'"{task}/', f'"{few.parent}/{task}/')
    (folder / "slurm.toml").write_text(text + CLUSTER.format(**given))
    return folder / "slurm.toml"


def start(slurm: SlurmCluster, module: str, config: Path, work: Path, *more: str) -> subprocess.Popen[str]:
    looks_often = (
        "import runpy, sys; from extract.jobs import slurm; slurm.SECONDS_BETWEEN_LOOKS = 2.0; "
        "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", looks_often, module, "--config", str(config), "--work", str(work), *more]
    environment = os.environ | slurm.environment | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for its end; returns stderr."""
    try:
        return process.communicate(timeout=SECONDS)[1]
    finally:
        process.kill()


def wait(process: subprocess.Popen[str], seen: Callable[[], object], what: str) -> None:
    until = time.monotonic() + SECONDS
    while not seen():
        assert process.poll() is None, (what, process.communicate())
        assert time.monotonic() < until, what
        time.sleep(0.05)


def results(work: Path) -> dict[str, bytes]:
    names = ("features/*/*.safetensors", "heads/*/*/*.parquet", "blend/*/submission.txt", "blend/*/params.json")
    return {str(path.relative_to(work)): path.read_bytes() for name in names for path in sorted(work.glob(name))}


def of_tasks(work: Path, *tasks: str) -> dict[str, bytes]:
    """The results of these tasks, and the features, which serve all."""
    return {name: content for name, content in results(work).items() if name.split("/")[1] in (*tasks, NETWORK)}


def test_a_run_gives_the_bytes_of_a_local_one_though_a_job_is_cancelled(few_videos, few_blends, slurm, tmp_path):
    file, work = config(few_videos, tmp_path / "c"), tmp_path / "work"
    process = start(slurm, "blend.run", file, work, "--task", "au", "--cluster", "slurm")
    wait(process, lambda: slurm.jobs("R"), "a batch job runs")
    cancelled = slurm.jobs("R")[0]
    slurm.run("scancel", cancelled)
    error = ended(process)
    assert process.returncode == 0, error
    assert "JobState=CANCELLED" in slurm.history(cancelled)
    assert results(work) == of_tasks(few_blends, "au")
    record = json.loads((work / "cluster" / "extract.json").read_text())
    assert record["cluster"] == "slurm" and not record["given_up"]
    wait_for_no_jobs(slurm)


@pytest.mark.slow
def test_the_other_tasks_give_the_bytes_of_local_runs_too(few_videos, few_blends, slurm, tmp_path):
    file, work = config(few_videos, tmp_path / "c"), tmp_path / "work"
    for task in ("expr", "va"):
        process = start(slurm, "blend.run", file, work, "--task", task, "--cluster", "slurm")
        error = ended(process)
        assert process.returncode == 0, error
    assert results(work) == of_tasks(few_blends, "expr", "va")
    wait_for_no_jobs(slurm)


def wait_for_no_jobs(slurm: SlurmCluster) -> None:
    until = time.monotonic() + 60
    while left := slurm.jobs():
        assert time.monotonic() < until, f"batch jobs are cancelled at the end of a run: {left}"
        time.sleep(0.2)


def test_while_the_node_is_drained_the_run_waits_and_then_goes_on(few_videos, few_blends, slurm, tmp_path):
    slurm.run("scontrol", "update", "nodename=localhost", "state=drain", "reason=test")
    work = tmp_path / "work"
    process = start(slurm, "extract.run", config(few_videos, tmp_path / "c"), work, "--cluster", "slurm")
    try:
        wait(process, lambda: len(slurm.jobs("PD")) == 2, "two batch jobs wait")
        time.sleep(3)
        assert process.poll() is None and not slurm.jobs("R") and not list(work.glob("features/*/*.safetensors"))
    finally:
        slurm.run("scontrol", "update", "nodename=localhost", "state=resume")
    error = ended(process)
    assert process.returncode == 0, error
    assert results(work) == of_tasks(few_blends)


@pytest.mark.slow
def test_jobs_that_need_more_memory_than_they_may_have_are_told_in_one_line(few_videos, slurm, tmp_path):
    """SLURM kills a batch job of 60 MB while its worker is loaded: it ends before the worker comes, again and again."""
    work = tmp_path / "work"
    file = config(few_videos, tmp_path / "c", memory="60MB", nodes=1)
    process = start(slurm, "extract.run", file, work, "--cluster", "slurm")
    error = ended(process)
    assert process.returncode == 2 and "Traceback" not in error, error
    last = error.splitlines()[-1]
    assert last.startswith("error: --cluster slurm: 3 batch jobs ended before their workers came"), error
    assert "(SLURM says OUT_OF_MEMORY: more than cluster.memory was used: give it more)" in last, last
    wait_for_no_jobs(slurm)


@pytest.mark.slow
def test_jobs_that_end_at_their_walltime_cost_nothing_that_was_finished(few_videos, few_blends, slurm, tmp_path):
    """SLURM counts whole minutes; what the first job is given to do sleeps longer, so that it ends while it works."""
    mark, work, slow = tmp_path / "first", tmp_path / "work", tmp_path / "slow"
    slow.mkdir()
    sleeps = "import sys, time\nif 'extract.cluster_job' in sys.orig_argv:\n    time.sleep(300)\n"
    (slow / "sitecustomize.py").write_text(sleeps)
    prologue = json.dumps([f"mkdir {mark} 2>/dev/null && export PYTHONPATH={slow}:$PYTHONPATH"])
    file = config(few_videos, tmp_path / "c", walltime="00:01:00", nodes=1, prologue=prologue)
    process = start(slurm, "extract.run", file, work, "--cluster", "slurm")
    error = ended(process)
    assert process.returncode == 0, error
    assert "ended (SLURM says TIMEOUT: cluster.walltime was over); another is asked for" in error
    assert results(work) == of_tasks(few_blends)
    wait_for_no_jobs(slurm)


def test_batch_jobs_that_end_before_their_workers_come_are_not_waited_for(few_videos, slurm, tmp_path):
    work = tmp_path / "work"
    process = start(
        slurm, "extract.run", config(few_videos, tmp_path / "c", nodes=1, prologue='["exit 1"]'), work,
        "--cluster", "slurm",
    )  # fmt: skip
    error = ended(process)
    assert process.returncode == 2 and "Traceback" not in error, error
    assert error.splitlines()[-1].startswith("error: --cluster slurm: 3 batch jobs ended before their workers came")
    assert str(work / "cluster" / "slurm") in error


def test_what_sbatch_refuses_is_one_line_and_exit_code_2(few_videos, slurm, tmp_path):
    process = start(
        slurm,
        "extract.run",
        config(few_videos, tmp_path / "c", queue="nowhere"),
        tmp_path / "work",
        "--cluster",
        "slurm",
    )
    error = ended(process)
    assert process.returncode == 2 and "Traceback" not in error, error
    last = error.splitlines()[-1]
    assert last.startswith("error: --cluster slurm: sbatch: ") and "invalid partition specified: nowhere" in last
    assert not list((tmp_path / "work").glob(".cluster-*"))
