"""One search that several processes share, on one machine (SQLite) or many (PostgreSQL).

The starts (single heads, equal weights, greedy selection) are made once. Then every process draws trials of its own,
now and then hands over what it has finished, and takes in what others have. A trial counts from the moment it is in the
storage: it goes there finished, in one transaction, under the storage's lock and only while fewer are there than
wanted. So a process may be killed at any moment, nothing that counts is lost or doubled, and exactly as many are made.
The refinement of the best is what every command does itself, from the same finished trials. Which trials are drawn
depends on who was faster, so only a search by one process alone repeats its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from blend.search.journal import damage, is_choice, mark_choice, seal
from extract.runtime.errors import InputError
from extract.runtime.run_folder import set_aside
from heads.tune.storage import retry_call
from heads.tune.study import Study

HEARTBEAT = 60
"""Asked for by the storage; trials here are finished when they get there, and have none."""
START, WORKER, OWN_NUMBER = "start_number", "worker", "own_number"
"""User attributes: a start's place among the starts; who made a trial, and as which of its own."""


@dataclass(frozen=True)
class SharedStorage:
    """Which study: its storage's URL (empty: the SQLite file `path`), its name, and what decides its trials."""

    url: str
    path: Path
    name: str
    facts: dict[str, Any]

    def open(self) -> SharedStudy:
        """The study, made where there is none. Raises InputError where it is of another search, with what differs."""
        return SharedStudy(Study.open(self.url, self.path, self.name, HEARTBEAT, self.facts))

    def open_or_set_aside(self) -> tuple[SharedStudy, str]:
        """As `open`, but the run folder's own file, if it is of another search, is kept aside as `<name>.old.db`.

        Also what to say of that.
        """
        try:
            return self.open(), ""
        except InputError as error:
            if self.url or not self.path.exists():
                raise
            old = set_aside(self.path)
            return self.open(), f"{error}; it is kept as {old.name}, and the search begins anew"


class SharedStudy:
    """Finished trials in a storage that others write to as well."""

    def __init__(self, study: Study) -> None:
        self._kept, self._checked = study, 0
        name = study.storage.get_study_name_from_id(study.id)
        self._study = optuna.load_study(study_name=name, storage=study.storage)  # reads only what is new
        try:
            retry_call(self._finished)
        except InputError:
            study.close()
            raise

    def close(self) -> None:
        """Let go of the storage."""
        self._kept.close()

    def count(self) -> int:
        """How many trials are finished."""
        return retry_call(lambda: len(self._finished()))

    def _finished(self) -> list[FrozenTrial]:
        """All that were made. Raises InputError for one that is not what was written; a trial is read, and looked at,
        once.
        """
        result = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if why := damage(result[self._checked :]):
            raise InputError(f"study {self._study.study_name!r} is {why}; name another with --study")
        self._checked = len(result)
        return [trial for trial in result if not is_choice(trial)]

    def trials_of_other_workers(self, worker: str) -> list[FrozenTrial]:
        """Trials that this worker has not made, first to last."""
        return [trial for trial in retry_call(self._finished) if trial.user_attrs.get(WORKER) != worker]

    def in_order(self) -> list[FrozenTrial]:
        """The starts in their order, then the draws by number."""
        result = retry_call(self._finished)
        return sorted(result, key=lambda trial: (trial.user_attrs.get(START, len(result)), trial.number))

    def add(self, trials: Sequence[FrozenTrial], wanted: int, worker: str) -> int:
        """Hand over finished trials while fewer than `wanted` are there; returns how many there are then."""
        left = list(trials)

        def hand_over() -> int:
            with self._kept.guard():
                there = self._finished()
                known = {trial.user_attrs.get(OWN_NUMBER) for trial in there if trial.user_attrs.get(WORKER) == worker}
                count = len(there)
                for trial in left:
                    if count < wanted and trial.number not in known:
                        trial.user_attrs |= {WORKER: worker, OWN_NUMBER: trial.number}
                        seal(trial)
                        self._kept.storage.create_new_trial(self._kept.id, trial)
                        count += 1
                return count

        return retry_call(hand_over)

    def add_choice(self, trial: FrozenTrial) -> None:
        """Add what the search has chosen; of the same finished trials every command chooses the same, once."""
        mark_choice(trial)
        seal(trial)

        def hand_over() -> None:
            with self._kept.guard():
                there = self._study.get_trials(deepcopy=False)
                if not any(is_choice(t) and (t.params, t.value) == (trial.params, trial.value) for t in there):
                    self._kept.storage.create_new_trial(self._kept.id, trial)

        retry_call(hand_over)

    def add_starts(self, made: Sequence[FrozenTrial]) -> None:
        """Add the starts that are not there yet."""

        def hand_over() -> None:
            with self._kept.guard():
                there = {trial.user_attrs.get(START) for trial in self._finished()}
                for number, trial in enumerate(made):
                    if number not in there:
                        trial.user_attrs[START] = number
                        seal(trial)
                        self._kept.storage.create_new_trial(self._kept.id, trial)

        retry_call(hand_over)
