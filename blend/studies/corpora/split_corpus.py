"""A labelled corpus in three parts, by person: random splits as the folders and lists that the other steps read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blend.config import Config
from extract.config import TaskPaths
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads import corpus_checks
from heads.abaw import annotations as annotation_files
from heads.abaw import test_list
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import Task
from heads.data import people, splits

PARTS = ("train", "val", "test")
SHARES = (0.5, 0.25, 0.25)
FEWEST_PEOPLE = 8
"""With fewer, the parts of validation and test would have less than two."""
DRAWS = 200
"""Random splits that are drawn until every label that three people show is in all parts; else the best of them."""


@dataclass(frozen=True)
class LabelledCorpus:
    """All labelled videos of a corpus, train and validation together."""

    task: Task
    annotations: dict[str, Annotation]
    files: dict[str, Path]
    """Their annotation files."""
    groups: dict[str, int]
    """The person of each, or else the recording (heads.data.splits.groups)."""


def read(config: Config, task: Task) -> LabelledCorpus:
    """The labelled videos. Raises InputError for bad annotations, and for too few people."""
    paths = config.corpus.task(task.place)
    annotations, files = {}, {}
    for part, values in corpus_checks.read(config, task)[0].items():
        annotations |= {video: item for video, item in values.items() if item.valid.any()}
        files |= {path.stem: path for path in annotation_files.files(getattr(paths, part))}
    names = sorted(annotations)
    groups = splits.groups(names, people.read(config.corpus, names))
    if (count := len(set(groups.tolist()))) < FEWEST_PEOPLE:
        raise InputError(
            f"{paths.train} and {paths.val}: labelled videos of {count} people; expected {FEWEST_PEOPLE} or more, to "
            f"make three parts of"
        )
    kept = {name: annotations[name] for name in names}
    return LabelledCorpus(
        task, kept, {name: files[name] for name in names}, dict(zip(names, groups.tolist(), strict=True))
    )


def parts(corpus: LabelledCorpus, seed: int, number: int) -> dict[str, list[str]]:
    """Part -> its videos, of split `number`: whole people, SHARES of them in each. The same numbers, the same split."""
    names, of = list(corpus.annotations), np.array(list(corpus.groups.values()))
    shown = _shown(corpus, names, of)
    wanted = (shown > 0).sum(0) >= len(PARTS)
    people = len(shown)
    ends = np.round(np.cumsum(SHARES) * people).astype(int)
    rng = np.random.default_rng([seed, number])
    best: NDArray[np.int64] | None = None
    fewest = np.inf
    for _ in range(DRAWS):
        part_of = np.empty(people, np.int64)
        part_of[rng.permutation(people)] = np.searchsorted(ends, np.arange(people), side="right")
        lacking = sum(int((~shown[part_of == p].any(0) & wanted).sum()) for p in range(len(PARTS)))
        if lacking < fewest:
            best, fewest = part_of, lacking
        if not lacking:
            break
    assert best is not None
    return {part: [name for name, g in zip(names, of, strict=True) if best[g] == p] for p, part in enumerate(PARTS)}


def _shown(corpus: LabelledCorpus, names: list[str], of: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which labels each person shows, [people, labels]."""
    results = [corpus.annotations[name] for name in names]
    truth = np.concatenate([entry.values[entry.valid] for entry in results])
    video = np.repeat(np.arange(len(names), dtype=np.int32), [int(item.valid.sum()) for item in results])
    counts = splits.label_counts(truth, video, len(names), corpus.task)
    shown = np.zeros((int(of.max()) + 1, counts.shape[1]))
    np.add.at(shown, of, counts)
    return shown > 0


def write(corpus: LabelledCorpus, chosen: Mapping[str, list[str]], folder: Path) -> tuple[TaskPaths, Path]:
    """Lay out a split: annotation folders for train and val and a list for test, and the folder of test's annotations,
    which only the final scoring may read.
    """
    for part, videos in chosen.items():
        home = folder / part
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for video in videos:
            _link(corpus.files[video].resolve(), home / f"{video}.txt")
    lengths = {video: len(corpus.annotations[video].valid) for video in chosen["test"]}
    path = (folder / "test.txt").resolve()
    listed = test_list.from_lengths(lengths, corpus.task, path)
    run_folder.write_text(path, "\n".join([listed.header, *(f"{image}," for image in listed.images)]) + "\n")
    return TaskPaths(train=(folder / "train").resolve(), val=(folder / "val").resolve(), test=path), folder / "test"


def _link(source: Path, target: Path) -> None:
    """A link, or a copy where the file system has none."""
    try:
        os.symlink(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link_features(work: Path, folder: Path) -> None:
    """Give a split the features of the whole corpus: nothing is extracted again."""
    (work / "features").mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "features"
    if not target.exists():
        target.unlink(missing_ok=True)
        os.symlink((work / "features").resolve(), target, target_is_directory=True)
