from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from extract.features import store
from heads import config
from heads.abaw import read as labels_of
from heads.abaw.tasks import TASKS
from heads.data.table import PRESENT, Block, LabelledRows, Rows, Source
from heads.families.sequence import network as sequence_network
from heads.families.sequence.fusion import Fusion, FusionSettings
from heads.train import fit

TINY = {"width": 8, "feedforward": 8, "clip": 10, "learning_rate": 0.02, "epochs": 40, "batch": 4, "shapes": [[1, 2]]}


def settings(**given: Any) -> FusionSettings:
    return FusionSettings.model_validate({"inputs": ["embedding"], "optional": ["sound"], **TINY, **given})


def data(videos: int = 10, frames: int = 40, seed: int = 0, silent: tuple[int, ...] = ()) -> LabelledRows:
    """The first six units can be seen, the last six be heard; `silent` videos have no sound, nor has frame 9."""
    rng, n = np.random.default_rng(seed), videos * frames
    seen, heard = rng.normal(size=(n, 3)).astype(np.float16), rng.normal(size=(n, 2)).astype(np.float32)
    truth = np.column_stack([seen[:, np.arange(6) % 3] > 0.3, heard[:, np.arange(6) % 2] > 0.3]).astype(np.uint8)
    video = np.repeat(np.arange(videos, dtype=np.int32), frames)
    frame = np.tile(np.arange(1, frames + 1, dtype=np.int32), videos)
    there = ~np.isin(video, silent) & (frame != 9)
    heard[~there] = 0
    blocks = (
        Block("face", "embedding", seen),
        Block("sound", "embedding", 50 * heard + 100 * there[:, None].astype(np.float32)),
        Block("sound", PRESENT, there[:, None].astype(np.float32)),
    )
    return LabelledRows(Rows(tuple(f"v{i:02d}" for i in range(videos)), video, frame, blocks, np.arange(n)), truth)


def fitted(of: LabelledRows, **given: Any) -> tuple[Fusion, dict[str, Any]]:
    head = Fusion(TASKS["au"], settings(**given))
    return head, head.fit(of.take(of.rows.video < 7), of.take(of.rows.video >= 7), 0)


def test_streams_are_the_networks_with_the_column_that_says_where_they_are() -> None:
    some = data(2).rows
    more = (
        Block("face", "va", np.zeros((80, 2), np.float32)),
        *some.blocks[1:],
        Block("face", "temporal", np.zeros((80, 4), np.float32)),
    )
    rows = replace(some, blocks=(some.blocks[0], *more))
    streams = Fusion(TASKS["au"], settings()).streams_of(rows)
    assert streams == (
        sequence_network.Stream("face", 0, 5),
        sequence_network.Stream("sound", 5, 7, 7),
        sequence_network.Stream("face", 8, 12),
    )


def test_moments_are_those_of_rows_that_have_the_stream() -> None:
    of = data(silent=(1, 4))
    mean, deviation = Fusion(TASKS["au"], settings())._moments(of.rows)
    x = of.rows.batch().astype(np.float64)
    there = x[:, 5] > 0
    np.testing.assert_allclose(mean, [*x[:, :3].mean(0), *x[there, 3:5].mean(0), 0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(deviation, [*x[:, :3].std(0), *x[there, 3:5].std(0), 1], rtol=1e-4)
    nobody = Fusion(TASKS["au"], settings())._moments(data(silent=tuple(range(10))).rows)
    assert nobody[0][3:].tolist() == [0, 0, 0] and nobody[1][3:].tolist() == [1, 1, 1]


def test_it_hears_what_cannot_be_seen_and_counts_what_is_absent() -> None:
    of = data(silent=(1, 8))
    head, facts = fitted(of, dropout=0.0, members=1)
    assert facts["streams"] == ["face", "sound"]
    assert facts["rows_without"] == {"train": {"sound": 6 + 40}, "dev": {"sound": 2 + 40}}
    new = data(seed=1, silent=(0, 1, 2))
    scores = head.predict(new.rows)
    silent = new.rows.batch()[:, 5] == 0
    for rows, lowest, highest in ((~silent, 0.75, 1.0), (silent, 0.0, 0.75)):
        by_unit = TASKS["au"].per_output(new.truth[rows], scores[rows] >= 0.5)
        assert by_unit[:6].mean() > 0.75, "what is seen"
        assert lowest <= by_unit[6:].mean() <= highest, "what is heard"


def test_what_stands_in_an_absent_streams_columns_changes_nothing() -> None:
    of = data(silent=(1, 8))
    head, _ = fitted(of, epochs=2)
    before = head.predict(of.rows)
    there = of.rows.batch()[:, 5] > 0
    of.rows.blocks[1].values[~there] = 1e3
    np.testing.assert_array_equal(head.predict(of.rows), before)


def test_a_stream_that_every_training_video_has_is_learnt_to_be_done_without() -> None:
    torch.manual_seed(0)
    of, found = data(), {}
    of.rows.blocks[2].values[:] = 1
    for lost in (0.0, 0.5):
        head, _ = fitted(of, lost=lost, dropout=0.0)
        assert bool(head.models[0].absent["1"].abs().max() > 0) == (lost > 0)
        silent = data(seed=1, silent=tuple(range(10)))
        found[lost] = TASKS["au"].per_output(silent.truth, head.predict(silent.rows) >= 0.5)[:6].mean()
    assert found[0.5] > 0.75 and found[0.5] >= found[0.0] - 0.02


def test_heads_run_with_a_network_that_some_videos_lack(corpus: Any) -> None:
    for video in ("t1", "v1", "x0"):
        store.path(corpus.work, "two", video).unlink()
    extra = """[heads.expr]
use = ["lightgbm", "fusion"]
[heads.expr.lightgbm]
networks = ["one"]
trees = 3
[heads.expr.fusion]
optional = ["two"]
epochs = 1
min_steps = 2
"""
    from extract import config as extract_config
    from heads import run
    from heads.data import predictions

    loaded = extract_config.load(config.Config, corpus.toml(extra), None)
    folders = run.main(loaded, "expr", corpus.work)
    import json

    report = json.loads((folders["fusion"] / "report.json").read_text())
    assert sum(part["two"] for part in report["rows_without"].values()) == 32, "the annotated frames of t1"
    assert report["videos_without_features"] == 0
    assert list(predictions.read(folders["fusion"] / "val.parquet", TASKS["expr"]).videos) == ["v0", "v1"]
    assert list(predictions.read(folders["fusion"] / "test.parquet", TASKS["expr"]).videos) == ["x0", "x1_left"]
    from heads.train.model import Model

    model = Model.load(folders["fusion"] / "model")
    assert model.sources[1].optional
    annotations = labels_of.read_folder(corpus.folder / "expr" / "val", TASKS["expr"])
    found = model.predict_videos(corpus.work, annotations)
    kept = predictions.read(folders["fusion"] / "val.parquet", TASKS["expr"]).videos
    for video, (_, scores) in found.videos.items():
        np.testing.assert_array_equal(scores, kept[video][1])
    assert fit.score_predictions(found, annotations, TASKS["expr"])[0] is not None


def test_folds_with_temporal_columns_of_a_network_that_some_videos_lack(corpus: Any) -> None:
    store.path(corpus.work, "two", "t1").unlink()
    annotations = labels_of.read_folder(corpus.folder / "au" / "train", TASKS["au"])
    temporal = [{"of": "embedding", "windows": [2], "statistics": ["mean"], "components": 2}]
    sources = (Source("one", ("embedding",)), Source("two", ("embedding",), optional=True))
    asked = settings(optional=["two"], temporal=temporal, epochs=1)
    prepared = fit.prepare_train(corpus.work, sources, asked, annotations, TASKS["au"])
    fold = prepared.restrict_to(np.arange(6) != 3)
    assert fold.labelled_rows.rows.columns == prepared.labelled_rows.rows.columns
    assert len(prepared.labelled_rows.rows.columns) == 12 + 12 + 1 + 2 + 2
    model, facts, _ = fit.fit(fold, fold.part, 0)
    assert facts["streams"] == ["one", "two", "one", "two"]
    found = model.predict_videos(corpus.work, ["t1", "t3"]).videos
    assert [len(scores) for _, scores in found.values()] == [36, 36]


def test_components_are_not_learnt_from_the_zeros_of_a_video_without_sound(corpus: Any) -> None:
    sources = (Source("one", ("embedding",)), Source("two", ("embedding",), optional=True))
    temporal = [{"of": "embedding", "windows": [2], "statistics": ["mean"], "components": 2}]
    asked = settings(networks=["one", "two"], optional=["two"], temporal=temporal)
    annotations = labels_of.read_folder(corpus.folder / "au" / "train", TASKS["au"])
    without = {video: some for video, some in annotations.items() if video != "t1"}
    expected = fit.prepare_train(corpus.work, sources, asked, without, TASKS["au"]).temporal.components[1]
    path = store.path(corpus.work, "two", "t1")
    found = store.read(path)
    found.embedding[:] = 0
    store.write(path, found, {"mark": "two", "soundless": "no sound in it"})
    learnt = fit.prepare_train(corpus.work, sources, asked, annotations, TASKS["au"]).temporal.components[1]
    np.testing.assert_array_equal(learnt.mean, expected.mean)
    np.testing.assert_array_equal(learnt.axes, expected.axes)


@pytest.mark.parametrize("width", [3, 5])
def test_the_width_is_each_streams(width: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        settings(width=width)
    of = data(4)
    head = Fusion(TASKS["au"], settings(epochs=1))
    head.fit(of, of.take(np.empty(0, np.int64)), 0)
    assert head.models[0].out.in_features == 2 * 8 and [p.out_features for p in head.models[0].project] == [8, 8]
