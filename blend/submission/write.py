"""The submission file: driven by the test list, written whole or not at all, read back and checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blend.pool.pool import Pool
from blend.submission import check as submission_check
from blend.submission.formats import KINDS
from extract.runtime.run_folder import write_whole
from heads.abaw.tasks import Task
from heads.abaw.test_list import TestList


def write(path: Path, listed: TestList, pool: Pool, decided: NDArray[np.generic]) -> None:
    """Write the decisions of the listed frames, in the list's order, and check what was written.

    `decided` is [T, ...] on the pool's timeline, which holds every listed frame. Lines end in `\\n` and hold no spaces:
    expr `path,int`; va `path,v,a` (the shortest text that gives back the float32); au `path,0,1,...`.
    Raises RuntimeError where the file read back is not what was meant: that would be a bug.
    """
    with write_whole(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="\n") as handle:
            handle.write(listed.header + "\n")
            tails = pool.blend_task.as_lines(decided[rows(listed, pool)])
            handle.writelines(f"{image},{tail}\n" for image, tail in zip(listed.images, tails, strict=True))
        if problems := check(temporary, listed, pool.task):
            raise RuntimeError(f"{path}: {problems[0]}")


def rows(listed: TestList, pool: Pool) -> NDArray[np.int64]:
    """Where the listed frames lie on the pool's timeline, [images]."""
    number = {video: v for v, video in enumerate(pool.videos)}
    start = np.array([pool.offsets[number[name]] for name in listed.names], np.int64)
    return start[listed.video_of] + listed.frame_of - 1


def check(path: Path, listed: TestList, task: Task) -> list[str]:
    """Problems of a submission as `python -m blend.check` finds them, each with its line; none: it is complete."""
    template = submission_check.Template(listed.path, KINDS[task.name], listed.header, listed.images)
    return [f"line {line}: {text}" for line, text in submission_check.list_problems(path, template)]
