"""A second process for the searches inside the folds, begun while the search itself is under way.

On small pools one search keeps one core busy. The second process takes the folds from the last on, whoever cross-fits
takes them from the first on, each one's search once; what a fold gives does not depend on who makes it. Should the
process be lost, so is nothing but its time.
"""

from __future__ import annotations

import multiprocessing
import signal
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
    trials = settings.fold_trials or settings.trials
    return search.search(rest, settings, trials, search.derive(seed, "fold", number), None, on_trial).params


class FoldProcess:
    """The process, and which folds it has taken."""

    def __init__(self, pool: Pool, settings: BlendSettings, seed: int, folds: Sequence[Sequence[int]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._taken = context.Array("b", len(folds))
        self._results, theirs = context.Pipe(duplex=False)
        arguments = pool, settings, seed, folds, self._taken, theirs
        with process.hidden_script():
            self._process = context.Process(target=_work, args=arguments, daemon=True)
            self._process.start()
        theirs.close()

    def take(self, number: int) -> bool:
        """Whether nobody has taken a fold yet: it is the caller's now."""
        return _take(self._taken, number)

    def results(self) -> Iterator[tuple[int, Params]]:
        """What the process has found, fold by fold, until it has no more."""
        with suppress(EOFError, OSError):
            while True:
                yield self._results.recv()

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join()
        self._results.close()


@contextmanager
def begin(
    pool: Pool, settings: BlendSettings, seed: int, folds: Sequence[Sequence[int]]
) -> Iterator[FoldProcess | None]:
    """The process, while there is something for it to do: None on one core, for few trials, and for a pool on whose
    scores a search uses all cores itself.
    """
    trials = len(folds) * search.count(pool, settings, settings.fold_trials or settings.trials)
    if cores() < 2 or len(folds) < 2 or trials < WORTH_A_PROCESS or pool.scores.size > SMALL:
        yield None
        return
    found = FoldProcess(pool, settings, seed, folds)
    try:
        yield found
    finally:
        found.close()


def _take(taken: Any, number: int) -> bool:
    with taken.get_lock():
        free, taken[number] = not taken[number], 1
    return free


def _work(
    pool: Pool, settings: BlendSettings, seed: int, folds: Sequence[Sequence[int]], taken: Any, results: Connection
) -> None:
    """Search inside the folds that nobody has taken, the last first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever cross-fits, who ends us
    process.end_with_parent()
    for number in reversed(range(len(folds))):
        if _take(taken, number):
            results.send((number, search_fold(pool, settings, seed, number, folds[number])))
