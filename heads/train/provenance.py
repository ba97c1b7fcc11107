"""What a head is made from, by hashes: of the data, taken before it is read, and of the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from extract.config import TaskPaths
from extract.runtime import run_folder
from heads import corpus_checks
from heads.abaw import read as labels
from heads.abaw import test_list
from heads.abaw.tasks import Task
from heads.config import Config
from heads.data import feature_file

Hashes = dict[str, Any]
"""Of "train" and "val" the annotations, file by file, of "test" the list, and of "features" by network the marks
(heads.data.feature_file) of the annotated videos' and of the listed ones'.
"""


def hash_inputs(paths: TaskPaths, task: Task) -> Hashes:
    """Of the annotations and of the test list.

    Raises InputError for a folder that has none; whether there must be one to learn from is for corpus_checks to say.
    """
    folders = {"val": paths.val} if paths.train is None else {"train": paths.train, "val": paths.val}
    hashes: Hashes = {part: labels.hash_files(folder, task) for part, folder in folders.items()}
    return hashes | {"test": run_folder.file_hash(paths.test) if paths.test else None}


def list_videos(paths: TaskPaths, task: Task, test: bool = True) -> list[set[str]]:
    """The annotated videos and, with `test`, the listed ones."""
    folders = [folder for folder in (paths.train, paths.val) if folder is not None]
    parts = [{video for folder in folders for video in labels.read_folder(folder, task)}]
    listed = set(test_list.read(paths.test, task).names) if test and paths.test is not None else set()
    return [*parts, listed] if test else parts


def read(config: Config, task: Task) -> tuple[corpus_checks.Annotations, corpus_checks.ListedFrames, Hashes]:
    """Annotations and listed frames (heads.corpus_checks.read), and the hashes of just what was read."""
    paths: TaskPaths = config.corpus.task(task.place)
    while True:
        before = hash_inputs(paths, task)
        annotations, listed = corpus_checks.read(config, task)
        if hash_inputs(paths, task) == before:
            return annotations, listed, before


PARTS = {"train": "the training annotations", "val": "the validation annotations", "test": "the test list"}


def describe_changes(seen: Hashes, paths: TaskPaths, task: Task, work: Path, test: bool) -> str:
    """What of a head's inputs is no longer what was `seen`, in words; "" where all is.

    Without `test`, the test list and its features do not count.
    """
    now = hash_inputs(paths, task)
    for part, name in PARTS.items():
        if (test or part != "test") and seen.get(part) != now.get(part):
            return name
    for number, videos in enumerate(list_videos(paths, task, test)):
        for network, known in seen["features"].items():
            if feature_file.mark(work, network, videos) != known[number]:
                return f"the features of {network!r}"
    return ""


MEASURES = ("bench", "finetune", "tune")
"""Folders of heads that no head uses: their edits make no head learn again."""


def code_mark() -> str:
    """Fingerprint of the code that can change a head's result."""
    return run_folder.code_hash("heads", MEASURES)
