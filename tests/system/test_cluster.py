"""A real scheduler and real workers on this machine: the same bytes as without them, whatever is killed or cut off."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from support import command_server

from blend import run as blend_run
from blend.config import Config
from extract import config
from extract import run as extract_run
from extract.config import ClusterSettings
from extract.jobs import cluster, session
from extract.jobs.job import Job, Needs
from extract.runtime.errors import InputError, WorkError
from heads import run as heads_run
from heads.config import Config as HeadsConfig
from heads.tune import search as tune_search

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
SETTINGS = ClusterSettings()
LITTLE = Needs()


def job(work: Path, name: str, statement: str, *, needs: Needs = LITTLE) -> Job:
    """Python that runs on a worker; a module that takes a statement is at hand everywhere."""
    return Job(name, "timeit", ("-n", "1", "-r", "1", statement), work / "cluster" / "logs" / f"{name}.txt", needs)


def results(work: Path) -> dict[str, bytes]:
    """Features, predictions, submissions and what the blend is applied by."""
    names = ("features/*/*.safetensors", "heads/*/*/*.parquet", "blend/*/submission.txt", "blend/*/params.json")
    return {str(path.relative_to(work)): path.read_bytes() for name in names for path in sorted(work.glob(name))}


def run_all(few: Path, work: Path) -> None:
    """Heads of all three tasks, and one submission: the blend of each is made here in any case."""
    for task in ("au", "expr"):
        heads_run.main(config.load(HeadsConfig, few), task, work)
    blend_run.main(config.load(Config, few), "va", work)


@pytest.mark.slow
def test_all_three_tasks_give_the_bytes_of_a_run_without_a_cluster(few_videos, few_blends, three, tmp_path):
    with session.use_cluster(three.where, SETTINGS, tmp_path):
        run_all(few_videos, tmp_path)
    found = results(tmp_path)
    alone = results(few_blends)
    assert found == {name: alone[name] for name in alone if not name.startswith(("blend/au/", "blend/expr/"))}
    assert {name.split("/")[0] for name in found} == {"features", "heads", "blend"} and len(found) > 10
    record = json.loads((tmp_path / "cluster" / "heads-va.json").read_text())
    assert [job["job"] for job in record["jobs"]] == ["head-va-lightgbm-demo_mt_enet"] and not record["given_up"]
    assert record["jobs"][0]["worker"] in ("one", "two", "three") and record["jobs"][0]["seconds"] > 0
    assert not list((tmp_path / "cluster" / "logs").iterdir()), "logs are kept of failures only"
    assert not list(tmp_path.glob(".cluster-*"))


def test_what_was_begun_here_is_finished_there_and_the_other_way_round(few_videos, few_blends, three, tmp_path):
    settings = config.load(config.Config, few_videos)
    store = tmp_path / "features" / "demo_mt_enet"
    for first, second in ((cluster.LOCAL, three.where), (three.where, cluster.LOCAL)):
        with session.use_cluster(first, SETTINGS, tmp_path):
            extract_run.main(settings, tmp_path)
        kept = sorted(store.glob("*.safetensors"))
        for path in kept[::2]:
            path.unlink()
        before = {path: path.stat().st_mtime_ns for path in kept[1::2]}
        with session.use_cluster(second, SETTINGS, tmp_path):
            extract_run.main(settings, tmp_path)
        assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing is done twice"
        assert {path.name: path.read_bytes() for path in kept} == {
            path.name: path.read_bytes() for path in (few_blends / "features" / "demo_mt_enet").glob("*.safetensors")
        }
        shutil.rmtree(store)


def test_a_job_that_fails_on_three_workers_is_told_with_its_log_and_the_others_go_on(three, tmp_path, capfd):
    done = []
    jobs = [job(tmp_path, "bad", "import sys; sys.exit('it is broken')")]
    jobs += [job(tmp_path, f"good{k}", f"open({str(tmp_path / f'good{k}')!r}, 'w').close()") for k in range(5)]
    with (
        session.use_cluster(three.where, SETTINGS, tmp_path),
        pytest.raises(WorkError, match=r"(?s)1 of 6 jobs.*bad, on .*it is broken"),
    ):
        session.current_cluster().run("some", jobs, lambda job, news: None, lambda job, result: done.append(job.name))
    assert sorted(done) == [f"good{k}" for k in range(5)] and all((tmp_path / name).exists() for name in done)
    record = json.loads((tmp_path / "cluster" / "some.json").read_text())
    [bad] = [job for job in record["jobs"] if job["job"] == "bad"]
    assert sorted(failure["worker"] for failure in bad["failures"]) == ["one", "three", "two"]
    assert record["given_up"] == ["bad"] and "bad failed on" in capfd.readouterr().err
    assert (tmp_path / "cluster" / "logs" / "bad.txt").read_text().count("SystemExit: it is broken") == 3


def test_bad_input_that_two_workers_find_in_a_job_is_bad_input_of_the_run(three, tmp_path):
    odd = Job("odd", "extract.tabular", ("none.csv", "--name", "x", "--work", str(tmp_path)), tmp_path / "log.txt")
    with (
        session.use_cluster(three.where, SETTINGS, tmp_path),
        pytest.raises(InputError, match=r"^none\.csv: .* \(on workers \w+, \w+\)$"),
    ):
        session.current_cluster().run("odd", [odd], lambda *_: None, lambda *_: None)
    [record] = json.loads((tmp_path / "cluster" / "odd.json").read_text())["jobs"]
    assert len({failure["worker"] for failure in record["failures"]}) == len(record["failures"]) == 2


def test_bad_input_on_the_command_line_is_one_line_and_exit_code_2(few_videos, three, tmp_path):
    command = [sys.executable, "-m", "extract.run", "--config", str(few_videos), "--work", str(tmp_path)]
    (tmp_path / "features").write_text("no folder")
    said = {"dask://here": "--cluster dask://here: expected local, dask://HOST:PORT or slurm"}
    for where in ("dask://here", three.where):
        done = command_server.run([*command, "--cluster", where], cwd=ROOT)
        last = done.stderr.splitlines()[-1]
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert last.startswith("error: ") and said.get(where, "cannot be written") in last


def test_threads_memory_and_gpus_are_claimed_where_workers_have_them(tmp_path, machines):
    names = ("AFFECT_HEADS_THREADS", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    show = f"import os, json; print(json.dumps({{name: os.environ.get(name) for name in {names}}}))"
    seen = {}
    with machines(tmp_path) as some:
        some.worker("plain", "--resources", "THREADS=4 MEMORY=8e9")
        some.worker("fast", "--resources", "THREADS=4 MEMORY=8e9 GPU=1")
        with session.use_cluster(some.where, SETTINGS, tmp_path):
            while len(session.current_cluster().workers()) < 2:  # what jobs are claimed by
                time.sleep(0.1)
            jobs = [job(tmp_path, "small", show), job(tmp_path, "wide", show, needs=Needs(3, 10**9))]
            jobs.append(job(tmp_path, "gpu", show, needs=Needs(64, 10**12, gpu=True)))
            ran = {}
            session.current_cluster().run(
                "all",
                jobs,
                lambda job, news: None,
                lambda job, result: ran.update({job.name: result["worker"]}) or seen.update({job.name: result["last"]}),
            )
    seen = {name: [*last.values()] for name, last in seen.items()}
    own = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    assert seen["small"] == ["1", "1", "-1"] and seen["wide"] == ["3", "3", "-1"]
    assert seen["gpu"] == ["4", "4", own]
    assert ran["gpu"] == "fast"


def test_a_search_on_a_cluster_needs_a_storage_that_machines_share(few_videos, three, tmp_path):
    """Searches themselves are in test_cluster_chain."""
    wanted = tune_search.SearchRequest("va", 6, "lightgbm-demo_mt_enet", workers=2)
    with session.use_cluster(three.where, SETTINGS, tmp_path), pytest.raises(InputError, match="--storage"):
        tune_search.main(config.load(HeadsConfig, few_videos), wanted, tmp_path)
    assert not (tmp_path / "features").exists()
