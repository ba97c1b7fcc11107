"""The journal of trials: nothing half, nothing lost, nothing of another search."""

import contextlib
import sqlite3

import numpy as np
import pytest

from blend.search import journal as search_journal
from blend.search.journal import TrialJournal
from extract.runtime.errors import WorkError

MARK = {"task": "au", "seed": 0, "heads": {"one": "0123456789abcdef" * 4}}


def trial(value):
    import optuna

    space = {"w": optuna.distributions.FloatDistribution(0, 1), "k": optuna.distributions.IntDistribution(0, 9)}
    chosen = {"w": value / 3, "k": 3}
    return optuna.trial.create_trial(params=chosen, distributions=space, value=value, user_attrs={"start": "equal"})


def test_trials_come_back_in_order_and_exactly(tmp_path):
    with TrialJournal(tmp_path / "sub" / "study.db", "au", MARK) as journal:
        assert journal.trials() == [] and journal.set_aside == ""
        for value in (0.1, 0.7, 1 / 3):
            journal.add(trial(value))
    with TrialJournal(tmp_path / "sub" / "study.db", "au", MARK) as journal:
        assert journal.set_aside == ""
        assert [t.value for t in journal.trials()] == [0.1, 0.7, 1 / 3]
        assert [t.params["w"] for t in journal.trials()] == [0.1 / 3, 0.7 / 3, 1 / 9]
        assert journal.trials()[0].user_attrs == {"start": "equal"}


def test_it_is_a_study_that_optuna_reads(tmp_path):
    import optuna

    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        journal.add(trial(0.5))
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.load_study(study_name="au", storage=storage)
    assert study.best_value == 0.5 and study.direction.name == "MAXIMIZE"
    storage.remove_session()
    storage.engine.dispose()


def read_tables(path):
    """All rows of all tables."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in names}


def test_rows_are_those_that_optuna_writes(tmp_path):
    """Floats, whole numbers, categories, attributes of every JSON kind and trials without params."""
    import optuna

    kinds = optuna.distributions
    space = {
        "w": kinds.FloatDistribution(0, 1),
        "log": kinds.FloatDistribution(1e-3, 1, log=True),
        "k": kinds.IntDistribution(0, 9),
        "kernel": kinds.CategoricalDistribution(("box", "gaussian", None)),
    }
    rng = np.random.default_rng(0)
    made = [
        optuna.trial.create_trial(
            params={"w": float(rng.random()), "log": 0.1, "k": int(rng.integers(10)), "kernel": ("box", None)[n % 2]},
            distributions=space,
            value=float(rng.standard_normal()),
            user_attrs={"start": "equal", "list": [1, 2.5, None], "text": "ä"},
        )
        for n in range(3)
    ] + [optuna.trial.create_trial(value=1e-300)]
    with (
        TrialJournal(tmp_path / "ours.db", "au", MARK) as ours,
        TrialJournal(tmp_path / "theirs.db", "au", MARK) as theirs,
    ):
        for trial in made:
            ours.add(trial)
            theirs._storage.create_new_trial(theirs._study, template_trial=trial)
    assert read_tables(tmp_path / "ours.db") == read_tables(tmp_path / "theirs.db")


OTHER = MARK | {"seed": 1, "heads": {"one": "f" * 64, "two": "f" * 64}}


@pytest.mark.parametrize(
    ("name", "mark", "said"),
    [
        ("au", OTHER, "seed: 0 there, 1 now; heads.one: 01234567... there, ffffffff... now; heads.two: None there"),
        ("va", MARK, "it holds no study of va"),
    ],
)
def test_another_search_is_set_aside_and_what_differs_is_said(tmp_path, name, mark, said):
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        journal.add(trial(0.5))
    with TrialJournal(tmp_path / "study.db", name, mark) as journal:
        assert journal.trials() == []
        assert said in journal.set_aside
        assert "another search" in journal.set_aside and "study.old.db" in journal.set_aside
    with TrialJournal(tmp_path / "study.old.db", "au", MARK) as journal:
        assert len(journal.trials()) == 1


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + bytes(200)])
def test_a_damaged_file_is_set_aside(tmp_path, content):
    (tmp_path / "study.db").write_bytes(content)
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        assert journal.trials() == [] and "set" not in journal.path.name
        assert journal.set_aside
        journal.add(trial(0.25))
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        assert len(journal.trials()) == 1


CHANGES = (
    "UPDATE trial_values SET value = value + 1e-12 WHERE trial_id = 2",
    "UPDATE trial_params SET param_value = param_value + 1 WHERE trial_id = 3 AND param_name = 'k'",
    "UPDATE trial_user_attributes SET value_json = '\"single\"' WHERE trial_id = 1 AND key = 'start'",
    "DELETE FROM trial_user_attributes WHERE trial_id = 1 AND key = 'hash'",
    "DELETE FROM trials WHERE trial_id = 2",
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_trial_that_is_not_what_was_kept_is_not_believed(tmp_path, change):
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        for value in (0.1, 0.7, 1 / 3):
            journal.add(trial(value))
    with sqlite3.connect(tmp_path / "study.db") as database:
        assert database.execute(change).rowcount == 1
    database.close()
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        assert journal.trials() == []
        number = int(change.split("trial_id = ")[1][0]) - 1
        assert f"damaged: its trial {number} is " in journal.set_aside


def test_a_damaged_page_that_no_trial_is_read_from_is_found(tmp_path):
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        journal.add(trial(0.1))
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = 'trial_heartbeats'").fetchone()
    with (tmp_path / "study.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        assert journal.trials() == [] and "damaged: " in journal.set_aside


def test_a_file_that_another_program_holds_or_that_may_not_be_written_is_left_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(search_journal, "SECONDS_FOR_LOCK", 0.1)
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        journal.add(trial(0.25))
    whole = (tmp_path / "study.db").read_bytes()
    connection = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(WorkError, match=r"study\.db: another program holds it: .*nothing was changed"):
        TrialJournal(tmp_path / "study.db", "au", MARK)
    connection.execute("ROLLBACK")
    connection.close()
    assert (tmp_path / "study.db").read_bytes() == whole and [p.name for p in tmp_path.iterdir()] == ["study.db"]
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        assert len(journal.trials()) == 1


def test_what_was_set_aside_is_never_overwritten(tmp_path):
    for number in range(3):
        with TrialJournal(tmp_path / "study.db", "au", MARK | {"seed": number}) as journal:
            journal.add(trial(number / 4))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.db", "study.old-2.db", "study.old.db"]
    for name, seed in (("study.old.db", 0), ("study.old-2.db", 1), ("study.db", 2)):
        with TrialJournal(tmp_path / name, "au", MARK | {"seed": seed}) as journal:
            assert [t.value for t in journal.trials()] == [seed / 4]


def test_an_unfinished_transaction_leaves_no_trial(tmp_path):
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        journal.add(trial(0.25))
    connection = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("INSERT INTO trials (number, study_id, state) VALUES (1, 1, 'COMPLETE')")
    connection.close()  # as a kill would: nothing was committed
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        assert [t.number for t in journal.trials()] == [0]


def test_a_folder_with_letters_that_mean_something_in_an_address(tmp_path):
    folder = tmp_path / "what {is} this? 100%41"
    with TrialJournal(folder / "study.db", "au", MARK) as journal:
        journal.add(trial(0.5))
    with TrialJournal(folder / "study.db", "au", MARK) as journal:
        assert [t.value for t in journal.trials()] == [0.5]
    assert [path.name for path in folder.iterdir()] == ["study.db"]
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_full_disk_while_it_is_made_or_written_is_one_line_and_leaves_nothing_half(tmp_path, monkeypatch):
    whole = sqlite3.connect
    pages = 4

    def small(*arguments, **settings):
        connection = whole(*arguments, **settings)
        connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own "database or disk is full"
        return connection

    monkeypatch.setattr(search_journal.sqlite3, "connect", small)
    with pytest.raises(WorkError, match=r"study\.db: the disk is full: free some space"):
        TrialJournal(tmp_path / "study.db", "au", MARK)
    assert list(tmp_path.iterdir()) == []
    pages = 100_000
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        journal.add(trial(0.5))
        pages = 1
        with pytest.raises(WorkError, match="the disk is full"):
            for _ in range(200):
                journal.add(trial(0.25))
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("study.db")] == []
    pages = 100_000
    with TrialJournal(tmp_path / "study.db", "au", MARK) as journal:
        assert journal.set_aside == "" and journal.trials()[0].value == 0.5
