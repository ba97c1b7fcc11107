"""What one config is worth: by-video folds of train, each predicted by a head that never saw its videos.

The score is the official one of all out-of-fold predictions together, as the challenge pools its frames. AU is cut at
each unit's best threshold of these very predictions, because that is what the blend does with a head later: F1 at 0.5
would choose heads that happen to be calibrated for 0.5, and average precision is another measure than the one that
counts. Twelve thresholds fitted on many thousand frames flatter every trial alike, by little; the number is for
comparing trials, and the blend's cross-fitted score is the one to expect. Validation, the blend's, is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.runtime.errors import InputError
from heads.abaw import metrics
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import Task
from heads.base.head import OnProgress, share_progress
from heads.data import predictions, splits, temporal
from heads.data.table import LabelledRows
from heads.train import fit
from heads.train.fit import TrainData

SCORE_OF = {
    "multilabel": "mean F1, each unit cut at its best threshold of these predictions",
    "multiclass": "macro F1 of the largest probability",
    "regression": "mean CCC",
}
"""By kind of labels."""

MAX_CACHE_BYTES = 2**31
"""Bytes of temporal columns that may be kept between trials; what goes beyond is made again by every trial."""
FoldCache = dict[int, tuple[LabelledRows, temporal.TemporalColumns]]
"""Rows by the number of the fold that their temporal columns have not seen."""


def folds(
    annotations: dict[str, Annotation], task: Task, count: int, seed: int, people: dict[str, str] | None = None
) -> list[list[str]]:
    """Videos of train -> `count` folds of whole recordings (and `people`: video -> person), alike in size and labels;
    from the annotations alone, so all trials share them.

    Raises InputError where fewer than two recordings or people are annotated.
    """
    made = splits.fold_numbers(annotations, task, count, seed, people)
    if len(made) < 2:
        raise InputError(
            f"task {task.name!r}: {len(made)} video of train is annotated; a search needs 2 or more, because it scores "
            f"videos that the head has not learnt from (two sides of one recording are one"
            f"{', and so are all videos of a person' if people is not None else ''})"
        )
    return made


def best_f1(truth: NDArray[np.uint8], scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """The best F1 [units] at any threshold, of truth of 0/1 and scores [N, units]; 0 for a unit that never occurs."""
    reached = np.zeros(truth.shape[1])
    for i in np.flatnonzero(truth.any(0)):
        order = np.argsort(-scores[:, i], kind="stable")
        hits = np.cumsum(truth[order, i], dtype=np.int64)
        ends = np.append(np.flatnonzero(np.diff(scores[order, i])), len(order) - 1)  # equal scores are cut together
        reached[i] = metrics.f1(hits[ends], ends + 1, hits[-1]).max()
    return reached


def score(task: Task, truth: NDArray[np.generic], scores: NDArray[np.float32]) -> tuple[float | None, dict[str, float]]:
    """The score of predictions (see above) and its parts by output; None where the official score is undefined."""
    if task.is_multilabel:
        parts = best_f1(truth.astype(np.uint8), scores)
    else:
        parts = task.per_output(truth, task.decide(scores))
    whole = float(parts.mean())
    if not np.isfinite(whole):
        return None, {}
    return whole, {name: float(part) for name, part in zip(task.outputs, parts, strict=True)}


@dataclass
class Trial:
    """One config on its way through the folds: what is predicted so far, and what it is worth."""

    data: TrainData
    cache: FoldCache = field(default_factory=dict)
    """What earlier trials on the same columns and folds left; this one adds to it."""
    scores: NDArray[np.float32] = field(init=False)
    """[N, outputs] of the prepared rows; those of folds to come are not filled yet."""
    scored_rows: NDArray[np.bool_] = field(init=False)
    score: float | None = field(init=False, default=None)
    per_output: dict[str, float] = field(init=False, default_factory=dict)
    folds: list[dict[str, Any]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        rows, task = self.data.labelled_rows, self.data.task
        self.scores = np.empty((len(rows), len(task.outputs)), np.float32)
        self.scored_rows = np.zeros(len(rows), bool)

    def run(self, held: list[list[str]], seed: int, on_progress: OnProgress) -> Iterator[float | None]:
        """Fold after fold, the score of all predictions so far; None, not finite or undefined, ends the trial."""
        rows, truth = self.data.labelled_rows.rows, self.data.labelled_rows.truth
        for done, names in enumerate(held):
            out = np.isin(rows.videos, names)
            if not out.any():
                continue  # no face was found in any of its videos
            fold = self._without(done, ~out)
            told = share_progress(on_progress, done / len(held), 1 / len(held), f"fold {done + 1}: ")
            model, facts, dev_score = fit.fit(fold, fold.part, seed, told)
            mine = np.flatnonzero(out[rows.video])
            self.scores[mine] = model.head.predict(fold.labelled_rows.rows.take(mine))
            self.scored_rows[mine] = True
            finite = np.isfinite(self.scores[mine]).all()
            self.score, self.per_output = (
                score(self.data.task, truth[self.scored_rows], self.scores[self.scored_rows]) if finite else (None, {})
            )
            about = {"videos": names, "rows": len(mine), "dev_score": dev_score, "score_so_far": self.score}
            self.folds.append(about | facts)
            yield self.score
            if self.score is None:
                return

    def _without(self, number: int, rest: NDArray[np.bool_]) -> TrainData:
        """What is learnt from for a fold, given the mask [videos] of the others (see Prepared.within).

        Components of temporal columns mean reading all embeddings twice: what an earlier trial made is used again.
        """
        if number in self.cache:
            labelled, columns = self.cache[number]
            inside = labelled.take(np.flatnonzero(rest[labelled.rows.video]))
            part = fit.split_train_dev(inside, self.data.task, self.data.seed, self.data.settings.stride)
            return replace(self.data, labelled_rows=labelled, part=part, temporal=columns)
        fold = self.data.restrict_to(rest)
        kept = sum(_bytes(labelled) for labelled, _ in self.cache.values())
        if fold.temporal.components and kept + _bytes(fold.labelled_rows) <= MAX_CACHE_BYTES:
            self.cache[number] = fold.labelled_rows, fold.temporal
        return fold

    def write(self, path: Path) -> None:
        """The out-of-fold predictions as a prediction file: annotated frames of the folds that were done."""
        rows, scores = self.data.labelled_rows.rows.take(self.scored_rows), self.scores[self.scored_rows]
        kept = {name: (rows.frame[a:b], scores[a:b]) for name, a, b in rows.spans if b > a}
        predictions.write(path, predictions.Predictions(self.data.task.outputs, kept))


def _bytes(data: LabelledRows) -> int:
    """What the temporal columns of these rows take."""
    return sum(block.values.nbytes for block in data.rows.blocks if block.kind == temporal.KIND)
