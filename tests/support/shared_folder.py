"""Folders that take long to fill: one of the processes that run the tests (`-n 3`) fills them, all of them read."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from pytest import FixtureRequest, TempPathFactory

SECONDS = 900
"""To wait for the process that fills a folder."""


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Relative path -> size and time of change, of every file that is not hidden (locks are)."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name[0] != "."
    }


def shared_folder(request: FixtureRequest, name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """Body of a session fixture: the folder, filled once by `make`. At the end nobody may have changed it."""
    factory: TempPathFactory = request.getfixturevalue("tmp_path_factory")
    own = factory.getbasetemp()
    root = own.parent if hasattr(request.config, "workerinput") else own  # that of this run of pytest
    folder, done = root / name, root / f"{name}.done"
    try:
        lock = FileLock(root / f"{name}.lock").acquire(timeout=SECONDS)
    except Timeout:
        raise TimeoutError(f"{name}: another process of this run fills it since {SECONDS} seconds") from None
    with lock:
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            folder.mkdir()
            make(folder)
            done.touch()
    before = state_of(folder)
    yield folder
    changed = {path for path, _ in before.items() ^ state_of(folder).items()}
    assert not changed, f"a test has changed what others read: {name} {sorted(changed)}"
