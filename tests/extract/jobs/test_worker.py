"""A worker's side without a scheduler: the looks at the project and the folder, and a job's process."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from extract.jobs import worker as cluster_worker
from extract.jobs.job import Job, Needs

SHOW = "import os, json; print(json.dumps({{name: os.environ.get(name) for name in {names}}}))"


@pytest.fixture
def expected(tmp_path: Path) -> dict:
    (tmp_path / "token").write_text("secret")
    return {"facts": cluster_worker.facts(), "token": str(tmp_path / "token"), "secret": "secret"}


class Worker:
    """What `run` asks of Dask's: who it is, whether the job is still wanted, and where news go."""

    def __init__(self, gpus: int = 0) -> None:
        self.name, self.address, self.status = "one", "tcp://here:1", SimpleNamespace(name="running")
        self.task = SimpleNamespace(state="executing")
        self.state = SimpleNamespace(total_resources={"GPU": gpus} if gpus else {}, tasks={"key": self.task})
        self.told: list[dict] = []

    def get_current_task(self) -> str:
        return "key"

    def log_event(self, topic: str, what: dict) -> None:
        assert topic == "topic"
        self.told.append(what)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    distributed = pytest.importorskip("distributed")
    one = Worker()
    monkeypatch.setattr(distributed, "get_worker", lambda: one)
    return one


def told(work: Path, statement: str, threads: int = 1, *, gpu: bool = False, stdin: str = "") -> dict:
    arguments = ("-n", "1", "-r", "1", statement)
    return Job("some", "timeit", arguments, work / "logs" / "some.txt", Needs(gpu=gpu), {"OWN": "1"}, stdin).as_message(
        threads
    )


def test_a_worker_like_this_one_belongs_and_any_other_does_not(expected, tmp_path):
    assert cluster_worker.find_difference(expected) == ""
    facts = expected["facts"]
    assert facts["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}" and len(facts["affect-heads"]) == 12
    other = expected | {"facts": facts | {"affect-heads": "0" * 12}}
    assert "another version of the project, code " + facts["affect-heads"] in cluster_worker.find_difference(other)
    assert "the run has " + "0" * 12 in cluster_worker.find_difference(other)
    other = expected | {"facts": facts | {"numpy": "0.1"}}
    assert cluster_worker.find_difference(other).startswith(f"it has another numpy, {facts['numpy']} in ")
    (tmp_path / "token").write_text("of another run")
    assert "is another folder than the run's" in cluster_worker.find_difference(expected)
    (tmp_path / "token").unlink()
    assert f"does not see the work folder {tmp_path} (No such file" in cluster_worker.find_difference(expected)


def test_a_worker_that_does_not_belong_runs_nothing(worker, expected, tmp_path):
    (tmp_path / "token").unlink()
    result = cluster_worker.run(told(tmp_path, "pass"), expected, "topic")
    assert "does not see" in result["refused"] and result["worker"] == "one" and result["address"] == "tcp://here:1"
    assert not worker.told and not (tmp_path / "logs").exists()


def test_a_job_is_a_process_whose_end_is_told(worker, expected, tmp_path):
    said = "import sys; print('{\\\"done\\\": 1}'); print('no news'); print(input(), file=sys.stderr)"
    result = cluster_worker.run(told(tmp_path, said, stdin="told on stdin"), expected, "topic")
    assert result["code"] == 0 and result["last"] == {"done": 1} and result["seconds"] >= 0
    log = (tmp_path / "logs" / "some.txt").read_text().splitlines()
    assert log[0].startswith("--- some on worker one (") and log[-1] == "told on stdin" == result["tail"][-1]
    assert all(one["job"] == "some" and one["by"] == "one" and one["key"] == "key" for one in worker.told)
    first, *_, last = worker.told
    assert first["news"].keys() == {"started"} and json.loads(last["result"]) == result


def test_the_project_that_was_looked_at_is_the_one_that_runs(worker, expected, tmp_path, monkeypatch):
    """Not one that lies in the folder where the command was given, as an old clone may on that machine."""
    (tmp_path / "timeit.py").write_text("raise SystemExit('another')")
    monkeypatch.chdir(tmp_path)
    show = SHOW.format(names=("PYTHONPATH", "AFFECT_HEADS_THREADS", "OMP_NUM_THREADS", "OWN", "CUDA_VISIBLE_DEVICES"))
    result = cluster_worker.run(told(tmp_path, show, 3), expected, "topic")
    assert result["code"] == 0, result["tail"]
    assert result["last"].pop("PYTHONPATH").split(os.pathsep)[0] == str(cluster_worker.ROOT)
    assert result["last"] == {
        "AFFECT_HEADS_THREADS": "3",
        "OMP_NUM_THREADS": "3",
        "OWN": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
    }


def test_a_job_that_is_not_wanted_any_more_is_ended_and_not_told_as_a_failure(worker, expected, tmp_path):
    def cancel() -> None:
        while not worker.told:
            time.sleep(0.01)
        worker.task.state = "cancelled"

    threading.Thread(target=cancel).start()
    began = time.monotonic()
    result = cluster_worker.run(told(tmp_path, "import time; time.sleep(600)"), expected, "topic")
    assert result["unwanted"] and result["code"] == -9 and time.monotonic() - began < 300
    assert not any("result" in one for one in worker.told)


def test_jobs_on_gpus_get_one_each(monkeypatch):
    gpu, cpu = {"gpu": True}, {"gpu": False}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with (
        cluster_worker._device(gpu, 2) as first,
        cluster_worker._device(gpu, 2) as second,
        cluster_worker._device(cpu, 2) as none,
    ):
        assert [first, second, none] == ["3", "5", "-1"]
        with cluster_worker._device(gpu, 2) as third:
            assert third == "3"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with cluster_worker._device(gpu, 2) as first, cluster_worker._device(gpu, 2) as second:
        assert [first, second] == ["0", "1"]
    with cluster_worker._device(gpu, 0) as seen, cluster_worker._device(cpu, 0) as none:
        assert seen is None and none == "-1", "where workers do not say, a job sees what the worker sees"


def test_progress_is_told_at_most_once_a_second_and_all_else_at_once(monkeypatch):
    now = iter((100.0, 100.4, 100.8, 101.2))
    monkeypatch.setattr(cluster_worker, "time", SimpleNamespace(monotonic=lambda: next(now)))
    heard: queue.Queue[dict | None] = queue.Queue()
    for news in ({"done": 1}, {"done": 2}, {"error": "x", "trial": 3}, {"done": 3}, None):
        heard.put(news)
    told: list = []
    last = cluster_worker._follow(heard, told.append, lambda: True)
    assert told == [{"done": 1}, {"error": "x", "trial": 3}] and last == {"done": 3}
    assert json.dumps(told)
