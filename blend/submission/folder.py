"""ABAW-3's submissions: a folder of one text per video, a header and then one line per frame.

The official list names only the videos, so how many frames each has must be said: behind its name in the list, in a
text of `video,frames`, or by the raw videos themselves.
"""

from __future__ import annotations

import os
from pathlib import Path

from blend.submission import formats
from blend.submission.check import parse_values, split_lines
from blend.submission.formats import KINDS, Kind
from extract.media.frames import strip_side
from extract.media.streams import location
from extract.runtime import inputs, limits
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose
from heads.abaw.tasks import TASKS


def check(folder: Path, template: Path, lengths: Path | None, task: str | None) -> tuple[list[str], str]:
    """Problems of a folder, each with its file and line, and what it is.

    Raises InputError for a list or lengths that cannot be read, a video whose frames are not said, and where no task
    can be told.
    """
    wanted = _lengths(template, lengths)
    kind = _kind(folder, task)
    results = []
    there = {compose(path.stem): path for path in folder.glob("*.txt")}
    for video, frames in wanted.items():
        path = there.get(video, folder / f"{video}.txt")
        if path.is_file():
            results += [f"{path.name}: line {line}: {text}" for line, text in _video(path, frames, kind)]
        else:
            results.append(f"{path.name}: line 1: the file is missing; the list names the video {video!r}")
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix != ".txt" or compose(path.stem) not in wanted:
            results.append(f"{path.name}: line 1: no video of the list belongs to this file")
    return results, f"a submission for {kind.name} (ABAW-3), {len(wanted):,} videos, {sum(wanted.values()):,} frames"


def _video(path: Path, frames: int, kind: Kind) -> list[tuple[int, str]]:
    """Problems of one video's text."""
    data = inputs.read_bytes(path)
    if not data:
        return [(1, "the file is empty")]
    lines, result = split_lines(data)
    header = ",".join(kind.header)
    rows = lines[1:]
    if lines[0] != header:
        if kind.problem(lines[0]) == "":
            result.append((1, f"the header is missing; expected {header!r}"))
            rows = lines
        else:
            result.append((1, f"header {lines[0][:80]!r}, expected {header!r}"))
    first = len(lines) - len(rows) + 1
    result += [(first + i, "a blank line") for i, row in enumerate(rows) if not row.strip()]
    parts = [("frame", ",", row) if row.strip() else ("", "", "") for row in rows]
    result += parse_values(parts, range(first, len(lines) + 1), kind)
    count = sum(bool(row.strip()) for row in rows)
    if count != frames:
        at = len(lines) + 1 if count < frames else first + frames
        result.append((at, f"{frames:,} lines of frames expected, {count:,} are there"))
    return sorted(result)


def _kind(folder: Path, task: str | None) -> Kind:
    if task is not None:
        if task not in TASKS:
            raise InputError(f"--task {task}: no such task; there are {', '.join(TASKS)}")
        return KINDS[task]
    for path in sorted(folder.glob("*.txt")):
        header = inputs.read_bytes(path).decode("utf-8-sig", errors="replace").partition("\n")[0]
        kind = formats.recognise(header.split(","))
        if kind is not None and kind.name in TASKS:
            return kind
    raise InputError(f"{folder}: no text here begins with the header of a task; say which it is with --task")


def _lengths(template: Path, lengths: Path | None) -> dict[str, int]:
    """Frames of every listed video, sorted by video."""
    listed = _table(template)
    if not listed:
        raise InputError(f"{template}: names no video")
    if lengths is not None and os.path.isdir(lengths):
        listed = {video: _frames_of(lengths, video) for video in listed}
    elif lengths is not None:
        known = _table(lengths)
        listed = {video: known.get(video) for video in listed}
    if unknown := sorted(video for video, frames in listed.items() if frames is None):
        where = lengths or template
        raise InputError(
            f"{where}: does not say how many frames the video {unknown[0]!r} has ({len(unknown)} of {len(listed)}); "
            f"give --lengths, a text of lines video,frames or the folder of the raw videos"
        )
    return {video: frames for video, frames in sorted(listed.items()) if frames is not None}


def _table(path: Path) -> dict[str, int | None]:
    """Lines `video` or `video,frames` -> frames by video, None where they are not said; a header is left out."""
    lines = inputs.read_text(path, largest=limits.TABLE_BYTES).splitlines()
    results: dict[str, int | None] = {}
    for number, line in enumerate(lines, start=1):
        video, _, count = (part.strip() for part in line.partition(","))
        video = compose(video.removesuffix(".txt"))
        if not video or (number == 1 and count and not count.isdigit()):
            continue
        if count and not limits.frame(count):
            raise InputError(f"{path}: line {number}: {count[:40]!r} is no number of frames; expected video,frames")
        if video in results:
            raise InputError(f"{path}: line {number}: the video {video!r} is listed twice")
        results[video] = int(count) if count else None
    return results


def _frames_of(folder: Path, video: str) -> int | None:
    """Frames as the organisers of ABAW-3 counted them: OpenCV's count plus one. None where there is no such video."""
    import cv2

    for name in dict.fromkeys((video, strip_side(video))):
        for path in sorted(folder.glob("*")):
            if compose(path.stem) == name and path.is_file():
                capture = cv2.VideoCapture(location(path))
                count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
                capture.release()
                if count > 0:
                    return count + 1
    return None
