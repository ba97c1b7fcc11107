"""Small made-up problems: heads of different quality on drifting truth, by video, with gaps."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

from blend.pool import gap_filling
from blend.pool import pool as pools
from extract.runtime.run_folder import write_json
from heads.abaw import test_list
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import SINGLE_TASKS
from heads.data import predictions

DRAWN = ("report", "predict", "test_compare.py")
"""Folders and files whose tests look at charts; elsewhere a blend's page has an empty one in their place."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUALITY = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


@pytest.fixture(autouse=True)
def empty_charts(request, monkeypatch):
    """matplotlib takes seconds of each blend; tests of blends' numbers and files do without."""
    if not {*DRAWN} & {*request.path.parts}:
        monkeypatch.setattr("blend.report.html.charts._draw", lambda name, *_: Markup("<svg></svg>"))


def drifting(task, rng, length, quality, heads):
    """Truth [length, ...] and scores of `heads` heads [heads, length, C] of one video."""
    channels = len(task.outputs)
    z = np.cumsum(rng.standard_normal((length, channels)), 0) * 0.15 + rng.standard_normal(channels)
    noisy = [z + rng.standard_normal(z.shape) * quality[h] + rng.standard_normal(channels) * 0.5 for h in range(heads)]
    if task.is_multilabel:
        return (z > 1).astype(np.uint8), [1 / (1 + np.exp(1 - n)) for n in noisy]
    if task.is_multiclass:
        return z.argmax(1).astype(np.int8), [np.exp(n) / np.exp(n).sum(1, keepdims=True) for n in noisy]
    return np.tanh(z / 2).astype(np.float32), [np.tanh(n / 2) for n in noisy]


@pytest.fixture
def make_pool():
    """make_pool(task, seed=, videos=, heads=, length=) -> a pool with truth; a tenth of the frames is not annotated."""

    def make(name, seed=0, videos=6, heads=3, length=(40, 80)):
        task, rng = SINGLE_TASKS[name], np.random.default_rng(seed)
        lengths = rng.integers(*length, size=videos)
        parts = [drifting(task, rng, int(n), QUALITY, heads) for n in lengths]
        offsets = gap_filling.find_offsets(lengths)
        scores = np.concatenate([np.array(scores, np.float32) for _, scores in parts], axis=1)
        rows = np.flatnonzero(rng.random(offsets[-1]) < 0.9)
        truth = np.concatenate([truth for truth, _ in parts])[rows]
        return pools.Pool(
            task,
            tuple(f"head{h}" for h in range(heads)),
            tuple(f"video{v:02d}" for v in range(videos)),
            offsets,
            scores,
            np.ones(offsets[-1], bool),
            pools.Truth(rows, truth),
        )

    return make


class Corpus:
    """Annotations, a test list with its truth, and predictions of heads, on disk as the steps before leave them."""

    def __init__(self, folder: Path, name: str, seed: int, heads: int = 3, val: int = 5, test: int = 3) -> None:
        self.folder, self.task, self.rng = folder, SINGLE_TASKS[name], np.random.default_rng(seed)
        self.work = folder / "work"
        self.val, self.truth = folder / "val", folder / "truth"
        self.train = self.val
        self.test = folder / "test.txt"
        self.heads = {f"head{h}": self.work / "heads" / name / f"head{h}" for h in range(heads)}
        self.lengths: dict[str, int] = {}
        for part, videos, target in (("val", val, self.val), ("test", test, self.truth)):
            self._part(part, [f"{part}{v}" for v in range(videos)], target)
        self._lists()
        prior = {output: 0.125 for output in self.task.outputs} | {"counts": {"videos": 9, "frames": 99}}
        write_json(self.work / "heads" / name / "prior.json", prior)

    def _part(self, part: str, videos: list[str], target: Path) -> None:
        target.mkdir(parents=True)
        found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {head: {} for head in self.heads}
        for number, video in enumerate(videos):
            length = self.lengths[video] = int(self.rng.integers(40, 70))
            truth, scores = drifting(self.task, self.rng, length, QUALITY, len(self.heads))
            valid = self.rng.random(length) < 0.9
            self.annotate(target, video, truth, valid)
            frames = np.flatnonzero(self.rng.random(length) < 0.85).astype(np.int32) + 1
            if number == len(videos) - 1:
                continue  # no face in the last video
            for head, values in zip(found, scores, strict=True):
                found[head][video] = frames, values[frames - 1].astype(np.float32)
        for head, folder in self.heads.items():
            folder.mkdir(parents=True, exist_ok=True)
            predictions.write(folder / f"{part}.parquet", predictions.Predictions(self.task.outputs, found[head]))

    def add_train(self, videos: int = 4) -> None:
        """Train of its own, with out-of-fold predictions of every head."""
        self.train = self.folder / "train"
        self._part("oof", [f"train{v}" for v in range(videos)], self.train)

    def annotate(self, folder: Path, video: str, truth: np.ndarray, valid: np.ndarray) -> None:
        whole = truth.reshape(len(truth), -1).astype(np.float32 if self.task.name == "va" else np.int64)
        rows = np.where(valid[:, None], whole, self.task.unlabelled_value).astype(whole.dtype)
        lines = [",".join(str(value) for value in row) for row in rows.tolist()]
        (folder / f"{video}.txt").write_text("\n".join([self.task.header, *lines]) + "\n")

    def _lists(self) -> None:
        listed = test_list.from_lengths(
            {v: n for v, n in self.lengths.items() if v.startswith("test")}, self.task, self.test
        )
        self.test.write_text("\n".join([listed.header, *(image + "," for image in listed.images)]) + "\n")

    def config(self, with_test: bool = True, **settings: object) -> object:
        from blend.config import Config

        paths = {"train": str(self.train), "val": str(self.val)} | ({"test": str(self.test)} if with_test else {})
        return Config.model_validate(
            {
                "corpus": {"name": "made-up", self.task.name: paths},
                "features": {"networks": ["none"]},
                "blend": {self.task.name: {"trials": 20, "draws": 200} | settings},
            }
        )

    def annotation(self, values: np.ndarray, valid: np.ndarray) -> Annotation:
        return Annotation("video", np.ascontiguousarray(values, self.task.dtype), valid)


@pytest.fixture
def make_corpus(tmp_path, monkeypatch):
    """make_corpus(task, seed=0, ...) -> a Corpus whose heads count as trained."""

    def make(name, seed=0, folder="corpus", **sizes):
        corpus = Corpus(tmp_path / folder, name, seed, **sizes)
        monkeypatch.setattr("heads.run.main", lambda *args, **kwargs: corpus.heads)
        return corpus

    return make


FINISHED: dict[tuple, Path] = {}
"""Folders of blends that were made before in this process."""


@pytest.fixture
def finished(make_corpus, tmp_path_factory):
    """finished(task, settings, heads=2, ...) -> a Corpus and the folder of its finished blend, which is searched once
    for each of these and then copied: what is in it says where it was made first.
    """
    from blend import run

    def make(name, settings=None, folder="corpus", **sizes):
        settings = {"fold_trials": 1, "folds": 2, "select_folds": 2} | (settings or {})
        corpus = make_corpus(name, folder=folder, **sizes)
        out, key = corpus.work / "blend" / name, (name, *sorted(settings.items()), *sorted(sizes.items()))
        if key in FINISHED:
            shutil.copytree(FINISHED[key], out)
        else:
            run.main(corpus.config(**settings), name, corpus.work)
            FINISHED[key] = shutil.copytree(out, tmp_path_factory.mktemp("finished") / name)
        return corpus, out

    return make


@pytest.fixture(scope="session")
def page_reader():
    """How a report.html is read, and compared with its report.json."""
    from support import page_reader

    return page_reader


REPORTS: dict[tuple, tuple] = {}
"""What was made before in this process: a search takes a second, and nothing changes its results."""


@pytest.fixture
def make_report(make_pool):
    """make_report(task, select="cross_fitted", ...) -> a pool, its outcome after a short search, its report.json."""
    from blend.config import BlendSettings
    from blend.crossfit.outcome import ResultBuilder
    from blend.report import report
    from blend.search import search
    from blend.unlabelled_test import compare as unlabelled

    def make(name, select="cross_fitted", corpus="made-up", **sizes):
        key = (name, select, corpus, *sorted(sizes.items()))
        if key not in REPORTS:
            pool = make_pool(name, **sizes)
            settings = BlendSettings(trials=30, fold_trials=1, folds=3, select_folds=3, draws=200, select=select)
            outcome = ResultBuilder(pool, settings, 0, search.search(pool, settings, 30, 0)).finish()
            listed = test_list.from_lengths({video: 3 for video in pool.videos}, pool.task, Path("list.txt"))
            table = report.build(
                pool, outcome, settings, 0, report.describe_submission(listed, pool, "test"), corpus=corpus,
                unlabelled_test=unlabelled.facts(pool, pool, outcome.selected_blend.params, 0),
                test={"score": 0.125, "per_output": dict.fromkeys(pool.task.outputs, 0.125), "frames": 9},
            )  # fmt: skip
            made = {
                "date": "2026-11-30T12:00:00+00:00", "version": "0.1", "command": "python -m blend.run --task <all>",
                "heads": {"head0": {"learn": 12.34, "predict": 0.5}}, "config": {"corpus": {"name": "<b>"}},
            }  # fmt: skip
            REPORTS[key] = pool, outcome, table | {"seconds": 1.5, "made": made}
        pool, outcome, table = REPORTS[key]
        return pool, outcome, copy.deepcopy(table)

    return make


@pytest.fixture(scope="module")
def browser():
    """Chromium, headless. It needs no sandbox's help as root, and sees nothing but the page that is given to it."""
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as play:
        running = play.chromium.launch(executable_path=program, args=arguments)
        yield running
        running.close()
