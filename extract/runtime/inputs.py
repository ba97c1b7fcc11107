"""Files that users give: that they can be read at all, and their text. Every reader begins here."""

from __future__ import annotations

import codecs
import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from extract.runtime import limits
from extract.runtime.errors import InputError

LFS = b"version https://git-lfs"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
DOTTED_KEY = re.compile(rf"""(?<![\w"'.-])(?:(?:"[^"\n]*+"|'[^'\n]*+'|[\w-]++)\s*+\.\s*+){{{limits.NESTING}}}""")
"""A key of so many parts. tomllib takes a gigabyte for 20,000 of them."""


def file_size(path: Path) -> int:
    """Bytes of a file, -1 where it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def odd_kind(path: Path) -> str:
    """What a path is in place of a file: a folder, a named pipe, ...; "" for a file, and where there is nothing."""
    try:
        return KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "")
    except (OSError, ValueError):
        return ""


def problem(path: Path, label: str = "file", largest: int | None = None) -> str:
    """Why a path is no file (`label`: of which kind) of at most `largest` bytes; "" where it is. Opens nothing."""
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else f"no such {label}"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if kind := KINDS.get(stat.S_IFMT(facts.st_mode), ""):
        return f"{kind}, expected a {label}"
    if largest is not None and facts.st_size > largest:
        return f"has {facts.st_size:,} bytes, expected at most {largest:,}"
    return ""


def require_file(path: Path, label: str = "file", advice: str = "", largest: int | None = None) -> Path:
    """The path itself. Raises InputError, which ends with `advice`, where there is a `problem`."""
    if why := problem(path, label, largest):
        raise InputError(f"{path}: {why}{'; ' * bool(advice)}{advice}")
    return path


def read_bytes(path: Path, label: str = "file", advice: str = "", largest: int = limits.TEXT_BYTES) -> bytes:
    """A file's bytes. Raises InputError where there is a `problem`, and for a git-lfs pointer."""
    require_file(path, label, advice, largest)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if data.startswith(LFS):
        raise InputError(f"{path}: a git-lfs pointer in place of the file: `git lfs pull` fetches it")
    return data


def read_text(path: Path, label: str = "file", advice: str = "", largest: int = limits.TEXT_BYTES) -> str:
    """A file's UTF-8 text as `read_utf8` gives it."""
    return read_utf8(path, label, advice, largest).decode()


def read_utf8(path: Path, label: str = "file", advice: str = "", largest: int = limits.TEXT_BYTES) -> bytes:
    """A file's bytes, all UTF-8, without a byte order mark, its lines ending in \\n whatever they end in there (also in
    a lone \\r). Raises InputError as `read_bytes`, and for other text, with the line.
    """
    data = read_bytes(path, label, advice, largest)
    if data.startswith(UTF_16):
        raise InputError(
            f"{path}: cannot be read as text: UTF-16, expected UTF-8: save it so, or convert it with iconv"
        )
    try:
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start : error.start + 1]
        raise InputError(
            f"{path}: cannot be read as text: line {line}: byte {byte!r}, expected UTF-8: save it so"
            f"{'; ' * bool(advice)}{advice}"
        ) from None
    data = data.removeprefix(codecs.BOM_UTF8)
    return re.sub(b"\r+\n|\r", b"\n", data) if b"\r" in data else data


def head_and_body(data: bytes) -> tuple[str, memoryview]:
    """The first line of `read_utf8`'s bytes, and what is behind it less the blanks at its end, not copied."""
    end = data.find(b"\n") + 1 or len(data) + 1
    blank = len(data) - len(data.rstrip())
    return data[: end - 1].decode(), memoryview(data)[end : max(end, len(data) - blank)]


def parse_json(text: str) -> Any:
    """What a JSON text says. Raises ValueError for one that is none, or has tables and lists too deep in each other."""
    try:
        if not limits.is_deep(result := json.loads(text)):
            return result
    except RecursionError:
        pass
    raise ValueError(f"more than {limits.NESTING} tables and lists within each other")


def load_json(path: Path) -> Any:
    """What a JSON file of ours says; None where there is none, or a damaged one."""
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_toml(path: Path, label: str = "file", advice: str = "") -> dict[str, Any]:
    """The tables of a TOML file. Raises InputError as `read_text`, and, with the line, for text that is no TOML."""
    return parse_toml(read_text(path, label, advice, limits.TOML_BYTES), str(path))


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises InputError, which begins with `source`, for one that is none."""
    try:
        if DOTTED_KEY.search(text):
            raise RecursionError(f"a key of more than {limits.NESTING} parts")
        table = tomllib.loads(text)
        if limits.is_deep(table):
            raise RecursionError(f"more than {limits.NESTING} tables and lists within each other")
    except (ValueError, RecursionError) as error:  # also for numbers of 4,300 digits
        hint = "; write paths with / or in single quotes" if re.search("escaped|hex value", str(error)) else ""
        raise InputError(f"{source}: not valid TOML: {error}{hint}") from None
    return table
