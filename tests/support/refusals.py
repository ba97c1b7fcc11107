"""What a reader says of a file that it does not take, within limits of time and memory."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import readers

SECONDS, MEGABYTES = 20, 1000
"""The most that one input may take."""


class Hang(BaseException):
    """No `except Exception` of a reader may take it for its own."""


def refusal(read: Callable[[Path], Any], path: Path) -> str:
    """What a reader says of a file that it does not take; "" where it takes it. Fails for anything else."""

    def stop(*_: object) -> None:
        raise Hang(f"{path}: more than {SECONDS} s")

    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    handler = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    said = ""
    try:
        read(path)
    except readers.REFUSALS as error:
        said = str(error)
        assert said and len(said.splitlines()) == 1, said
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    took = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert took < MEGABYTES and time.monotonic() - began < SECONDS, (path, took)
    return said
