"""All annotations of one task: a folder of official files, or the multi-task challenge's one file."""

from __future__ import annotations

import os
from pathlib import Path

from extract.runtime.errors import InputError
from extract.runtime.file_names import compose
from heads.abaw.annotations import Annotation, files, read
from heads.abaw.tasks import Task


def read_folder(folder: Path, task: Task) -> dict[str, Annotation]:
    """Read every `<video>.txt` of a folder, or the multi-task challenge's one file (`heads.abaw.multitask`), by video.

    Raises InputError for a missing or empty folder and for any damaged file.
    """
    if os.path.isfile(folder):
        from heads.abaw import multitask as multitask_file

        return multitask_file.read(folder, task)
    if task.within:
        raise InputError(f"{folder}: no such annotation file; the multi-task challenge has one for all videos")
    return {compose(path.stem): read(path, task) for path in files(folder)}


def videos(folder: Path, task: Task) -> list[str]:
    """The annotated videos, by name. Raises InputError as `files`, and for a damaged file of several videos."""
    return sorted(read_folder(folder, task)) if os.path.isfile(folder) else [path.stem for path in files(folder)]
