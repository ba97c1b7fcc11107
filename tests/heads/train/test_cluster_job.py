"""What heads ask of a cluster, and what a worker does with it; no cluster is there."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from extract import config as extract_config
from extract.config import ClusterSettings, TaskPaths
from extract.features import store
from extract.jobs import cluster, session
from extract.runtime import run_folder
from extract.runtime.errors import WorkError
from heads import run as heads_run
from heads.config import Config
from heads.data.table import Source
from heads.train import cluster_job, processes
from heads.train import job as training_job
from heads.train.job import Job


def job(work: Path, name: str, family: str) -> Job:
    source = Source("net", ("logits",))
    paths = TaskPaths(train=Path("annotations/train"), val=Path("annotations/val"))
    return Job(name, "au", {"family": family}, [source], work, paths, 0, "mark", "learning")


@pytest.fixture
def told(corpus, monkeypatch) -> Job:
    """What a worker is told of a head, as heads.run makes it."""
    jobs: list[Job] = []
    monkeypatch.setattr(processes, "run_jobs", lambda some, what: jobs.extend(some))
    text = '[heads.va]\nuse = ["lightgbm"]\n[heads.va.lightgbm]\ntrees = 5\n'
    heads_run.main(extract_config.load(Config, corpus.toml(text)), "va", corpus.work)
    return jobs[0]


class Machines:
    """Keeps the jobs; each is finished by `finish` before its end is told."""

    settings = ClusterSettings(threads=3)

    def __init__(self, finish) -> None:
        self.finish, self.sent = finish, []

    def log(self, name: str) -> Path:
        return Path(f"{name}.txt")

    def run(self, what, jobs, heard, ended):
        self.sent = [*jobs]
        for one in self.sent:
            heard(one, {"done": 0.5, "note": "half"})
            heard(one, {"done": None})
            self.finish(one)
            if (after := ended(one, {})) is not None:
                self.sent.append(after)


class Bar:
    def __init__(self) -> None:
        self.said: list[tuple[int, str]] = []

    def advance(self, count: int, note: str) -> None:
        self.said.append((count, note))


def test_heads_are_told_absolute_paths_and_leave_gpus_to_the_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "features" / "net").mkdir(parents=True)
    (tmp_path / "features" / "net" / "v.safetensors").write_bytes(b"0" * 1000)
    jobs = [job(tmp_path, "boosted", "lightgbm"), job(tmp_path, "deep", "sequence")]

    def finish(one) -> None:
        told = Job.from_json(json.loads(one.stdin))
        run_folder.begin(told.folder)
        run_folder.finish(told.folder, told.mark, {}, [])

    machines, bar = Machines(finish), Bar()
    monkeypatch.setattr(session, "_current", machines)
    monkeypatch.setattr(processes, "progress", lambda *given, **more: nullcontext(bar))
    processes.run_jobs(jobs, "heads au")
    assert [one.name for one in machines.sent] == ["head-au-boosted", "head-au-deep"]
    assert [one.needs.gpu for one in machines.sent] == [False, True]
    for one, ours in zip(machines.sent, jobs, strict=True):
        told = Job.from_json(json.loads(one.stdin))
        assert told.paths == TaskPaths(train=tmp_path / "annotations" / "train", val=tmp_path / "annotations" / "val")
        assert told.mark == ours.mark and told.settings == ours.settings and told.sources == ours.sources
        assert "CUDA_VISIBLE_DEVICES" not in one.environment and one.environment["PYTHONHASHSEED"] == "0"
        assert one.needs.threads == 3
        assert one.needs.memory == int(cluster_job.LIBRARIES_MEMORY + 1000 * cluster_job.ROWS_MEMORY)
    assert [count for count, _ in bar.said] == [50, 50, 50, 50] and bar.said[0][1] == "boosted: half"


def test_bags_are_jobs_of_their_own_and_the_head_comes_when_they_are_seen(corpus, tmp_path, monkeypatch):
    jobs: list[Job] = []
    monkeypatch.setattr(processes, "run_jobs", lambda some, what: jobs.extend(some))
    text = '[heads.va]\nuse = ["lightgbm"]\n[heads.va.lightgbm]\ntrees = 5\nbags = 2\nrefit_val = true\n'
    heads_run.main(extract_config.load(Config, corpus.toml(text, '["one"]')), "va", corpus.work)
    monkeypatch.undo()
    slept = []

    def appear(_: float) -> None:  # a worker does not see at once what another has finished
        slept.append(1)
        hidden.rename(hidden.with_name("DONE"))

    def finish(one) -> None:
        cluster_job.main(json.loads(one.stdin), lambda news: None)

    machines = Machines(finish)
    monkeypatch.setattr(session, "_current", machines)
    processes.run_jobs(jobs, "heads va")
    bags = [f"head-va-lightgbm-one/bag{i}{both}" for both in ("", "-trainval") for i in (1, 2)]
    assert [one.name for one in machines.sent] == [*bags, "head-va-lightgbm-one"]
    assert (jobs[0].folder / "test_trainval.parquet").exists()
    bag = replace(jobs[0], settings=jobs[0].settings | {"trees": 6}, learning="other", mark="another")
    for part in bag.list_bags():
        cluster_job.main(part.as_json(), lambda news: None)
    hidden = (part.folder / "DONE").rename(part.folder / "hidden")
    monkeypatch.setattr(session.time, "sleep", appear)
    cluster_job.main(bag.as_json(), lambda news: None)
    assert slept == [1] and run_folder.is_done(bag.folder, "another")


def test_a_head_that_another_worker_has_made_meanwhile_is_not_made_again(tmp_path, monkeypatch):
    told = job(tmp_path, "one", "lightgbm")
    run_folder.begin(told.folder)
    run_folder.finish(told.folder, told.mark, {}, [])
    monkeypatch.setattr(training_job, "main", lambda *_: pytest.fail("it was made again"))
    cluster_job.main(told.as_json(), lambda news: None)


def test_a_job_makes_its_head_while_it_holds_the_folder(told, monkeypatch):
    news, held = [], []

    def make(one: Job, on_progress) -> None:
        with pytest.raises(TimeoutError):
            from filelock import FileLock

            FileLock(one.folder / ".lock").acquire(timeout=0)
        held.append(one)
        on_progress(0.25, "quarter")

    monkeypatch.setattr(training_job, "main", make)
    cluster_job.main(told.as_json(), news.append)
    assert held == [told] and news == [{"done": 0.25, "note": "quarter"}]
    assert Job.read(told.folder / "job.json") == told


@pytest.mark.parametrize("video", ["t3", "v1", "x0"])
def test_a_head_waits_for_features_that_its_worker_does_not_see_yet(corpus, told, video, monkeypatch):
    """Without them it would learn, as if no face had been found, and count as what it is told to be."""
    path = store.path(corpus.work, "one", video)
    hidden, made, slept = path.rename(path.with_suffix(".hidden")), [], []

    def seen_at_last(_: float) -> None:
        slept.append(not made)
        if len(slept) == 3:
            hidden.rename(path)

    monkeypatch.setattr(cluster.time, "sleep", seen_at_last)
    monkeypatch.setattr(training_job, "main", lambda job, on_progress: made.append(path.exists()))
    cluster_job.main(told.as_json(), lambda news: None)
    assert made == [True] and slept == [True] * 3


@pytest.mark.parametrize("video", ["t3", "v1", "x0"])
def test_features_that_its_worker_never_sees_are_one_line(corpus, told, video, monkeypatch):
    store.path(corpus.work, "one", video).unlink()
    monkeypatch.setattr(session, "SECONDS_UNTIL_VISIBLE", 0.0)
    monkeypatch.setattr(training_job, "main", lambda *_: pytest.fail("it was made"))
    with pytest.raises(WorkError, match=r"work/features: the command found it whole, but it is not seen here; is the"):
        cluster_job.main(told.as_json(), lambda news: None)
    assert not (told.folder / "job.json").exists()
