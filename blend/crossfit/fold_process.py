"""A second process for the searches inside the folds, begun while the search itself is under way.

On small pools one search keeps one core busy. The second process takes the folds from the last on, whoever cross-fits
takes them from the first on, each one's search once; what a fold gives does not depend on who makes it. Between two
folds it calls a function for whoever asks. Should the process be lost, so is nothing but its time.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from blend.config import BlendSettings
from blend.decision.params import Params
from blend.decision.smooth import SMALL
from blend.pool.pool import Pool
from blend.search import search
from extract.features.pipeline import cores
from extract.runtime import process, progress

T = TypeVar("T")
ANSWER, END = -1, -2
"""What the process tells beside the number of a fold: what it was asked, and that its last fold is finished."""
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
        with progress.pause(), process.hidden_script(), _no_ctrl_c():
            context = multiprocessing.get_context("fork" if process.may_fork() else "spawn")
            self._taken = context.Array("b", len(folds))
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_work, args=(self._taken, theirs), daemon=True)
            with theirs:
                self._process.start()
        self._answers: list[Any] = []
        self._sending: list[threading.Thread] = []
        self._send(job)

    def _send(self, told: bytes) -> None:
        """Tell the process what to do, in a thread: more than a pipe holds, so this waits for it to be there."""
        before = [*self._sending]

        def send() -> None:
            for thread in before:
                thread.join()
            with suppress(OSError):  # it has ended
                self._connection.send_bytes(told)

        self._sending.append(thread := threading.Thread(target=send, daemon=True))
        thread.start()

    def call(self, function: Callable[..., T], *arguments: Any) -> Callable[[], T]:
        """Let the process call a function of a module, once. What is returned gives what it returns, and waits for it
        once `results` have been read; it calls the function here, where the process was lost.
        """
        self._send(pickle.dumps((function, arguments)))

        def answer() -> T:
            with suppress(EOFError, OSError):
                while not self._answers:
                    number, found = self._connection.recv()
                    if number == ANSWER:
                        self._answers.append(found)
            return self._answers[0] if self._answers else function(*arguments)

        return answer

    def take(self, number: int) -> bool:
        """Whether nobody has taken a fold yet: it is the caller's now."""
        return _take(self._taken, number)

    def results(self) -> Iterator[tuple[int, Params]]:
        """What the process has found, fold by fold, until it has no more."""
        with suppress(EOFError, OSError):
            while (told := self._connection.recv())[0] != END:
                if told[0] == ANSWER:
                    self._answers.append(told[1])
                else:
                    yield told

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join()
        for thread in self._sending:
            thread.join()
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


def begin_call(helper: FoldProcess | None, function: Callable[..., T], *arguments: Any) -> Callable[[], T]:
    """Let the process call a function of a module, where there is one; what is returned waits for what it returns."""
    return partial(function, *arguments) if helper is None else helper.call(function, *arguments)


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
    with suppress(EOFError, OSError):  # whoever cross-fits is gone
        pool, settings, seed, folds = connection.recv()
        for number in reversed(range(len(folds))):
            while connection.poll():
                _answer(connection)
            if _take(taken, number):
                connection.send((number, search_fold(pool, settings, seed, number, folds[number])))
        connection.send((END, None))
        while True:
            _answer(connection)


def _answer(connection: Connection) -> None:
    function, arguments = connection.recv()
    connection.send((ANSWER, function(*arguments)))
