"""One head in a process of its own: read a job, train, predict validation and test, write the head's folder.

    python -m heads.train JOB.json

Keras, LightGBM and LightAutoML each change the process they run in, so no two share one. Progress goes to stdout as
one JSON object per line; bad input is one line on stderr and exit code 2, as everywhere.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract import errors, rundir
from extract.config import check
from extract.errors import InputError
from heads import labels, predictions, split, table, testlist
from heads.base import Head, OnProgress, family
from heads.table import Labelled, Rows, Source
from heads.tasks import TASKS, Task

SECONDS_BETWEEN_REPORTS = 0.2


@dataclass(frozen=True)
class Job:
    """All that one head's process needs to know: paths and settings, no arrays."""

    name: str
    task: str
    settings: dict[str, Any]
    sources: list[Source]
    work: Path
    train: Path
    val: Path
    test: Path | None
    seed: int
    mark: str

    @property
    def folder(self) -> Path:
        """Where the head's results go."""
        return head_folder(self.work, self.task, self.name)

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        rundir.write_json(path, {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()})

    @staticmethod
    def read(path: Path) -> Job:
        """Read a job that `write` wrote."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        sources = [Source(source["network"], tuple(source["kinds"])) for source in raw.pop("sources")]
        paths = {key: Path(raw.pop(key)) for key in ("work", "train", "val")}
        test = raw.pop("test")
        return Job(**raw, **paths, sources=sources, test=Path(test) if test else None)


def head_folder(work: Path, task: str, name: str) -> Path:
    """`<work>/heads/<task>/<head>`."""
    return work / "heads" / task / name


def main(job: Job, on_progress: OnProgress) -> dict[str, Any]:
    """Train and predict; write predictions, model, report.json, provenance.json and DONE. Returns the report.

    Raises InputError for features that are not finite or do not fit together, and where nothing is labelled.
    """
    began = time.monotonic()
    task = TASKS[job.task]
    kind = family(str(job.settings["family"]))
    head = kind(task, check(kind.Settings, job.settings, f"head {job.name}"))
    on_progress(0.0, "reads features")
    annotations = labels.read_folder(job.train, task)
    rows = table.load(job.work, job.sources, annotations)
    part = slices(table.labelled(rows, annotations, task), task, job.seed, head.settings.stride)
    if not len(part.train):
        raise InputError(
            f"{job.train}: none of its annotated frames has features of "
            f"{', '.join(source.network for source in job.sources)}"
        )
    report = _learn(head, part, job.seed, on_progress) | {
        "columns": rows.width,
        "videos_without_features": len(annotations) - len(rows.videos),
    }
    report = {"head": job.name, "task": task.name, "metric": task.metric, "seed": job.seed} | report
    del rows, part
    on_progress(0.9, "predicts validation")
    report |= _predict_val(head, job, task)
    if job.test is not None:
        on_progress(0.95, "predicts test")
        _predict(head, job, testlist.read(job.test, task).videos, "test")
    (job.folder / "model").mkdir(exist_ok=True)
    head.save(job.folder / "model")
    report["seconds"] = round(time.monotonic() - began, 2)
    rundir.write_json(job.folder / "report.json", report)
    rundir.finish(
        job.folder,
        job.mark,
        {
            "settings": job.settings,
            "sources": [asdict(source) for source in job.sources],
            "seed": job.seed,
            "train": str(job.train),
            "val": str(job.val),
            "test": str(job.test) if job.test else None,
        },
        ["val.parquet", "report.json", *(["test.parquet"] if job.test else [])],
    )
    on_progress(1.0, "done")
    return report


@dataclass(frozen=True)
class Slices:
    """The labelled rows of train, cut by video; `both` is train and dev."""

    train: Labelled
    dev: Labelled
    both: Labelled


def slices(labelled: Labelled, task: Task, seed: int, stride: int) -> Slices:
    """Cut labelled rows of train into train and dev, by video; of train every `stride`-th labelled frame of a video.

    The dev slice depends on the labels and the seed alone, so all heads of a task that see the same frames share it.
    """
    video, videos = labelled.rows.video, len(labelled.rows.videos)
    counts = split.label_counts(labelled.truth, video, videos, task)
    dev = split.dev_videos(counts, np.bincount(video, minlength=videos), seed)[video]
    train = ~dev & ((np.arange(len(video)) - np.searchsorted(video, video)) % stride == 0)
    return Slices(*(labelled.take(np.flatnonzero(some)) for some in (train, dev, train | dev)))


def _learn(head: Head, part: Slices, seed: int, on_progress: OnProgress) -> dict[str, Any]:
    """Fit, score on dev, fit again on both; returns the report's part about it."""
    again = head.settings.refit and not head.learns_dev and len(part.dev) > 0
    until = 0.5 if again else 0.85
    facts = head.fit(part.train, part.dev, seed, lambda done, note: on_progress(0.05 + until * done, note))
    scored = len(part.dev) and not head.learns_dev
    score = official(head.task, part.dev.truth, head.predict(part.dev.rows)) if scored else None
    if again:
        head.refit(part.both, seed, lambda done, note: on_progress(0.55 + 0.35 * done, f"again, {note}"))
    return {
        "family": head.settings.family,
        "dev_score": score,
        "refit": again,
        "rows": {"train": len(part.train), "dev": len(part.dev)},
        "videos": {name: len(np.unique(getattr(part, name).rows.video)) for name in ("train", "dev")},
        **facts,
    }


def decided(task: Task, scores: NDArray[np.float32]) -> NDArray[np.generic]:
    """Raw scores as the official metric takes them: au cut at 0.5, expr the first of the largest, va as it is."""
    return scores >= 0.5 if task.name == "au" else scores.argmax(1) if task.name == "expr" else scores


def official(task: Task, truth: NDArray[np.generic], scores: NDArray[np.float32]) -> float | None:
    """The task's official score of raw scores: au decided at 0.5, expr by argmax, va as it is. None if undefined."""
    score = task.score(truth, decided(task, scores))
    return score if np.isfinite(score) else None


def _predict_val(head: Head, job: Job, task: Task) -> dict[str, Any]:
    """Write val.parquet; returns the report's part about validation (labelled frames with a face, as published)."""
    annotations = labels.read_folder(job.val, task)
    rows, scores = _predict(head, job, annotations, "val")
    truth, valid = table.truth(rows, annotations, task)
    if not valid.any():
        raise InputError(
            f"{job.val}: none of its annotated frames has features of "
            f"{', '.join(source.network for source in job.sources)}"
        )
    parts = task.per_output(truth[valid], decided(task, scores[valid]))
    return {
        "val_score": official(task, truth[valid], scores[valid]),
        "val_score_of": "annotated frames with features (no face, no score); au decided at 0.5, expr by argmax",
        "per_output": {
            name: float(part) if np.isfinite(part) else None for name, part in zip(task.outputs, parts, strict=True)
        },
        "val_frames": {
            "labelled": sum(int(a.valid.sum()) for a in annotations.values()),
            "with_features": int(valid.sum()),
        },
    }


def _predict(head: Head, job: Job, videos: Any, part: str) -> tuple[Rows, NDArray[np.float32]]:
    """Predict every frame with features of these videos, annotated or not, and write `<part>.parquet`."""
    rows = table.load(job.work, job.sources, videos)
    scores = head.predict(rows) if len(rows) else np.empty((0, len(head.task.outputs)), np.float32)
    if not np.isfinite(scores).all():
        raise RuntimeError(f"head {job.name} predicted scores that are not finite")
    ends = np.searchsorted(rows.video, np.arange(len(rows.videos) + 1))
    predictions.write(
        job.folder / f"{part}.parquet",
        predictions.Predictions(
            head.task.outputs,
            {name: (rows.frame[a:b], scores[a:b]) for name, a, b in zip(rows.videos, ends[:-1], ends[1:], strict=True)},
        ),
    )
    return rows, scores


def _die_with_parent() -> None:
    """End this process when the parent is gone: its end of the pipe on stdin closes however it died."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return  # started by hand

    def watch() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock a daemon thread would hold at exit
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _own_stdout() -> OnProgress:
    """Keep stdout for progress: whatever libraries print goes to stderr. Returns how to report progress."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    said = -SECONDS_BETWEEN_REPORTS

    def report(done: float, note: str) -> None:
        nonlocal said
        if (now := time.monotonic()) - said >= SECONDS_BETWEEN_REPORTS:
            said = now
            print(json.dumps({"done": round(done, 4), "note": note}), file=stream, flush=True)

    return report


if __name__ == "__main__":
    with errors.exits():
        if len(sys.argv) != 2:
            raise InputError("usage: python -m heads.train JOB.json (heads.run writes and runs such jobs)")
        _die_with_parent()
        main(Job.read(Path(sys.argv[1])), _own_stdout())
