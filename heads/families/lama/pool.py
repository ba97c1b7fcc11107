"""Fits orders in processes of their own, some side by side, until a moment at which they are ended.

These are not jobs (extract.jobs): a job is a program with paths that ends, while such a process is kept for the next
order, for its start costs seconds, and takes rows and gives models through a pipe.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import wait

from extract.runtime.errors import WorkError
from extract.runtime.process import python_path
from heads.base.threads import ENVIRONMENT
from heads.families.lama.fit import FitOrder, FitResult


class Worker:
    """One process that fits one order at a time (heads.families.lama.worker)."""

    def __init__(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "heads.families.lama.worker", str(theirs.fileno())],
            env=os.environ | ENVIRONMENT | python_path(),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()

    def end(self) -> None:
        """End the process at once, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


_idle: list[Worker] = []
"""Workers that wait for more: starting one costs seconds."""


def start(count: int) -> None:
    """Have `count` workers ready, or starting."""
    while len(_idle) < count:
        _idle.append(Worker())


@atexit.register
def close() -> None:
    """End the workers that wait."""
    while _idle:
        _idle.pop().end()


def run(
    count: int, order: Callable[[int], FitOrder], at_once: int, until: float, on_done: Callable[[int], None]
) -> list[FitResult | None]:
    """Fit order(0), order(1), ... order(count - 1), some `at_once`; at `until` (time.monotonic) what runs is ended.

    Returns what came of each, None where the time was up. `on_done` is told how many are finished. Raises RuntimeError
    with its traceback where a fit failed, WorkError where its process was killed.
    """
    results: list[FitResult | None] = [None] * count
    waiting = list(range(count))[::-1]
    busy: dict[object, tuple[Worker, int]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < at_once and time.monotonic() < until:
                start(1)
                worker, number = _idle.pop(), waiting.pop()
                busy[worker.connection] = (worker, number)
                with contextlib.suppress(BrokenPipeError):  # it is gone: its end of the connection says so below
                    worker.connection.send(order(number))
            ready = wait([worker.connection for worker, _ in busy.values()], timeout=max(0.0, until - time.monotonic()))
            if not ready:
                break
            for connection in ready:
                worker, number = busy.pop(connection)
                try:
                    results[number] = _answer(worker)
                except BaseException:
                    worker.end()
                    raise
                _idle.append(worker)
                on_done(count - len(waiting) - len(busy))
    finally:
        for worker, _ in busy.values():
            worker.end()
    return results


def _answer(worker: Worker) -> FitResult:
    """What a worker that has something to say says."""
    try:
        fitted, problem = worker.connection.recv()
    except (EOFError, OSError):
        code = worker.process.wait()
        raise WorkError(
            f"a process of LightAutoML ended with exit code {code} (-9 is mostly too little memory: lower max_rows)"
        ) from None
    if problem is not None:
        raise RuntimeError(f"LightAutoML failed: {problem}")
    done: FitResult = fitted
    return done
