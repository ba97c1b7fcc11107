from __future__ import annotations

import json
from pathlib import Path

import pytest

from extract.jobs.job import Job
from extract.jobs.record import Record, slug
from extract.runtime.errors import WorkError


def job(name: str) -> Job:
    return Job(name, "timeit", (), Path(f"{name}.txt"))


def result(worker: str, seconds: float, tail: tuple[str, ...] = ()) -> dict:
    return {"worker": worker, "host": f"host of {worker}", "seconds": seconds, "code": 0, "tail": list(tail)}


def test_what_ran_where_for_how_long_and_what_failed(tmp_path, capsys):
    record = Record("dask://head:1", tmp_path, "heads au")
    good, bad, late = job("good"), job("bad"), job("late")
    record.note_start(good, "one")
    record.note_start(good, "two")
    record.note_success(good, result("two", 2.5))
    record.note_start(bad, "two")
    record.note_failure(bad, result("two", 1.0), "it broke")
    record.note_loss(bad, [result("two", 1.0, ("some", "it broke"))])
    record.note_start(late, "one")
    record.write(["late"])
    found = json.loads((tmp_path / "cluster" / "heads-au.json").read_text())
    assert found["step"] == "heads au" and found["cluster"] == "dask://head:1" and found["seconds"] >= 0
    assert found["seconds_by_host"] == {"host of two": 2.5}
    assert found["given_up"] == ["bad"] and found["unfinished"] == ["late"]
    jobs = {one["job"]: one for one in found["jobs"]}
    assert jobs["good"] == {
        "job": "good",
        "starts": ["one", "two"],
        "failures": [],
        "worker": "two",
        "host": "host of two",
        "seconds": 2.5,
    }
    assert jobs["bad"]["failures"] == [{"worker": "two", "host": "host of two", "why": "it broke"}]
    assert jobs["bad"]["seconds"] is None and record.starts(good) == 2 and record.starts(late) == 1
    assert capsys.readouterr().err == "warning: bad failed on two; its log is bad.txt\n"
    with pytest.raises(WorkError, match=r"(?s)^1 of 3 jobs failed .* bad, on two; .*bad\.txt:\nsome\nit broke$"):
        record.raise_failures()


def test_nothing_failed_is_nothing_to_raise(tmp_path):
    record = Record("dask://head:1", tmp_path, "some")
    record.note_success(job("good"), result("one", 1.0))
    record.raise_failures()
    record.write([])
    assert json.loads((tmp_path / "cluster" / "some.json").read_text())["given_up"] == []


def test_a_name_becomes_that_of_a_file():
    assert slug("heads mtl/va") == "heads-mtl-va" and slug("a.b_c-1") == "a.b_c-1"
