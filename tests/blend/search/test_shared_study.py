"""A search that several processes share: as many trials as wanted, each once, and as good as by one process."""

import contextlib
import random
import threading
import time
from dataclasses import replace

import pytest

from blend.config import BlendSettings
from blend.search import search, shared_search
from blend.search.journal import is_choice
from blend.search.shared_search import Memory
from blend.search.shared_study import OWN_NUMBER, START, WORKER, SharedStorage, SharedStudy
from extract.runtime.errors import InputError

FACTS = {"task": "va", "heads": {"head0": "0" * 64}}


def where(folder, url="", **facts):
    return SharedStorage(url, folder / "study.db", "made-up/va/blend", FACTS | facts)


def trials_of(place: SharedStorage):
    study = place.open()
    try:
        return study.in_order()
    finally:
        study.close()


def check(trials, count):
    """As many as wanted, the starts first, none twice, none half."""
    assert len(trials) == count
    starts = [trial.user_attrs[START] for trial in trials if START in trial.user_attrs]
    assert starts == list(range(len(starts)))
    drawn = [(trial.user_attrs[WORKER], trial.user_attrs[OWN_NUMBER]) for trial in trials[len(starts) :]]
    assert len(set(drawn)) == len(drawn) == count - len(starts)
    assert all(trial.state.name == "COMPLETE" and trial.value is not None for trial in trials)


def scored_again(pool, settings, trials):
    """Every value is what its parameters score."""
    from blend.search import objective
    from blend.search.space import make_space

    space = make_space(pool, settings)
    score = objective.make(pool, space.extras)
    for trial in trials:
        assert score.score(space.point(trial.params)) == pytest.approx(trial.value, abs=1e-12)


@contextlib.contextmanager
def killing(kills, seed=0):
    """Kill processes of the search, one after the other, at random moments, until the block ends."""
    import psutil

    over = threading.Event()

    def work():
        rng = random.Random(seed)
        while kills and not over.wait(rng.uniform(0.05, 0.6)):
            with contextlib.suppress(psutil.Error):
                here = psutil.Process().children()
                if alive := [child for child in here if "blend.search.worker" in child.cmdline()]:
                    rng.choice(alive).kill()
                    kills.pop()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_four_processes_find_what_one_finds_and_are_killed_at_random(make_pool, tmp_path):
    pool, settings = make_pool("va", videos=8), BlendSettings(trials=150)
    alone = search.search(pool, settings, 150, 0)
    kills = [1] * 3
    with killing(kills):
        together = shared_search.run_shared_search(pool, settings, 150, 0, where(tmp_path), 4)
    assert together.score > alone.score - 1e-3
    assert len(together.trials) == len(alone.trials) == 150
    trials = trials_of(where(tmp_path))
    starts = search.count(pool, settings, 0)
    check(trials, starts + search.draws(150 - starts, settings))
    scored_again(pool, settings, trials)


def test_a_search_goes_on_and_a_finished_one_starts_no_process(make_pool, tmp_path, monkeypatch):
    pool, settings = make_pool("expr"), BlendSettings(trials=40)
    first = shared_search.run_shared_search(pool, settings, 30, 0, where(tmp_path), 1)
    before = trials_of(where(tmp_path))
    second = shared_search.run_shared_search(pool, settings, 40, 0, where(tmp_path), 2)
    after = trials_of(where(tmp_path))
    assert [t.params for t in after[: len(before)]] == [t.params for t in before] and len(after) > len(before)
    assert second.score >= first.score - 1e-12
    monkeypatch.setattr("extract.jobs.local.LocalMachine._start", None)
    again = shared_search.run_shared_search(pool, settings, 40, 0, where(tmp_path), 2)
    assert again.params == second.params and again.score == second.score
    study = where(tmp_path).open()
    best = study._study.best_trial
    choices = [trial for trial in study._study.get_trials() if is_choice(trial)]
    study.close()
    assert is_choice(best) and len(choices) <= 2 and best.value >= second.score - 1e-6
    numbers = {f"w {head}": weight for head, weight in zip(pool.heads, second.params.weights, strict=True)}
    last = choices[-1].params
    assert {name: last[name] for name in numbers} == numbers and last["k"] == second.params.k


def test_no_time_leaves_the_starts_and_their_refinement(make_pool, tmp_path):
    pool, settings = make_pool("va"), BlendSettings(trials=60)
    found = shared_search.run_shared_search(pool, settings, 60, 0, where(tmp_path), 2, until=time.monotonic() - 1)
    assert len(trials_of(where(tmp_path))) == search.count(pool, settings, 0)
    assert found.score >= max(trial.score for trial in found.trials if trial.start is not None) - 1e-6


def test_the_folders_own_study_of_another_search_is_set_aside_and_a_servers_is_refused(make_pool, tmp_path):
    pool, settings = make_pool("va"), BlendSettings(trials=1)
    shared_search.run_shared_search(pool, settings, 1, 0, where(tmp_path), 1)
    other = where(tmp_path, heads={"head0": "1" * 64})
    with pytest.raises(InputError, match=r"is of another search: heads\.head0: '0+' there, '1+' now"):
        other.open()
    study, said = other.open_or_set_aside()
    assert "heads.head0" in said and "study.old.db" in said and study.count() == 0
    study.close()
    assert len(trials_of(replace(where(tmp_path), path=tmp_path / "study.old.db"))) == search.count(pool, settings, 0)


def test_cmaes_is_for_one_process(make_pool, tmp_path):
    with pytest.raises(InputError, match="is for one process"):
        shared_search.run_shared_search(make_pool("va"), BlendSettings(sampler="cmaes"), 30, 0, where(tmp_path), 2)


def made(values):
    from optuna.distributions import FloatDistribution
    from optuna.trial import create_trial

    space = {"x": FloatDistribution(0, 1)}
    found = [create_trial(params={"x": value}, distributions=space, value=value) for value in values]
    for number, trial in enumerate(found):
        trial.number = number
    return found


def race(place: SharedStorage):
    """Six workers hand over five trials each; twelve are wanted."""
    SharedStudy.close(place.open())

    def work(worker):
        study = place.open()
        for value in range(5):
            batch = made([(10 * worker + i) / 100 for i in range(value + 1)])
            study.add(batch, 12, f"worker {worker}")  # those handed over before are known by their number
            study.add(batch, 12, f"worker {worker}")
        study.close()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = trials_of(place)
    assert len(trials) == 12 and len({trial.value for trial in trials}) == 12


def test_exactly_as_many_as_wanted_whoever_races(tmp_path):
    race(where(tmp_path))


def test_exactly_as_many_as_wanted_whoever_races_on_postgresql(tmp_path, server):
    race(where(tmp_path, server))
    with pytest.raises(InputError, match="the study 'made-up/va/blend' of the storage is of another search: seed"):
        where(tmp_path, server, seed=1).open()


@pytest.mark.parametrize("server_used", [False, True])
def test_a_trial_that_is_changed_while_the_study_is_open_or_before_is_named(tmp_path, server_used, request):
    import sqlalchemy

    place = where(tmp_path, request.getfixturevalue("server") if server_used else "", seed=3)
    place = replace(place, name="changed")
    study = place.open()
    study.add(made([0.1 + 0.2, 1 / 3]), 12, "me")
    assert study.count() == 2, "looked at, and whole"
    study.add(made([0.125, 0.25, 0.5]), 12, "you")
    with study._kept.storage.engine.begin() as connection:
        assert connection.execute(sqlalchemy.text("UPDATE trial_values SET value = 9 WHERE value = 0.25")).rowcount == 1
    with pytest.raises(InputError, match=r"^study 'changed' is damaged: its trial 3 is not what was written"):
        study.in_order()
    study.close()
    with pytest.raises(InputError, match="its trial 3 is not what was written"):
        place.open()


def test_a_journal_in_memory():
    journal = Memory(made([0.5]))
    journal.add(made([0.25])[0])
    assert [trial.value for trial in journal.trials()] == [0.5] and [trial.value for trial in journal.new_trials] == [
        0.25
    ]
