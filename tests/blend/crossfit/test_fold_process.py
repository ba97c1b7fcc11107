"""A second process that searches inside folds: the same result with it, and without it where it is lost."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
from multiprocessing import resource_tracker

import pytest

from blend.compile_kernels import make_pool
from blend.config import BlendSettings
from blend.crossfit import estimate, fold_process
from blend.search import search
from extract.runtime import process

SETTINGS = BlendSettings(trials=12, folds=3, draws=100)


@pytest.fixture(scope="module")
def pool():
    return make_pool("au")


@pytest.fixture(scope="module")
def alone(pool):
    return estimate.cross_fit(pool, SETTINGS, 0)


@pytest.fixture
def worth_it(monkeypatch):
    monkeypatch.setattr(process, "may_fork", lambda: False)
    monkeypatch.setattr(fold_process, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(fold_process, "cores", lambda: 2)


@pytest.fixture(params=[False, True], ids=["spawned", "forked"])
def begun(pool, worth_it, request, monkeypatch):
    monkeypatch.setattr(process, "may_fork", lambda: request.param)
    with fold_process.begin(pool, SETTINGS, 0, estimate.split(pool, SETTINGS.folds, 0)) as helper:
        yield helper


def test_the_result_is_that_of_one_process_and_each_trial_counts_once(pool, alone, begun):
    counted = []
    found = estimate.cross_fit(pool, SETTINGS, 0, lambda: counted.append(1), helper=begun)
    assert dataclasses.asdict(found) == dataclasses.asdict(alone)
    assert len(counted) == 3 * search.count(pool, SETTINGS, 12)


SECOND_BLEND = """
from blend.compile_kernels import make_pool
from blend.config import BlendSettings
from blend.crossfit import estimate, fold_process
from blend.search import search
from extract.runtime import process
process.freeze_imports()
fold_process.WORTH_A_PROCESS, fold_process.cores = 1, lambda: 2
settings = BlendSettings(trials=12, folds=3, draws=100)
for task in ("au", "va"):
    pool = make_pool(task)
    with fold_process.begin(pool, settings, 0, estimate.split(pool, 3, 0)) as helper:
        print(task, sorted(number for number, _ in helper.results()))
    search.search(pool, settings, 12, 0)
"""


def test_a_second_blend_of_a_command_has_its_process_too():
    done = subprocess.run([sys.executable, "-c", SECOND_BLEND], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("au [0, 1, 2]\nva [0, 1, 2]\n", "")


def identify(*given):
    return os.getpid(), given


def refuse():
    raise ValueError("odd")


def test_it_answers_between_folds(begun):
    answer = fold_process.begin_call(begun, identify, 1, "two")
    numbers = []
    for number, _ in begun.results():
        numbers.append(number)
        if len(numbers) > 1:
            assert begun._answers == [(begun._process.pid, (1, "two"))], "it was asked before its second fold"
    assert sorted(numbers) == [0, 1, 2]
    assert answer() == answer() == (begun._process.pid, (1, "two"))


def test_asking_changes_no_fold(pool, alone, begun):
    fold_process.begin_call(begun, identify)
    found = estimate.cross_fit(pool, SETTINGS, 0, helper=begun)
    assert dataclasses.asdict(found) == dataclasses.asdict(alone)


def test_what_is_asked_once_all_folds_are_done_is_answered_too(begun):
    assert sorted(number for number, _ in begun.results()) == [0, 1, 2]
    assert fold_process.begin_call(begun, identify)() == (begun._process.pid, ())


def test_without_the_process_a_call_is_made_here(begun):
    assert fold_process.begin_call(None, identify, 1)() == (os.getpid(), (1,))
    begun._process.kill()
    assert fold_process.begin_call(begun, identify, 2)() == (os.getpid(), (2,))


def test_an_exception_of_a_call_is_raised_here(begun, capfd):
    with pytest.raises(ValueError, match="odd"):
        fold_process.begin_call(begun, refuse)()


def test_a_process_that_is_lost_costs_nothing_but_its_time(pool, alone, begun):
    for number in (1, 2):
        begun._taken[number] = 1  # as if it had taken them
    begun._process.kill()
    found = estimate.cross_fit(pool, SETTINGS, 0, helper=begun)
    assert dataclasses.asdict(found) == dataclasses.asdict(alone)


def test_few_trials_have_none(pool):
    with fold_process.begin(pool, SETTINGS, 0, [[0], [1]]) as helper:
        assert helper is None


class Unreadable(BlendSettings):
    """What the process fails to read, and ends with an exception."""

    def __reduce__(self):
        return int, ("no settings",)


def test_an_exception_in_the_process_costs_nothing_but_its_time(pool, alone, worth_it, capfd):
    settings = Unreadable(**SETTINGS.model_dump())
    with fold_process.begin(pool, settings, 0, estimate.split(pool, SETTINGS.folds, 0)) as helper:
        helper._taken[2] = 1  # as if it had taken one
        found = estimate.cross_fit(pool, SETTINGS, 0, helper=helper)
    assert dataclasses.asdict(found) == dataclasses.asdict(alone)
    assert "ValueError: invalid literal" in capfd.readouterr().err


def test_nobody_waits_until_it_is_there(pool, worth_it, monkeypatch, tmp_path):
    (program := tmp_path / "python").write_text("#!/bin/sh\nexec sleep 5\n")  # a process that never reads
    program.chmod(0o755)
    resource_tracker.ensure_running()
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(program))
    with fold_process.begin(pool, SETTINGS, 0, [[0], [1, *[2] * 10**6]]) as helper:
        assert helper._process.is_alive()


def test_ctrl_c_is_not_for_the_process_from_the_first_moment_on(begun):
    os.kill(begun._process.pid, signal.SIGINT)
    assert sorted(number for number, _ in begun.results()) == [0, 1, 2]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize(("seconds", "forked"), [(0, False), (3, False), (0, True), (3, True)])
def test_it_ends_with_whoever_began_it(seconds, forked):
    script = f"""
import os, signal, time
from extract.runtime import process
from blend.compile_kernels import make_pool
from blend.config import BlendSettings
from blend.crossfit import estimate, fold_process
pool, settings = make_pool("au"), BlendSettings(trials=10**6)
process.freeze_imports() if {forked} else None
assert process.may_fork() == {forked}
helper = fold_process.FoldProcess(pool, settings, 0, estimate.split(pool, 3, 0))
time.sleep({seconds})
os.kill(os.getpid(), signal.SIGKILL)
"""
    run = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, timeout=100)
    assert run.returncode == -signal.SIGKILL, "and stderr, which both had, is closed"
    assert "Traceback" not in run.stderr


def test_a_system_that_gives_no_process_has_none(pool, worth_it, monkeypatch):
    def no_more(*_):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "_Popen", no_more)
    with fold_process.begin(pool, SETTINGS, 0, [[0], [1]]) as helper:
        assert helper is None
