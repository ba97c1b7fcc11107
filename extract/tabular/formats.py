"""Which columns of somebody else's per-frame table become what: by the program that wrote it, or as the user says."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from extract.media.tables import Table
from extract.runtime.errors import InputError


@dataclass(frozen=True)
class Format:
    """A program's tables: the sets of columns that give it away (`told_by`), the default choice (`columns`)."""

    name: str
    told_by: tuple[tuple[str, ...], ...] = ((),)
    columns: tuple[str, ...] = ("*",)
    video: tuple[str, ...] = ("video",)
    """Names that the video's column may have; without one, a file is one video."""
    first_frame: int = 1
    success: str | None = None
    """A column that is 0 where no face was found."""
    not_features: tuple[str, ...] = ()


FORMATS = {
    each.name: each
    for each in (
        Format("openface", (("frame", "confidence", "success"), ("frame", "success", "AU*"),
                            ("frame", "timestamp", "success")), ("AU*",),
               success="success", not_features=("face_id", "timestamp")),
        Format("pyfeat", (("frame", "FaceScore"),), ("AU*",), ("video", "input"), first_frame=0,
               not_features=("approx_time", "Identity")),
        Format("table"),
    )
}  # fmt: skip
CLOCKS = (
    "time", "timestamp", "time_stamp", "approx_time", "frame_time", "frame_time_in_ms", "seconds", "milliseconds",
    "pts", "frame", "frame_idx", "frame_id", "frame_number", "face_id", "index", "success",
)  # fmt: skip
"""Columns, in lower case, of when, whom and whether, not of the face: no features unless the user names them."""


@dataclass(frozen=True)
class Choice:
    """What the user asks for; None and () leave it to the format.

    Columns are patterns like AU*; `columns` become the embedding. `first_frame` is the number that the table gives to a
    video's first frame.
    """

    format: str | None = None
    columns: tuple[str, ...] = ()
    logits: tuple[str, ...] = ()
    va: tuple[str, ...] = ()
    video: str | None = None
    frame: str | None = None
    """None: "frame"."""
    first_frame: int | None = None


@dataclass(frozen=True)
class Plan:
    """Which columns of the tables become what."""

    format: Format
    video: str | None
    frame: str
    first_frame: int
    kinds: dict[str, list[str]]
    first_picture: int = 1
    """The number in the name of a video's first picture, where the video's column holds pictures."""

    @property
    def numbers(self) -> list[str]:
        """The chosen columns, of all kinds, in order."""
        return [column for columns in self.kinds.values() for column in columns]


def plan(table: Table, choice: Choice) -> Plan:
    """Decide which columns become what, from one table. Raises InputError where that cannot be."""
    if choice.format is not None and choice.format not in FORMATS:
        raise InputError(f"--format {choice.format}: expected {', '.join(FORMATS)}")
    known = FORMATS[choice.format] if choice.format else _told(table)
    named = [choice.video] if choice.video else [column for column in known.video if column in table.raw][:1]
    frame = choice.frame or "frame"
    require(table, [*named, frame, known.success])
    reserved = {*named, frame, *filter(None, [known.success]), *known.not_features}
    wanted = {"embedding": choice.columns, "logits": choice.logits, "va": choice.va}
    if not any(wanted.values()):
        wanted["embedding"] = known.columns
        reserved |= {column for column in table.raw if column.lower() in CLOCKS}
    kinds = {
        kind: _choose(table, patterns, reserved, "columns" if kind == "embedding" else kind)
        for kind, patterns in wanted.items()
        if patterns
    }
    if len(kinds.get("va", "va")) != 2:
        raise InputError(f"--va {','.join(choice.va)}: found {len(kinds['va'])} columns, expected valence,arousal")
    first = known.first_frame if choice.first_frame is None else choice.first_frame
    first_picture = 1 if choice.first_frame is None else choice.first_frame
    return Plan(known, named[0] if named else None, frame, first, kinds, first_picture)


def _told(table: Table) -> Format:
    def has(pattern: str) -> bool:
        return any(fnmatchcase(column, pattern) for column in table.raw)

    return next(each for each in FORMATS.values() if any(all(map(has, columns)) for columns in each.told_by))


def require(table: Table, columns: list[str | None], like: Path | None = None) -> None:
    missing = [column for column in columns if column is not None and column not in table.raw]
    if missing:
        raise InputError(
            f"{table.path}: no column {missing[0]!r}{f', which {like.name} has' if like else ''}; its columns are "
            f"{_first_names(table.raw)}"
        )


def _choose(table: Table, patterns: tuple[str, ...], reserved: set[str], option: str) -> list[str]:
    """The columns that fit the patterns, in the order of patterns and table; each once."""
    results: dict[str, None] = {}
    words: dict[str, None] = {}
    for pattern in patterns:
        hits = [column for column in table.raw if fnmatchcase(column, pattern) and column not in reserved]
        numeric = [column for column in hits if column in table.numeric]
        if odd := next((column for column in hits if column in table.odd), None):
            raise InputError(
                f"{table.path}: {table.odd[odd]} in column {odd!r}, whose other cells are numbers; expected a number "
                f"with a decimal point: correct the cell (empty, where nothing was measured)"
            )
        if not numeric:
            what = "fit only columns that hold no numbers" if hits else "fits no column"
            raise InputError(f"{table.path}: --{option} {pattern}: {what}; its columns are {_first_names(table.raw)}")
        results |= dict.fromkeys(numeric)
        words |= dict.fromkeys(column for column in hits if column not in table.numeric)
    if words:
        print(f"{table.path}: columns of text are left out: {_first_names(words)}", file=sys.stderr)
    return list(results)


def _first_names(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
