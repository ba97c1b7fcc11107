"""Names that become files or folders: one rule and one spelling (Unicode's NFC), none outside the work folder."""

from __future__ import annotations

import unicodedata
from unicodedata import normalize

from extract.runtime import limits
from extract.runtime.errors import InputError

VIDEO = "video"
"""The kind of name that may begin with a dash: YouTube's do."""
STRANGE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, halves of characters, and ends of lines."""


def problem(kind: str, name: str) -> str:
    """Why a name cannot become a file, in words; "" where it can. `kind`: "network", "head", "corpus", VIDEO, ..."""
    if not name:
        return "is empty"
    if result := next((entry for entry in "/\\" if entry in name), None):
        return f"has a {result!r}, which divides folders"
    if result := next((item for item in name if unicodedata.category(item) in STRANGE), None):
        return f"has the character U+{ord(result):04X}, which is not printed"
    if name != name.strip():
        return "begins or ends with a blank, which lists of names lose"
    if name[0] == "." or (name[0] == "-" and kind != VIDEO):
        return f"begins with {name[0]!r}"
    if (length := len(name.encode())) > limits.NAME_BYTES:
        return f"is {length} bytes long; {limits.NAME_BYTES} are possible"
    return ""


def printable(name: str) -> str:
    """A name on one line: characters that are not printed as their escapes."""
    return "".join(item if item.isprintable() else repr(item)[1:-1] for item in name)


def check(kind: str, name: str, source: object = "") -> str:
    """The name itself. Raises InputError, that begins with `source`, for one that cannot become a file."""
    if why := problem(kind, name):
        shown = name if len(name) <= 60 else f"{name[:57]}..."
        raise InputError(f"{source}{': ' if source else ''}the {kind} name {shown!r} {why}; choose another name")
    return name


def compose(name: str) -> str:
    """A name with its letters and their marks as one character each."""
    return name if name.isascii() else normalize("NFC", name)
