"""`blend.check --compare`: do a submission's decisions go with predictions of the same frames?

What is compared with is a folder or file of anybody's predictions (`pool.external`), such as a head's folder, or the
folder of a finished blend: then with its heads, as they agree with that blend's own decisions on validation, and with
the shares that it decides there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend import apply
from blend.decision import combine
from blend.pool import external, gap_filling, pool
from blend.pool.pool import Pool, as_row
from blend.report import unlabelled_test as unlabelled_sentences
from blend.report.pointers import plain
from blend.unlabelled_test import compare as unlabelled
from extract.runtime.errors import InputError
from heads.abaw import test_list
from heads.abaw.tasks import SINGLE_TASKS, Task
from heads.abaw.test_list import TestList
from heads.data import predictions
from heads.data.predictions import Predictions

PARAMS = "params.json"
SEED = 0


def warnings(file: Path, kind: str, template: Path, given: list[Path]) -> list[str]:
    """Sentences on what is odd in a complete submission `file` of a task, beside what is `given`; none: nothing is.

    Raises InputError for a task that has no predictions of its own (mtl), and for what cannot be read as
    predictions of the template's videos.
    """
    if kind not in SINGLE_TASKS:
        raise InputError(f"{file}: --compare is for submissions of {', '.join(SINGLE_TASKS)}, this is one of {kind}")
    task = SINGLE_TASKS[kind]
    listed = test_list.read(template, task)
    results: dict[str, Any] = {"shares": None, "faults": []}
    for path in given:
        if not path.exists():
            raise InputError(f"--compare {path}: does not exist; give a blend's folder, or predictions of test")
        if (path / PARAMS).is_file():
            own = _with_blend(file, task, listed, path)
        else:
            own = {"shares": None, "faults": _with_predictions(file, task, listed, path)}
        results = {"shares": own["shares"] or results["shares"], "faults": results["faults"] + own["faults"]}
    report = {unlabelled_sentences.KEY: results}
    return [plain(text, report, digits=2) for text in unlabelled_sentences.sentences(report)]


def _with_predictions(file: Path, task: Task, listed: TestList, path: Path) -> list[dict[str, Any]]:
    """Faults beside one folder or file, of which validation is not known."""
    values = external.read_external(external.find_part(path, "test"), task)
    test = pool.for_test(task, {str(path): values}, listed, np.zeros(len(task.outputs), np.float32), [str(path)])
    decided, rows = _decisions(file, task, test)
    result = unlabelled.of_decisions(None, test, None, decided, [str(path)], SEED, rows)
    return [fault | {"against": str(path)} for fault in result]


def _with_blend(file: Path, task: Task, listed: TestList, folder: Path) -> dict[str, Any]:
    """Shares and faults beside a finished blend and its heads."""
    blend = apply.read(folder / PARAMS)
    if blend.params.task != task.name:
        raise InputError(f"{folder}: a blend of {blend.params.task}, but {file} is a submission for {task.name}")
    where = {head: folder.parents[1] / "heads" / folder.name / head for head in blend.params.heads}
    if lacking := [head for head, own in where.items() if not (own / "test.parquet").is_file()]:
        raise InputError(
            f"{folder}: the head {lacking[0]!r} of this blend is not in {where[lacking[0]]}; give its predictions with "
            f"--compare instead"
        )
    prior = as_row(blend.prior, task)
    results = {part: {head: predictions.read(own / f"{part}.parquet", task) for head, own in where.items()}
             for part in ("val", "test")}  # fmt: skip
    validation = pool.for_test(task, results["val"], _all(results["val"], task, folder), prior)
    test = pool.for_test(task, results["test"], listed, prior)
    usual = combine.combine(validation, blend.params)
    decided, rows = _decisions(file, task, test)
    return {
        "shares": unlabelled.shares(validation, test, blend.params, usual, decided, SEED),
        "faults": unlabelled.of_decisions(validation, test, usual, decided, list(test.heads), SEED, rows),
    }


def _all(result: dict[str, Predictions], task: Task, path: Path) -> TestList:
    """Every frame of every video, to the last prediction."""
    last: dict[str, int] = {}
    for group in result.values():
        for video, (frames, _) in group.videos.items():
            last[video] = max(last.get(video, 1), int(frames[-1]) if len(frames) else 1)
    return test_list.from_lengths(last, task, path)


def _decisions(file: Path, task: Task, test: Pool) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """The file's decisions on the pool's timeline, as the official metric takes them, and the frames that are compared:
    those that are listed and hold predictions of their own. Between listed frames the nearest decision stands.
    """
    own, lengths = external.read_external(file, task).videos, np.diff(test.offsets).tolist()
    scores = gap_filling.dense(test.videos, lengths, own, np.zeros(len(task.outputs), np.float32), not task.stills)
    rows = gap_filling.present(test.videos, lengths, own) & test.present
    return task.decide(scores), rows
