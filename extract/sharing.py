"""Several processes, on one or many machines, share the videos of one work folder without doing any twice.

Each video is guarded by a lock file beside the results. The locks are the kernel's (flock, which NFS 4 carries too):
a killed process frees its videos at once and nothing stale is ever left to clean up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from filelock import FileLock, Timeout

from extract.rundir import lock_of, unwritable

SECONDS_BETWEEN_LOOKS = 0.3


class Job(Protocol):
    """What is to be done of one video."""

    @property
    def video(self) -> str: ...


J = TypeVar("J", bound=Job)


class Claims:
    """The videos that this process holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, FileLock] = {}

    def take(self, video: str) -> bool:
        """Hold a video unless another process does. Raises InputError where the folder cannot be written or locked."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = lock_of(self._folder / f"{video}.lock")
            lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise unwritable(self._folder, error) from error
        self._held[video] = lock
        return True

    def release(self, video: str) -> None:
        """Let go of a video that is finished."""
        self._held.pop(video).release()


def turns(
    jobs: list[J], claims: Claims, is_done: Callable[[J], bool], passed: Callable[[J], None]
) -> Iterator[J | None]:
    """Yield the jobs that are ours to do, each held until its writer releases it.

    `passed(job)` is told of each that another process did meanwhile. None means: the rest is with others, finish what
    is open (they may be waiting for it) before asking again. Ends when every job is done, by whomever.
    """
    while jobs:
        with_others = []
        for job in jobs:
            if not claims.take(job.video):
                with_others.append(job)
            elif is_done(job):
                claims.release(job.video)
                passed(job)
            else:
                yield job
        if with_others:
            yield None
            time.sleep(SECONDS_BETWEEN_LOOKS)
        jobs = with_others
