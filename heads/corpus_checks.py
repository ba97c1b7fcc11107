"""The border check of a corpus: annotations, test list and frames are of the same videos, and the parts are apart."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract.features import store
from extract.media import picture_sets
from extract.networks import facts as network_facts
from extract.runtime.errors import InputError
from heads.abaw import read as labels
from heads.abaw import test_list
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import SUBTASKS, Task
from heads.config import Config, Spec
from heads.data import feature_file, people, splits, table

Annotations = dict[str, dict[str, Annotation]]
ListedFrames = dict[str, NDArray[np.int32]]
VideosOfPart = dict[str, tuple[Path, list[str]]]
"""Part -> where it was read from, and its videos, sorted."""


def read(config: Config, task: Task, learning: bool = True) -> tuple[Annotations, ListedFrames]:
    """Annotations of "train" and "val" by video, and the listed test frames by video (empty without a list). Where
    nothing is learnt, "train" may be missing.

    Raises InputError for files that are not in the official format, a video in two parts, and where too many videos
    have no frames or too much of one lies behind its last face (`corpus.missing_videos`, `corpus.missing_tail`), and
    for people that contradict each other (heads.data.people). Two sides of one recording, or videos of one person, in
    different parts are a warning: official lists may have them.
    """
    paths = config.corpus.task(task.place)
    if paths.train is None and learning:
        where = f"corpus.{task.within or task.name}.train"
        raise InputError(
            f"{where} is missing: our heads learn from training annotations; name their folder, or blend other "
            f"people's predictions alone (--heads none --predictions NAME=FOLDER)"
        )
    given = [part for part in ("train", "val") if getattr(paths, part) is not None]
    annotations = {part: labels.read_folder(getattr(paths, part), task) for part in given}
    listed = test_list.read(paths.test, task) if paths.test else None
    named = _apart({part: (getattr(paths, part), annotation) for part, annotation in annotations.items()}, listed)
    annotated = [video for group in annotations.values() for video in group]
    person_of = people.read(config.corpus, {*annotated, *(listed.names if listed else ())})
    people.check(config.corpus, person_of, annotated)
    _warn_of_sides(named)
    _warn_of_people(named, person_of or {})
    if config.corpus.has_pictures:
        _same_videos(config, task, annotations, listed)
    if listed is None and task.place in (task.name, next(iter(SUBTASKS))):  # once for the three parts of mtl
        section = f"corpus.{task.place.partition('/')[0]}"
        print(
            f"{config.place(section)}: {section} names no test list, so there will be no submission for test, and "
            f"submission.txt will be of the validation videos; {section}.test = the official list makes one",
            file=sys.stderr,
        )
    return annotations, listed.videos if listed else {}


def _apart(parts: dict[str, tuple[Path, dict[str, Annotation]]], listed: test_list.TestList | None) -> VideosOfPart:
    """Refuse a video that is in two parts: its score would be of what was learnt, not of new videos. Returns the parts'
    places and videos, the test list's among them.
    """
    val_folder, val = parts["val"]
    train_folder, train = parts.get("train", (val_folder, {}))
    if both := sorted(train.keys() & val.keys()):
        raise InputError(
            f"{val[both[0]].place(val_folder)}: the video is in {train_folder} too ({len(both)} are); a video may "
            f"be in train or in val, not in both"
        )
    for folder, group in parts.values():
        if listed and (both := sorted(group.keys() & set(listed.names))):
            raise InputError(
                f"{listed.path}: line {listed.line(both[0])} lists the video {both[0]!r}, which is annotated in "
                f"{folder} too ({len(both)} are); test videos may not be learnt from"
            )
    named = {part: (folder, sorted(subset)) for part, (folder, subset) in parts.items()}
    if listed:
        named["test"] = listed.path, sorted(listed.names)
    return named


def _warn_of_people(named: VideosOfPart, person_of: dict[str, str]) -> None:
    """One line for every two parts that have a person in common: a head may know the face."""
    first: dict[str, dict[str, str]] = {}
    for part, (_, videos) in named.items():
        for video in videos:
            if video in person_of:
                first.setdefault(person_of[video], {}).setdefault(part, video)
    for part, other in itertools.combinations(named, 2):
        if both := sorted(person for person, where in first.items() if part in where and other in where):
            print(
                f"warning: {named[other][0]}: the person {both[0]!r} of {first[both[0]][other]!r} is also in "
                f"{first[both[0]][part]!r} of {named[part][0]} ({len(both)} such people): scores in {other} say "
                f"too much of people whom nobody has seen",
                file=sys.stderr,
            )


def _warn_of_sides(named: VideosOfPart) -> None:
    """One line for the recordings of which one side is in another part than the other: a head may know their sound."""
    everybody = {video for _, videos in named.values() for video in videos}
    sides: dict[str, dict[str, str]] = {}
    for part, (_, videos) in named.items():
        for video in videos:
            sides.setdefault(splits.recording(video, everybody), {})[part] = video
    if apart := [where for where in sides.values() if len(where) > 1]:
        (part, video), (other, beside) = [*apart[0].items()][:2]  # in order of the parts
        print(
            f"warning: {named[other][0]}: {beside!r} is of the same recording as {video!r} in {named[part][0]} "
            f"({len(apart)} such recordings): scores in {other} of heads that hear may be of sound that was learnt in "
            f"{part}",
            file=sys.stderr,
        )


def _same_videos(config: Config, task: Task, annotations: Annotations, listed: test_list.TestList | None) -> None:
    """Frames against annotations and list, by the pictures' names: before hours of extraction, not after."""
    corpus, paths = config.corpus, config.corpus.task(task.place)
    folders = picture_sets.list_corpus(corpus)
    wanted = sorted({video for group in annotations.values() for video in group} | set(listed.names if listed else ()))
    last = {v: int(folders[v].list_frames().numbers.max(initial=0)) for v in wanted if v in folders}
    for part, annotation in annotations.items():
        folder: Path = getattr(paths, part)
        unknown = [video for video in annotation if video not in folders]
        if len(unknown) > corpus.missing_videos * len(annotation):
            raise InputError(
                f"{annotation[unknown[0]].place(folder)}: the corpus has no folder of frames called {unknown[0]!r} "
                f"({len(unknown)} of {len(annotation)} annotated videos have none); check corpus.frames and "
                f"corpus.{task.within or task.name}.{part}; if no face was found in them, raise corpus.missing_videos "
                f"or give them empty folders"
            )
        _warn(folder, unknown)
        check_annotations(folder, annotation, last, largest_tail(config, task))
    if listed:
        _warn(listed.path, test_list.check_videos(listed, set(folders), corpus.missing_videos))
        test_list.check_lengths(listed, last, largest_tail(config, task))


def largest_tail(config: Config, task: Task) -> float:
    """The largest part of a video that may lie behind its last face; single pictures have no order, so all of them."""
    return 1.0 if task.stills else config.corpus.missing_tail


def check_annotations(
    folder: Path, annotations: dict[str, Annotation], last: dict[str, int], missing_tail: float
) -> None:
    """Refuse annotations that do not belong to these frames; `last` is each video's last frame with features.

    Raises InputError where no annotated video has features (some may have none: no face was found), and for an
    annotation of which more than `missing_tail` lies behind the video's last face.
    """
    if not any(last.get(video, 0) for video in annotations):
        raise InputError(
            f"{folder}: none of its {len(annotations)} videos has features (first: {next(iter(annotations))!r}); do "
            f"corpus.frames and this folder belong together?"
        )
    for video, annotation in annotations.items():
        lines, end = len(annotation.valid), last.get(video, 0)
        if end and lines - end > missing_tail * lines:
            raise InputError(
                f"{annotation.place(folder, end + 1)}: the annotation goes on for {lines - end} of its {lines} "
                f"frames behind the video's last frame with a face ({end}); expected at most {missing_tail:.0%} of it: "
                f"is it another video's file? If it is right, raise corpus.missing_tail"
            )


def check_heads(task: str, specs: list[Spec], work: Path, part: str, videos: Iterable[str]) -> None:
    """Refuse a video of validation or test that one head could predict and another could not: a blend needs both.

    Before hours of training, not after. Raises InputError that names the video, the heads and their networks.
    """
    names = list(videos)
    seen = {spec.sources: frozenset(table.frames(work, spec.sources, names)) for spec in specs}
    for spec in specs:
        for other in specs:
            if lacking := sorted(seen[other.sources] - seen[spec.sources]):
                networks = " and ".join(source.network for source in spec.sources)
                raise InputError(
                    f"{work / 'features'}: no features of {networks} for the {part} video {lacking[0]!r}, which head "
                    f"{spec.name!r} must predict ({len(lacking)} such videos; head {other.name!r} has features of "
                    f"them); run python -m extract.run, import the video's table, or leave the head out with "
                    f"heads.{task}.use"
                )


@dataclass(frozen=True)
class Reader:
    """A head, the networks that it reads, and what it would do with their features of training videos."""

    name: str
    networks: tuple[str, ...]
    does: str = ""
    """As in "would learn from"; empty: nothing."""


def refuse_leaks(
    config: Config, task: str, readers: Sequence[Reader], train: Iterable[str], val: Iterable[str] = ()
) -> None:
    """Refuse heads that would learn from features of videos which a network was fine-tuned on itself, or of the same
    recordings and people: there it is far too sure, and heads would believe it elsewhere. Refuse every head of a
    network that was fine-tuned on validation videos: their scores would be of what was learnt.

    Raises InputError that names head and network, unless [networks.<name>] says trust_train.
    """
    for name, network in config.networks.items():
        by = [reader for reader in readers if name in reader.networks]
        if not by or network.trust_train or (facts := network_facts.read(network.path)) is None:
            continue
        seen = set(facts.get("videos", ()))
        where, forced = config.place(f"heads.{task}.use"), f"networks.{name}.trust_train = true"
        if both := sorted(set(val) & seen):
            raise InputError(
                f"{where}: head {by[0].name!r} reads {name!r}, which was fine-tuned on {len(both)} of the task's "
                f"validation videos (first: {both[0]!r}), expected none: scores there would be of what was learnt; "
                f"give the head other networks (heads.{task}.<head>.networks), or say {forced}"
            )
        learners = [reader for reader in by if reader.does]
        if learners and (both := _list_believed(config, network.path, seen, set(train))):
            akin = "" if seen.issuperset(both) else ", or on their recordings or people"
            raise InputError(
                f"{where}: head {learners[0].name!r} would {learners[0].does} features of "
                f"{name!r} of {len(both)} training videos (first: {both[0]!r}) that this network was fine-tuned on"
                f"{akin}: there it is far too sure; give the head other networks (heads.{task}.<head>.networks), or "
                f"say {forced}"
            )


def _list_believed(config: Config, path: Path, seen: set[str], videos: set[str]) -> list[str]:
    """Those of the videos whose features come from a network that knows them or their people: all that `seen` knows,
    but for those that a fold stands for which knows none of them; sorted.
    """
    known = _known_to(config, seen, videos)
    corpus, folds = network_facts.read_folds(path) if known else ("", [])
    for fold in folds if corpus == config.corpus.name else ():
        held = fold.held_out.intersection(known)
        unseen = held.difference(_known_to(config, set(fold.videos), held))
        known = [video for video in known if video not in unseen]
    return known


def _known_to(config: Config, seen: set[str], videos: set[str]) -> list[str]:
    """Those of the videos that are, or share a recording or a person with, videos that a network has seen; sorted."""
    everybody = sorted(seen | videos)
    of = splits.name_groups(everybody, people.read(config.corpus, everybody) or {}) or {}
    known = {of[video] for video in seen}
    return [video for video in sorted(videos) if of[video] in known]


def _warn(where: Path, unknown: list[str]) -> None:
    if unknown:
        print(
            f"warning: {where}: no folder of frames for {', '.join(unknown)}: taken for videos without a face",
            file=sys.stderr,
        )


def last_frames(work: Path, networks: list[str], videos: list[str]) -> dict[str, int]:
    """The last frame with features of any network, by video; videos without one are left out."""
    last: dict[str, int] = {}
    for network, video in itertools.product(networks, videos):
        path = store.path(work, network, video)
        if path.exists() and len(frames := feature_file.index(path)[0]):
            last[video] = max(last.get(video, 0), int(frames[-1]))
    return last
