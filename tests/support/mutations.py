"""Whole files -> hostile ones: nasty values in place of good ones, and changed bytes. The same seed, the same files."""

from __future__ import annotations

import json
import random
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

CELLS = (
    b"", b" ", b"NaN", b"-nan(ind)", b"inf", b"-Infinity", b"1.#INF", b"1e999", b"-1e-999", b"1_0", b"+1", b"0x10",
    b"50%", b"1,5", b"1e5", b"10" * 200, b"9" * 4301, b"-" + b"9" * 30, b"2147483648", b"9223372036854775808", b"1.0",
    b"0.1" * 3, b"true", b"null", b"None", b"''", b'"', b'""', b"'a, b'", b"\0", b"\r", b"\n", b"\t", b"\\", b"..",
    b"../x", b"/etc/passwd", b"~nosuchuser", b"~", b"-rf", b".", b"a/b/c.jpg", b"x/00001.jpg", b"x/0.jpg",
    b"x/99999999999.jpg", b"x/" + b"9" * 4301 + b".jpg", b"\xe4\xf6", b"\xff\xfe", b"\xef\xbb\xbf",
    "e\u0301\u2028\u200f\U0001f600".encode(),
    "\u0661\u0662".encode(), "\u00b2".encode(), b"a" * 300, b"%s%n", b"${HOME}", b"=1+1", b"[", b"]", b"{", b"}",
    b"[" * 2000, b"{'a':" * 500, b".".join([b"a"] * 5000), b"1979-05-27T07:32:00Z", b"#", b";",
)  # fmt: skip
"""What may stand in a cell, a setting or a name."""
CELL = re.compile(rb"[^,\s=\[\]{}:\"']+")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 10**9, 10**400, -(10**400), 0.5, -0.0, 1e308, float("nan"), float("inf"), "",
    "x", "../x", "NaN", "1", "a" * 300, "\0", "\ud800", "two\nlines", [], [[]], [None], [1, "2"], {}, {"": 0},
    {"a": {"b": []}}, [0.5] * 100,
)  # fmt: skip
"""What may stand in JSON."""


def deep(count: int = 100_000) -> Any:
    """Lists in lists, as text: json.dumps itself would give up."""
    return "[" * count + "]" * count


def whole_files(seed: bytes) -> Iterator[tuple[str, bytes]]:
    """What a whole file may be in place of this one: what it is called, and its bytes."""
    header, _, body = seed.partition(b"\n")
    yield "empty", b""
    yield "blank", b" "
    yield "blank lines", b"\n" * 100
    yield "a zero byte", b"\0"
    yield "zeros", bytes(4096)
    yield "a first line alone", header
    yield "a first line and its end", header + b"\n"
    yield "half", seed[: len(seed) // 2]
    yield "twice", seed + seed
    yield "a byte order mark", b"\xef\xbb\xbf" + seed
    yield "two byte order marks", b"\xef\xbb\xbf" * 2 + seed
    yield "carriage returns", seed.replace(b"\n", b"\r\n")
    yield "lone carriage returns", seed.replace(b"\n", b"\r")
    yield "one lone carriage return", header + b"\r" + body
    yield "UTF-16", seed.decode("latin-1").encode("utf-16")
    yield "UTF-16 without a mark", seed.decode("latin-1").encode("utf-16-le")
    yield "UTF-32", seed.decode("latin-1").encode("utf-32")
    yield "latin-1", seed[:-1] + b"\xe4\n"
    yield "latin-1 in its first line", header + b"\xe4\n" + body
    yield "a zero byte in it", header + b"\n" + b"\0" + body
    yield "a zero byte behind it", seed + b"\0"
    yield "quotes", b'"' + seed
    yield "no end of quotes", header + b'\n"' + body
    yield "semicolons", seed.replace(b",", b";")
    yield "tabs", seed.replace(b",", b"\t")
    yield "commas behind it", seed.replace(b"\n", b",\n")
    yield "a git-lfs pointer", LFS
    yield "HTML", b"<!DOCTYPE html><html><body>404: Not Found</body></html>\n"
    yield "a zip archive", b"PK\x03\x04" + bytes(60)
    yield "a Parquet header", b"PAR1" + seed + b"PAR1"
    yield "a large length", (2**62).to_bytes(8, "little") + seed
    yield "deep lists", b"[" * 100_000
    yield "deep lists that end", deep().encode()
    yield "deep tables", b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    yield "a dotted key", b".".join([b"a"] * 20_000) + b" = 1\n"
    yield "a dotted section", b"[" + b".".join([b"a"] * 20_000) + b"]\n" + seed
    yield "a long number", b"9" * 100_000
    yield "a long line", b"x" * 1_000_000
    yield "many cells", header + b"\n" + b"0," * 100_000 + b"\n"
    yield "a number of many digits", CELL.sub(b"9" * 4301, seed)
    yield "a value of many digits", b'corpus = 1\nx = {"a" = ' + b"9" * 4301 + b"}\n"
    for cell in (
        b"NaN",
        b"inf",
        b"1.#INF",
        b"",
        b"10" * 200,
        b"x",
        b"one/" + b"9" * 4301 + b".jpg",
        b"~nosuchuser/x",
        b"../x",
        b"\xff",
    ):
        yield f"{cell[:12]!r} for every value", header + b"\n" + CELL.sub(cell, body)


def mutate_bytes(seed: bytes, draw: random.Random) -> bytes:
    """The bytes, changed in one to four places."""
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        seed = draw.choice(_changes(seed))(seed, draw)
    return seed


def _changes(seed: bytes) -> tuple[Callable[[bytes, random.Random], bytes], ...]:
    """The ways that fit: text in cells and lines, JSON in its values, bytes in bytes."""
    if seed[8:9] == b"{" and b'"about"' in seed[:4096]:
        return (_header, _header, _flip, _number, _cut)
    if seed[:1] == b"{":
        return (_json, _json, _json, _cell)
    if not seed or b"\0" in seed or seed[:1] == b"\x80" or max(seed[:64]) > 127:
        return (_flip, _flip, _number, _cut, _copy, _lose, _fill)
    if b" = " in seed:
        return (_toml, _toml, _toml, _cell, _line, _flip, _lose)
    return (_cell, _cell, _cell, _line, _line, _flip, _cut, _copy, _lose)


def _place(seed: bytes, draw: random.Random) -> int:
    """Anywhere, but half of the time near an end, where headers are."""
    near = min(len(seed), draw.choice((16, 64, 256, len(seed) or 1, len(seed) or 1, len(seed) or 1)))
    at = draw.randrange(near + 1)
    return at if draw.random() < 0.5 or near == len(seed) else len(seed) - at


def _flip(seed: bytes, draw: random.Random) -> bytes:
    bent, at = bytearray(seed or b"\0"), _place(seed, draw)
    bent[at % len(bent)] ^= 1 << draw.randrange(8)
    return bytes(bent)


def _number(seed: bytes, draw: random.Random) -> bytes:
    """A length, offset or count of another size."""
    width = draw.choice((1, 2, 4, 8))
    middle = 2 ** (8 * width - 1)
    value = draw.choice((0, 1, middle - 1, middle, 2 * middle - 1, draw.randrange(256)))
    at = _place(seed, draw)
    return seed[:at] + value.to_bytes(width, draw.choice(("little", "big"))) + seed[at + width :]


def _cut(seed: bytes, draw: random.Random) -> bytes:
    return seed[: _place(seed, draw)]


def _copy(seed: bytes, draw: random.Random) -> bytes:
    a, b = sorted((_place(seed, draw), _place(seed, draw)))
    at = _place(seed, draw)
    return seed[:at] + seed[a:b] + seed[at:]


def _lose(seed: bytes, draw: random.Random) -> bytes:
    a, b = sorted((_place(seed, draw), _place(seed, draw)))
    return seed[:a] + seed[b:]


def _fill(seed: bytes, draw: random.Random) -> bytes:
    a = _place(seed, draw)
    length = draw.choice((1, 4, 64, 1024))
    return seed[:a] + draw.choice((bytes(length), b"\xff" * length, draw.randbytes(length))) + seed[a + length :]


def _cell(seed: bytes, draw: random.Random) -> bytes:
    places = list(CELL.finditer(seed))
    if not places:
        return seed + draw.choice(CELLS)
    one = draw.choice(places)
    return seed[: one.start()] + draw.choice(CELLS) + seed[one.end() :]


def _line(seed: bytes, draw: random.Random) -> bytes:
    lines = seed.split(b"\n")
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    way = draw.randrange(4)
    if way == 0:
        lines[a], lines[b] = lines[b], lines[a]
    elif way == 1:
        lines.insert(a, lines[b])
    elif way == 2:
        del lines[a]
    else:
        lines[a] = lines[a] + draw.choice((b",", b"\r", b" ", b",0", b"\x0b", b"\x1a", b"\xc2\x85"))
    return b"\n".join(lines)


def _json(seed: bytes, draw: random.Random) -> bytes:
    """One value of a JSON text is another one, or is gone."""
    try:
        table = json.loads(seed)
    except (ValueError, RecursionError):
        return _cell(seed, draw)
    return json.dumps(_other(table, draw)).encode()


def _toml(seed: bytes, draw: random.Random) -> bytes:
    """One value of a TOML text is another one, or is gone."""
    import tomli_w

    try:
        return tomli_w.dumps(_other(tomllib.loads(seed.decode()), draw)).encode()
    except (ValueError, RecursionError, TypeError, AttributeError):
        return _cell(seed, draw)


def _other(value: Any, draw: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or draw.random() < 0.15:
        return draw.choice(VALUES)
    if isinstance(value, dict):
        key = draw.choice(sorted(value))
        if draw.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if draw.random() < 0.1:
            return value | {draw.choice(("", "x", "k", "\0", key * 2)): draw.choice(VALUES)}
        return value | {key: _other(value[key], draw)}
    at = draw.randrange(len(value))
    if draw.random() < 0.1:
        return value[:at] + value[at + 1 :]
    return [*value[:at], _other(value[at], draw), *value[at + 1 :]]


def _header(seed: bytes, draw: random.Random) -> bytes:
    """Of a file that begins with the length of its JSON: what that says, with the right length."""
    length = int.from_bytes(seed[:8], "little")
    try:
        table = json.loads(seed[8 : 8 + length])
        about = json.loads(table["__metadata__"]["about"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return _flip(seed, draw)
    if (way := draw.random()) < 0.5:
        table["__metadata__"]["about"] = json.dumps(_other(about, draw)) if way > 0.02 else deep()
    else:
        table = _other(table, draw)
    head = json.dumps(table).encode()
    return len(head).to_bytes(8, "little") + head + seed[8 + length :]
