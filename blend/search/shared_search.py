"""A search drawn by several processes, here or on a cluster, to the number of trials that was asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial

from blend.config import BlendSettings
from blend.pool import duplicates
from blend.pool.pool import Pool
from blend.search import search
from blend.search.processes import WorkerPool
from blend.search.shared_study import SharedStorage
from extract.jobs import session
from extract.runtime.errors import InputError


def run_shared_search(
    pool: Pool,
    settings: BlendSettings,
    trials: int,
    seed: int,
    storage: SharedStorage,
    workers: int,
    until: float | None = None,
    on_trials: Callable[[int], None] = lambda count: None,
) -> search.SearchResult:
    """Search together with whoever else shares the study; `on_trials` is told how many more are finished.

    No trial is begun after `until` (`time.monotonic`). Raises InputError for a sampler that cannot be shared.
    """
    if settings.sampler != "tpe":
        raise InputError(f'blend.{pool.task.name}.sampler: {settings.sampler!r} is for one process; take "tpe"')
    study, aside = storage.open_or_set_aside()
    if aside:
        print(aside, file=sys.stderr)
    starts = Memory()
    search.search(pool, settings, 0, seed, starts)
    count = len(starts.new_trials)
    wanted = count + search.draws(search.count(pool, settings, trials) - count, settings)
    try:
        study.add_starts(starts.new_trials)
        searched = duplicates.to_search(pool, settings)
        cluster = session.current_cluster() if storage.url else None
        WorkerPool(*searched, seed, storage, wanted, workers, until, cluster).run(study, on_trials)
        finished = Memory(study.in_order())
        as_asked = len(finished.finished_trials) == wanted
        total = (
            max(count, trials) if as_asked else count + search.refine(len(finished.finished_trials) - count, settings)
        )
        result = search.search(pool, settings, total, seed, finished)
        if as_asked and finished.choice is not None:
            study.add_choice(finished.choice)
        return result
    finally:
        study.close()


class Memory:
    """A journal in memory: trials that are done already, and those that are made."""

    def __init__(self, done: Sequence[FrozenTrial] = ()) -> None:
        self.finished_trials, self.new_trials = list(done), []  # type: list[FrozenTrial], list[FrozenTrial]
        self.choice: FrozenTrial | None = None

    def trials(self) -> list[FrozenTrial]:
        """Finished trials, first to last."""
        return self.finished_trials

    def add(self, trial: FrozenTrial) -> None:
        """Keep a finished trial."""
        self.new_trials.append(trial)

    def finish(self, trial: FrozenTrial) -> None:
        """Keep what the search has chosen."""
        self.choice = trial
