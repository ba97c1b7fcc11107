"""One head in a process of its own: read a job, train, predict validation and test, write the head's folder.

    python -m heads.train JOB.json

Keras, LightGBM and LightAutoML each change the process they run in, so no two share one. Progress goes to stdout as
one JSON object per line; bad input is one line on stderr and exit code 2, as everywhere.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from extract.config import TaskPaths, check
from extract.jobs.fork_server import make_import
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads.abaw import read as labels
from heads.abaw import test_list
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import Task, find
from heads.base.head import FAMILIES, HeadSettings, OnProgress, family, share_progress
from heads.data import predictions, table
from heads.data.people import NO_PEOPLE, People
from heads.train import bags, fit, out_of_fold
from heads.train import provenance as head_inputs
from heads.train.bags import BaggedModel
from heads.train.model import DamagedModel, Model


@dataclass(frozen=True)
class Job:
    """All that one head's process needs to know: paths and settings, no arrays."""

    name: str
    task: str
    settings: dict[str, Any]
    sources: list[table.Source]
    work: Path
    paths: TaskPaths
    seed: int
    mark: str
    """Fingerprint of all that decides the results."""
    learning: str
    """Fingerprint of what decides the model: not of the test list."""
    inputs: head_inputs.Hashes = field(default_factory=head_inputs.Hashes)
    """Of annotations, test list and features, as heads.run saw them; none: nothing is compared."""
    people: People = NO_PEOPLE
    """Groups of all videos that are learnt from, persons of all videos."""
    bag: int | None = None
    """The bag to learn, of a head that has some (`list_bags`); None: the whole head."""

    @property
    def folder(self) -> Path:
        """Where the results go: of the head, or of its bag."""
        folder = head_folder(self.work, self.task, self.name)
        return folder if self.bag is None else out_of_fold.fold_folder(folder, self.bag)

    @property
    def label(self) -> str:
        """The head's name, and which of its bags this is."""
        return self.name if self.bag is None else f"{self.name}-bag{self.bag + 1}"

    def list_bags(self) -> list[Job]:
        """The bags that are missing, each as a job of its own; none where the model is there, or has none."""
        if run_folder.is_done(self.folder / MODEL, self.learning):
            return []
        bags = [replace(self, bag=number, mark=self.learning) for number in range(self.settings.get("bags", 0))]
        return [bag for bag in bags if not run_folder.is_done(bag.folder, bag.mark)]

    @property
    def family(self) -> str:
        """The name of its family."""
        return str(self.settings.get("family"))

    def uses_gpu(self) -> bool:
        """Whether its family learns on a GPU where there is one."""
        return self.family in FAMILIES and family(self.family).gpu

    def import_libraries(self) -> None:
        """Make its family's imports, in a process that does nothing but train; nothing where a fork server has."""
        for name in family(self.family).imports if self.family in FAMILIES else ():
            make_import(name)

    def as_json(self) -> dict[str, Any]:
        """The job as JSON has it."""
        return TypeAdapter(Job).dump_python(self, mode="json")  # type: ignore[no-any-return]

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        run_folder.write_json(path, self.as_json())

    @staticmethod
    def read(path: Path) -> Job:
        """Read a job that `write` wrote."""
        return Job.from_json(json.loads(path.read_text(encoding="utf-8")))

    @staticmethod
    def from_json(told: dict[str, Any]) -> Job:
        """The job that `as_json` told."""
        return TypeAdapter(Job).validate_python(told)


def head_folder(work: Path, task: str, name: str) -> Path:
    """`<work>/heads/<task>/<head>`."""
    return work / "heads" / task / name


MODEL, MODEL_TRAINVAL = "model", "model_trainval"


def main(job: Job, on_progress: OnProgress) -> dict[str, Any]:
    """Train and predict; write predictions, models, report.json, provenance.json and DONE. Returns the report.

    Of a job for one bag it only learns that one, and returns nothing.

    A model that was finished under the same `job.learning` is kept, with its validation and out-of-fold predictions:
    then only the test list is predicted. Raises InputError for features that do not fit together or are not finite, or
    where nothing is labelled.
    """
    task = find(job.task)
    learn = _learn if job.bag is None else _learn_bag
    if not run_folder.is_done(job.folder / MODEL, job.learning):
        try:
            learn(job, task, on_progress)
        except fit.NoTrainingRows as error:
            raise InputError(f"{job.paths.train}: {error}") from error
    if job.bag is not None:
        return {}
    began = time.monotonic()  # what learning took is in learnt.json
    report = json.loads((job.folder / MODEL / "learnt.json").read_text(encoding="utf-8"))
    results = [path.name for path in sorted(job.folder.glob("*.parquet")) if not path.name.startswith("test")]
    for folder, name in ((MODEL, "test.parquet"), (MODEL_TRAINVAL, "test_trainval.parquet")):
        (job.folder / name).unlink(missing_ok=True)  # a test list that is no more
        if job.paths.test is not None and (job.folder / folder).exists():
            on_progress(0.95, "predicts test")
            listed = test_list.read(job.paths.test, task).videos
            try:
                model = bags.load(job.folder / folder)
            except DamagedModel as error:
                raise InputError(f"{error}; delete {job.folder / folder} and run the same command again") from error
            result = model.predict_videos(job.work, listed, people=job.people.persons)
            predictions.write(job.folder / name, result)
            results.append(name)
    report["seconds"] = round(report["seconds"] + time.monotonic() - began, 2)
    _check_inputs(job, task)
    run_folder.write_json(job.folder / "report.json", report)
    run_folder.finish(job.folder, job.mark, _provenance(job), [*results, "report.json"])
    on_progress(1.0, "done")
    return report


def _provenance(job: Job) -> dict[str, Any]:
    """What a head was made from, for people."""
    return {
        "settings": job.settings,
        "sources": [asdict(source) for source in job.sources],
        "seed": job.seed,
        **job.paths.model_dump(mode="json", include={"train", "val", "test"}),
        **({} if job.people.groups is None else {"people": len(set(job.people.groups.values()))}),
    }


def _learn(job: Job, task: Task, on_progress: OnProgress) -> None:
    """All that does not hang on the test list: out-of-fold predictions, model, validation, refit.

    `model/` is finished last, with the hashes of all of it. What was learnt before goes first, finished folds excepted,
    so that nothing of two makings lies side by side.
    """
    began = time.monotonic()
    for name in (MODEL, MODEL_TRAINVAL):
        shutil.rmtree(job.folder / name, ignore_errors=True)
    for path in job.folder.glob("*.parquet"):
        path.unlink()
    (job.folder / MODEL).mkdir(parents=True)
    settings = _settings(job)
    on_progress(0.0, "reads features")
    train, val = (labels.read_folder(folder, task) for folder in (job.paths.train, job.paths.val))
    prepared = _prepare(job, settings, train, task, thin=not settings.fold_count)
    steps = [settings.fold_count, int(not settings.bags), max(1, settings.bags) * int(settings.refit_val)]
    at = [0.02 + 0.88 * sum(steps[:i]) / sum(steps) for i in range(4)]
    told = [share_progress(on_progress, start, end - start) for start, end in pairwise(at)]
    report = {"head": job.name, "task": task.name, "metric": task.metric, "seed": job.seed, "family": settings.family}
    if settings.fold_count:
        report |= out_of_fold.predict(prepared, train, job.folder, job.learning, told[0])
    model: Model | BaggedModel
    if settings.bags:
        model = _collect_bags(job.folder, len(report["oof_folds"]), job.folder / MODEL)
        facts: dict[str, Any] = {"dev_score": None, "bags": len(model.models)}
    else:
        model, found, dev_score = fit.fit(prepared, prepared.part, job.seed, told[1])
        facts = {"dev_score": dev_score, **found}
        model.save(job.folder / MODEL)
    report |= _facts(job, model, prepared.part, train) | facts
    del prepared
    report |= _validation(job, model, val)
    if settings.refit_val:
        report["trainval"] = _both(job, model, {**train, **val}, told[2])
    report["seconds"] = round(time.monotonic() - began, 2)
    _check_inputs(job, task, test=False)
    run_folder.write_json(job.folder / MODEL / "learnt.json", report)
    parts = (*job.folder.glob("*.parquet"), *(job.folder / MODEL).rglob("*"), *(job.folder / MODEL_TRAINVAL).rglob("*"))
    results = [os.path.relpath(path, job.folder / MODEL) for path in sorted(parts) if path.is_file()]
    run_folder.finish(job.folder / MODEL, job.learning, _provenance(job), results)
    shutil.rmtree(job.folder / out_of_fold.FOLDS, ignore_errors=True)


def _learn_bag(job: Job, task: Task, on_progress: OnProgress) -> None:
    """One bag's fold, in its own folder, where the whole head finds it."""
    assert job.bag is not None
    settings = _settings(job)
    on_progress(0.0, "reads features")
    train = labels.read_folder(job.paths.train, task)
    prepared = _prepare(job, settings, train, task, thin=False)
    out_of_fold.learn_fold(prepared, train, job.bag, job.folder, job.mark, share_progress(on_progress, 0.02, 0.97))
    _check_inputs(job, task, test=False)


def _collect_bags(folder: Path, count: int, model: Path) -> BaggedModel:
    """The models of so many folds of `folder`, kept in the folder `model`."""
    places = [out_of_fold.fold_folder(folder, number) / out_of_fold.FOLD_MODEL for number in range(count)]
    bags.collect(places, model)
    result = bags.load(model)
    assert isinstance(result, BaggedModel), "a head with bags has two folds or more"
    return result


def _settings(job: Job) -> HeadSettings:
    """The family's settings of the job. Raises InputError."""
    return check(family(str(job.settings["family"])).Settings, job.settings, f"head {job.name}")


def _prepare(
    job: Job, settings: HeadSettings, annotations: dict[str, Annotation], task: Task, thin: bool, dev: bool = True
) -> fit.TrainData:
    """What a job's head learns from (see fit.prepare_train)."""
    return fit.prepare_train(job.work, job.sources, settings, annotations, task, job.seed, thin, dev, job.people)


def _check_inputs(job: Job, task: Task, test: bool = True) -> None:
    """Raise InputError where what was read is no longer what heads.run took the job's marks from."""
    if job.inputs and (what := head_inputs.describe_changes(job.inputs, job.paths, task, job.work, test)):
        if job.bag is not None:
            run_folder.begin(job.folder)
        shutil.rmtree(job.folder / out_of_fold.FOLDS, ignore_errors=True)
        raise InputError(f"head {job.name}: {what} changed while they were read; run the same command again")


def _facts(
    job: Job, model: Model | BaggedModel, part: fit.TrainDevSplit, train: dict[str, Annotation]
) -> dict[str, Any]:
    """The report's part about what was learnt from."""
    again = model.head.settings.refit and not model.head.learns_dev and len(part.dev) > 0
    return {
        "refit": again,
        "rows": {"train": len(part.train), "dev": len(part.dev)},
        "videos": {name: len(np.unique(getattr(part, name).rows.video)) for name in ("train", "dev")},
        "columns": len(model.columns),
        "videos_without_features": len(train) - len(table.frames(job.work, job.sources, train)),
    }


def _validation(job: Job, model: Model | BaggedModel, val: dict[str, Annotation]) -> dict[str, Any]:
    """Write val.parquet; returns the report's part about validation (labelled frames with a face, as published)."""
    result = model.predict_videos(job.work, val, people=job.people.persons)
    score, parts, frames = fit.score_predictions(result, val, model.head.task)
    if not frames:
        networks = ", ".join(source.network for source in job.sources)
        raise InputError(f"{job.paths.val}: none of its annotated frames has features of {networks}")
    predictions.write(job.folder / "val.parquet", result)
    return {
        "val_score": score,
        "val_score_of": "annotated frames with features (no face, no score); au decided at 0.5, expr by argmax",
        "per_output": {
            name: float(output) if np.isfinite(output) else None
            for name, output in zip(model.head.task.outputs, parts, strict=True)
        },
        "val_frames": {"labelled": sum(int(a.valid.sum()) for a in val.values()), "with_features": frames},
    }


def _both(
    job: Job, model: Model | BaggedModel, annotations: dict[str, Annotation], on_progress: OnProgress
) -> dict[str, Any]:
    """Learn from train and validation together, each row once, with what was chosen on train; save that model beside.
    Of a bagged head as many models anew, each of which lacks, and chooses without, a fold of both.

    The model's head is used up: it has been saved. Validation scores are never of this one.
    """
    settings, head = model.head.settings, model.head
    prepared = _prepare(job, settings, annotations, head.task, thin=not settings.bags, dev=bool(settings.bags))
    (job.folder / MODEL_TRAINVAL).mkdir()
    if settings.bags:
        folder, count = job.folder / out_of_fold.FOLDS / MODEL_TRAINVAL, len(out_of_fold.divide(prepared, annotations))
        for number in range(count):
            place, tell = (
                out_of_fold.fold_folder(folder, number),
                share_progress(on_progress, number / count, 1 / count),
            )
            out_of_fold.learn_fold(prepared, annotations, number, place, job.learning, tell)
        _collect_bags(folder, count, job.folder / MODEL_TRAINVAL)
        rows = prepared.part.train_and_dev
    else:
        rows = prepared.part.train
        if head.learns_dev:
            head = fit.create_head(prepared)
            head.fit(rows, prepared.part.dev, job.seed, on_progress)
        else:
            head.refit(rows, job.seed, on_progress)
        fit.as_model(prepared, head).save(job.folder / MODEL_TRAINVAL)
    return {"rows": len(rows), "videos": len(np.unique(rows.rows.video))}
