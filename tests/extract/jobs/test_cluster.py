"""Where jobs are handed to as workers come, fail, refuse and go, without a scheduler: Dask is played by the test."""

from __future__ import annotations

import json
import queue
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from extract.config import ClusterSettings
from extract.jobs import cluster as cluster_module
from extract.jobs.cluster import Cluster, Dispatcher
from extract.jobs.job import Job, Needs, fits
from extract.jobs.record import Record
from extract.runtime.errors import InputError, WorkError

pytest.importorskip("distributed")
BIG = {"THREADS": 8, "MEMORY": 64e9, "GPU": 1}
SMALL = {"THREADS": 2, "MEMORY": 8e9}
LITTLE = Needs()


class Handed:
    """What Dask knows of a job that was handed over."""

    def __init__(self, job: Job, threads: int, claimed: dict[str, float], only: list[str], number: int) -> None:
        self.job, self.threads, self.claims, self.only = job, threads, claimed, [*only]
        self.key, self.status, self.found = f"{job.name}-{number}", "pending", {}

    def done(self) -> bool:
        return self.status in ("finished", "error", "cancelled")

    def result(self, timeout: float) -> dict[str, Any]:
        if not self.found:
            raise TimeoutError
        return self.found


class Machines:
    """A cluster whose workers are those named in `has`, and the run of a step on it."""

    def __init__(self, work: Path, monkeypatch: pytest.MonkeyPatch, **has: dict[str, float]) -> None:
        self.has, self.now, self.place, self.handed = has, 1000.0, "dask://here:1", []
        self.refused_workers: dict[str, dict[str, Any]] = {}
        self.news: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.client = SimpleNamespace(status="running", cancel=self._cancel)
        monkeypatch.setattr(cluster_module, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.done: list[str] = []
        self.record = Record(self.place, work, "some")
        self.run = Dispatcher(
            self, self.record, self._ignore, lambda job, result: self.done.append(result["worker"]), print
        )

    def _ignore(self, *_: Any) -> None:
        pass

    def _cancel(self, futures: list[Handed], force: bool) -> None:
        for future in futures:
            future.status = "cancelled"

    keep = _ignore
    refuse = Cluster.refuse

    def workers(self) -> dict[str, dict[str, Any]]:
        return {address: {"name": address, "nthreads": 1, "resources": has} for address, has in self.has.items()}

    def submit(self, job: Job, threads: int, claimed: dict[str, float], only: list[str]) -> Handed:
        self.handed.append(Handed(job, threads, claimed, only, len(self.handed)))
        return self.handed[-1]

    def add(self, name: str = "job", needs: Needs = LITTLE) -> Handed | None:
        """Hand a job over; what Dask was given, None: nothing yet."""
        before = len(self.handed)
        self.run._add(Job(name, "timeit", (), Path("log.txt"), needs))
        return self.handed[-1] if len(self.handed) > before else None

    def look(self, seconds: float = 0.0) -> None:
        """So many seconds later the command looks, and hears what there is to hear."""
        self.now += seconds
        self.run._look()
        while not self.news.empty():
            self.run._hear(*self.news.get())

    def starts(self, one: Handed, worker: str) -> None:
        self.run._hear("news", {"job": one.job.name, "by": worker, "key": one.key, "news": {"started": 1}})

    def ends(self, one: Handed, worker: str, code: int = 0, tail: str = "it broke") -> None:
        """A job's process has ended there; Dask and the worker say so."""
        one.status, one.found = "finished", {"code": code, "tail": [tail], "seconds": 1.0, **self._of(worker)}
        said = {"job": one.job.name, "by": worker, "key": one.key, "result": json.dumps(one.found)}
        self.run._hear("news", said)

    def refuses(self, one: Handed, worker: str) -> None:
        one.status, one.found = "finished", {"refused": "it differs", **self._of(worker)}
        self.run._hear("ended", one.job.name)

    def _of(self, worker: str) -> dict[str, str]:
        return {"worker": worker, "address": worker, "host": "here"}

    def could_run(self, one: Handed) -> list[str]:
        """By Dask's rules: the workers that it is tied to, or any, that have what it claims."""
        return [name for name, has in self.has.items() if (not one.only or name in one.only) and fits(one.claims, has)]

    @property
    def last(self) -> Handed:
        return self.handed[-1]


@pytest.mark.parametrize("needs", [Needs(4, 20 * 10**9), Needs(1, 10**9, gpu=True)])
def test_what_failed_on_the_best_worker_claims_what_another_has(needs, tmp_path, monkeypatch):
    some = Machines(tmp_path, monkeypatch, big=BIG, small=SMALL)
    first = some.add(needs=needs)
    assert some.could_run(first) == ["big"]
    some.ends(first, "big", code=1)
    assert some.last is not first and some.could_run(some.last) == ["small"]
    some.ends(some.last, "small")
    assert some.done == ["small"]


def test_what_is_waited_for_is_looked_for_among_the_workers_that_may_do_it(tmp_path, monkeypatch, capsys):
    some = Machines(tmp_path, monkeypatch, big=BIG, small=SMALL)
    some.add(needs=Needs(8, 10**9))
    some.run._open["job"].has_started = True  # as the one that knew "big" before it was another's
    some.run._open["job"].only = ["small"]
    for _ in range(2):
        some.look(cluster_module.SECONDS_UNTIL_NOTICE + 1)
    assert "no worker of dask://here:1 has THREADS=8 MEMORY=1e+09; job waits for one" in capsys.readouterr().err


@pytest.mark.parametrize("begun", [False, True])
def test_where_the_biggest_worker_goes_for_good_less_is_claimed(begun, tmp_path, monkeypatch):
    some = Machines(tmp_path, monkeypatch, big=BIG, small=SMALL)
    first = some.add(needs=Needs(8, 10**9))
    if begun:
        some.starts(first, "big")
    del some.has["big"]
    some.look()
    some.has["big"] = BIG  # killed and started again
    some.look(cluster_module.SECONDS_FOR_WORKERS)
    del some.has["big"]
    some.look()
    some.look(cluster_module.SECONDS_FOR_WORKERS)
    assert some.last is first
    some.look(1.0)
    assert first.status == "cancelled" and some.could_run(some.last) == ["small"] and some.last.threads == 2


def test_jobs_of_a_moment_without_workers_wait_and_claim_what_the_first_has(tmp_path, monkeypatch, capsys):
    """A batch system brings workers late: such jobs are never given up."""
    some = Machines(tmp_path, monkeypatch)
    needs = Needs(4, 20 * 10**9, gpu=True)
    assert some.add("one", needs) is None and some.add("two", needs) is None
    for _ in range(3):
        some.look(cluster_module.SECONDS_FOR_WORKERS)
    assert not some.handed and "has no workers left; waiting for some" in capsys.readouterr().err
    some.has["big"] = BIG
    some.look()
    claimed = {"THREADS": 4, "MEMORY": 20e9, "GPU": 1}
    assert [(one.job.name, one.claims, one.threads) for one in some.handed] == [
        ("one", claimed, 4),
        ("two", claimed, 4),
    ]


def test_where_all_workers_went_for_long_jobs_claim_what_the_next_has(tmp_path, monkeypatch):
    some = Machines(tmp_path, monkeypatch, big=BIG)
    first = some.add(needs=Needs(8, 10**9))
    some.has.clear()
    some.look()
    some.look(cluster_module.SECONDS_FOR_WORKERS + 1)
    assert some.handed == [first] and first.status == "cancelled"
    some.has["small"] = SMALL
    some.look()
    assert some.could_run(some.last) == ["small"]


def test_after_a_refusal_jobs_may_go_to_workers_that_come_later(tmp_path, monkeypatch):
    some = Machines(tmp_path, monkeypatch, good=SMALL, stale=SMALL)
    begun, waits = some.add("begun"), some.add("waits")
    some.starts(begun, "good")
    some.refuses(waits, "stale")
    again = some.last
    assert again.job.name == "waits" and again.only == ["good"]
    some.look()
    assert some.last is again, "nothing has changed"
    some.has["late"] = SMALL
    some.look()
    assert again.status == "cancelled" and some.last.only == ["good", "late"]
    some.starts(some.last, "late")
    some.has["later"] = SMALL
    some.look()
    assert len(some.handed) == 4 and begun.status == some.last.status == "pending", "what has begun goes on"


def test_jobs_that_find_only_strangers_are_given_up(tmp_path, monkeypatch, capsys):
    some = Machines(tmp_path, monkeypatch, stale=SMALL)
    some.refuses(some.add("told"), "stale")
    assert some.add("untold") is None
    some.look(cluster_module.SECONDS_FOR_WORKERS + 1)
    assert not some.run._open and "worker stale is left out: it differs" in capsys.readouterr().err
    with pytest.raises(WorkError, match="2 of 2 jobs failed"):
        some.record.raise_failures()


def test_a_result_that_is_lost_with_its_worker_is_no_lost_scheduler(tmp_path, monkeypatch):
    """Dask does the job again and does not call back; what it ends with then is seen all the same."""
    some = Machines(tmp_path, monkeypatch, one=SMALL, two=SMALL)
    first = some.add()
    first.status = "lost"
    some.look()
    some.run._hear("ended", "job")  # Dask's word that it had ended once
    assert some.handed == [first]
    first.status, first.found = "finished", {"code": 1, "tail": ["no log"], **some._of("one")}
    some.look()
    assert some.last.only == ["two"]
    some.client.status = "connecting"
    with pytest.raises(WorkError, match="the scheduler dask://here:1 is gone"):
        some.look()


def test_a_result_that_is_lost_while_it_is_fetched_is_waited_for(tmp_path, monkeypatch):
    some = Machines(tmp_path, monkeypatch, one=SMALL)
    first = some.add()
    first.status = "finished"
    some.look()
    first.status = "lost"
    with monkeypatch.context() as moment:
        moment.setattr(first, "done", lambda: True)  # as it was a moment before
        some.look()
    first.status, first.found = "finished", {"code": 0, "seconds": 1.0, **some._of("one")}
    some.look()
    assert some.done == ["one"]


def test_news_are_heard_before_a_look(tmp_path, monkeypatch):
    """A result was told, and its worker went away, while the command was busy: nothing is handed over once more."""
    some = Machines(tmp_path, monkeypatch, one=SMALL)
    some.refused_workers["stranger"] = {}  # so the job is tied to its worker
    get, looks = some.news.get, []

    def later(timeout: float = 0.0) -> tuple[str, Any]:
        some.now += 2
        return get(timeout=0)

    def busy() -> None:
        looks.append(some.now)
        [one] = some.handed
        one.status = "lost"
        some.has.clear()
        result = {"code": 0, "tail": [], "seconds": 1.0, **some._of("one")}
        for said in ({"news": {"started": 1}}, {"result": json.dumps(result)}):
            some.news.put(("news", {"job": "job", "by": "one", "key": one.key, **said}))

    some.run._on_look = busy
    monkeypatch.setattr(some.news, "get", later)
    some.run.work([Job("job", "timeit", (), Path("log.txt"))])
    assert some.done == ["one"] and len(some.handed) == len(looks) == 1


def bad_input(said: str) -> dict[str, Any]:
    return {"code": 2, "tail": f"error: {said}"}


def test_bad_input_is_believed_when_a_second_worker_says_the_same(tmp_path, monkeypatch):
    some = Machines(tmp_path, monkeypatch, one=SMALL, two=SMALL, three=SMALL)
    some.ends(some.add(), "two", **bad_input("x.csv: is odd"))
    assert some.last.only == ["one", "three"]
    some.ends(some.last, "one", **bad_input("x.csv: is odd"))
    assert len(some.handed) == 2
    with pytest.raises(InputError, match=r"^x\.csv: is odd \(on workers one, two\)$"):
        some.run.work([])


def test_what_one_worker_alone_lacks_is_no_bad_input(tmp_path, monkeypatch):
    some = Machines(tmp_path, monkeypatch, full=SMALL, well=SMALL)
    some.ends(some.add(), "full", **bad_input("/tmp: No space left on device"))
    assert some.last.only == ["well"]
    some.ends(some.last, "well")
    some.run.work([])
    assert some.done == ["well"]


def test_bad_input_is_believed_where_there_is_no_other_worker(tmp_path, monkeypatch):
    some = Machines(tmp_path, monkeypatch, one=SMALL)
    some.ends(some.add(), "one", **bad_input("x.csv: is odd"))
    with pytest.raises(InputError, match=r"^x\.csv: is odd \(on worker one\)$"):
        some.run.work([])


def test_whatever_a_worker_raises_is_told_with_its_address(tmp_path, monkeypatch):
    """So that it is left out of the next try."""
    import distributed

    from extract.jobs import worker as cluster_worker

    sent: list[Any] = []

    def submit(start: Any, *told: Any, **_: Any) -> Future:
        sent.append((start, told))
        return Future()

    client = SimpleNamespace(
        scheduler_info=lambda n_workers: {"workers": {}}, subscribe_topic=lambda *_: None, submit=submit
    )
    ours = Cluster(client, "dask://here:1", ClusterSettings(), tmp_path, {"secret": "s"}, lambda: None)
    ours.submit(Job("job", "timeit", (), tmp_path / "log.txt"), 1, {}, [])
    monkeypatch.setattr(distributed, "get_worker", lambda: SimpleNamespace(name="sick", address="tcp://here:2"))

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "/shared/logs/job.txt")

    monkeypatch.setattr(cluster_worker, "run", refuse)
    [(start, told)] = sent
    found = start(*told)
    assert found.pop("host")
    tail = ["PermissionError: [Errno 13] Permission denied: '/shared/logs/job.txt'"]
    assert found == {"worker": "sick", "address": "tcp://here:2", "code": 1, "tail": tail}
