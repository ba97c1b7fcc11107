"""How much memory a process and all its children take at most, by looking often."""

from __future__ import annotations

import os
import threading
from pathlib import Path

SECONDS = 0.05


class Peak:
    """The largest sum of resident memory of this process and its descendants while a `with` block runs.

    Pages that processes share are counted in each of them, so the sum is rather too large than too small. Needs Linux's
    /proc; `gigabytes` is NaN elsewhere.
    """

    def __init__(self) -> None:
        self.most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def gigabytes(self) -> float:
        """10^9 bytes."""
        return self.most / 1e9 if self.most else float("nan")

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(SECONDS):
            self.most = max(self.most, tree(os.getpid()))


def tree(root: int) -> int:
    """Resident bytes of a process and its descendants now; 0 where there is no /proc."""
    parents, sizes = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_bytes().rpartition(b")")[2].split()  # the name may hold anything
            sizes[int(folder.name)] = int((folder / "statm").read_bytes().split()[1])
            parents[int(folder.name)] = int(stat[1])
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    wanted, found = {root}, {root}
    while found:
        found = {child for child, parent in parents.items() if parent in found} - wanted
        wanted |= found
    return sum(sizes.get(process, 0) for process in wanted) * os.sysconf("SC_PAGE_SIZE")
