"""Who is in which video: `corpus.people`, a table, or `corpus.people_pattern`, which finds people in videos' names.

Frames of one person are alike, in whatever video they are. A head that has learnt from one of them, or thresholds that
were chosen on one, do better on the others than on people they have never seen, so folds, slices, draws and counts go
by person where people are known (heads.data.splits.groups).
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from extract.config import Corpus
from extract.media import tables
from extract.runtime import inputs, limits
from extract.runtime.errors import InputError

VIDEO, PERSON = "video", "person"
REMEDY = "correct corpus.people in the config"


@dataclass(frozen=True)
class People:
    """Who is in which of the videos that a head reads, where that is known."""

    groups: dict[str, str] | None = None
    """Video -> the name of its group: what slices and folds keep together (splits.name_groups)."""
    persons: dict[str, str] | None = None
    """Video -> person, where columns are relative to one (heads.data.relative)."""


NO_PEOPLE = People()


def read(corpus: Corpus, videos: Collection[str]) -> dict[str, str] | None:
    """Video -> person, of those of these videos whose person is known; None where the config does not tell people.

    Raises InputError where it tells them twice, for a table that cannot be read or contradicts itself (`read_table`),
    and for a pattern that is no regular expression.
    """
    if corpus.people is not None and corpus.people_pattern is not None:
        raise InputError("config: corpus.people and corpus.people_pattern are both given; expected one: leave one out")
    if corpus.people is not None:
        table = read_table(corpus.people)
        return {video: table[video] for video in sorted(videos) if video in table}
    if corpus.people_pattern is not None:
        return _matched(corpus.people_pattern, videos)
    return None


def _matched(pattern: str, videos: Collection[str]) -> dict[str, str]:
    """The person that a regular expression finds in the names of videos; a video that it does not fit has none."""
    try:
        finds = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"config: corpus.people_pattern = {pattern!r} is no regular expression: {error}; expected one whose group "
            f"1, or whole match, is the person, as '^\\d+'"
        ) from None
    results = {video: finds.search(video) for video in sorted(videos)}
    return {
        video: person
        for video, match in results.items()
        if match is not None and (person := match[1 if finds.groups else 0])
    }


def check(corpus: Corpus, people: dict[str, str] | None, videos: Collection[str]) -> None:
    """Refuse people that are of none of these videos; where a table lacks some, say so in one line on stderr: their
    recordings stand for their people. A pattern need not fit every name.
    """
    if people is None or not (unknown := sorted(set(videos) - people.keys())):
        return
    if not people:
        told = corpus.people or f"config: corpus.people_pattern = {corpus.people_pattern!r}"
        raise InputError(
            f"{told}: fits none of the corpus's {len(unknown)} videos (first: {unknown[0]!r}); expected the person of "
            f"each, by the name that its annotation file has: {REMEDY}"
        )
    if corpus.people is not None:
        print(
            f"warning: {corpus.people}: no person for the video {unknown[0]!r} ({len(unknown)} of {len(set(videos))} "
            f"annotated videos have none): such are kept together by recording alone",
            file=sys.stderr,
        )


def read_table(path: Path) -> dict[str, str]:
    """Video -> person as a table has them: a CSV in UTF-8 or a Parquet file, columns `video` and `person` among others.

    Raises InputError, with line (CSV, the header is line 1) or row (Parquet), for a file that is missing, no such
    table or empty, a cell that is, and a video that is given twice with two people.
    """
    inputs.require_file(path, "table", f"expected columns {VIDEO},{PERSON} (.csv or .parquet): {REMEDY}")
    rows = {".csv": _of_csv, ".parquet": _of_parquet}.get(path.suffix.lower())
    if rows is None:
        raise InputError(f"{path}: ends in {path.suffix!r}; expected a table that ends in .csv or .parquet: {REMEDY}")
    people: dict[str, str] = {}
    places: dict[str, str] = {}
    for place, video, person in rows(path):
        for name, cell in ((VIDEO, video), (PERSON, person)):
            if not cell:
                raise InputError(f"{path}: {place}: the {name} is empty; fill it in, or remove the {place.split()[0]}")
        if people.setdefault(video, person) != person:
            raise InputError(
                f"{path}: {place}: video {video!r} has person {person!r}, but {people[video]!r} in {places[video]}; "
                f"expected one person for a video: remove one"
            )
        places.setdefault(video, place)
    if not people:
        raise InputError(f"{path}: holds no video; expected a row for each, with its person")
    return people


def _of_csv(path: Path) -> Iterator[tuple[str, str, str]]:
    """(line, video, person) of every line behind the header that is not blank."""
    reader = csv.reader(io.StringIO(inputs.read_text(path, largest=limits.TABLE_BYTES), newline=""))
    try:
        header = [cell.strip() for cell in next(reader, [])]
        at = _places(path, header)
        for row in reader:
            line = f"line {reader.line_num}"
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(f"{path}: {line} has {len(row)} values, expected {len(header)} as the header has")
            yield line, row[at[0]].strip(), row[at[1]].strip()
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: no CSV ({error}); save it as CSV again") from None


def _places(path: Path, header: list[str]) -> list[int]:
    """Where video and person stand in a CSV's header."""
    for name in (VIDEO, PERSON):
        if (count := header.count(name)) != 1:
            result = f"{count} columns {name!r}" if count else f"no column {name!r}"
            line = ",".join(header)
            other = next((mark for mark in (";", "\t") if mark in line), None)
            why = f": the values are divided by {other!r}, save it with commas" if other else ": name its columns so"
            raise InputError(f"{path}: line 1 is {line[:80]!r}, {result}; expected a header with {VIDEO},{PERSON}{why}")
    return [header.index(name) for name in (VIDEO, PERSON)]


def _of_parquet(path: Path) -> Iterator[tuple[str, str, str]]:
    """(row, video, person) of every row, from row 1."""
    table = tables.read_columns(path)
    for name in (VIDEO, PERSON):
        if name not in table.raw:
            raise InputError(f"{path}: no column {name!r}; it has {', '.join(table.raw)[:200]}; name its columns so")
    pieces = ((cells for cells, _ in tables.read(table, name, [])) for name in (VIDEO, PERSON))
    columns = [list(chain.from_iterable(piece)) for piece in pieces]
    if len(columns[0]) != len(columns[1]):
        raise InputError(f"{path}: damaged: {len(columns[0])} videos, {len(columns[1])} persons; write it again")
    for number, (video, person) in enumerate(zip(*columns, strict=True), start=1):
        yield f"row {number}", (video or "").strip(), (person or "").strip()
