"""A folder that is replaced as a whole: what was there counts until the new one is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extract.errors import InputError
from extract.sharing import Claims


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill, that takes the place of `folder` when the block ends well; else it goes.

    What a killed process left half-done goes, too. Raises InputError where the place cannot be written, and where
    another process is at the same folder.
    """
    temporary, old = (folder.with_name(f".{folder.name}.{what}") for what in ("part", "old"))
    claims = Claims(folder.parent / ".replacing")
    if not claims.take(folder.name):
        raise InputError(f"{folder}: another process makes it at the moment; start again when that has ended")
    try:
        _put_back(folder, old)
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            os.replace(folder, old)
        os.replace(temporary, folder)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or choose another --work"
        ) from error
    finally:
        _put_back(folder, old)
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)
        claims.release(folder.name)


def _put_back(folder: Path, old: Path) -> None:
    """Undo the first of the two renamings where the second did not come."""
    if old.exists() and not folder.exists():
        os.replace(old, folder)
