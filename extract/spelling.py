"""One spelling for a video's name, wherever it stands: letters with marks composed (Unicode's NFC); and its length.

Archives and disks of macOS write `ë` as two characters (NFD), most programs as one; they look the same.
"""

from __future__ import annotations

from unicodedata import normalize

LONGEST = 210
"""Bytes of a video's name: a file's may have 255, and `.<name>_right.safetensors.<16 digits>.part` is one."""


def composed(name: str) -> str:
    """A name with its letters and their marks as one character each."""
    return name if name.isascii() else normalize("NFC", name)


def too_long(name: str) -> str:
    """Why files cannot be called after a video of this name; empty: they can."""
    length = len(name.encode(errors="surrogateescape"))
    if length <= LONGEST:
        return ""
    return f"its name has {length} bytes, expected at most {LONGEST}, since files are called after it: rename it"
