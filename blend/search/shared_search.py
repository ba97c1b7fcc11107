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


def run_shared(
    pool: Pool,
    settings: BlendSettings,
    trials: int,
    seed: int,
    where: SharedStorage,
    workers: int,
    until: float | None = None,
    on_trials: Callable[[int], None] = lambda count: None,
) -> search.SearchResult:
    """Search together with whoever else shares the study; `on_trials` is told how many more are finished.

    No trial is begun after `until` (`time.monotonic`). Raises InputError for a sampler that cannot be shared.
    """
    if settings.sampler != "tpe":
        raise InputError(f'blend.{pool.task.name}.sampler: {settings.sampler!r} is for one process; take "tpe"')
    study, aside = where.open_or_set_aside()
    if aside:
        print(aside, file=sys.stderr)
    starts = Memory()
    search.search(pool, settings, 0, seed, starts)
    count = len(starts.made)
    wanted = count + search.draws(search.count(pool, settings, trials) - count, settings)
    try:
        study.add_starts(starts.made)
        searched = duplicates.to_search(pool, settings)
        cluster = session.current_cluster() if where.url else None
        WorkerPool(*searched, seed, where, wanted, workers, until, cluster).run(study, on_trials)
        finished = Memory(study.in_order())
        as_asked = len(finished.done) == wanted
        total = max(count, trials) if as_asked else count + search.refine(len(finished.done) - count, settings)
        result = search.search(pool, settings, total, seed, finished)
        if as_asked and finished.choice is not None:
            study.add_choice(finished.choice)
        return result
    finally:
        study.close()


class Memory:
    """A journal in memory: trials that are done already, and those that are made."""

    def __init__(self, done: Sequence[FrozenTrial] = ()) -> None:
        self.done, self.made = list(done), []  # type: list[FrozenTrial], list[FrozenTrial]
        self.choice: FrozenTrial | None = None

    def trials(self) -> list[FrozenTrial]:
        """Finished trials, first to last."""
        return self.done

    def add(self, trial: FrozenTrial) -> None:
        """Keep a finished trial."""
        self.made.append(trial)

    def finish(self, trial: FrozenTrial) -> None:
        """Keep what the search has chosen."""
        self.choice = trial
