"""A second process that searches inside folds: the same result with it, and without it where it is lost."""

import dataclasses

import pytest

from blend.compile_kernels import make_pool
from blend.config import BlendSettings
from blend.crossfit import estimate, fold_process
from blend.search import search

SETTINGS = BlendSettings(trials=12, folds=3, draws=100)


@pytest.fixture(scope="module")
def pool():
    return make_pool("au")


@pytest.fixture(scope="module")
def alone(pool):
    return estimate.cross_fit(pool, SETTINGS, 0)


@pytest.fixture
def begun(pool, monkeypatch):
    monkeypatch.setattr(fold_process, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(fold_process, "cores", lambda: 2)
    with fold_process.begin(pool, SETTINGS, 0, estimate.split(pool, SETTINGS.folds, 0)) as helper:
        yield helper


def test_the_result_is_that_of_one_process_and_each_trial_counts_once(pool, alone, begun):
    counted = []
    found = estimate.cross_fit(pool, SETTINGS, 0, lambda: counted.append(1), helper=begun)
    assert dataclasses.asdict(found) == dataclasses.asdict(alone)
    assert len(counted) == 3 * search.count(pool, SETTINGS, 12)


def test_a_process_that_is_lost_costs_nothing_but_its_time(pool, alone, begun):
    for number in (1, 2):
        begun._taken[number] = 1  # as if it had taken them
    begun._process.kill()
    found = estimate.cross_fit(pool, SETTINGS, 0, helper=begun)
    assert dataclasses.asdict(found) == dataclasses.asdict(alone)


def test_few_trials_have_none(pool):
    with fold_process.begin(pool, SETTINGS, 0, [[0], [1]]) as helper:
        assert helper is None
