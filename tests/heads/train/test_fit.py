from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from extract.runtime.errors import InputError
from heads.abaw import read
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.base.head import HeadSettings, family
from heads.data import table, temporal
from heads.data.predictions import Predictions
from heads.data.table import Source
from heads.data.temporal import Temporal
from heads.train import fit
from heads.train.fit import TrainData

Corpus = Any  # tests/heads/conftest.py
VA = TASKS["va"]
PLAIN = (Source("one", ("logits",)),)
BESIDE = (Source("one", ("logits",), ("embedding",)), Source("two", ("va",), ("embedding",)))
TABLES = [{"of": "embedding", "windows": [3], "components": 2}, {"of": "logits?", "statistics": ["mean"]}]


def settings(**more: Any) -> HeadSettings:
    return family("lightgbm").Settings.model_validate({"family": "lightgbm", "inputs": ["logits"], "trees": 5} | more)


def annotated(corpus: Corpus, task: str = "va") -> dict[str, Annotation]:
    return read.read_folder(corpus.folder / task / "train", TASKS[task])


def prepare(corpus: Corpus, sources: tuple[Source, ...] = PLAIN, **more: Any) -> TrainData:
    own = {key: more.pop(key) for key in ("thin", "dev", "seed") if key in more}
    return fit.prepare_train(corpus.work, sources, settings(**more), annotated(corpus), VA, **own)


def same(one: table.LabelledRows, two: table.LabelledRows) -> None:
    np.testing.assert_array_equal(one.rows.batch(), two.rows.batch())
    np.testing.assert_array_equal(one.truth, two.truth)
    np.testing.assert_array_equal(one.rows.frame, two.rows.frame)


def test_slices_are_by_video_and_stride_thins_what_is_learnt_from(tiny: Corpus) -> None:
    whole = prepare(tiny).labelled_rows
    part = fit.split_train_dev(whole, VA, seed=1, stride=1)
    thin = fit.split_train_dev(whole, VA, seed=1, stride=4)
    assert len(part.train) + len(part.dev) == len(part.train_and_dev) == len(whole)
    assert not set(part.train.rows.video) & set(part.dev.rows.video)
    np.testing.assert_array_equal(thin.dev.rows.pick, part.dev.rows.pick)
    for video in np.unique(part.train.rows.video):
        np.testing.assert_array_equal(
            thin.train.rows.frame[thin.train.rows.video == video],
            part.train.rows.frame[part.train.rows.video == video][::4],
        )
    for learnt, all_of in (
        (thin.thin_dev, part.dev),
        (thin.train_and_dev, part.train_and_dev),
    ):  # dev videos weigh what they are
        for video in np.unique(all_of.rows.video):
            np.testing.assert_array_equal(
                learnt.rows.frame[learnt.rows.video == video], all_of.rows.frame[all_of.rows.video == video][::4]
            )
    train, dev = fit.cut_rows(whole, VA, seed=1, stride=4, dev=False)
    assert not len(dev) and set(whole.rows.video[train]) == set(whole.rows.video)


def test_slices_are_views(tiny: Corpus) -> None:
    prepared = prepare(tiny, BESIDE, temporal=TABLES)
    parts = (
        prepared.part.train,
        prepared.part.dev,
        prepared.part.train_and_dev,
        prepared.restrict_to(np.arange(6) < 4).part.train,
    )
    for part in parts:
        for block, whole in zip(part.rows.blocks, prepared.labelled_rows.rows.blocks, strict=True):
            assert block.values is whole.values or block.kind == temporal.KIND


@pytest.mark.parametrize("sources", [PLAIN, BESIDE])
def test_thinning_before_reading_gives_what_thinning_afterwards_gives(
    tiny: Corpus, sources: tuple[Source, ...]
) -> None:
    more = {"temporal": TABLES} if sources == BESIDE else {}
    whole, thin = (prepare(tiny, sources, stride=3, seed=2, thin=thin, **more) for thin in (False, True))
    assert len(thin.labelled_rows) == len(thin.part.train) + len(thin.part.dev) < len(whole.labelled_rows)
    for name in ("train", "dev", "thin_dev", "train_and_dev"):
        same(getattr(thin.part, name), getattr(whole.part, name))


def test_what_temporal_columns_are_made_of_need_not_be_an_input_and_unlabelled_frames_count(tiny: Corpus) -> None:
    prepared = prepare(tiny, BESIDE, temporal=TABLES)
    names = prepared.labelled_rows.rows.columns
    assert names[:8] == [f"one.logits.{i}" for i in range(8)] and names[8:10] == ["two.va.0", "two.va.1"]
    assert len(names) == 10 + 2 * 2 * 3 + 2 * 8 and not [n for n in names if ".embedding." in n and ".pc" not in n]

    everything = [Source("one", ("logits", "embedding")), Source("two", ("va", "embedding"))]
    rows = table.load(tiny.work, everything, annotated(tiny))
    plain = table.label_rows(rows, annotated(tiny), VA)
    expected = table.label_rows(temporal.fit(plain.rows, prepared.settings.temporal).add(rows), annotated(tiny), VA)
    at = [expected.rows.columns.index(name) for name in names]
    np.testing.assert_allclose(prepared.labelled_rows.rows.batch(), expected.rows.batch()[:, at], atol=2e-3)


def load(prepared: fit.TrainData, videos: list[str]) -> table.Rows:
    return fit.as_model(prepared, fit.create_head(prepared)).rows(prepared.work, videos)


def test_other_videos_get_the_same_columns(tiny: Corpus) -> None:
    prepared = prepare(tiny, BESIDE, temporal=TABLES)
    rows = load(prepared, ["t0", "v1"])
    assert rows.columns == prepared.labelled_rows.rows.columns and rows.videos == ("t0", "v1")
    own = prepared.labelled_rows.take(
        prepared.labelled_rows.rows.video == prepared.labelled_rows.rows.videos.index("t0")
    )
    again = rows.take(np.flatnonzero((rows.video == 0) & np.isin(rows.frame, own.rows.frame)))
    np.testing.assert_array_equal(again.batch(), own.rows.batch())


def test_components_are_learnt_within_a_fold_alone(tiny: Corpus) -> None:
    prepared = prepare(tiny, BESIDE, temporal=TABLES, seed=3)
    inside = np.array([True, True, False, True, False, True])
    fold = prepared.restrict_to(inside)
    videos = [name for name, some in zip(prepared.labelled_rows.rows.videos, inside, strict=True) if some]
    alone = fit.prepare_train(
        tiny.work,
        BESIDE,
        prepared.settings,
        {video: annotation for video, annotation in annotated(tiny).items() if video in videos},
        VA,
        3,
    )
    for name in ("train", "dev", "train_and_dev"):
        same(getattr(fold.part, name), getattr(alone.part, name))
    assert not np.array_equal(fold.temporal.components[0].axes, prepared.temporal.components[0].axes)
    np.testing.assert_array_equal(load(fold, ["t2"]).batch(), load(alone, ["t2"]).batch())
    assert len(fold.labelled_rows) == len(prepared.labelled_rows), "the held-out videos are there to be predicted"


def test_components_are_learnt_from_few_rows_of_a_large_corpus(tiny: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    principal = temporal.principal
    monkeypatch.setattr(temporal, "principal", lambda rows, *rest: seen.append(len(rows)) or principal(rows, *rest))
    monkeypatch.setattr(fit, "MOST_FOR_COMPONENTS", 50)
    prepared = prepare(tiny, BESIDE, temporal=TABLES)
    assert seen == [-(-len(prepared.labelled_rows) // (-(-len(prepared.labelled_rows) // 50)))] * 2 and max(seen) <= 50


def test_a_model_scores_and_its_dev_score_is_of_before_it_learnt_dev(tiny: Corpus) -> None:
    reports = []
    for refit in (True, False):
        prepared = prepare(tiny, refit=refit)
        model, facts, dev_score = fit.fit(prepared, prepared.part, 0)
        reports.append((model.predict(prepared.part.dev.rows), facts, dev_score))
    assert reports[0][1:] == reports[1][1:] and not np.array_equal(reports[0][0], reports[1][0])
    assert reports[1][2] == pytest.approx(VA.score(prepared.part.dev.truth, reports[1][0]))


def test_nothing_labelled_is_said(tiny: Corpus) -> None:
    unknown = {"nobody": Annotation("nobody", np.zeros((3, 2), np.float32), np.ones(3, bool))}
    with pytest.raises(InputError, match="none of its annotated frames has features of one"):
        fit.prepare_train(tiny.work, PLAIN, settings(), unknown, VA)
    with pytest.raises(InputError, match="none of its annotated frames"):
        prepare(tiny).restrict_to(np.zeros(6, bool))


def test_official_scores_of_raw_scores() -> None:
    truth = np.array([[1, 0] * 6, [0, 1] * 6], np.uint8)
    assert fit.official_score(TASKS["au"], truth, np.where(truth, 0.5, 0.49).astype(np.float32)) == 1
    assert fit.official_score(TASKS["expr"], np.arange(8), np.eye(8, dtype=np.float32)) == 1
    constant = np.zeros((4, 2), np.float32)
    assert fit.official_score(VA, constant, constant) is None


def test_predictions_are_graded_on_annotated_frames_in_a_loop() -> None:
    rng = np.random.default_rng(0)
    annotations = {
        name: Annotation(name, rng.integers(0, 8, 30).astype(np.int8), rng.random(30) < 0.7) for name in ("a", "b")
    }
    frames = {"a": np.arange(1, 40, 3), "b": np.array([2, 29]), "c": np.array([1])}
    found = {n: (f.astype(np.int32), rng.random((len(f), 8), np.float32)) for n, f in frames.items()}
    truth, decided = [], []
    for name, (numbers, scores) in found.items():
        for number, row in zip(numbers, scores, strict=True):
            if name in annotations and number <= 30 and annotations[name].valid[number - 1]:
                truth.append(annotations[name].values[number - 1])
                decided.append(row.argmax())
    task = TASKS["expr"]
    score, parts, count = fit.score_predictions(Predictions(task.outputs, found), annotations, task)
    assert score == pytest.approx(task.score(np.array(truth), np.array(decided))) and count == len(truth)
    np.testing.assert_allclose(parts, task.per_output(np.array(truth), np.array(decided)))
    assert fit.score_predictions(Predictions(task.outputs, {"c": found["c"]}), annotations, task)[::2] == (None, 0)


def test_a_network_that_may_lack_it_has_no_temporal_columns(tiny: Corpus) -> None:
    sources = (Source("one", ("logits",)), Source("two", ("logits",), ("va",)))
    prepared = prepare(tiny, sources, temporal=[Temporal(of="va?", windows=[2], statistics=["mean"]).model_dump()])
    assert [name for name in prepared.labelled_rows.rows.columns if "mean" in name] == [
        "two.va.0.mean2",
        "two.va.1.mean2",
    ]
