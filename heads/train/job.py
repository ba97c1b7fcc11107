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
from functools import partial
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
    with_val: bool = False
    """Of a bag: it is one of those that learn from validation, too."""

    @property
    def folder(self) -> Path:
        """Where the results go: of the head, or of its bag."""
        folder = head_folder(self.work, self.task, self.name)
        return folder if self.bag is None else out_of_fold.fold_folder(_bags_folder(folder, self.with_val), self.bag)

    @property
    def label(self) -> str:
        """The head's name, and which of its bags this is."""
        both = "-trainval" if self.with_val else ""
        return self.name if self.bag is None else f"{self.name}/bag{self.bag + 1}{both}"

    def list_bags(self) -> list[Job]:
        """The bags that are missing, each as a job of its own; none where the model is there, or has none."""
        if self.bag is not None or run_folder.is_done(self.folder / MODEL, self.learning):
            return []
        sets = (False, True) if self.settings.get("refit_val") else (False,)
        every = [(number, both) for both in sets for number in range(self.settings.get("bags", 0))]
        parts = [replace(self, bag=number, with_val=both, mark=self.learning) for number, both in every]
        return [part for part in parts if not run_folder.is_done(part.folder, part.mark)]

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


def _bags_folder(head: Path, with_val: bool) -> Path:
    """Below which the folds of a head lie until all are there."""
    return head / out_of_fold.FOLDS / MODEL_TRAINVAL if with_val else head


def main(job: Job, on_progress: OnProgress) -> dict[str, Any]:
    """Train and predict; write predictions, models, report.json, provenance.json and DONE. Returns the report.

    Of a job for one bag it only learns that one, and returns nothing.

    A model that was finished under the same `job.learning` is kept, with its validation and out-of-fold predictions:
    then only the test list is predicted. Raises InputError for features that do not fit together or are not finite, or
    where nothing is labelled.
    """
    task = find(job.task)
    try:
        if job.bag is not None:
            _learn_bag(job, task, on_progress)
            return {}
        if not run_folder.is_done(job.folder / MODEL, job.learning):
            _learn(job, task, on_progress)
    except fit.NoTrainingRows as error:
        raise InputError(f"{job.paths.train}: {error}") from error
    shutil.rmtree(job.folder / out_of_fold.FOLDS, ignore_errors=True)
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
    train, val = (labels.read_folder(folder, task) for folder in (job.paths.train, job.paths.val))
    report = {"head": job.name, "task": task.name, "metric": task.metric, "seed": job.seed, "family": settings.family}
    if settings.bags:
        report |= _collect_bags(job, task, train, val, on_progress)
    else:
        report |= _learn_model(job, settings, task, train, val, on_progress)
    report["seconds"] = round(time.monotonic() - began + report.get("seconds", 0.0), 2)
    _check_inputs(job, task, test=False)
    run_folder.write_json(job.folder / MODEL / "learnt.json", report)
    parts = (*job.folder.glob("*.parquet"), *(job.folder / MODEL).rglob("*"), *(job.folder / MODEL_TRAINVAL).rglob("*"))
    results = [os.path.relpath(path, job.folder / MODEL) for path in sorted(parts) if path.is_file()]
    run_folder.finish(job.folder / MODEL, job.learning, _provenance(job), results)


def _learn_model(
    job: Job,
    settings: HeadSettings,
    task: Task,
    train: dict[str, Annotation],
    val: dict[str, Annotation],
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Out-of-fold predictions, the model, validation, the refit. Returns the report's part."""
    on_progress(0.0, "reads features")
    prepared = _prepare(job, settings, train, task, thin=not settings.fold_count)
    steps = [settings.fold_count, 1, int(settings.refit_val)]
    at = [0.02 + 0.88 * sum(steps[:i]) / sum(steps) for i in range(4)]
    told = [share_progress(on_progress, start, end - start) for start, end in pairwise(at)]
    report: dict[str, Any] = {}
    if settings.fold_count:
        check = partial(_check_inputs, job, task, test=False)
        report |= out_of_fold.predict(prepared, train, job.folder, job.learning, told[0], check)
    model, facts, dev_score = fit.fit(prepared, prepared.part, job.seed, told[1])
    report |= _facts(job, model, prepared.part, train) | {"dev_score": dev_score, **facts}
    del prepared
    model.save(job.folder / MODEL)
    report |= _validation(job, model, val)
    if settings.refit_val:
        report["trainval"] = _both(job, model, {**train, **val}, told[2])
    return report


def _learn_bag(job: Job, task: Task, on_progress: OnProgress) -> None:
    """One bag's fold, in its own folder, where the whole head finds it."""
    assert job.bag is not None
    on_progress(0.0, "reads features")
    folders = (job.paths.train, job.paths.val) if job.with_val else (job.paths.train,)
    videos = {video: one for folder in folders for video, one in labels.read_folder(folder, task).items()}
    prepared = _prepare(job, _settings(job), videos, task, thin=False)
    check = partial(_check_inputs, job, task, test=False)
    tell = share_progress(on_progress, 0.02, 0.97)
    held = out_of_fold.divide(prepared, videos)
    out_of_fold.learn_fold(prepared, videos, held, job.bag, job.folder, job.mark, tell, check)


def _collect_bags(
    job: Job, task: Task, train: dict[str, Annotation], val: dict[str, Annotation], on_progress: OnProgress
) -> dict[str, Any]:
    """The model of the finished bags, its out-of-fold and validation predictions; bags that are missing are learnt
    first. Returns the report's part, whose seconds are those of the bags, one after the other.
    """
    missing, began = job.list_bags(), time.monotonic()
    for i, one in enumerate(missing):
        note = f"bag {i + 1} of {len(missing)}: "
        _learn_bag(one, task, share_progress(on_progress, 0.9 * i / len(missing), 0.9 / len(missing), note))
    learnt = time.monotonic() - began
    report = out_of_fold.collect(train, task, job.folder, job.settings["bags"])
    seconds = _keep_bags(job, False)
    model = bags.load(job.folder / MODEL)
    without = len(train) - len(table.frames(job.work, job.sources, train))
    report |= {"bags": len(report["oof_folds"]), "dev_score": None, "columns": len(model.columns)}
    report |= {"videos_without_features": without} | _validation(job, model, val)
    if job.settings["refit_val"]:
        seconds += _keep_bags(job, True)
    return report | {"seconds": seconds - learnt}


def _keep_bags(job: Job, with_val: bool) -> float:
    """Keep the models of the finished bags as the head's; returns the seconds that they took."""
    folder = _bags_folder(job.folder, with_val)
    places = [out_of_fold.fold_folder(folder, number) for number in range(job.settings["bags"])]
    places = [place for place in places if (place / out_of_fold.FOLD_MODEL).is_dir()]
    bags.keep(
        [place / out_of_fold.FOLD_MODEL for place in places], job.folder / (MODEL_TRAINVAL if with_val else MODEL)
    )
    return sum(run_folder.read_json(place / "report.json", "run again")["seconds"] for place in places)


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
        raise InputError(f"head {job.name}: {what} changed while they were read; run the same command again")


def _facts(job: Job, model: Model, part: fit.TrainDevSplit, train: dict[str, Annotation]) -> dict[str, Any]:
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


def _both(job: Job, model: Model, annotations: dict[str, Annotation], on_progress: OnProgress) -> dict[str, Any]:
    """Learn from train and validation together, each row once, with what was chosen on train; save that model beside.

    The model's head is used up: it has been saved. Validation scores are never of this one.
    """
    prepared = _prepare(job, model.head.settings, annotations, model.head.task, thin=True, dev=False)
    part, head = prepared.part, model.head
    if head.learns_dev:
        head = fit.create_head(prepared)
        head.fit(part.train, part.dev, job.seed, on_progress)
    else:
        head.refit(part.train, job.seed, on_progress)
    (job.folder / MODEL_TRAINVAL).mkdir()
    fit.as_model(prepared, head).save(job.folder / MODEL_TRAINVAL)
    return {"rows": len(part.train), "videos": len(np.unique(part.train.rows.video))}
