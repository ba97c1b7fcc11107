"""Locks that several processes, on one or many machines, share a work folder by; folders that are replaced as a whole.

Each video is guarded by a lock file beside the results. The locks are the kernel's (flock, which NFS 4 carries too):
a killed process frees its videos at once and nothing stale is ever left to clean up.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from filelock import FileLock, Timeout

from extract.runtime.errors import InputError
from extract.runtime.run_folder import lock_of, unwritable_error

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
            raise unwritable_error(self._folder, error) from error
        self._held[video] = lock
        return True

    def release(self, video: str) -> None:
        """Let go of a video that is finished."""
        self._held.pop(video).release()


def take_turns(
    jobs: list[J], claims: Claims, is_done: Callable[[J], bool], passed: Callable[[J], None]
) -> Iterator[J | None]:
    """Yield the jobs that are ours to do, each held until its writer releases it; `passed(job)` is told of those that
    others did meanwhile. None: the rest is with others, finish what is open (they may wait for it) before asking again.
    Ends when every job is done.
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


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill, that takes the place of `folder` when the block ends well; else, or killed, it
    goes. Raises InputError where the place cannot be written, and where another process is at the same folder.
    """
    temporary, old = (folder.with_name(f".{folder.name}.{what}") for what in ("part", "old"))
    claims = Claims(folder.parent / ".replacing")
    if not claims.take(folder.name):
        raise InputError(f"{folder}: another process makes it at the moment; start again when that has ended")

    def clear() -> None:
        if old.exists() and not folder.exists():  # the second of the two renamings did not come
            os.replace(old, folder)
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)

    try:
        clear()
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            os.replace(folder, old)
        os.replace(temporary, folder)
    except OSError as error:
        raise unwritable_error(folder, error, "free some space or choose another --work") from error
    finally:
        clear()
        claims.release(folder.name)
