"""A search that many processes share and any of them may be killed at: who tries what, and what counts.

A trial is claimed under the storage's lock: only while fewer are finished and running than wanted, so that exactly
as many finish, whoever races. It counts from the one moment at which its state becomes COMPLETE or PRUNED, which the
storage allows once. A trial whose process died becomes FAIL, and the next claim takes its parameters again
(`retry_of`); whoever was wrongly taken for dead is told so when it wants to finish, and its work is thrown away.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from extract.runtime.errors import InputError
from extract.runtime.run_folder import fingerprint
from heads.search_space import Leaf
from heads.tune import retry
from heads.tune import storage as tune_storage
from heads.tune.storage import Guard, retry_call

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, TrialState

FACTS = "facts"
"""User attribute of a study: what decides its scores."""
WORKER = "worker"
"""User attribute of a trial that was begun."""
HASH = "hash"
"""User attribute of a finished trial: of all that it says, so that what is changed in the storage is not believed."""
STARTUP_TRIALS = 5
"""Trials that must be complete before any is pruned."""


@dataclass(frozen=True)
class ClaimedTrial:
    """A trial that is ours to do."""

    id: int
    number: int
    params: dict[str, Any]


class Study:
    """One search in a storage. Every method waits for a storage that does not answer, and at last raises WorkError."""

    def __init__(self, storage: RDBStorage, guard: Guard, study: int) -> None:
        self.storage, self.guard, self.id = storage, guard, study

    @staticmethod
    def open(url: str, path: Path, name: str, heartbeat: int, facts: dict[str, Any] | None = None) -> Study:
        """The study `name` of the server at `url`, or without one of the SQLite file `path`.

        With `facts`, it is made where there is none. Raises InputError, naming what differs, where it is of others.
        """
        if url:
            storage, guard = tune_storage.open_postgresql(tune_storage.parse(url), name, heartbeat)
        else:
            storage, guard = tune_storage.open_sqlite(path, heartbeat)
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        def find() -> int:
            with guard():
                try:
                    return storage.get_study_id_from_name(name)
                except KeyError:
                    if facts is None:
                        raise
                try:
                    study = storage.create_new_study([StudyDirection.MAXIMIZE], name)
                except DuplicatedStudyError:  # an answer was lost on its way
                    study = storage.get_study_id_from_name(name)
                storage.set_study_user_attr(study, FACTS, facts)
                return study

        study = retry_call(find)
        there = storage.get_study_user_attrs(study).get(FACTS)
        if facts is not None and there is None:  # killed between the two
            retry_call(lambda: storage.set_study_user_attr(study, FACTS, facts))
        elif facts is not None and (differ := differences(there, facts)):
            where = "the storage" if url else str(path)
            raise InputError(
                f"the study {name!r} of {where} is of another search: {'; '.join(differ)}; search under another name "
                f"with --study, or with what it was begun with"
            )
        return Study(storage, guard, study)

    def close(self) -> None:
        """Let go of the storage."""
        tune_storage.close(self.storage)

    def facts(self) -> dict[str, Any]:
        """What decides the study's scores."""
        results: dict[str, Any] = retry_call(lambda: self.storage.get_study_user_attrs(self.id)).get(FACTS) or {}
        return results

    def trials(self) -> list[FrozenTrial]:
        """Every trial, first to last. Raises InputError for a finished one that is not what was written."""
        frozen_trials: list[FrozenTrial] = retry_call(lambda: self.storage.get_all_trials(self.id, deepcopy=False))
        if (bad := find_damaged_trial(list_finished_trials(frozen_trials))) is not None:
            raise InputError(
                f"study {self.storage.get_study_name_from_id(self.id)!r}: its trial {bad.number} is not what was "
                f"written (changed by hand, or by an older version); search under another name with --study"
            )
        return sorted(frozen_trials, key=lambda trial: trial.number)

    def claim(
        self, wanted: int, worker: str, space: tuple[Leaf, ...], start: dict[str, Any] | None, seed: int
    ) -> ClaimedTrial | Literal["wait", "enough"]:
        """The next trial: one that was lost, else a new draw (the first: `start`, where given).

        "enough" when `wanted` are finished; "wait" while others are at the last ones, of which some may be lost.
        """
        import optuna
        from optuna.trial import TrialState

        def claim() -> ClaimedTrial | Literal["wait", "enough"]:
            with self.guard():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    optuna.storages.fail_stale_trials(self._optuna)  # those whose process is silent: see `retry`
                trials = self.trials()
                finished = len(list_finished_trials(trials))
                running = sum(trial.state is TrialState.RUNNING for trial in trials)
                if finished + running >= wanted:
                    return "enough" if finished >= wanted else "wait"
                waiting = [trial for trial in trials if trial.state is TrialState.WAITING]
                trial = waiting[0] if waiting else self._new(trials, space, start, seed)
                # a heart beats before it runs: killed between two of these lines, it still waits, or will fall silent
                self.storage.record_heartbeat(trial._trial_id)
                self.storage.set_trial_user_attr(trial._trial_id, WORKER, worker)
                self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
            return ClaimedTrial(trial._trial_id, trial.number, dict(trial.params))

        return retry_call(claim)

    def _new(
        self, trials: list[FrozenTrial], space: tuple[Leaf, ...], start: dict[str, Any] | None, seed: int
    ) -> FrozenTrial:
        """Create a waiting trial: its parameters and what it is about in one transaction."""
        from optuna.trial import TrialState, create_trial

        if lost := retry.list_lost_trials(trials):
            params, about = lost[0].params, retry.describe(lost[0])
        else:
            draws = sum(retry.RETRY_OF not in trial.user_attrs for trial in trials)
            params = start if start is not None and draws == 0 else draw(trials, space, seed, draws)
            about = {}
        among = {leaf.key: leaf.distribution() for leaf in space}
        waiting = create_trial(state=TrialState.WAITING, params=params, distributions=among, user_attrs=about)
        return self.storage.get_trial(self.storage.create_new_trial(self.id, waiting))

    @cached_property
    def _optuna(self) -> optuna.Study:
        """The same study as Optuna has it."""
        import optuna

        name = self.storage.get_study_name_from_id(self.id)
        return optuna.load_study(study_name=name, storage=self.storage)

    def report(self, trial: ClaimedTrial, step: int, value: float) -> None:
        """Note the score after a fold."""
        from optuna.exceptions import UpdateFinishedTrialError

        with suppress(UpdateFinishedTrialError):  # taken for dead: `finish` will say so
            retry_call(lambda: self.storage.set_trial_intermediate_value(trial.id, step, value))

    def is_hopeless(self, trial: ClaimedTrial) -> bool:
        """Whether it is below the median of the complete trials at the same fold."""
        import optuna

        pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS)
        return retry_call(lambda: pruner.prune(self._optuna, self.storage.get_trial(trial.id)))

    def finish(self, trial: ClaimedTrial, state: TrialState, score: float | None) -> bool:
        """The moment at which a trial counts. False if it was taken for dead before: then it does not."""
        from optuna.exceptions import UpdateFinishedTrialError

        values = None if score is None else [score]

        def count() -> bool:
            said = self.storage.get_trial(trial.id)
            self.storage.set_trial_user_attr(trial.id, HASH, content_hash(said, state, values))
            return self.storage.set_trial_state_values(trial.id, state, values)

        try:
            return retry_call(count)
        except UpdateFinishedTrialError:
            return retry_call(lambda: self.storage.get_trial(trial.id)).state is state  # perhaps our own lost answer

    def fail(self, trial: int, about: dict[str, Any]) -> None:
        """Give a trial up, unless it is finished; `about` become user attributes, such as retry.ERROR."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        def give_up() -> None:
            for key, value in about.items():
                self.storage.set_trial_user_attr(trial, key, value)
            self.storage.set_trial_state_values(trial, TrialState.FAIL)

        with suppress(UpdateFinishedTrialError):
            retry_call(give_up)

    def release(self, worker: str | None, freed: bool) -> None:
        """Give up the trials of a worker that is gone (None: of all), so that they are retried at once.

        `freed`: it was not the trial that ended it, so this does not count as an attempt.
        """
        for trial in self.trials():
            if trial.state.name == "RUNNING" and worker in (None, trial.user_attrs.get(WORKER)):
                self.fail(trial._trial_id, {retry.FREED_KEY: "stopped"} if freed else {})


def draw(trials: list[FrozenTrial], space: tuple[Leaf, ...], seed: int, number: int) -> dict[str, Any]:
    """Parameters for the `number`-th draw, by TPE that is seeded by (seed, number) and sees these trials.

    So a search by one process that was killed on the way draws what it would have drawn.
    """
    import optuna

    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # multivariate TPE
        sampler = optuna.samplers.TPESampler(seed=own, multivariate=True, constant_liar=True)
        memory = optuna.create_study(direction="maximize", sampler=sampler)
        memory.add_trials([trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED", "RUNNING")])
        return dict(memory.ask({leaf.key: leaf.distribution() for leaf in space}).params)


def content_hash(trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> str:
    """The hash of all that a trial says, once it ends in this state with these values."""
    about = {key: value for key, value in trial.user_attrs.items() if key != HASH}
    return fingerprint([state.name, values, trial.params, trial.intermediate_values, about])


def find_damaged_trial(trials: Iterable[FrozenTrial]) -> FrozenTrial | None:
    """The first of these finished trials that is not what was written; None where all are."""
    return next((t for t in trials if t.user_attrs.get(HASH) != content_hash(t, t.state, t.values)), None)


def list_finished_trials(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count."""
    return [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]


def find_best(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """The complete trial with the highest score, the earlier of equals."""
    complete = [trial for trial in trials if trial.state.name == "COMPLETE" and trial.value is not None]
    return max(complete, key=lambda trial: (trial.value, -trial.number)) if complete else None


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """What differs between two tables of facts, as `key: X there, Y now`."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for name in [*new, *(name for name in old if name not in new)]
            for line in differences(old.get(name), new.get(name), f"{key}.{name}" if key else str(name))
        ]
    return [] if old == new else [f"{key}: {old!r} there, {new!r} now"]
