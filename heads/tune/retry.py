"""The retry of dead trials: which trials died on the way, and which of them are tried again.

A trial whose process died is FAIL without an error of its own. The next claim takes its parameters again, unless they
have ended their process too often. All of it is read off the trials of the study; nothing is kept beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

RETRY_OF, ATTEMPT, ERROR, FREED_KEY = "retry_of", "attempt", "error", "freed"
"""User attributes of trials: whose parameters it takes again, for which time, its own error, why it was stopped."""
MOST_ATTEMPTS = 5
"""Parameters whose process died so often (too little memory, mostly) are not tried again."""


def list_dead(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that died on the way: no error of their own, and not retried yet."""
    retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    dead = [t for t in trials if t.state.name == "FAIL" and ERROR not in t.user_attrs]
    return [trial for trial in dead if trial.number not in retried]


def list_lost_trials(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those that are to be retried: they have not ended their process too often.

    Optuna's RetryHeartbeatStaleTrialCallback is not used. It queues the retry after the trial has failed, in another
    transaction: killed before each of its five calls of the storage in turn, it lost the parameters in three, and the
    next draw was another one. What is read off the trials anew at every claim cannot be lost. It also would count being
    stopped (FREED_KEY) as an attempt, and hears of silent trials alone, not of `release`.
    """
    attempts = ((trial, trial.user_attrs.get(ATTEMPT, 1)) for trial in list_dead(trials))
    return [trial for trial, number in attempts if FREED_KEY in trial.user_attrs or number < MOST_ATTEMPTS]


def describe(lost: FrozenTrial) -> dict[str, int]:
    """User attributes of the trial that takes a lost one's parameters again."""
    freed = FREED_KEY in lost.user_attrs
    return {RETRY_OF: lost.number, ATTEMPT: lost.user_attrs.get(ATTEMPT, 1) + (not freed)}


def count_given_up(trials: list[FrozenTrial]) -> int:
    """How many draws ended their process too often to be retried."""
    return len(list_dead(trials)) - len(list_lost_trials(trials))
