"""The simulated cluster against closed forms and against list scheduling with a heap."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from blend.bench.makespan import PIECES, SECONDS_UNTIL_NOTICE, Disturbances, Machines, Stage, Task, simulate

CALM = Disturbances()


def list_schedule(seconds: list[float], slots: int) -> float:
    """When the last job ends, if each free slot takes the next."""
    free = [0.0] * slots
    for value in seconds:
        heapq.heappush(free, heapq.heappop(free) + value)
    return max(free)


def test_jobs_without_disk_are_a_list_schedule():
    rng = np.random.default_rng(0)
    for _ in range(50):
        seconds = rng.uniform(1, 100, rng.integers(1, 40)).tolist()
        nodes, cores = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        tasks = [Task(value - 0.5, 0.5, int(rng.integers(0, 5000))) for value in seconds]
        result = simulate([Stage("all", tasks)], Machines(nodes, cores), CALM)
        assert result.seconds == pytest.approx(list_schedule(seconds, nodes * cores))
        assert result.lost_jobs == 0


def test_stages_wait_for_each_other_and_threads_take_slots():
    first, second = Stage("first", [Task(10.0)] * 3), Stage("second", [Task(7.0)] * 3, threads=2)
    result = simulate([first, second], Machines(1, 2), CALM)
    assert result.stages == {"first": 20.0, "second": 21.0} and result.seconds == 41.0


def test_no_job_takes_no_time():
    assert simulate([Stage("none", [])], Machines(2), CALM).seconds == 0


def test_beside_a_second_job_each_is_slower():
    machines = Machines(1, 2, slowdown=1.5)
    assert simulate([Stage("two", [Task(10.0, 2.0)] * 2)], machines, CALM).seconds == pytest.approx(18)
    assert simulate([Stage("one", [Task(10.0, 2.0)])], machines, CALM).seconds == pytest.approx(12)


def test_a_long_job_is_quicker_once_it_is_alone():
    """Both are half as fast until the short one ends at 20 s; then the long one has 90 s of work left."""
    result = simulate([Stage("all", [Task(100.0), Task(10.0)])], Machines(1, 2, slowdown=2.0), CALM)
    assert result.seconds == pytest.approx(110, rel=0.05)


def test_a_slow_disk_is_the_bound():
    tasks = [Task(1.0, 0.0, 10_000)] * 16
    result = simulate([Stage("read", tasks)], Machines(8, 2, disk=1e6, frame=1000), CALM)
    assert result.seconds == pytest.approx(16 * 10_000 * 1000 / 1e6, rel=0.02)  # and the work on the last piece


def test_reading_hides_behind_work():
    alone = simulate([Stage("read", [Task(100.0, 0.0, 10_000)])], Machines(1, disk=1e6, frame=1000), CALM)
    assert alone.seconds == pytest.approx(100 + 10 / PIECES)  # the first piece is waited for


def test_failures_cost_time_and_lose_nothing():
    tasks = [Task(500.0)] * 40
    calm = simulate([Stage("all", tasks)], Machines(4, 2), CALM)
    rough = [simulate([Stage("all", tasks)], Machines(4, 2), Disturbances(failures=1.0), seed) for seed in range(20)]
    assert all(run.seconds >= calm.seconds for run in rough)
    assert all(
        run.seconds >= calm.seconds + SECONDS_UNTIL_NOTICE or not run.lost_jobs for run in rough if run.lost_jobs > 2
    )
    assert sum(run.lost_jobs for run in rough) > 20
    # a failure an hour on each of 4 nodes of 2 slots over about 45 minutes: 6 jobs lost, give or take
    assert 2 < np.mean([run.lost_jobs for run in rough]) < 12


def test_stragglers_cost_less_than_they_are_slow_as_work_is_taken():
    tasks = [Task(10.0)] * 400
    calm = simulate([Stage("all", tasks)], Machines(10, 2), CALM).seconds
    slow = [
        simulate([Stage("all", tasks)], Machines(10, 2), Disturbances(stragglers=0.2), s).seconds for s in range(20)
    ]
    # given work, one slow node would double the time; taken, two of ten at half speed cost a ninth
    assert 1.0 < np.mean(slow) / calm < 1.25


def test_the_same_seed_gives_the_same_run():
    tasks = [Task(50.0, 1.0, 3000)] * 100
    machines, rough = Machines(4, 2, 1.1, 1e8, 5000), Disturbances(0.2, 0.1, 2.0)
    runs = [simulate([Stage("all", tasks)], machines, rough, seed) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]
    assert math.isfinite(runs[0].seconds)
