"""All annotations of one task: a folder of official files, the multi-task challenge's one file, or folders by class."""

from __future__ import annotations

import os
from pathlib import Path

from extract.media import picture_sets
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose
from heads.abaw import class_folders, multitask
from heads.abaw.annotations import Annotation, files, read
from heads.abaw.tasks import Task
from heads.abaw.test_list import TestList, from_lengths


def read_folder(folder: Path, task: Task) -> dict[str, Annotation]:
    """Read every `<video>.txt` of a folder, the multi-task challenge's one file (`heads.abaw.multitask`), or a folder
    of pictures for each class (`heads.abaw.class_folders`), by video.

    Raises InputError for a missing or empty folder and for any damaged file.
    """
    if task.stills:
        return (class_folders.read_labels if os.path.isfile(folder) else class_folders.read)(folder, task)
    if os.path.isfile(folder):
        return multitask.read(folder, task)
    if task.within:
        raise InputError(f"{folder}: no such annotation file; the multi-task challenge has one for all videos")
    return {compose(path.stem): read(path, task) for path in files(folder)}


def videos(folder: Path, task: Task) -> list[str]:
    """The annotated videos, by name. Raises InputError as `files`, and for a damaged file of several videos."""
    if task.stills or os.path.isfile(folder):
        return sorted(read_folder(folder, task))
    return [path.stem for path in files(folder)]


def list_annotated_frames(folder: Path, task: Task) -> TestList:
    """The list of what is annotated: whole videos, the pictures of the multi-task challenge's file, or all pictures of
    the classes' folders. Raises InputError as `read_folder`.
    """
    if task.stills:
        return class_folders.read_list(folder, task)
    if os.path.isfile(folder):
        return multitask.read_list(folder, task)
    lengths = {video: len(annotation.valid) for video, annotation in read_folder(folder, task).items()}
    return from_lengths(lengths, task, folder)


def hash_files(folder: Path, task: Task) -> list[list[str]]:
    """Names and hashes of the files that annotations are read from. Raises InputError for a folder that has none."""
    if task.stills:
        return [[folder.name, run_folder.fingerprint(picture_sets.list_classes(folder))]]
    return [[path.name, run_folder.file_hash(path)] for path in files(folder)]
