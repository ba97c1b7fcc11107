"""Every trial on disk: an Optuna study in SQLite, so that a search that was killed goes on where it was.

The search itself runs on a study in memory; each finished trial is then added here in one transaction. So the file
holds finished trials only, in order, and never half of one. The last one is what the search has chosen, and scores
best: Optuna's `study.best_params` are the numbers of the tuned blend.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

from extract.runtime.run_folder import set_aside
from heads.tune.storage import make_sqlite, refuse_busy_file
from heads.tune.study import HASH, content_hash, differences, find_damaged_trial

FACTS = "facts"
"""User attribute of a study: everything that decides its trials."""
CHOICE = "chosen"
"""User attribute of the trial that a search ends with."""
SECONDS_FOR_LOCK = 60.0


class Trials(Protocol):
    """Where finished trials are kept."""

    def trials(self) -> list[FrozenTrial]:
        """Finished trials, first to last."""

    def add(self, trial: FrozenTrial) -> None:
        """Keep a finished trial."""

    def finish(self, trial: FrozenTrial) -> None:
        """Keep what the search has chosen, once: `trials` leaves it out."""


class TrialJournal:
    """The finished trials of one search. Use as a context manager: closing frees the file.

    `facts` are everything that decides a trial. A file of other facts, or one that is no study, is kept aside as
    `<name>.old.db`, and `set_aside` says so and what differs: the file belongs to this folder, and a changed setting
    is daily work.
    """

    def __init__(self, path: Path, name: str, facts: dict[str, Any]) -> None:
        self.path, self.set_aside = path, ""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._storage = self._open(name, facts) if path.exists() else None
        if self._storage is None:
            self._create(name, facts)
            self._storage = self._open(name, facts)
        if self._storage is None:
            raise RuntimeError(f"{path}: a study that was just made cannot be read")
        self._study = self._storage.get_study_id_from_name(name)

    def __enter__(self) -> TrialJournal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._storage is not None:
            _close(self._storage)

    def trials(self) -> list[FrozenTrial]:
        """Finished trials, first to last."""
        assert self._storage is not None
        result = self._storage.get_all_trials(self._study, states=(TrialState.COMPLETE,))
        for trial in result:
            trial.user_attrs.pop(HASH)
        return sorted((trial for trial in result if not is_choice(trial)), key=lambda trial: trial.number)

    def add(self, trial: FrozenTrial) -> None:
        """Keep a finished trial: one transaction."""
        seal(trial)
        try:
            with contextlib.closing(_connect(self.path)) as connection, connection:
                _insert(connection, self._study, trial)
        except sqlite3.Error as error:
            refuse_busy_file(self.path, error)
            raise

    def finish(self, trial: FrozenTrial) -> None:
        """Keep what the search has chosen, where that was not done before."""
        assert self._storage is not None
        if not any(map(is_choice, self._storage.get_all_trials(self._study, deepcopy=False))):
            self.add(mark_choice(trial))

    def _open(self, name: str, facts: dict[str, Any]) -> RDBStorage | None:
        """The storage, if it holds this very search; otherwise the file is moved aside."""
        reason, storage = "", None
        try:
            storage = _storage(self.path)
            study = storage.get_study_id_from_name(name)
            differ = describe_differences(storage.get_study_user_attrs(study).get(FACTS), facts)
            reason = differ or _damage_of_file(self.path, storage.get_all_trials(study, deepcopy=False))
            if not reason:
                return storage
        except KeyError:
            reason = f"it holds no study of {name}"
        except Exception as error:  # whatever SQLAlchemy, SQLite and Optuna raise for a file that is no study of ours
            if storage is not None:
                _close(storage)
            refuse_busy_file(self.path, error)
            reason = f"unreadable: {type(error).__name__}"
        if storage is not None:
            _close(storage)
        old = set_aside(self.path)
        Path(f"{self.path}-journal").unlink(missing_ok=True)
        kept = f"it is kept as {old.name}, and the search begins anew"
        self.set_aside = f"{self.path} was of another search ({reason}); {kept}"
        return None

    def _create(self, name: str, facts: dict[str, Any]) -> None:
        """Make the study whole: a kill leaves no half-made one."""

        def make(place: Path) -> None:
            storage = _storage(place)
            study = storage.create_new_study([StudyDirection.MAXIMIZE], name)
            storage.set_study_user_attr(study, FACTS, facts)
            _close(storage)

        make_sqlite(self.path, make)


def mark_choice(trial: FrozenTrial) -> FrozenTrial:
    """A trial that says that it is what the search has chosen, and none of those that it made."""
    trial.user_attrs[CHOICE] = "what the search has chosen, with every number that follows from it"
    return trial


def is_choice(trial: FrozenTrial) -> bool:
    """Whether `mark_choice` has marked it."""
    return CHOICE in trial.user_attrs


def seal(trial: FrozenTrial) -> None:
    """Give a trial the hash of all that it says, before it is kept."""
    trial.user_attrs[HASH] = content_hash(trial, trial.state, trial.values)


def damage(trials: Sequence[FrozenTrial]) -> str:
    """Which of these trials is not what was kept, in words; "" where all are."""
    bad = find_damaged_trial(trials)
    return "" if bad is None else f"damaged: its trial {bad.number} is not what was written"


def _damage_of_file(path: Path, trials: Sequence[FrozenTrial]) -> str:
    """What is wrong with a file that holds these trials, in words; "" where nothing is. Last ones that are gone without
    a trace are not missed: the search makes them again.
    """
    with contextlib.closing(_connect(path)) as connection:
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        return f"damaged: {said}"
    gone = next((number for number, trial in enumerate(trials) if trial.number != number), None)
    return damage(trials) if gone is None else f"damaged: its trial {gone} is missing"


def describe_differences(old: Any, new: dict[str, Any]) -> str:
    """What differs between the facts of two searches, in words; hashes cut short. Empty: nothing."""
    lines = differences(old, new) if old is not None else ["it says nothing of what it was made from"]
    return re.sub(r"'([0-9a-f]{8})[0-9a-f]{56}'", r"\1...", "; ".join(lines))


def _storage(path: Path) -> RDBStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between Optuna and SQLAlchemy that we cannot act on
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # the path is given to SQLite itself: in a URL, a folder's ? or { would mean something
        return RDBStorage("sqlite://", engine_kwargs={"creator": partial(_connect, path), "poolclass": NullPool})


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that does not wait for the disk, which took longer than the trials themselves: a kill loses nothing
    all the same; only after a power cut the file may be damaged, which is found, and the search begins anew.
    """
    connection = sqlite3.connect(path, timeout=SECONDS_FOR_LOCK)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _insert(connection: sqlite3.Connection, study: int, trial: FrozenTrial) -> None:
    """Write the rows that Optuna's `create_new_trial` writes of a finished trial, but for a sampler's notes: it asks
    some hundred questions for each, which cost more than the trial itself. Its value is finite.
    """
    moments = (trial.datetime_start, trial.datetime_complete)
    begun, ended = (moment and moment.isoformat(" ", "microseconds") for moment in moments)
    row = connection.execute(
        "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete)"
        " SELECT count(*), ?, ?, ?, ? FROM trials WHERE study_id = ?",
        (study, trial.state.name, begun, ended, study),
    ).lastrowid
    connection.execute(
        "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, 0, ?, 'FINITE')",
        (row, trial.value),
    )
    connection.executemany(
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)",
        [
            (row, name, kind.to_internal_repr(trial.params[name]), distribution_to_json(kind))
            for name, kind in trial.distributions.items()
        ],
    )
    connection.executemany(
        "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
        [(row, key, json.dumps(value)) for key, value in trial.user_attrs.items()],
    )


def _close(storage: RDBStorage) -> None:
    with contextlib.suppress(Exception):
        storage.remove_session()
    storage.engine.dispose()
