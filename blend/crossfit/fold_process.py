"""A second process for the searches inside the folds, begun while the search itself is under way.

On small pools one search keeps one core busy. The second process takes the folds from the last on, whoever cross-fits
takes them from the first on, each one's search once; what a fold gives does not depend on who makes it. Should the
process be lost, so is nothing but its time.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

from blend.config import BlendSettings
from blend.decision.params import Params
from blend.decision.smooth import SMALL
from blend.pool.pool import Pool
from blend.search import search
from extract.features.pipeline import cores
from extract.runtime import process

WORTH_A_PROCESS = 500
"""Trials of all folds together: for fewer it would hardly be there before they are done."""


def fold_trials(settings: BlendSettings) -> int:
    """Trials of the search inside each fold."""
    return settings.fold_trials or settings.trials


def search_fold(
    pool: Pool,
    settings: BlendSettings,
    seed: int,
    number: int,
    held: Sequence[int],
    on_trial: Callable[[], None] = lambda: None,
) -> Params:
    """What a search finds that never sees the videos `held` of a fold."""
    rest = pool.select([video for video in range(len(pool.videos)) if video not in held])
    trials = fold_trials(settings)
    return search.search(rest, settings, trials, search.derive(seed, "fold", number), None, on_trial).params


class FoldProcess:
    """The process, and which folds it has taken."""

    def __init__(self, pool: Pool, settings: BlendSettings, seed: int, folds: Sequence[Sequence[int]]) -> None:
        job = pickle.dumps((pool, settings, seed, folds))  # here, where nobody changes it meanwhile
        context = multiprocessing.get_context("spawn")
        self._taken = context.Array("b", len(folds))
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(self._taken, theirs), daemon=True)
        with theirs, process.hidden_script(), _no_ctrl_c():
            self._process.start()
        self._sending = threading.Thread(target=self._send, args=(job,), daemon=True)
        self._sending.start()

    def _send(self, job: bytes) -> None:
        """Tell the process what to do: more than a pipe holds, so this waits for it to be there."""
        with suppress(OSError):  # it has ended
            self._connection.send_bytes(job)

    def take(self, number: int) -> bool:
        """Whether nobody has taken a fold yet: it is the caller's now."""
        return _take(self._taken, number)

    def results(self) -> Iterator[tuple[int, Params]]:
        """What the process has found, fold by fold, until it has no more."""
        with suppress(EOFError, OSError):
            while True:
                yield self._connection.recv()

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join()
        self._sending.join()
        self._connection.close()


@contextmanager
def begin(
    pool: Pool, settings: BlendSettings, seed: int, folds: Sequence[Sequence[int]]
) -> Iterator[FoldProcess | None]:
    """The process, while there is something for it to do: None on one core, for few trials, for a pool on whose scores
    a search uses all cores itself, and where the system has no process or shared memory to give.
    """
    trials = len(folds) * search.count(pool, settings, fold_trials(settings))
    found = None
    if cores() > 1 and len(folds) > 1 and trials >= WORTH_A_PROCESS and pool.scores.size <= SMALL:
        with suppress(OSError):
            found = FoldProcess(pool, settings, seed, folds)
    try:
        yield found
    finally:
        if found is not None:
            found.close()


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """A block in which Ctrl-C waits; processes that it starts never hear of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _take(taken: Any, number: int) -> bool:
    with taken.get_lock():
        free, taken[number] = not taken[number], 1
    return free


def _work(taken: Any, connection: Connection) -> None:
    """Search inside the folds that nobody has taken, the last first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever cross-fits, who ends us
    process.end_with_parent()
    try:
        pool, settings, seed, folds = connection.recv()
    except (EOFError, OSError):  # whoever cross-fits is gone
        return
    for number in reversed(range(len(folds))):
        if _take(taken, number):
            connection.send((number, search_fold(pool, settings, seed, number, folds[number])))
