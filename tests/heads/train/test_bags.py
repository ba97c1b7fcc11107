"""A head with bags predicts the mean of models that each lack a fold, and keeps what is finished."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from extract.config import TaskPaths
from extract.features import store
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads.abaw import read
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.base.head import family
from heads.data import predictions
from heads.data.table import Source
from heads.train import bags, causal, fit, out_of_fold, processes
from heads.train import job as training_job
from heads.train.job import Job
from heads.train.model import DamagedModel, Model

Corpus = Any  # tests/heads/conftest.py
EXPR = TASKS["expr"]
SOURCE = Source("one", ("logits",), ("embedding",))
TEMPORAL = [{"of": "embedding", "windows": [3], "statistics": ["mean"], "components": 2}]
FAST: dict[str, Any] = {"family": "lightgbm", "inputs": ["logits"], "trees": 5, "bags": 3, "temporal": TEMPORAL}


def job(corpus: Corpus, name: str = "bagged", mark: str = "the mark", **changed: Any) -> Job:
    settings = {key: value for key, value in (FAST | changed).items() if value is not None}
    settings = family(settings["family"]).Settings.model_validate(settings).model_dump(mode="json")
    folder = corpus.folder / "expr"
    paths = TaskPaths(train=folder / "train", val=folder / "val", test=folder / "test.txt")
    learning = run_folder.fingerprint([mark, settings])
    return Job(name, "expr", settings, [SOURCE], corpus.work, paths, 4, mark, learning)


def made(a_job: Job) -> dict[str, Any]:
    run_folder.begin(a_job.folder)
    return training_job.main(a_job, lambda done, note: None)


def mean(each: list[predictions.Predictions]) -> dict[str, np.ndarray]:
    return {video: np.mean([one.videos[video][1] for one in each], axis=0) for video in each[0].videos}


def assert_same(found: predictions.Predictions, expected: dict[str, np.ndarray]) -> None:
    assert [*found.videos] == [*expected]
    for video, (_, scores) in found.videos.items():
        np.testing.assert_allclose(scores, expected[video], rtol=0, atol=1e-6)
        assert len(scores)


def test_predictions_are_the_mean_of_models_that_each_lack_a_fold(corpus: Corpus) -> None:
    a_job = job(corpus)
    report = made(a_job)
    annotations = read.read_folder(a_job.paths.train, EXPR)
    settings = family("lightgbm").Settings.model_validate(a_job.settings)
    models = []
    held = [fold["videos"] for fold in report["oof_folds"]]
    assert sorted(video for fold in held for video in fold) == corpus.videos["train"] and report["bags"] == 3
    for fold in held:  # components of temporal columns, too, are of the other videos alone
        others = {video: a for video, a in annotations.items() if video not in fold}
        alone = fit.prepare_train(corpus.work, [SOURCE], settings, others, EXPR, 4)
        models.append(fit.fit(alone, alone.part, 4)[0])
    for part in ("val", "test"):
        each = [model.predict_videos(corpus.work, corpus.videos[part]) for model in models]
        assert not np.array_equal(each[0].videos["v0" if part == "val" else "x0"][1], mean(each))
        assert_same(predictions.read(a_job.folder / f"{part}.parquet", EXPR), mean(each))
    unseen = predictions.read(a_job.folder / "oof.parquet", EXPR)
    for fold, model in zip(held, models, strict=True):
        for video, (_, scores) in model.predict_videos(corpus.work, fold).videos.items():
            np.testing.assert_array_equal(unseen.videos[video][1], scores)
    score, _, _ = fit.score_predictions(
        predictions.read(a_job.folder / "val.parquet", EXPR), read.read_folder(a_job.paths.val, EXPR), EXPR
    )
    assert report["val_score"] == score
    assert not (a_job.folder / "folds").exists()


def test_out_of_fold_predictions_are_those_of_as_many_folds(corpus: Corpus) -> None:
    one, two = job(corpus), job(corpus, "folds", bags=0, folds=3)
    made(one), made(two)
    assert (one.folder / "oof.parquet").read_bytes() == (two.folder / "oof.parquet").read_bytes()
    assert (one.folder / "val.parquet").read_bytes() != (two.folder / "val.parquet").read_bytes()


def read_both(a_job: Job) -> dict[str, Annotation]:
    return {v: a for part in ("train", "val") for v, a in read.read_folder(getattr(a_job.paths, part), EXPR).items()}


def both(a_job: Job) -> fit.TrainData:
    settings = family(str(a_job.settings["family"])).Settings.model_validate(a_job.settings)
    return fit.prepare_train(a_job.work, a_job.sources, settings, read_both(a_job), EXPR, 4)


@pytest.mark.parametrize("raw", [{}, {"family": "linear", "temporal": [], "trees": None}])
def test_with_validation_each_model_lacks_a_fold_of_both(corpus: Corpus, raw: dict[str, Any]) -> None:
    a_job = job(corpus, refit_val=True, **raw)
    made(a_job)
    found = predictions.read(a_job.folder / "test_trainval.parquet", EXPR)
    again = bags.load(a_job.folder / "model_trainval")
    assert isinstance(again, bags.BaggedModel) and len(again.models) == 3
    each = [model.predict_videos(corpus.work, corpus.videos["test"]) for model in again.models]
    assert_same(found, mean(each))
    assert not np.array_equal(each[0].videos["x0"][1], each[1].videos["x0"][1])
    alone = predictions.read(a_job.folder / "test.parquet", EXPR)
    assert not np.array_equal(found.videos["x0"][1], alone.videos["x0"][1])
    folds = out_of_fold.divide(prepared := both(a_job), read_both(a_job))
    assert len(folds) == 3 and len(prepared.labelled_rows.rows.videos) == 8
    rest = prepared.restrict_to(np.array([video not in folds[1] for video in prepared.labelled_rows.rows.videos]))
    second = fit.fit(rest, rest.part, 4)[0].predict_videos(corpus.work, ["x0"])
    np.testing.assert_allclose(each[1].videos["x0"][1], second.videos["x0"][1], rtol=0, atol=1e-6)


def test_a_killed_run_keeps_the_bags_that_are_finished(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    made(whole := job(corpus, "whole"))
    original, count = fit.fit, []

    def killed(*args: Any, **more: Any) -> Any:
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return original(*args, **more)

    monkeypatch.setattr(fit, "fit", killed)
    a_job = job(corpus)
    with pytest.raises(KeyboardInterrupt):
        made(a_job)
    assert [bag.bag for bag in a_job.list_bags()] == [2] and not (a_job.folder / "oof.parquet").exists()
    made(a_job)
    assert len(count) == 4, "one more"
    for name in ("val", "test", "oof"):
        assert (a_job.folder / f"{name}.parquet").read_bytes() == (whole.folder / f"{name}.parquet").read_bytes()
    assert a_job.list_bags() == []


def test_bags_of_other_settings_are_made_again(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    first = job(corpus, mark="before")
    for bag in first.list_bags():
        made(bag)
    assert first.list_bags() == [] and [bag.bag for bag in job(corpus).list_bags()] == [0, 1, 2]
    made(again := job(corpus))
    made(alone := job(corpus, "alone"))
    assert (again.folder / "val.parquet").read_bytes() == (alone.folder / "val.parquet").read_bytes()


def test_processes_of_their_own_learn_the_bags_side_by_side(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, beside = (job(corpus, name, refit_val=True) for name in ("alone", "beside"))
    plain = job(corpus, "plain", bags=0)
    made(alone)
    labels: list[str] = []
    send = processes._send
    monkeypatch.setattr(processes, "_send", lambda name, *more: labels.append(name) or send(name, *more))
    processes.run_jobs([beside, plain], "heads expr")
    first, last = ["beside/bag1", "beside/bag2", "beside/bag3", "beside/bag1-trainval"], ["plain", "beside"]
    assert labels[:4] == [f"head-expr-{label}" for label in first]
    assert labels[6:] == [f"head-expr-{label}" for label in last]
    for name in ("val", "test", "oof", "test_trainval"):
        assert (alone.folder / f"{name}.parquet").read_bytes() == (beside.folder / f"{name}.parquet").read_bytes()
    assert run_folder.is_done(beside.folder, beside.mark) and run_folder.is_done(plain.folder, plain.mark)


def test_fewer_recordings_than_bags_make_fewer_models(corpus: Corpus) -> None:
    for video in ("t2", "t3", "t4", "t5"):
        (corpus.folder / "expr" / "train" / f"{video}.txt").unlink()
    a_job = job(corpus, bags=5, temporal=[])
    for bag in a_job.list_bags():  # some have nothing to learn, and say so by ending well
        made(bag)
    assert made(a_job)["bags"] == 2
    (corpus.folder / "expr" / "train" / "t1.txt").unlink()
    with pytest.raises(InputError, match="bags = 5 needs two or more videos"):
        made(job(corpus, mark="other", bags=5, temporal=[]))


def test_what_was_learnt_of_changed_features_is_not_kept(corpus: Corpus) -> None:
    inputs = training_job.head_inputs.Hashes(train="of something else")
    for a_job in (job(corpus), job(corpus).list_bags()[0]):
        with pytest.raises(InputError, match="changed while they were read"):
            made(training_job.replace(a_job, inputs=inputs))
    assert [bag.bag for bag in job(corpus).list_bags()] == [0, 1, 2]


@pytest.mark.parametrize("more", [{"bags": 1}, {"bags": 3, "folds": 3}, {"bags": -1}])
def test_settings_that_contradict_each_other_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="bags"):
        family("lightgbm").Settings.model_validate(FAST | more)


def test_a_damaged_bag_is_named_before_it_is_read(corpus: Corpus) -> None:
    a_job = job(corpus)
    made(a_job)
    folder = a_job.folder / "model"
    before = bags.load(folder).predict_videos(corpus.work, ["x0"])
    assert_same(before, {"x0": predictions.read(a_job.folder / "test.parquet", EXPR).videos["x0"][1]})
    file = next((folder / "bags" / "1").glob("*.json"))
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    with pytest.raises(DamagedModel, match=rf"bags/1/{file.name}: not what it was"):
        bags.load(folder)
    file.write_bytes(content)
    (folder / run_folder.DONE_FILE).unlink()
    shutil.rmtree(folder / "bags" / "1")
    with pytest.raises(DamagedModel, match=r"found models \[0, 2\], expected two or more"):
        bags.load(folder)


def test_models_that_do_not_belong_together_are_refused(corpus: Corpus) -> None:
    made(one := job(corpus))
    made(two := job(corpus, "two", temporal=[]))
    shutil.rmtree(one.folder / "model" / "bags" / "2")
    shutil.copytree(two.folder / "model" / "bags" / "2", one.folder / "model" / "bags" / "2")
    (one.folder / "model" / run_folder.DONE_FILE).unlink()
    with pytest.raises(DamagedModel, match="different tasks, features or columns"):
        bags.load(one.folder / "model")


def test_a_stream_has_the_mean_of_what_each_model_says(corpus: Corpus) -> None:
    a_job = job(corpus)
    made(a_job)
    model = bags.load(a_job.folder / "model")
    assert isinstance(model, bags.BaggedModel)
    features = store.read(store.path(corpus.work, "one", "x0"))
    memory = causal.create_memory([model])
    assert memory.reach == 3
    for i, frame in enumerate(features.frame[:12].tolist()):
        memory.add(frame, {"one": {"embedding": features.embedding[i], "logits": features.logits[i]}})
    each = [causal.predict_last(one, memory, {}) for one in model.models]
    np.testing.assert_allclose(causal.predict_last(model, memory, {}), np.mean(each, axis=0), rtol=0, atol=1e-7)


def test_a_head_without_bags_is_a_plain_model(corpus: Corpus) -> None:
    made(a_job := job(corpus, bags=0))
    assert isinstance(bags.load(a_job.folder / "model"), Model) and a_job.list_bags() == []
    assert "bags" not in json.loads((a_job.folder / "report.json").read_text())


def test_a_folder_without_models_is_no_bagged_one(tmp_path: Path) -> None:
    (tmp_path / "bags").mkdir()
    with pytest.raises(DamagedModel, match="expected two or more"):
        bags.load(tmp_path)


def test_a_bag_that_fails_is_named_and_its_head_is_not_made(corpus: Corpus) -> None:
    bad = job(corpus, "bad", learning_rate=1e-3)
    (corpus.folder / "expr" / "train" / "t3.txt").write_text("not annotations\n")
    with pytest.raises(InputError, match=r"head bad/bag[12]: .*t3.txt"):
        processes.run_jobs([bad], "heads expr")
    assert not (bad.folder / "model").exists()


def test_seconds_are_those_of_all_bags(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    original = fit.fit

    def slow(*args: Any) -> Any:
        time.sleep(0.5)
        return original(*args)

    monkeypatch.setattr(fit, "fit", slow)
    a_job = job(corpus, refit_val=True)
    for bag in a_job.list_bags():
        made(bag)
    report = made(a_job)
    assert 3.0 <= report["seconds"] < 20
    assert [fold["rows"]["train"] > 0 for fold in report["oof_folds"]] == [True] * 3 and "rows" not in report


@pytest.mark.parametrize(("temporal", "reads"), [([], 1), (TEMPORAL, 3)])
def test_rows_are_read_once_unless_each_model_has_columns_of_its_own(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, temporal: list[Any], reads: int
) -> None:
    made(a_job := job(corpus, temporal=temporal))
    model, count = bags.load(a_job.folder / "model"), []
    rows = Model.rows
    monkeypatch.setattr(Model, "rows", lambda *args, **more: count.append(1) or rows(*args, **more))
    model.predict_videos(corpus.work, ["v0", "v1"])
    assert len(count) == reads


def test_bags_of_what_learns_nothing_are_refused() -> None:
    pretrained = family("pretrained").Settings
    with pytest.raises(ValidationError, match="bags would be the same"):
        pretrained.model_validate({"family": "pretrained", "inputs": ["logits"], "bags": 3})
    assert (
        pretrained.model_validate({"family": "pretrained", "inputs": ["logits"], "bags": 3, "other": "mlp"}).bags == 3
    )


def test_what_a_bagged_model_reads_is_told_without_it(corpus: Corpus) -> None:
    for name, count in (("bagged", 3), ("plain", 0)):
        made(a_job := job(corpus, name, bags=count))
        facts = json.loads(bags.find_facts(a_job.folder / "model").read_text())
        assert [source["network"] for source in facts["sources"]] == ["one"]
