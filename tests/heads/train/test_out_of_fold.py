from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract.features import store
from extract.runtime.errors import InputError
from heads.abaw import read
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.base.head import family
from heads.data import predictions
from heads.data.table import Source
from heads.train import fit as learn
from heads.train import out_of_fold
from heads.train.fit import TrainData

Corpus = Any  # tests/heads/conftest.py
EXPR = TASKS["expr"]
SOURCES = (Source("one", ("logits",), ("embedding",)),)
TEMPORAL = [{"of": "embedding", "windows": [3], "statistics": ["mean"], "components": 2}]


def quiet(done: float, note: str) -> None:
    assert 0 <= done <= 1


def prepare(corpus: Corpus, **more: Any) -> tuple[TrainData, dict[str, Annotation]]:
    raw = {"family": "lightgbm", "inputs": ["logits"], "trees": 5, "folds": 3, "temporal": TEMPORAL} | more
    annotations = read.read_folder(corpus.folder / "expr" / "train", EXPR)
    settings = family("lightgbm").Settings.model_validate(raw)
    return learn.prepare_train(corpus.work, SOURCES, settings, annotations, EXPR, 4), annotations


def test_every_frame_is_predicted_by_a_head_that_never_saw_its_video(corpus: Corpus, tmp_path: Path) -> None:
    path = corpus.folder / "expr" / "train" / "t4.txt"
    path.write_text(EXPR.header + "\n" + "-1\n" * corpus.frames)  # features, but nothing to learn from
    prepared, annotations = prepare(corpus)
    report = out_of_fold.predict(prepared, annotations, tmp_path, "mark", quiet)
    found = predictions.read(tmp_path / "oof.parquet", EXPR)
    assert list(found.videos) == corpus.videos["train"]
    for frames, _ in found.videos.values():
        assert set(frames) == set(range(1, corpus.frames + 1)) - corpus.missing, "annotated or not"

    held = [fold["videos"] for fold in report["oof_folds"]]
    assert sorted(video for fold in held for video in fold) == corpus.videos["train"] and len(held) == 3
    for fold, said in zip(held, report["oof_folds"], strict=True):
        others = {video: a for video, a in annotations.items() if video not in fold}
        alone = learn.prepare_train(corpus.work, SOURCES, prepared.settings, others, EXPR, 4)
        model, _, dev_score = learn.fit(alone, alone.part, 4)
        for video, (_, scores) in model.predict_videos(corpus.work, fold).videos.items():
            np.testing.assert_array_equal(scores, found.videos[video][1])
        score, _, frames = learn.score_predictions(model.predict_videos(corpus.work, fold), annotations, EXPR)
        assert (said["score"], said["frames"], said["dev_score"]) == (score, frames, dev_score)
    score, _, frames = learn.score_predictions(found, annotations, EXPR)
    assert (report["oof_score"], report["oof_frames"]) == (score, frames)


def test_a_killed_run_goes_on_with_the_next_fold(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, annotations = prepare(corpus)
    whole = out_of_fold.predict(prepared, annotations, tmp_path / "whole", "mark", quiet)
    fit, fitted = learn.fit, []

    def killed(*args: Any, **more: Any) -> Any:
        fitted.append(1)
        if len(fitted) == 2:
            raise KeyboardInterrupt
        return fit(*args, **more)

    monkeypatch.setattr(learn, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        out_of_fold.predict(prepared, annotations, tmp_path / "killed", "mark", quiet)
    assert len(fitted) == 2 and not (tmp_path / "killed" / "oof.parquet").exists()
    again = out_of_fold.predict(prepared, annotations, tmp_path / "killed", "mark", quiet)
    for fold in (*whole["oof_folds"], *again["oof_folds"]):
        assert fold.pop("seconds") >= 0
    assert again == whole
    assert len(fitted) == 4, "the first fold was kept"
    assert (tmp_path / "killed" / "oof.parquet").read_bytes() == (tmp_path / "whole" / "oof.parquet").read_bytes()
    out_of_fold.predict(prepared, annotations, tmp_path / "killed", "other settings", quiet)
    assert len(fitted) == 7, "folds of another making are made anew"


def test_one_video_is_too_few(corpus: Corpus, tmp_path: Path) -> None:
    for video in corpus.videos["train"][1:]:
        store.path(corpus.work, "one", video).unlink()
    prepared, annotations = prepare(corpus)
    with pytest.raises(InputError, match=r"folds = 3 needs two or more videos .* features of one; there is 1"):
        out_of_fold.predict(prepared, annotations, tmp_path, "mark", quiet)


def renamed(corpus: Corpus, video: str, name: str) -> None:
    annotation = corpus.folder / "expr" / "train" / f"{video}.txt"
    annotation.rename(annotation.with_stem(name))
    found = store.path(corpus.work, "one", video)
    store.write(store.path(corpus.work, "one", name), store.read(found), {"mark": "one"})
    found.unlink()


def test_two_sides_of_a_recording_are_predicted_by_a_head_that_saw_neither(corpus: Corpus, tmp_path: Path) -> None:
    for video, name in {"t0": "a_left", "t5": "a_right", "t1": "b_left", "t4": "b_right"}.items():
        renamed(corpus, video, name)
    path = corpus.folder / "expr" / "train" / "b_right.txt"
    path.write_text(EXPR.header + "\n" + "-1\n" * corpus.frames)  # features, but nothing to learn from
    prepared, annotations = prepare(corpus, folds=4)
    report = out_of_fold.predict(prepared, annotations, tmp_path, "mark", quiet)
    held = [fold["videos"] for fold in report["oof_folds"]]
    assert held == [["a_left", "a_right"], ["b_left", "b_right"], ["t2"], ["t3"]]


def test_two_sides_of_one_recording_are_too_few(corpus: Corpus, tmp_path: Path) -> None:
    renamed(corpus, "t0", "a_left")
    renamed(corpus, "t1", "a_right")
    for video in corpus.videos["train"][2:]:
        store.path(corpus.work, "one", video).unlink()
    prepared, annotations = prepare(corpus)
    with pytest.raises(InputError, match=r"needs two or more videos .*; there is 1 \(two sides of one recording are"):
        out_of_fold.predict(prepared, annotations, tmp_path, "mark", quiet)


def test_fewer_videos_than_folds_are_each_a_fold(corpus: Corpus, tmp_path: Path) -> None:
    prepared, annotations = prepare(corpus, folds=50)
    report = out_of_fold.predict(prepared, annotations, tmp_path, "mark", quiet)
    assert [len(fold["videos"]) for fold in report["oof_folds"]] == [1] * 6
    assert json.loads(json.dumps(report, allow_nan=False)) == report
