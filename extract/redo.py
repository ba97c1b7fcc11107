"""`--redo`, that can be killed and gone on with: a stamp in the network's folder says since when all is made anew.

The stamp's time is compared with those of the feature files beside it, so that one disk's clock decides, and every
process that joins goes by the same stamp.
"""

from __future__ import annotations

from pathlib import Path

from extract.rundir import write_text

STAMP = ".redo"


def since(folder: Path, mark: str, asked: bool) -> int | None:
    """Since when (nanoseconds, the disk's clock) features must have been made; None: they may be of any age.

    `mark` is what the features are to be made by. Where `asked`, a stamp is left unless one of the same mark is there:
    that redo was killed, and this one goes on with it. It holds, asked or not, until `finished`.
    """
    stamp = folder / STAMP
    there = stamp.read_text(encoding="utf-8") if stamp.exists() else None
    if asked and there != mark:
        write_text(stamp, mark)
        there = mark
    return stamp.stat().st_mtime_ns if there == mark else None


def finished(folder: Path) -> None:
    """Everything has been made anew."""
    if (folder / STAMP).exists():  # a folder without one may be on a disk that is only read
        (folder / STAMP).unlink(missing_ok=True)
