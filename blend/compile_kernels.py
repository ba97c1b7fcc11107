"""What a blend needs, made ready while heads learn: kernels by a process that blends a made-up pool; imports.

    python -m blend.compile_kernels < JOB.json

numba keeps what it compiled, so that process is for the first run of an installation alone.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from blend.config import BlendSettings
from blend.pool import gap_filling
from blend.pool.pool import Pool, Truth
from extract.jobs.fork_server import make_import
from extract.runtime import process
from heads.abaw.tasks import SINGLE_TASKS

VIDEOS, FRAMES, HEADS, TRIALS = 6, 60, 3, 24
"""Of the made-up pool: as little as makes every fold hold something, and trials of every kind."""

IMPORTS = (
    "alembic.runtime.environment",
    "blend.pipeline",
    "blend.submission.test_score",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "optuna.samplers",
    "optuna.storages",
    "optuna.storages._rdb.models",
    "scipy.optimize",
    "sqlalchemy.pool",
    "numba.core.registry:cpu_target.target_context.refresh",
)
"""What a blend imports on its way, the seconds of it; the last one is what numba does before its first kernel."""


SECONDS_BEFORE = 3.0
"""Bad input is mostly found until then; an import cannot be broken off, and the end would wait for it."""


@contextmanager
def import_ahead(seconds_before: float = SECONDS_BEFORE) -> Iterator[None]:
    """Import what a blend will need, in a thread, while this process waits for those that work."""
    over = threading.Event()

    def load() -> None:
        if not over.wait(seconds_before):
            with _uncollected():
                for name in IMPORTS:
                    with suppress(Exception, SystemExit):  # the blend says what is wrong
                        if not over.is_set():
                            make_import(name)

    loading = threading.Thread(target=load, name="import ahead")
    loading.start()
    try:
        yield
    finally:
        over.set()
    loading.join()  # the blend imports the same, and must not begin in the middle of one


@contextmanager
def _uncollected() -> Iterator[None]:
    """A block whose imports no collection looks at, in a process of ours: a caller's garbage would stay."""
    ours = process.is_ours()
    if ours:
        gc.disable()
    try:
        yield
    finally:
        if ours:
            process.freeze_imports()
            gc.enable()


def are_compiled() -> bool:
    """Whether numba has kept any kernel of this very code: which ones a blend needs hangs on its task, its smoothing
    and its number of frames; what is still missing is compiled when it is needed.
    """
    from blend.decision import kernels

    source = Path(kernels.__file__)
    kept = Path(kernels.smooth.stats.cache_path).glob(f"{source.stem}.*.nbi")
    return any(path.stat().st_mtime >= source.stat().st_mtime for path in kept)


@contextmanager
def compile_ahead(settings: Mapping[str, BlendSettings]) -> Iterator[None]:
    """Compile what blends of tasks (their settings by name) will need while something else is done; then wait until it
    is there.

    What goes wrong meanwhile is left to the blend, which compiles what is missing.
    """
    told = json.dumps({task: each.model_dump(mode="json") for task, each in settings.items()})
    command, environment = [sys.executable, "-m", "blend.compile_kernels"], os.environ | process.python_path()
    quiet = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    compiler = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True, **quiet)
    assert compiler.stdin is not None
    try:
        with suppress(OSError):  # it has ended already
            compiler.stdin.write(told + "\n")
            compiler.stdin.flush()
        yield
        compiler.wait()
    finally:
        compiler.kill()
        with suppress(OSError):
            compiler.stdin.close()
        compiler.wait()


def main(told: dict[str, Any]) -> None:
    """Blend a made-up pool of each task as `told`: {task: settings}."""
    from blend.crossfit.outcome import ResultBuilder
    from blend.search import search

    few = {"trials": TRIALS, "fold_trials": 1}
    for task, values in told.items():
        settings = BlendSettings.model_validate(values).model_copy(update=few)
        pool = make_pool(task)
        found = search.search(pool, settings, settings.trials, 0)
        ResultBuilder(pool, settings, 0, found).finish()


def make_pool(name: str) -> Pool:
    """A pool with truth: heads that see a drifting truth through more or less noise; a frame lacks it."""
    task, rng = SINGLE_TASKS[name], np.random.default_rng(0)
    frames = VIDEOS * FRAMES
    course = np.cumsum(rng.standard_normal((frames, len(task.outputs))), 0) * 0.2
    seen = np.stack([course + rng.standard_normal(course.shape) * (1 + head) for head in range(HEADS)])
    if task.is_multilabel:
        truth, scores = (course > 0).astype(np.uint8), 1 / (1 + np.exp(-seen))
    elif task.is_multiclass:
        truth, scores = course.argmax(1).astype(np.int8), np.exp(seen) / np.exp(seen).sum(2, keepdims=True)
    else:
        truth, scores = np.tanh(course).astype(np.float32), np.tanh(seen)
    offsets = gap_filling.find_offsets([FRAMES] * VIDEOS)
    rows = np.arange(1, frames)
    heads, videos = (tuple(f"{kind}{i}" for i in range(n)) for kind, n in (("head", HEADS), ("video", VIDEOS)))
    present, known = np.ones(frames, bool), Truth(rows, truth[rows])
    return Pool(task, heads, videos, offsets, scores.astype(np.float32), present, known)


if __name__ == "__main__":
    main(process.job())
