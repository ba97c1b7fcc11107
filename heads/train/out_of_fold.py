"""Out-of-fold predictions of train: every frame predicted by a head that learnt from other recordings.

A blend can then be fitted on more than validation. A finished fold stays in the head's folder until all is done, so
that a killed run goes on with the next one.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from extract.runtime import run_folder
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import Task
from heads.base.head import OnProgress, share_progress
from heads.data import predictions, splits
from heads.train import fit
from heads.train.fit import NoTrainingRows, TrainData

OOF = "oof.parquet"
FOLDS = "folds"
FOLD_MODEL = "model"
"""Below a fold's folder, where its model is kept for a bag."""
Check = Callable[[], None]
"""Raises InputError where what was read is not what it should be."""


def _trust() -> None:
    """The check of what nobody changes."""


def predict(
    prepared: TrainData,
    annotations: Mapping[str, Annotation],
    folder: Path,
    mark: str,
    on_progress: OnProgress,
    check: Check = _trust,
) -> dict[str, Any]:
    """Learn every fold that is missing, and `collect` them.

    All that is learnt, components of temporal columns among it, is learnt anew from the other folds, with a dev slice
    of their own. Folds that were finished under the same `mark` are not made again. Raises NoTrainingRows where fewer
    than two recordings (or people, where they are known) have annotated frames with features.
    """
    held = divide(prepared, annotations)
    for number in range(len(held)):
        note = f"fold {number + 1} of {len(held)}: "
        tell = share_progress(on_progress, number / len(held), 1 / len(held), note)
        learn_fold(prepared, annotations, held, number, fold_folder(folder, number), mark, tell, check)
    return collect(annotations, prepared.task, folder, len(held))


def collect(annotations: Mapping[str, Annotation], task: Task, folder: Path, count: int) -> dict[str, Any]:
    """Write `<folder>/oof.parquet` of the finished folds, `count` at most: all frames with features of the annotated
    videos. Returns the report's part.
    """
    places = [place for number in range(count) if ((place := fold_folder(folder, number)) / OOF).exists()]
    results = {video: part for place in places for video, part in predictions.read(place / OOF, task).videos.items()}
    whole = predictions.Predictions(task.outputs, results)
    predictions.write(folder / OOF, whole)
    score, _, frames = fit.score_predictions(whole, annotations, task)
    reports = [json.loads((place / "report.json").read_text(encoding="utf-8")) for place in places]
    return {"oof_score": score, "oof_frames": frames, "oof_folds": reports}


def fold_folder(folder: Path, number: int) -> Path:
    """Where a fold of the head in `folder` is kept until all are there."""
    return folder / FOLDS / str(number)


def divide(prepared: TrainData, annotations: Mapping[str, Annotation]) -> list[list[str]]:
    """The videos of each fold: whole recordings (or people), at most as many folds as settings ask for.

    Raises NoTrainingRows where there would be one alone.
    """
    known = {video: annotations[video] for video in fit.by_video(prepared.labelled_rows.rows)}
    people = splits.name_groups(annotations, prepared.people.groups)
    held = splits.fold_numbers(known, prepared.task, prepared.settings.fold_count, prepared.seed, people)
    if len(held) < 2:
        key = "bags" if prepared.settings.bags else "folds"
        raise NoTrainingRows(
            f"{key} = {prepared.settings.fold_count} needs two or more videos "
            f"with annotated frames that have features of {', '.join(source.network for source in prepared.sources)}; "
            f"there is {len(held)} (two sides of one recording are "
            f"one{', and so are all videos of a person' if people is not None else ''})"
        )
    group = dict(zip(annotations, splits.groups([*annotations], people).tolist(), strict=True))
    own = {group[video]: fold for fold in held for video in fold}
    for i, video in enumerate(sorted(annotations.keys() - known.keys())):  # nothing to learn from, but maybe features
        own.get(group[video], held[i % len(held)]).append(video)
    return held


def learn_fold(
    prepared: TrainData,
    annotations: Mapping[str, Annotation],
    held: list[list[str]],
    number: int,
    folder: Path,
    mark: str,
    on_progress: OnProgress,
    check: Check = _trust,
) -> None:
    """Learn from the other folds of `held` (`divide`), predict this one, and finish its folder, with the model where it
    is a bag.

    A fold that was finished under the same `mark` is not made again. One that there is not, as recordings are few, is
    finished without results. `check` is asked before it counts.
    """
    if run_folder.is_done(folder, mark):
        return
    run_folder.begin(folder)
    for path in (folder / FOLD_MODEL, folder / OOF):  # of another making
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    began = time.monotonic()
    if number >= len(held):
        run_folder.finish(folder, mark, {"learnt_from": 0}, [])
        return
    part = prepared.restrict_to(np.array([video not in held[number] for video in prepared.labelled_rows.rows.videos]))
    model, facts, dev_score = fit.fit(part, part.part, part.seed, on_progress)
    result = model.predict_videos(part.work, held[number], people=part.people.persons)
    predictions.write(folder / OOF, result)
    score, _, frames = fit.score_predictions(result, annotations, part.task)
    report = {"videos": sorted(held[number]), "frames": frames, "score": score, "dev_score": dev_score, **facts}
    report["rows"] = {"train": len(part.part.train), "dev": len(part.part.dev)}
    report["seconds"] = round(time.monotonic() - began, 2)
    run_folder.write_json(folder / "report.json", report)
    if prepared.settings.bags:
        (folder / FOLD_MODEL).mkdir()
        model.save(folder / FOLD_MODEL)
    check()
    files = [path.relative_to(folder).as_posix() for path in sorted((folder / FOLD_MODEL).rglob("*")) if path.is_file()]
    run_folder.finish(folder, mark, {"learnt_from": len(part.part.train_and_dev)}, [OOF, "report.json", *files])
