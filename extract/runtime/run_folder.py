"""Run folders: files appear whole or not at all, and DONE is the last thing written.

A step's folder holds its results, `provenance.json` (what they were made from, for people) and `DONE`: the fingerprint
of everything that decides the result, then the hash of each result and of itself. A folder without it, with another
fingerprint, or with a result that is gone or another one, is unfinished.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from extract.runtime import inputs, limits
from extract.runtime.errors import InputError
from extract.runtime.process import ROOT

DONE_FILE = "DONE"
ROOM = 1 << 16
"""Bytes: a disk with less is full."""
PART_SUFFIXES = (".part", ".part-journal")
"""Ends of the names of what is half-written, and of what SQLite has beside it."""


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, flush it to disk and rename it into place.

    Its name is random, so two processes that write the same file never mix their bytes. Raises InputError when the
    folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except (ConnectionError, TimeoutError):
        raise  # a download's failure, not the disk's
    except OSError as error:
        raise unwritable_error(path, error, "free some space or choose another folder") from error
    finally:
        with suppress(OSError):  # on a read-only disk there is nothing to remove
            temporary.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Remove what killed processes left of a half-written `path`. Only while nobody else can be writing it."""
    for ending in PART_SUFFIXES:
        for left in path.parent.glob(f".{glob.escape(path.name)}.*{ending}"):
            left.unlink(missing_ok=True)


def log_file(path: Path, keep: bool = False) -> IO[bytes]:
    """A file that a process writes to as it goes: a new one, or (`keep`) at its end. A link in its place goes."""
    if not keep or path.is_symlink():
        path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | (os.O_APPEND if keep else os.O_EXCL)
    return os.fdopen(os.open(path, flags, 0o666), "ab" if keep else "wb")


def set_aside(path: Path) -> Path:
    """Give a file another name beside it, that no file has: `<name>.old.db`, `<name>.old-2.db`, ...; returns it."""
    number = 1
    while (old := path.with_suffix(f".old{'' if number == 1 else f'-{number}'}{path.suffix}")).exists():
        number += 1
    try:
        os.replace(path, old)
    except OSError as error:
        raise unwritable_error(path.parent, error) from error
    return old


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends, whole or not at all; of a file's name that is not UTF-8, `\\udcff`."""
    with write_whole(path) as temporary:
        temporary.write_bytes(text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON (NaN is refused: readers in other languages cannot parse it), whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """The JSON object in a file that a user names. Raises InputError, which ends with `advice`, where there is none."""
    try:
        table = inputs.parse_json(inputs.read_text(path, advice=advice, largest=limits.JSON_BYTES))
    except ValueError as error:
        raise InputError(f"{path}: not readable as JSON ({error}); {advice}") from None
    if not isinstance(table, dict):
        raise InputError(f"{path}: holds {type(table).__name__}, expected a JSON object; {advice}")
    return table


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value in canonical form: equal values, whatever their key order, are equal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in bounded memory. Raises InputError for what is no file."""
    inputs.require_file(path)
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def code_hash(package: str, exclude: Collection[str] = ()) -> str:
    """Fingerprint of all of a package's Python files and of what its pages are made with: other code, other results.
    `exclude` names files and folders of the package, relative to it, whose edits leave results as they are.
    """
    top = ROOT / package
    for name in exclude:
        if not (top / name).exists():
            raise ValueError(f"{package} has no {name}")
    left_out = {top / name for name in exclude}
    code = sorted(path for path in top.rglob("*") if path.suffix in (".py", ".html", ".css", ".js"))
    files = [path for path in code if not left_out & {path, *path.parents}]
    return fingerprint([[path.relative_to(top).as_posix(), file_hash(path)] for path in files])


def is_done(folder: Path, mark: str) -> bool:
    """True if `folder` was finished with this fingerprint and its results are still what they were."""
    try:
        return results(folder)[0] == mark and damage(folder) is None
    except (OSError, ValueError):
        return False


def damage(folder: Path, beside: bool = True) -> Path | None:
    """The first result of a finished folder that is gone or another one; DONE itself where that is. None: all is well.
    Not `beside`: of the results that lie in the folder itself alone.
    """
    try:
        there = results(folder)[1]
    except (OSError, ValueError):
        return folder / DONE_FILE
    for name, sha256 in there.items():
        if beside or not name.startswith(".."):
            with suppress(OSError, InputError):
                if file_hash(folder / name) == sha256:
                    continue
            return folder / name
    return None


def check_result(path: Path, advice: str) -> None:
    """Raise InputError, which ends with `advice`, for a result of a finished folder that is not what was written.

    A file beside (or above) which no DONE lies, or one that does not know it, is anybody's.
    """
    here = path.parent.resolve()  # a result may be a link
    for folder in (here, here.parent):
        try:
            known = results(folder)[1].get((here / path.name).relative_to(folder).as_posix())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise InputError(f"{error}; {advice}") from None
        if known is not None and path.exists() and file_hash(path) != known:
            raise InputError(f"{path}: not what was written there; {advice}")


def results(folder: Path) -> tuple[str, dict[str, str]]:
    """What DONE says: its fingerprint, each result's hash. Raises OSError for none, ValueError for a damaged one."""
    if what := inputs.odd_kind(folder / DONE_FILE):
        raise ValueError(f"{folder / DONE_FILE}: {what}")
    mark, *lines = (folder / DONE_FILE).read_text(encoding="utf-8").split("\n")[:-1]
    entries = {name: sha256 for sha256, name in (line.split("  ", 1) for line in lines)}
    if entries.pop(DONE_FILE, None) != fingerprint([mark, entries]):
        raise ValueError(f"{folder / DONE_FILE}: not what was written")
    return mark, entries


def begin(folder: Path) -> None:
    """Open a folder for (new) results: what was finished there no longer counts, what was half-written goes.

    Only while holding the folder (`hold_folder`), or one that no other process uses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DONE_FILE).unlink(missing_ok=True)
        for left in (path for ending in PART_SUFFIXES for path in folder.glob(f".*{ending}")):
            left.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable_error(folder, error) from error


def finish(folder: Path, mark: str, provenance: dict[str, Any], results: list[str]) -> None:
    """Close a folder: provenance first, DONE last on purpose. No DONE, no result."""
    write_json(folder / "provenance.json", provenance)
    hashes = {name: file_hash(folder / name) for name in dict.fromkeys((*results, "provenance.json"))}
    hashes[DONE_FILE] = fingerprint([mark, hashes])
    write_text(folder / DONE_FILE, "\n".join([mark, *(f"{sha256}  {name}" for name, sha256 in hashes.items())]) + "\n")


def lock_of(path: Path, shared: bool = False) -> FileLock:
    """A lock of the kernel's on a file, not yet held. To acquire it raises OSError where the file system has none.
    `shared`: within a thread, whoever asks for this path gets the same lock, and may hold it within itself. Never a
    file whose mere presence locks: nobody frees that for a killed process.
    """
    return FileLock(path.absolute(), fallback_to_soft=False, is_singleton=shared)


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold a folder: a second process that wants it waits, and says so; a killed one frees it at once.

    Whoever holds it may hold it once more. One that we may not write is not held: only what is finished in it can be
    used. Raises InputError where the folder cannot be made, or its file system has no locks.
    """
    if folder.is_dir() and not os.access(folder, os.W_OK):
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_of(folder / ".lock", shared=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"another process works in {folder}: waiting for it", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise unwritable_error(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def refuse_if_full(folder: Path) -> None:
    """Raise InputError where a folder's disk takes no more: a process that failed there could not even say why."""
    if not hasattr(os, "statvfs"):
        return
    facts = os.statvfs(folder)
    if facts.f_bavail * facts.f_frsize < ROOM or (facts.f_files and not facts.f_favail):
        raise InputError(f"{folder}: cannot be written (no space left); free some space or choose another folder")


def unwritable_error(path: Path, error: OSError, advice: str = "choose another folder") -> InputError:
    """What to raise for a file or folder that cannot be written."""
    return InputError(f"{path}: cannot be written ({error.strerror or error}); {advice}")
