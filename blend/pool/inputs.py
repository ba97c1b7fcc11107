"""What a blend is made of: predictions of our heads and of other people's, annotations, the test list, the prior."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blend.config import BlendSettings, Config, RunRequest
from blend.pool import external
from blend.pool.pool import as_row
from extract import run as extract_run
from extract.config import TaskPaths
from extract.runtime import inputs, run_folder
from extract.runtime.errors import InputError
from heads import run as heads_run
from heads.abaw import read
from heads.abaw.tasks import Task, find
from heads.data import people, predictions, splits
from heads.train.job import head_folder

if TYPE_CHECKING:
    from blend.pool.pool import Pool
    from heads.abaw.test_list import TestList
    from heads.data.predictions import Predictions


NO_HEADS = ["none"]
"""`--heads none`: nothing of ours."""
TEST_TRAINVAL = "test_trainval"
"""Test predictions of a head that has learnt from train and validation."""
OOF = "oof"
"""Predictions of train, each video by a head that has not learnt from it."""
OPTIONAL = (TEST_TRAINVAL, OOF)


@dataclass(frozen=True)
class BlendInputs:
    """Where everything lies; nothing is read yet but the prior."""

    task: Task
    paths: TaskPaths
    project_heads: dict[str, Path]
    """Our heads: their finished folders."""
    external_heads: dict[str, Path]
    """Other people's heads: folders, or files."""
    prior: dict[str, float]
    """What a video without any prediction is taken for, per output."""
    prior_from: str
    """"train" or "validation": the annotations that it is the mean of."""
    settings: BlendSettings
    seed: int
    missing_videos: float
    people: dict[str, str] | None = None
    """Validation video -> person, where `corpus.people` tells."""
    people_elsewhere: dict[str, str] | None = None
    """The same of train and test."""
    hashes: dict[str, Any] | None = None
    """Of all the files, as they were read (blend.pool.provenance); None: they are not read yet."""

    @property
    def heads(self) -> dict[str, Path]:
        """All heads, by name."""
        return dict(sorted({**self.project_heads, **self.external_heads}.items()))

    def file(self, head: str, part: str) -> Path | None:
        """The prediction file of a head; None where it has none of those that a head need not have (OPTIONAL).

        Raises InputError where val or test predictions are missing.
        """
        if head in self.external_heads:
            return (external.find_files if part in OPTIONAL else external.find_part)(self.external_heads[head], part)
        path = self.project_heads[head] / f"{part}.parquet"
        return path if part not in OPTIONAL or path.exists() else None


@dataclass(frozen=True)
class LoadedPools:
    """What is searched on, and what the submission is of."""

    validation: Pool
    target: Pool
    test_list: TestList
    source: str
    """"test", or "validation" where the corpus has no test list."""
    trainval: Pool | None = None
    """The target as predicted by heads that have learnt from train and validation, where at least one has."""
    trainval_heads: tuple[str, ...] = ()
    """These heads."""
    train: Pool | None = None
    """Train as predicted out of fold, without people who are in validation, where every head has such predictions."""
    test_groups: int | None = None
    """People of the test set, or recordings where people are not known; None where there is no test list, or where who
    is in test is not known and who is in validation is.
    """


def prepare_inputs(config: Config, asked: RunRequest, hold: ExitStack | None = None) -> tuple[Config, BlendInputs]:
    """Bring our heads up to date and find everything else.

    Returns the config with the corpus's paths filled in. Until `hold` is closed nobody changes our heads. Raises
    InputError for bad input.
    """
    task, work, folders = asked.task, asked.work, dict[str, Path]()
    if uses_project_heads(config, asked):
        folders = heads_run.main(config, task, work, asked.seed, asked.heads, hold, "--heads")
        config = extract_run.resolve(config, work)
        prior = json.loads((work / "heads" / task / "prior.json").read_text(encoding="utf-8"))
    else:
        config = extract_run.main(config, work) if config.corpus.demo else config
        prior = _prior_without_ours(config, find(task))
    return config, _gather(config, asked, folders, prior)


def find_inputs(config: Config, asked: RunRequest, heads: Sequence[str]) -> BlendInputs | None:
    """The same of heads that are finished; makes and waits for nothing. None where something is not there yet.

    `heads` are the names of our heads; the config has the corpus's paths filled in.
    """
    task, work = asked.task, asked.work
    if not heads:
        return _gather(config, asked, {}, _prior_without_ours(config, find(task)))
    try:
        prior = inputs.parse_json((work / "heads" / task / "prior.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return _gather(config, asked, {name: head_folder(work, task, name) for name in heads}, prior)


def uses_project_heads(config: Config, asked: RunRequest) -> bool:
    """Whether any of our heads is in the blend. Raises InputError where nobody's would be."""
    if asked.heads is None and asked.predictions and not config.features.networks:
        return False  # nothing of ours can be trained without features
    if asked.heads == NO_HEADS and not asked.predictions:
        raise InputError("--heads none: then give other people's predictions with --predictions NAME=FOLDER")
    return asked.heads != NO_HEADS


def _gather(config: Config, asked: RunRequest, folders: dict[str, Path], prior: dict[str, Any]) -> BlendInputs:
    """Everything of a blend whose heads are there. Raises InputError for other people's head of the name of ours."""
    facts, given, seed = find(asked.task), asked.predictions, asked.seed
    if both := sorted(set(folders) & set(given)):
        raise InputError(f"--predictions {both[0]}=...: one of our heads has this name; choose another")
    paths, settings = config.corpus.task(facts.place), getattr(config.blend, facts.name)
    numbers = {name: float(prior[name]) for name in facts.outputs}
    prior_from, missing = "validation" if paths.train is None else "train", config.corpus.missing_videos
    who = _who(config, facts)
    return BlendInputs(facts, paths, folders, given, numbers, prior_from, settings, seed, missing, *who)


def _who(config: Config, task: Task) -> tuple[dict[str, str] | None, dict[str, str] | None]:
    """Who is in which video of validation, and of train and test; None where the config does not tell."""
    from heads.abaw import test_list

    paths = config.corpus.task(task.place)
    here = people.read(config.corpus, read.videos(paths.val, task))
    if here is None:
        return None, None
    rest = [*(read.videos(paths.train, task) if paths.train is not None and paths.train.exists() else ())]
    rest += test_list.read(paths.test, task).videos if paths.test is not None else ()
    return here, people.read(config.corpus, rest)


def _prior_without_ours(config: Config, task: Task) -> dict[str, Any]:
    """The prior of a corpus that is checked here, without features: from training annotations, or from those of
    validation where the corpus names no others.
    """
    from heads import corpus_checks

    config.refuse_template(task.place.partition("/")[0])
    annotations, _ = corpus_checks.read(config, task, learning=False)
    if "train" in annotations:
        return heads_run.prior(annotations["train"], task)
    return heads_run.prior(annotations["val"], task, "validation")


def load_pools(sources: BlendInputs) -> LoadedPools:
    """Read and check all of it. Raises InputError for predictions that do not cover what they should."""
    from blend.pool import pool
    from heads.abaw import test_list

    task, paths = sources.task, sources.paths
    prior = as_row(sources.prior, task)
    annotations = read.read_folder(paths.val, task)
    lengths = {video: len(annotation.valid) for video, annotation in annotations.items()}
    results = {head: _read(sources, head, "val", lengths) for head in sources.heads}
    validation = pool.for_validation(
        task, results, annotations, prior, external=sources.external_heads, people=sources.people
    )
    _check_faceless(sources, validation, paths.val)
    train = _out_of_fold(sources, validation, prior)
    if paths.test is None:
        listed = read.list_annotated_frames(paths.val, task)
        return LoadedPools(validation, validation, listed, "validation", train=train)
    listed = test_list.read(paths.test, task)
    lengths = {video: int(frames[-1]) for video, frames in listed.videos.items()}
    results = {head: _read(sources, head, "test", lengths, annotations) for head in sources.heads}
    of_test = (listed, prior, sources.external_heads, sources.people_elsewhere)
    target = pool.for_test(task, results, *of_test)
    _check_faceless(sources, target, paths.test)
    again = {
        head: _read(sources, head, TEST_TRAINVAL, lengths)
        for head in sources.heads
        if sources.file(head, TEST_TRAINVAL)
    }
    both = pool.for_test(task, results | again, *of_test) if again else None
    alike = (validation.people is None) == (target.people is None)
    groups = int(target.groups.max()) + 1 if alike else None
    return LoadedPools(validation, target, listed, "test", both, tuple(again), train, groups)


def _out_of_fold(sources: BlendInputs, validation: Pool, prior: NDArray[np.float32]) -> Pool | None:
    """Train as every head predicts it out of fold, without recordings and people of validation; None where a head has
    no such predictions, or nothing is left.
    """
    from blend.pool import pool

    task, train = sources.task, sources.paths.train
    if sources.settings.out_of_fold is False or train is None:
        return None
    if any(sources.file(head, OOF) is None for head in sources.heads):
        return None
    annotations = read.read_folder(train, task)
    everybody = [*validation.videos, *annotations]
    of = splits.groups(everybody, {**(sources.people or {}), **(sources.people_elsewhere or {})})
    known = set(of[: len(validation.videos)].tolist())
    apart = {name for name, group in zip(everybody, of.tolist(), strict=True) if group not in known}
    annotations = {name: annotation for name, annotation in annotations.items() if name in apart}
    if not any(item.valid.any() for item in annotations.values()):
        return None
    lengths = {name: len(entry.valid) for name, entry in annotations.items()}
    try:
        results = {head: external.select_videos(_read(sources, head, OOF, lengths), apart) for head in sources.heads}
        made = pool.for_validation(
            task, results, annotations, prior, "train", sources.external_heads, sources.people_elsewhere
        )
        _check_faceless(sources, made, train)
    except InputError as error:
        if sources.settings.out_of_fold is True:
            raise
        print(f"out-of-fold predictions of train are left out: {error}", file=sys.stderr)
        return None
    return made


def submission_pool(sources: BlendInputs, values: LoadedPools) -> Pool:
    """The pool that the main submission is decided on (`test_from`); says which heads it is of."""
    if sources.settings.test_from == "train" or values.source != "test":
        return values.target
    lacking = sorted(set(sources.heads) - set(values.trainval_heads))
    if lacking:
        who = f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'}"
        advice = "(set refit_val = true for our heads); their ordinary ones are taken"
        print(f'test_from = "train+val": {who} no {TEST_TRAINVAL} predictions {advice}', file=sys.stderr)
    return values.trainval if values.trainval is not None else values.target


def _read(
    sources: BlendInputs, head: str, part: str, lengths: dict[str, int], apart: Iterable[str] = ()
) -> Predictions:
    """One head's predictions of one part. In a single file that holds validation and test, those of the other part
    (for test: of the videos `apart`) are left out.
    """
    path = sources.file(head, part)
    assert path is not None
    if head in sources.project_heads:
        return predictions.read(path, sources.task)
    result = external.read_external(path, sources.task)
    if path == sources.external_heads[head]:
        keep = lengths if part == "val" else set(result.videos) - set(apart)
        result = external.select_videos(result, keep)
    _check_cover(sources, head, result, lengths)
    return result


def _check_cover(sources: BlendInputs, head: str, result: Predictions, lengths: dict[str, int]) -> None:
    """Raise InputError where other people's predictions lack too many frames of the videos that they are of."""
    here = [video for video in result.videos if video in lengths]
    wanted = sum(lengths[video] for video in here)
    lacking = {video: np.setdiff1d(np.arange(1, lengths[video] + 1), result.videos[video][0]) for video in here}
    short = sum(len(frames) for frames in lacking.values())
    if short > sources.settings.missing_frames * wanted:
        worst = max(here, key=lambda video: len(lacking[video]) / lengths[video])
        raise InputError(
            f"{result.path}: video {worst!r} frame {lacking[worst][0]} is missing; {short:,} of {wanted:,} frames of "
            f"its videos are; if that is right (they are filled from their neighbours), raise "
            f"blend.{sources.task.name}.missing_frames"
        )


def _check_faceless(sources: BlendInputs, items: Pool, where: Path) -> None:
    """Raise InputError where nobody predicts too many of the videos: then predictions were forgotten, not faces."""
    if sources.project_heads or len(items.without_face) <= sources.missing_videos * len(items.videos):
        return  # of our heads it is known that they found no face
    first, count = items.without_face[0], len(items.without_face)
    files = ", ".join(str(path) for path in sources.external_heads.values())
    raise InputError(
        f"{files}: the video {first!r} of {where} is missing, frame 1 on ({count} of {len(items.videos)} videos are); "
        f"if no face was found in them, raise corpus.missing_videos"
    )


def hash_inputs(sources: BlendInputs) -> dict[str, Any]:
    """Of all files that the blend is made of."""
    test, heads = sources.paths.test, sources.heads
    of_test = {
        head: {part: _hash(sources.file(head, part)) for part in ("test", TEST_TRAINVAL)} for head in heads if test
    }
    out_of_fold, train = {head: _hash(sources.file(head, OOF)) for head in heads}, sources.paths.train
    may_look = None not in out_of_fold.values()  # at train's annotations
    return {
        "heads": {head: _hash(sources.file(head, "val")) for head in heads},
        "annotations": _hash_annotations(sources.paths.val, sources.task),
        "test_list": run_folder.file_hash(test) if test else None,
        "test": of_test if test else None,
        "out_of_fold": out_of_fold,
        "train": _hash_annotations(train, sources.task) if train is not None and may_look else None,
    }


def _hash_annotations(folder: Path, task: Task) -> str:
    return run_folder.fingerprint(dict(read.hash_files(folder, task)))


def _hash(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return run_folder.file_hash(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such prediction file") from None
