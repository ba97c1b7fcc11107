"""The submission file: driven by the test list, written whole or not at all, read back and checked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blend.pool import Pool
from extract.rundir import writing
from heads.tasks import Task
from heads.testlist import TestList

PROBLEMS = 100
"""After so many problems the check stops: the file is wrong anyway."""


def write(path: Path, listed: TestList, pool: Pool, decided: NDArray[np.generic]) -> None:
    """Write the decisions of the listed frames, in the list's order, and check what was written.

    `decided` is [T, ...] on the pool's timeline, which holds every listed frame. Lines end in `\\n` and hold no spaces:
    expr `path,int`; va `path,v,a` (the shortest text that gives back the float32); au `path,0,1,...`.
    Raises RuntimeError where the file read back is not what was meant: that would be a bug.
    """
    with writing(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="\n") as handle:
            handle.write(listed.header + "\n")
            tails = _tails(pool.task, decided[rows(listed, pool)])
            handle.writelines(f"{image},{tail}\n" for image, tail in zip(listed.images, tails, strict=True))
        if problems := check(temporary, listed, pool.task):
            raise RuntimeError(f"{path}: {problems[0]}")


def rows(listed: TestList, pool: Pool) -> NDArray[np.int64]:
    """Where the listed frames lie on the pool's timeline, [images]."""
    number = {video: v for v, video in enumerate(pool.videos)}
    start = np.array([pool.offsets[number[name]] for name in listed.names], np.int64)
    return start[listed.video_of] + listed.frame_of - 1


def _tails(task: Task, decided: NDArray[np.generic]) -> Iterator[str]:
    """The text behind each picture's name."""
    if task.name == "expr":
        return map(str, decided.tolist())
    if task.name == "va":
        text = [[str(value) for value in column] for column in decided.astype(np.float32).T]
        return map(",".join, zip(*text, strict=True))
    codes = decided.astype(np.int64) @ (1 << np.arange(decided.shape[1]))
    known = {code: ",".join(str(code >> c & 1) for c in range(decided.shape[1])) for code in np.unique(codes).tolist()}
    return map(known.__getitem__, codes.tolist())


def check(path: Path, listed: TestList, task: Task) -> list[str]:
    """Problems of a submission, each with its line number (the header is line 1); none: it is complete.

    Every listed picture once, in order, with the right number of values in range; the list's header; `\\n` line ends.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [f"cannot be read as UTF-8 text ({error})"]
    lines = text.split("\n")
    last = lines.pop()
    found = []
    if last:
        found.append(f"line {len(lines) + 1}: the file does not end with a line end; is it cut off?")
        lines.append(last)
    header = lines[0] if lines else ""
    if header != listed.header:
        found.append(f"line 1: header {header[:80]!r}, expected {listed.header!r}")
    parts = [line.partition(",") for line in lines[1:]]
    found += _values(parts, task)
    found += _pictures([part[0] for part in parts], listed.images)
    return sorted(found, key=_line_number)[:PROBLEMS]


def _line_number(problem: str) -> int:
    return int(problem.removeprefix("line ").partition(":")[0])


def _values(parts: list[tuple[str, str, str]], task: Task) -> list[str]:
    """Problems of the values. Most lines of a file share their text behind the name, so each text is judged once."""
    judged: dict[str, str] = {}
    found = []
    for number, (_, comma, tail) in enumerate(parts, start=2):
        problem = judged.get(tail)
        if problem is None:
            problem = judged[tail] = _problem(tail, task)
        if problem or not comma:
            found.append(f"line {number}: {problem or 'no value behind the picture'}")
            if len(found) >= PROBLEMS:
                break
    return found


def _problem(tail: str, task: Task) -> str:
    """What is wrong with the text behind a picture's name; empty: nothing."""
    values = tail.split(",") if tail else []
    if tail != "".join(tail.split()):
        return f"spaces or a carriage return in {tail[:60]!r}"
    if len(values) != task.columns:
        return f"{len(values)} values, expected {task.columns}"
    if task.name == "va":
        for value in values:
            try:
                number = float(value)
            except ValueError:
                return f"{value[:40]!r} is no number"
            if not (math.isfinite(number) and -1 <= number <= 1) or "_" in value:
                return f"{value[:40]} is not in [-1, 1]"
        return ""
    legal = [str(i) for i in range(2 if task.name == "au" else len(task.outputs))]
    for value in values:
        if value not in legal:
            return f"{value[:40]!r} is none of {legal[0]}..{legal[-1]}"
    return ""


def _pictures(found: list[str], expected: list[str]) -> list[str]:
    """Pictures that are missing, unknown, doubled or out of order."""
    if found == expected:
        return []
    place = {image: i for i, image in enumerate(expected)}
    listed_twice = len(place) < len(expected)
    first_seen: dict[str, int] = {}
    skipped: dict[str, int] = {}
    problems, at = [], 0
    for number, image in enumerate(found, start=2):
        if at < len(expected) and image == expected[at]:
            at += 1
        elif image not in place:
            problems.append(f"line {number}: picture {image[:80]!r} is not in the test list")
        elif image in first_seen and not listed_twice:
            problems.append(f"line {number}: picture {image!r} occurs again; it was on line {first_seen[image]}")
        elif place[image] >= at:
            skipped.update((name, number) for name in itertools.islice(expected, at, place[image]))
            at = place[image] + 1
        else:
            problems.append(
                f"line {number}: picture {image!r} comes too late; the test list has it on line {place[image] + 2}"
            )
        first_seen.setdefault(image, number)
    skipped.update((name, len(found) + 2) for name in itertools.islice(expected, at, None))
    for image, number in skipped.items():
        if image not in first_seen:
            problems.append(f"line {number}: picture {image!r} is missing; it belongs before this line")
    return problems or ["line 2: the pictures are not those of the test list, in its order"]
