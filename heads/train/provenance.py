"""What a head is made from, by hashes: of the data, taken before it is read, and of the code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from extract.config import TaskPaths
from extract.runtime import run_folder
from heads import corpus_checks
from heads.abaw import read as labels
from heads.abaw.tasks import Task
from heads.config import Config
from heads.data import feature_file

Hashes = dict[str, Any]


def hash_inputs(train: Path | None, val: Path, test: Path | None, task: Task) -> Hashes:
    """Of the annotations, file by file, and of the test list. Raises InputError for a folder that has none; whether
    there must be one to learn from is for corpus_checks to say.
    """
    hashes: Hashes = {
        part: labels.hash_files(folder, task) for part, folder in (("train", train), ("val", val)) if folder is not None
    }
    return hashes | {"test": run_folder.file_hash(test) if test else None}


def read(config: Config, task: Task) -> tuple[corpus_checks.Annotations, corpus_checks.Listed, Hashes]:
    """Annotations and listed frames (heads.corpus_checks.read), and the hashes of just what was read."""
    paths: TaskPaths = config.corpus.task(task.place)
    while True:
        before = hash_inputs(paths.train, paths.val, paths.test, task)
        annotations, listed = corpus_checks.read(config, task)
        if hash_inputs(paths.train, paths.val, paths.test, task) == before:
            return annotations, listed, before


def describe_changes(
    seen: Hashes, now: Hashes, marks: Mapping[str, list[str]], work: Path, parts: Iterable[Iterable[str]]
) -> str:
    """What of a head's inputs is no longer what was `seen`, in words; "" where all is.

    `marks`: of each network, `heads.data.feature_file.mark` of the videos of each of `parts`, as they were.
    """
    for part, name in (("train", "the training annotations"), ("val", "the validation annotations")):
        if part in now and seen.get(part) != now[part]:
            return name
    if "test" in now and seen.get("test") != now["test"]:
        return "the test list"
    for number, videos in enumerate(parts):
        for network, known in marks.items():
            if feature_file.mark(work, network, videos) != known[number]:
                return f"the features of {network!r}"
    return ""


MEASURES = ("bench", "finetune", "tune")
"""Folders of heads that no head uses: their edits make no head learn again."""


def code_mark() -> str:
    """Fingerprint of the code that can change a head's result."""
    return run_folder.code_hash("heads", MEASURES)
