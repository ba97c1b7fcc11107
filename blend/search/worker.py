"""One process of a shared search: draw and score trials, hand them over, and so on until enough are finished.

    python -m blend.search.worker < JOB.json

The job comes on stdin; the pool, which it names, from a file. Trials get to the storage finished, so a process that is
lost leaves none half-done there: others draw what it has not handed over.
"""

from __future__ import annotations

import json
import math
import os
import platform
import secrets
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from safetensors import safe_open
from safetensors.numpy import save

from blend.config import BlendSettings
from blend.decision import smooth
from blend.pool.pool import Pool, Truth
from blend.search import objective, search
from blend.search.shared_study import SharedStorage
from blend.search.space import make_space, to_drawn_trial
from extract.runtime import errors, process
from heads.abaw.tasks import find

SECONDS_BETWEEN_SYNCS = 0.5


def main(told: dict[str, Any]) -> None:
    """Draw and score until there are enough, or until the moment `until` (time.time) if one is told."""
    pool, settings, seed, where, wanted = unpack_search(Path(told["pool"]))
    name = f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}"  # drawn: a retried job is another worker
    left = math.inf if told["until"] is None else max(0.0, told["until"] - time.time())
    work(pool, settings, seed, where, wanted, name, process.thread_limit() or 1, left)


def work(
    pool: Pool,
    settings: BlendSettings,
    seed: int,
    storage: SharedStorage,
    wanted: int,
    name: str,
    threads: int,
    seconds: float,
) -> None:
    """Draw and score, and now and then hand over what was made and take in what others have made."""
    numba.set_num_threads(min(threads, numba.get_num_threads()))
    until = time.monotonic() + seconds
    space = make_space(pool, settings)
    score = objective.make(pool, space.extras)
    study = storage.open()
    drawer = Drawer(space.distributions(), search.derive(seed, name))
    with smooth.threads(pool.scores.size):
        while (
            study.add([*map(space.to_stored_trial, drawer.new_trials)], wanted, name) < wanted
            and time.monotonic() < until
        ):
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # multivariate TPE
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._space, self._known = space, 0
        self.new_trials: list[FrozenTrial] = []

    def learn(self, trials: list[FrozenTrial]) -> None:
        """Take in what others have made, all of it so far, first to last; what was made here is handed over."""
        self._study.add_trials([to_drawn_trial(trial, self._space) for trial in trials[self._known :]])
        self._known, self.new_trials = len(trials), []

    def draw(self, score: Callable[[dict[str, Any]], float]) -> None:
        """Make one trial."""
        trial = self._study.ask(fixed_distributions=self._space)
        self._study.tell(trial, score(trial.params))
        self.new_trials.append(self._study.get_trials(deepcopy=False)[-1])


ARRAYS = ("offsets", "scores", "present", "coverage")


def pack_search(pool: Pool, settings: BlendSettings, seed: int, storage: SharedStorage, wanted: int) -> bytes:
    """What a process needs to know: arrays and text, nothing that could run."""
    arrays = {name: getattr(pool, name) for name in ARRAYS if getattr(pool, name) is not None}
    if pool.truth is not None:
        arrays |= {"rows": pool.truth.rows, "values": pool.truth.values}
    about = {
        "pool": {name: getattr(pool, name) for name in ("heads", "videos", "without_face", "people")},
        "task": pool.task.place,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "where": [storage.url, str(storage.path), storage.name, storage.facts],
        "wanted": wanted,
    }
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {"about": json.dumps(about)})


def unpack_search(path: Path) -> tuple[Pool, BlendSettings, int, SharedStorage, int]:
    """The inverse of `pack_search`."""
    with safe_open(path, framework="numpy") as handle:
        about = json.loads(handle.metadata()["about"])
        arrays = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    names = {name: None if values is None else tuple(values) for name, values in about["pool"].items()}
    truth = Truth(arrays.pop("rows"), arrays.pop("values")) if "rows" in arrays else None
    url, file, study, facts = about["where"]
    settings = BlendSettings.model_validate(about["settings"])
    pool = Pool(task=find(about["task"]), truth=truth, **arrays, **names)
    return pool, settings, about["seed"], SharedStorage(url, Path(file), study, facts), about["wanted"]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends us
    with errors.exits():
        main(process.job())
