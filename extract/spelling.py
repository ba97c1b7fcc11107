"""One spelling for a video's name, wherever it stands: letters with marks composed (Unicode's NFC).

Archives and disks of macOS write `ë` as two characters (NFD), most programs as one; they look the same.
"""

from __future__ import annotations

from unicodedata import normalize


def composed(name: str) -> str:
    """A name with its letters and their marks as one character each."""
    return name if name.isascii() else normalize("NFC", name)
