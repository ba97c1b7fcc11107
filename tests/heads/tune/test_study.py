from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from extract.runtime.errors import InputError
from heads.search_space import leaves
from heads.tune import retry
from heads.tune import study as tune_study
from heads.tune.study import ClaimedTrial, Study

SPACE = leaves(
    {"x": ["tune", "uniform", 0, 1], "n": ["tune", "int", 1, 9], "c": ["tune", "choice", ["a", "b"]]}, "test"
)
START = {"x": 0.5, "n": 5, "c": "b"}
HEARTBEAT = 60


def open_(folder: Path, facts: dict[str, Any] | None = None) -> Study:
    return Study.open("", folder / "study.db", "name", HEARTBEAT, facts)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study without trials: making the tables takes a while."""
    folder = tmp_path_factory.mktemp("empty")
    open_(folder, {}).close()
    return folder


@pytest.fixture
def study(tmp_path: Path, empty: Path) -> Iterator[Study]:
    shutil.copy(empty / "study.db", tmp_path)
    made = open_(tmp_path)
    yield made
    made.close()


def claim(study: Study, wanted: int = 100, worker: str = "me", start: dict[str, Any] | None = None) -> ClaimedTrial:
    claimed = study.claim(wanted, worker, SPACE, start, 0)
    assert isinstance(claimed, ClaimedTrial)
    return claimed


def objective(params: dict[str, Any]) -> float:
    return float(params["x"] - abs(params["n"] - 3) + (params["c"] == "a"))


def drawn(folder: Path, count: int, killed_at: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """The parameters of `count` finished trials by one worker, that is killed in some of them."""
    study = open_(folder, {})
    for made in range(count + len(killed_at)):
        trial = claim(study, count)
        if made in killed_at:
            study.close()
            study = open_(folder, {})
            study.release(None, True)  # as heads.tune does when it begins
        else:
            assert study.finish(trial, TrialState.COMPLETE, objective(trial.params))
    assert study.claim(count, "me", SPACE, None, 0) == "enough"
    found = [trial.params for trial in tune_study.list_finished_trials(study.trials())]
    study.close()
    return found


def test_the_same_seed_makes_the_same_trials_killed_or_not(tmp_path: Path) -> None:
    straight = drawn(tmp_path / "straight", 13)
    assert len(straight) == 13 and drawn(tmp_path / "killed", 13, (0, 3, 4, 12)) == straight


def test_the_first_trial_is_the_head_as_it_stands(study: Study) -> None:
    assert claim(study, start=START).params == START
    assert claim(study, start=START).params != START


def test_a_trial_counts_once_and_only_from_who_has_it(study: Study) -> None:
    first = claim(study, 2)
    second = claim(study, 2, "other")
    assert study.claim(2, "third", SPACE, None, 0) == "wait", "both are running: one more could be one too many"
    study.release("me", False)
    again = claim(study, 2, "third")
    assert again.params == first.params and again.number not in (first.number, second.number)
    assert not study.finish(first, TrialState.COMPLETE, 1.0), "it was taken for dead"
    assert study.finish(again, TrialState.PRUNED, 0.5) and study.finish(second, TrialState.COMPLETE, 0.7)
    assert study.claim(2, "me", SPACE, None, 0) == "enough"
    assert [trial.state.name for trial in study.trials()] == ["FAIL", "COMPLETE", "PRUNED"]
    assert study.finish(second, TrialState.COMPLETE, 0.7), "an answer that was lost: it is ours all the same"


def test_killed_between_any_two_steps_of_a_claim(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    params = []
    for step in ("record_heartbeat", "set_trial_user_attr", "set_trial_state_values"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(study.storage, step, killed)
            claim(study)
        params.append([trial.params for trial in study.trials()])
    assert params[0] == params[1] == params[2] and len(params[0]) == 1
    assert claim(study).params == params[0][0]
    assert [trial.state.name for trial in study.trials()] == ["RUNNING"]


def test_parameters_that_end_their_process_again_and_again_are_given_up(study: Study) -> None:
    params = []
    for _ in range(retry.MOST_ATTEMPTS + 1):
        params.append(claim(study).params)
        study.release("me", False)
    assert params[0] == params[retry.MOST_ATTEMPTS - 1] != params[retry.MOST_ATTEMPTS]
    assert retry.count_given_up(study.trials()) == 1


def test_being_stopped_is_no_attempt(study: Study) -> None:
    params = []
    for _ in range(2 * retry.MOST_ATTEMPTS):
        params.append(claim(study).params)
        study.release("me", True)
    assert all(each == params[0] for each in params) and retry.count_given_up(study.trials()) == 0


def test_a_trial_with_an_error_of_its_own_is_not_retried_and_does_not_count(study: Study) -> None:
    first = claim(study, 1)
    study.fail(first.id, {retry.ERROR: "ValueError: no"})
    second = claim(study, 1)
    assert second.params != first.params and study.finish(second, TrialState.COMPLETE, 0.1)
    assert study.claim(1, "me", SPACE, None, 0) == "enough" and retry.count_given_up(study.trials()) == 0


def test_pruning_is_by_the_median_at_the_same_fold(study: Study) -> None:
    for i in range(tune_study.STARTUP_TRIALS):
        trial = claim(study)
        study.report(trial, 0, i / 10)
        assert not study.is_hopeless(trial), "nothing to compare with yet"
        study.finish(trial, TrialState.COMPLETE, i / 10)
    below, above = claim(study), claim(study)
    study.report(below, 0, 0.19)
    study.report(above, 0, 0.21)
    assert study.is_hopeless(below) and not study.is_hopeless(above)


def test_the_best_is_the_earlier_of_equals_and_never_a_pruned_one(study: Study) -> None:
    assert tune_study.find_best(study.trials()) is None
    for state, value in (
        (TrialState.COMPLETE, 0.2),
        (TrialState.PRUNED, 0.9),
        (TrialState.COMPLETE, 0.4),
        (TrialState.COMPLETE, 0.4),
        (TrialState.PRUNED, None),
    ):
        assert study.finish(claim(study), state, value)
    best = tune_study.find_best(study.trials())
    assert best is not None and best.number == 2
    claim(study)  # a pruned trial without any score does not stop the sampler


def test_a_study_of_something_else_is_refused_by_what_differs(tmp_path: Path) -> None:
    facts = {"seed": 0, "space": {"x": ["tune", "int", 1, 2], "y": 1}, "features": {"one": "abc"}}
    open_(tmp_path, facts).close()
    open_(tmp_path, facts).close()
    open_(tmp_path).close()
    other = {"seed": 0, "space": {"x": ["tune", "int", 1, 3], "z": 1}, "features": {"one": "abc"}}
    with pytest.raises(InputError, match=r"'name' of .*study\.db is of another search: ") as found:
        open_(tmp_path, other)
    for said in (
        "space.x: ['tune', 'int', 1, 2] there, ['tune', 'int', 1, 3] now",
        "space.z: None there, 1 now",
        "space.y: 1 there, None now",
        "--study",
    ):
        assert said in str(found.value)
    assert "features" not in str(found.value) and "seed" not in str(found.value)


def test_exactly_as_many_finish_whoever_races(tmp_path: Path) -> None:
    open_(tmp_path, {}).close()

    def work(seed: int) -> None:
        study, rng = open_(tmp_path), random.Random(seed)
        while (claimed := study.claim(12, f"worker {seed}", SPACE, None, 0)) != "enough":
            if not isinstance(claimed, ClaimedTrial):
                time.sleep(0.1)
            elif rng.random() < 0.3:
                study.release(f"worker {seed}", True)
            else:
                assert study.finish(claimed, TrialState.COMPLETE, objective(claimed.params))
        study.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = open_(tmp_path)
    finished = tune_study.list_finished_trials(study.trials())
    study.close()
    assert len(finished) == 12 and len({trial.params["x"] for trial in finished}) == 12


CHANGES = [
    "UPDATE trial_values SET value = 9.0 WHERE trial_id = :id",
    "UPDATE trial_params SET param_value = 0.125 WHERE param_name = 'x' AND trial_id = :id",
    "UPDATE trial_intermediate_values SET intermediate_value = 9.0 WHERE trial_id = :id",
    "UPDATE trials SET state = 'PRUNED' WHERE trial_id = :id",
    """UPDATE trial_user_attributes SET value_json = '"you"' WHERE key = 'worker' AND trial_id = :id""",
    "DELETE FROM trial_user_attributes WHERE key = 'hash' AND trial_id = :id",
]
"""What somebody may change by hand of a finished trial."""


@pytest.mark.parametrize("change", CHANGES)
def test_a_finished_trial_that_was_changed_by_hand_is_named(study: Study, change: str) -> None:
    import sqlalchemy

    trial = claim(study)
    study.report(trial, 0, 0.25)
    assert study.finish(trial, TrialState.COMPLETE, 0.1 + 0.2)
    assert study.finish(claim(study), TrialState.PRUNED, None)
    assert len(study.trials()) == 2
    with study.storage.engine.begin() as connection:
        assert connection.execute(sqlalchemy.text(change), {"id": trial.id}).rowcount == 1
    for ask in (study.trials, lambda: study.claim(9, "me", SPACE, None, 0)):
        with pytest.raises(InputError, match=rf"^study 'name': its trial {trial.number} is not what was written"):
            ask()
