"""What a job claims, against what can be checked by hand: some worker can always take it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extract.jobs.job import Job, Needs, claims, fits


def job(needs: Needs) -> Job:
    return Job("some", "timeit", (), Path("log.txt"), needs)


@pytest.mark.parametrize(
    ("needs", "has", "claimed", "threads"),
    [
        (Needs(4, 10**9), [], {}, 1),
        (Needs(4, 10**9), [{}, {"THREADS": 8, "MEMORY": 8e9}], {}, 1),
        (Needs(4, 10**9), [{"THREADS": 8, "MEMORY": 8e9}], {"THREADS": 4, "MEMORY": 1e9}, 4),
        (Needs(4, 10**9), [{"THREADS": 2}, {"THREADS": 3}], {"THREADS": 3}, 3),
        (Needs(1, 10**9, gpu=True), [{"THREADS": 8}], {"THREADS": 1}, 1),
        (Needs(1, 10**9, gpu=True), [{"THREADS": 8}, {"GPU": 2}], {"GPU": 1}, 1),
        (Needs(16, 10**9, gpu=True), [{"THREADS": 16}, {"THREADS": 2, "GPU": 1}], {"THREADS": 2, "GPU": 1}, 2),
        # the memory of one and the threads of another are no worker
        (Needs(8, 9 * 10**9), [{"THREADS": 8, "MEMORY": 1e9}, {"THREADS": 2, "MEMORY": 9e9}], None, 2),
    ],
)
def test_claims_are_what_one_worker_has(needs, has, claimed, threads):
    found, given_threads = claims(job(needs), has)
    assert given_threads == threads
    assert found == (claimed if claimed is not None else {"THREADS": 2, "MEMORY": 9e9})


def test_too_little_memory_everywhere_is_said(capsys):
    found, _ = claims(job(Needs(1, 10**12)), [{"MEMORY": 8e9}, {"MEMORY": 4e9}])
    assert found == {"MEMORY": 8e9}
    said = capsys.readouterr().err
    assert said == "warning: some may need 1000.0 GB; no worker for it has more than 8.0\n"


resources = st.fixed_dictionaries(
    {},
    optional={
        "THREADS": st.integers(1, 64),
        "MEMORY": st.integers(10**8, 10**12),
        "GPU": st.integers(1, 8),
    },
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(st.builds(Needs, st.integers(1, 64), st.integers(1, 10**12), st.booleans()), st.lists(resources, min_size=1))
def test_there_is_always_a_worker_that_can_take_the_job(needs, has):
    claimed, threads = claims(job(needs), has)
    able = [one for one in has if fits(claimed, one)]
    assert able and 1 <= threads <= needs.threads and claimed.get("MEMORY", 0) <= needs.memory
    assert ("GPU" in claimed) == (needs.gpu and any("GPU" in one for one in has))
    assert claimed.get("THREADS", 1) == threads


def test_what_a_worker_is_told_is_absolute_and_plain(tmp_path, monkeypatch):
    import json

    monkeypatch.chdir(tmp_path)
    told = Job("a", "timeit", ("-n", "1"), Path("logs/a.txt"), Needs(gpu=True), stdin="{}").as_message(3)
    assert json.loads(json.dumps(told)) == told
    assert told["log"] == str(tmp_path / "logs" / "a.txt") and told["cwd"] == str(tmp_path)
    assert told["threads"] == 3 and told["gpu"] is True
