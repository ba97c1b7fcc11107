"""Processes of our own: where they find the packages, their job on stdin, their news, their threads, their end."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the packages extract, heads and blend."""


def python_path() -> dict[str, str]:
    """Environment variables by which another Python imports the same packages, wherever it starts."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def end_with_parent() -> None:
    """End this process when the one that started it is gone, however that died: a child of `multiprocessing` watches
    its parent, any other the pipe on its stdin; nothing happens where there is neither.
    """
    parent = multiprocessing.parent_process()
    if parent is None and not stat.S_ISFIFO(os.fstat(0).st_mode):
        return

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
        else:
            while os.read(0, 4096):  # not sys.stdin, whose lock a daemon thread would hold at exit
                pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def hidden_script() -> Iterator[None]:
    """Let processes that are spawned not run the caller's script once more: it may be three lines without a guard."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


_ours = False


def freeze_imports() -> None:
    """Let no collection look at what is there again: of what a process of ours has imported nothing is ever garbage."""
    global _ours
    _ours = True
    gc.freeze()


def is_ours() -> bool:
    """Whether this process does nothing but our work, so that no garbage of others' stays: its imports are frozen."""
    return _ours


def may_fork() -> bool:
    """Whether a child may be this process once more, with all that is imported: on Linux, where it does nothing but our
    work, and no thread holds what the child would wait for: none of Python's, none of numba's parallel loops.
    """
    return sys.platform == "linux" and _ours and threading.active_count() == 1 and not _has_numba_threads()


def _has_numba_threads() -> bool:
    if (numba := sys.modules.get("numba")) is None:
        return False
    try:
        return bool(numba.threading_layer())
    except ValueError:  # it has begun none
        return False


def job() -> dict[str, Any]:
    """The job on stdin, one line of JSON; from then on this process ends with its parent."""
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        results: dict[str, Any] = json.loads(stdin.readline())
    end_with_parent()
    return results


def reserve_stdout() -> Callable[[dict[str, Any]], None]:
    """Keep stdout for news: whatever libraries print goes to stderr. Returns how to tell them, one JSON line each."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return lambda news: print(json.dumps(news), file=stream, flush=True)


VARIABLE = "AFFECT_HEADS_THREADS"
"""Set for processes that share a machine with others of ours: jobs of a cluster, heads that learn side by side."""


def thread_limit() -> int | None:
    """Threads that this process may use; None where nobody said: then every core is its own."""
    said = os.environ.get(VARIABLE, "")
    return max(1, int(said)) if said.isdecimal() else None
