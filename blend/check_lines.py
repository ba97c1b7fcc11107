"""The lines of a text as an organiser's reader sees them, and what is wrong with each of them alone."""

from __future__ import annotations

from collections.abc import Sequence

from blend.check_order import Problem
from blend.formats import Kind


def lines_of(data: bytes) -> tuple[list[str], list[Problem]]:
    """The lines of a file without their ends, and what is wrong with its bytes and line ends."""
    found: list[Problem] = []
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        found.append((number, f"byte 0x{data[error.start]:02x} is no UTF-8 text; save the file as UTF-8"))
        text = data.decode("utf-8", errors="replace")
    if text.startswith("\ufeff"):
        found.append((1, "the file begins with a byte order mark; save it as UTF-8 without one"))
        text = text[1:]
    lines = text.split("\n")
    last = lines.pop()
    if last:
        lines.append(last)
        found.append((len(lines), "the file does not end with a line end; is it cut off?"))
    if "\r" in text:
        ends = [number for number, line in enumerate(lines, start=1) if line.endswith("\r")]
        if ends:
            more = f" ({len(ends):,} lines do)" if len(ends) > 1 else ""
            found.append((ends[0], f"the line ends with a carriage return{more}; expected \\n alone"))
        lines = [line.removesuffix("\r") for line in lines]
    return lines or [""], found


def images(
    parts: list[tuple[str, str, str]], numbers: range, expected: Sequence[str] = ()
) -> tuple[list[str], list[int] | range, list[Problem]]:
    """Pictures and their lines, without blank lines; a name with blanks or quotes is said, and taken without them,
    unless it is `expected` to have them.
    """
    names = [part[0] for part in parts]
    text = "".join(names)
    if "" not in names and '"' not in text and text == "".join(text.split()):
        return names, numbers, []
    found: list[Problem] = []
    known = set(expected)
    kept: list[str] = []
    at: list[int] = []
    for number, (image, comma, tail) in zip(numbers, parts, strict=True):
        if not image.strip() and not comma and not tail:
            found.append((number, "a blank line"))
            continue
        clean = image if image in known else "".join(image.split()).replace('"', "")
        if clean != image:
            what = "quotes" if '"' in image else "blanks"
            found.append((number, f"{what} in the picture's name {image[:80]!r}"))
        kept.append(clean)
        at.append(number)
    return kept, at, found


def values(parts: list[tuple[str, str, str]], numbers: range, kind: Kind) -> list[Problem]:
    """Problems of the values. Most lines of a file share their text behind the name, so each text is judged once."""
    judged: dict[str, str] = {}
    found = []
    for number, (image, comma, tail) in zip(numbers, parts, strict=True):
        problem = judged.get(tail)
        if problem is None:
            problem = judged[tail] = kind.problem(tail)
        if problem and (comma or image.strip()):
            found.append((number, problem))
    return found
