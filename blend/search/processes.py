"""The processes of a shared search on this machine: started, watched, replaced when they die."""

from __future__ import annotations

import math
import multiprocessing
import os
import platform
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from blend.config import BlendSettings
from blend.pool.pool import Pool
from blend.search import search
from blend.search.shared_study import SharedStorage, SharedStudy
from extract.runtime import process
from extract.runtime.errors import Failed

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_SYNCS = 0.5
MOST_DEATHS = 20
"""So many processes may die one after the other without any trial finished in between."""


@dataclass
class WorkerPool:
    """`workers` processes that draw trials until `wanted` are finished, by whomever, or until `until`."""

    pool: Pool
    settings: BlendSettings
    seed: int
    where: SharedStorage
    wanted: int
    workers: int
    until: float | None
    _hands: dict[str, BaseProcess] = field(init=False, default_factory=dict)
    _started: int = field(init=False, default=0)
    _deaths: int = field(init=False, default=0)

    def run(self, study: SharedStudy, on_trials: Callable[[int], None]) -> None:
        """Work until it is done; however it ends, no process is left.

        Raises Failed where processes keep dying, or end with an error.
        """
        counted = 0
        try:
            while True:
                finished = study.count()
                on_trials(finished - counted)
                self._deaths = 0 if finished > counted else self._deaths
                counted = finished
                if finished >= self.wanted or (not self._hands and self._over(finished)):
                    return
                while len(self._hands) < self.workers and not self._over(finished):
                    self._start()
                wait([hand.sentinel for hand in self._hands.values()], SECONDS_BETWEEN_LOOKS)
                for name in [name for name, hand in self._hands.items() if hand.exitcode is not None]:
                    self._ended(name)
        finally:
            for name in [*self._hands]:
                self._end(name)

    def _over(self, finished: int) -> bool:
        """Whether no process is to be started any more."""
        return finished >= self.wanted or (self.until is not None and time.monotonic() > self.until)

    def _start(self) -> None:
        self._started += 1
        name = f"{platform.node()}-{os.getpid()}-{self._started}"
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        left = None if self.until is None else max(0.0, self.until - time.monotonic())
        arguments = (self.pool, self.settings, self.seed, self.where, self.wanted, name, threads, left)
        # a fresh interpreter: numba's threads do not survive a fork
        hand = multiprocessing.get_context("spawn").Process(target=work, args=arguments, name=name, daemon=True)
        hand.start()
        self._hands[name] = hand

    def _ended(self, name: str) -> None:
        """A process is over: done, to be replaced, or with an error of its own."""
        code = self._hands[name].exitcode or 0
        self._end(name)
        if code > 0:
            raise Failed(f"a process of the search ended with exit code {code}; what it said is above")
        if code < 0:
            self._deaths += 1
            if self._deaths >= MOST_DEATHS:
                raise Failed(
                    f"{self._deaths} processes of the search were ended by signals one after the other, the last by "
                    f"{-code} (9 is mostly too little memory: fewer --workers)"
                )
            print(f"warning: a process was ended by signal {-code}; another takes its place", file=sys.stderr)

    def _end(self, name: str) -> None:
        """Let no process of this name be left."""
        hand = self._hands.pop(name)
        if hand.exitcode is None:
            hand.kill()
        hand.join()


def work(
    pool: Pool,
    settings: BlendSettings,
    seed: int,
    where: SharedStorage,
    wanted: int,
    name: str,
    threads: int,
    seconds: float | None,
) -> None:
    """One process: draw and score, and now and then hand over what was made and take in what others have made."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends us
    process.end_with_parent()
    import numba

    from blend.decision import smooth
    from blend.search import objective
    from blend.search.space import make_space

    numba.set_num_threads(min(threads, numba.get_num_threads()))
    until = math.inf if seconds is None else time.monotonic() + seconds
    space = make_space(pool, settings)
    score = objective.make(pool, space.extras)
    study = where.open()
    drawer = Drawer(space.distributions(), search.derive(seed, name))
    with smooth.threads(pool.scores.size):
        while study.add(drawer.made, wanted, name) < wanted and time.monotonic() < until:
            drawer.learn(study.trials_of_other_workers(name))
            pause = min(until, time.monotonic() + SECONDS_BETWEEN_SYNCS)
            while True:  # at least one, however slow
                drawer.draw(lambda params: score.score(space.point(params)))
                if time.monotonic() >= pause:
                    break
    study.close()


class Drawer:
    """A sampler in memory, and the trials it has made since they were last handed over."""

    def __init__(self, space: dict[str, BaseDistribution], seed: int) -> None:
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # multivariate TPE
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._space, self._known = space, 0
        self.made: list[FrozenTrial] = []

    def learn(self, rest: list[FrozenTrial]) -> None:
        """Take in what others have made, all of it so far, first to last; what was made here is handed over."""
        self._study.add_trials(rest[self._known :])
        self._known, self.made = len(rest), []

    def draw(self, score: Callable[[dict[str, Any]], float]) -> None:
        """Make one trial."""
        trial = self._study.ask(fixed_distributions=self._space)
        self._study.tell(trial, score(trial.params))
        self.made.append(self._study.get_trials(deepcopy=False)[-1])
