"""How much memory a process and all its children take at most, by looking often."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import psutil

SECONDS = 0.05


class Peak:
    """The largest sum of resident memory of this process and its descendants while a `with` block runs: rather too
    large than too small, as pages that processes share are counted in each.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def gigabytes(self) -> float:
        """10^9 bytes; NaN before the block has run for a moment."""
        return self.bytes / 1e9 if self.bytes else float("nan")

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(SECONDS):
            self.bytes = max(self.bytes, tree(os.getpid()))


def tree(root: int) -> int:
    """Resident bytes of a process and its descendants now; what has ended counts as 0."""
    try:
        process = psutil.Process(root)
        return sum(map(_resident, (process, *process.children(recursive=True))))
    except psutil.NoSuchProcess:
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has ended meanwhile
        return 0


def measure_peak() -> int:
    """Most bytes that this program has been resident in so far: Linux's VmHWM, which psutil does not tell. getrusage's
    begins with what the process had that started this one, so it is taken elsewhere alone.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
