"""Out-of-fold predictions of train: every frame predicted by a head that learnt from other recordings.

A blend can then be fitted on more than validation. A finished fold stays in the head's folder until all is done, so
that a killed run goes on with the next one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.runtime import run_folder
from heads.abaw.annotations import Annotation
from heads.base.head import OnProgress, share_progress
from heads.data import predictions, splits
from heads.train import fit
from heads.train.fit import NoTrainingRows, TrainData

OOF = "oof.parquet"
FOLDS = "folds"


def predict(
    prepared: TrainData, annotations: Mapping[str, Annotation], folder: Path, mark: str, on_progress: OnProgress
) -> dict[str, Any]:
    """Write `<folder>/oof.parquet`: all frames with features of the annotated videos. Returns the report's part.

    All that is learnt, components of temporal columns among it, is learnt anew from the other folds, with a dev slice
    of their own. Folds that were finished under the same `mark` are not made again. Raises NoTrainingRows where fewer
    than two recordings (or people, where they are known) have annotated frames with features.
    """
    known = {video: annotations[video] for video in fit.by_video(prepared.labelled_rows.rows)}
    people = splits.name_groups(annotations, prepared.people.groups)
    held = splits.fold_numbers(known, prepared.task, prepared.settings.folds, prepared.seed, people)
    if len(held) < 2:
        raise NoTrainingRows(
            f"folds = {prepared.settings.folds} needs two or more videos with annotated frames that have features of "
            f"{', '.join(source.network for source in prepared.sources)}; there is {len(held)} (two sides of one "
            f"recording are one{', and so are all videos of a person' if people is not None else ''})"
        )
    group = dict(zip(annotations, splits.groups([*annotations], people).tolist(), strict=True))
    own = {group[video]: fold for fold in held for video in fold}
    for i, video in enumerate(sorted(annotations.keys() - known.keys())):  # nothing to learn from, but maybe features
        own.get(group[video], held[i % len(held)]).append(video)
    reports: list[dict[str, Any]] = []
    results: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
    for number, videos in enumerate(held):
        place, note = folder / FOLDS / str(number), f"fold {number + 1} of {len(held)}: "
        if not run_folder.is_done(place, mark):
            tell = share_progress(on_progress, number / len(held), 1 / len(held), note)
            _fold(prepared, videos, known, place, mark, tell)
        reports.append(json.loads((place / "report.json").read_text(encoding="utf-8")))
        results |= predictions.read(place / OOF, prepared.task).videos
    whole = predictions.Predictions(prepared.task.outputs, results)
    predictions.write(folder / OOF, whole)
    score, _, frames = fit.score_predictions(whole, known, prepared.task)
    return {"oof_score": score, "oof_frames": frames, "oof_folds": reports}


def _fold(
    prepared: TrainData, videos: list[str], known: dict[str, Annotation], folder: Path, mark: str, tell: OnProgress
) -> None:
    """Learn from the other videos, predict these, and finish the fold's folder."""
    run_folder.begin(folder)
    rest = np.array([video not in videos for video in prepared.labelled_rows.rows.videos])
    part = prepared.restrict_to(rest)
    model, facts, dev_score = fit.fit(part, part.part, part.seed, tell)
    result = model.predict_videos(part.work, videos, people=part.people.persons)
    predictions.write(folder / OOF, result)
    score, _, frames = fit.score_predictions(result, known, part.task)
    report = {"videos": sorted(videos), "frames": frames, "score": score, "dev_score": dev_score, **facts}
    run_folder.write_json(folder / "report.json", report)
    run_folder.finish(folder, mark, {"learnt_from": len(part.part.train_and_dev)}, [OOF, "report.json"])
