"""A submission's text as an organiser's reader sees it: what is wrong with lines, and with their order."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from blend.submission import formats
from blend.submission.formats import KINDS, Kind
from extract.runtime import inputs, run_folder
from extract.runtime.errors import InputError


def split_lines(data: bytes) -> tuple[list[str], list[Problem]]:
    """The lines of a file without their ends, and what is wrong with its bytes and line ends."""
    problems: list[Problem] = []
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        problems.append((number, f"byte 0x{data[error.start]:02x} is no UTF-8 text; save the file as UTF-8"))
        text = data.decode("utf-8", errors="replace")
    if text.startswith("\ufeff"):
        problems.append((1, "the file begins with a byte order mark; save it as UTF-8 without one"))
        text = text[1:]
    lines = text.split("\n")
    last = lines.pop()
    if last:
        lines.append(last)
        problems.append((len(lines), "the file does not end with a line end; is it cut off?"))
    if "\r" in text:
        ends = [number for number, line in enumerate(lines, start=1) if line.endswith("\r")]
        if ends:
            more = f" ({len(ends):,} lines do)" if len(ends) > 1 else ""
            problems.append((ends[0], f"the line ends with a carriage return{more}; expected \\n alone"))
        lines = [line.removesuffix("\r") for line in lines]
    return lines or [""], problems


def parse_images(
    parts: list[tuple[str, str, str]], numbers: range, expected: Set[str] = frozenset()
) -> tuple[list[str], list[int] | range, list[Problem]]:
    """Pictures and their lines, without blank lines; a name with blanks or quotes is said, and taken without them,
    unless it is `expected` to have them.
    """
    names = [part[0] for part in parts]
    text = "".join(names)
    if "" not in names and '"' not in text and text == "".join(text.split()):
        return names, numbers, []
    problems: list[Problem] = []
    kept: list[str] = []
    at: list[int] = []
    for number, (image, comma, tail) in zip(numbers, parts, strict=True):
        if not image.strip() and not comma and not tail:
            problems.append((number, "a blank line"))
            continue
        clean = image if image in expected else "".join(image.split()).replace('"', "")
        if clean != image:
            what = "quotes" if '"' in image else "blanks"
            problems.append((number, f"{what} in the picture's name {image[:80]!r}"))
        kept.append(clean)
        at.append(number)
    return kept, at, problems


def parse_values(parts: list[tuple[str, str, str]], numbers: range, kind: Kind) -> list[Problem]:
    """Problems of the values. Most lines of a file share their text behind the name, so each text is judged once."""
    judge = cache(kind.problem)
    lines = zip(numbers, parts, strict=True)
    return [(n, why) for n, (image, comma, tail) in lines if (why := judge(tail)) and (comma or image.strip())]


CHUNK = 65_536
"""Lines that are taken apart at a time."""
FIRST = 2
"""The line of a template's first picture."""
Problem = tuple[int, str]
"""(line, what is wrong); the header is line 1."""


class _Walk:
    """One pass through the file with a finger in the template, which jumps ahead over what is missing.

    A template may name a picture several times; then so must the file. Neighbouring missing pictures are one problem,
    which names the line they belong before.
    """

    def __init__(self, images: Sequence[str], lines: Sequence[int], expected: Sequence[str]) -> None:
        """The file's pictures, the lines that they are on, and those of the template, whose first is on line FIRST."""
        self.images, self.lines, self.expected = images, lines, expected
        self.place: dict[str, int] = {}
        self.later: dict[str, list[int]] = {}
        for i, image in enumerate(expected):
            if self.place.setdefault(image, i) != i:
                self.later.setdefault(image, []).append(i)
        self.finger = 0
        self.skipped: list[tuple[int, int]] = []
        """(place in the template, line before which it belongs)."""

    def problems(self) -> list[Problem]:
        values: list[Problem] = []
        seen: dict[str, int] = {}
        for i, image in enumerate(self.images):
            if self.finger < len(self.expected) and image == self.expected[self.finger]:
                self.finger += 1
            elif problem := self._out_of_place(i, image, seen):
                values.append((self.lines[i], problem))
            seen.setdefault(image, self.lines[i])
        end = self.lines[-1] + 1 if len(self.lines) else FIRST
        self.skipped.extend((place, end) for place in range(self.finger, len(self.expected)))
        return values + self._missing()

    def _out_of_place(self, i: int, image: str, seen: dict[str, int]) -> str:
        """What to say of a picture that is not the one under the finger; moves the finger where that explains it."""
        here = self.expected[self.finger] if self.finger < len(self.expected) else None
        following = self.images[i + 1] if i + 1 < len(self.images) else None
        if image not in self.place:
            after = self.expected[self.finger + 1] if self.finger + 1 < len(self.expected) else None
            if here is not None and following == after and here != following:
                self.finger += 1
                return f"picture {image[:80]!r}, where the template has {here!r}"
            return f"picture {image[:80]!r} is not in the template"
        places = (self.place[image], *self.later.get(image, ()))
        ahead = next((place for place in places if place >= self.finger), None)  # from the finger on
        if ahead is not None and here != following:
            self.skipped.extend((place, self.lines[i]) for place in range(self.finger, ahead))
            self.finger = ahead + 1
            return ""
        line = (ahead if ahead is not None else self.place[image]) + FIRST
        if image in seen and image not in self.later:
            return f"picture {image!r} occurs again; it was on line {seen[image]}"
        return f"picture {image!r} comes too {'late' if ahead is None else 'early'}; the template has it on line {line}"

    def _missing(self) -> list[Problem]:
        """The skipped pictures that did not turn up elsewhere, neighbours together."""
        short = Counter(self.expected[place] for place, _ in self.skipped)
        if not short:
            return []
        there, wanted = Counter(self.images), Counter(self.expected)
        short = Counter({image: wanted[image] - there[image] for image in short if wanted[image] > there[image]})
        runs: list[list[int]] = []  # [line, first place, last place]
        for place, line in self.skipped:
            image = self.expected[place]
            if short[image] <= 0:
                continue
            short[image] -= 1
            if runs and runs[-1][0] == line and runs[-1][2] == place - 1:
                runs[-1][2] = place
            else:
                runs.append([line, place, place])
        return [(line, self._missing_text(a, b)) for line, a, b in runs]

    def _missing_text(self, a: int, b: int) -> str:
        item = f"picture {self.expected[a]!r}"
        if a == b:
            return f"{item} is missing; it belongs before this line"
        last = self.expected[b]
        return f"{b - a + 1:,} pictures are missing, {self.expected[a]!r} to {last!r}; they belong before this line"


@dataclass(frozen=True)
class Template:
    """What a complete file holds: its header, and its pictures in order."""

    path: Path
    kind: Kind
    header: str
    images: list[str]


def read_template(path: Path) -> Template:
    """Read an official list: bare pictures, trailing commas (ABAW-5, ABAW-7) or dummy values (ABAW-6) behind them.

    Raises InputError for a file that is missing, no text or has no pictures, a header of no known task, and a line
    without a picture.
    """
    header, body = inputs.head_and_body(inputs.read_utf8(path, "template"))
    kind = formats.recognise(header.rstrip(", ").split(",")[1:])
    if kind is None:
        known = "; ".join(f"{kind.name}: ...,{','.join(kind.header)}" for kind in KINDS.values())
        raise InputError(f"{path}: line 1 is {header[:80]!r}, the header of no known task; known are {known}")
    if not body:
        raise InputError(f"{path}: no pictures behind the header")
    images = [line.split(b",", 1)[0].decode().strip() for line in io.BytesIO(body)]
    if "" in images:
        raise InputError(f"{path}: line {images.index('') + 2} names no picture")
    return Template(path, kind, header, images)


def list_problems(path: Path, template: Template) -> list[Problem]:
    """All problems of a file, by line (the header is line 1); none: it is complete.

    Raises InputError for one that cannot be read, and for a complete one that is not what blend.run left there.
    """
    data = inputs.read_bytes(path)
    if not data:
        return [(1, "the file is empty")]
    if (zero := data.find(0)) >= 0:
        return [(data[:zero].count(b"\n") + 1, "a zero byte: this is no UTF-8 text (is it UTF-16?)")]
    lines, result = split_lines(data)
    del data  # as large as the lines
    header = lines[0]
    numbers = range(2, len(lines) + 1)
    if header != template.header:
        if header.partition(",")[0].strip() in set(template.images):
            result.append((1, f"the header is missing; expected {template.header!r}"))
            numbers = range(1, len(lines) + 1)
        else:
            result.append((1, f"header {header[:80]!r}, expected {template.header!r}"))
    images: list[str] = []
    at: list[int] = []
    odd = frozenset(image for image in template.images if '"' in image or image.split() != [image])
    del lines[: numbers.start - 1]
    for start in range(0, len(numbers), CHUNK):
        values = numbers[start : start + CHUNK]
        parts = [line.partition(",") for line in lines[:CHUNK]]
        del lines[:CHUNK]  # both at once take much
        part, where, wrong = parse_images(parts, values, odd)
        images += part
        at += where
        result += wrong + parse_values(parts, values, template.kind)
    if images != template.images:
        result += _Walk(images, at, template.images).problems()
    if not result:  # other decisions than those that were written are no less complete
        advice = "python -m blend.run writes it anew (a file of your own belongs in another folder)"
        run_folder.check_result(path, advice)
    return sorted(result)
