"""What a head is made from, by hashes, that are taken before it is read and compared when the head is finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from extract import rundir
from extract.config import TaskPaths
from heads import border, features, labels
from heads.config import Config
from heads.tasks import Task

Hashes = dict[str, Any]


def hashes(train: Path, val: Path, test: Path | None) -> Hashes:
    """Of the annotations, file by file, and of the test list. Raises InputError where there are none."""
    found: Hashes = {
        part: [(path.name, rundir.file_hash(path)) for path in labels.files(folder)]
        for part, folder in (("train", train), ("val", val))
    }
    return found | {"test": rundir.file_hash(test) if test else None}


def read(config: Config, task: Task) -> tuple[border.Annotations, border.Listed, Hashes]:
    """Annotations and listed frames (heads.border.read), and the hashes of just what was read."""
    paths: TaskPaths = config.corpus.task(task.place)
    while True:
        before = hashes(paths.train, paths.val, paths.test)
        annotations, listed = border.read(config, task)
        if hashes(paths.train, paths.val, paths.test) == before:
            return annotations, listed, before


def changed(
    seen: Hashes, now: Hashes, marks: Mapping[str, list[str]], work: Path, parts: Iterable[Iterable[str]]
) -> str:
    """What of a head's inputs is no longer what was `seen`, in words; "" where all is.

    `marks`: of each network, `features.mark` of the videos of each of `parts`, as they were.
    """
    for part, name in (("train", "the training annotations"), ("val", "the validation annotations")):
        if part in now and seen.get(part) != now[part]:
            return name
    if "test" in now and seen.get("test") != now["test"]:
        return "the test list"
    for number, videos in enumerate(parts):
        for network, known in marks.items():
            if features.mark(work, network, videos) != known[number]:
                return f"the features of {network!r}"
    return ""
