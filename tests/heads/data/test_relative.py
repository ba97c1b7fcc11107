"""Columns relative to a recording or a person: by hand, and through a whole head that is moved by constants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from extract.features import store
from extract.features.store import VideoFeatures
from heads.abaw import read
from heads.abaw.tasks import TASKS
from heads.base.head import HeadSettings, family
from heads.data import relative, table
from heads.data.people import People
from heads.data.relative import Relative
from heads.data.table import Rows, Source
from heads.data.temporal import TemporalColumns
from heads.train import fit
from heads.train.model import Model

SOURCES = (Source("one", ("logits",), ("embedding",)), Source("two", ("logits", "va")))


def make(**keys: Any) -> HeadSettings:
    return HeadSettings.model_validate({"family": "any", "inputs": ["logits"], **keys})


def load(
    work: Path,
    videos: list[str],
    settings: Relative | str,
    people: Mapping[str, str] | None = None,
    sources: tuple[Source, ...] = SOURCES,
) -> Rows:
    one = settings if isinstance(settings, Relative) else Relative.model_validate(settings)
    return table.load(work, sources, videos, relative.extender(one, TemporalColumns(), work, sources, videos, people))


def of(rows: Rows, video: str, network: str, kind: str) -> np.ndarray:
    """A video's values of one relative block."""
    [block] = [b for b in rows.blocks if (b.network, b.kind, b.relative) == (network, kind, True)]
    return np.asarray(block.values[rows.video == rows.videos.index(video)])


def raw(work: Path, video: str, network: str, kind: str) -> np.ndarray:
    return np.asarray(getattr(store.read(store.path(work, network, video)), kind), np.float64)


def move(work: Path, video: str, shift: float, times: float = 1.0) -> None:
    """Store a video's features anew: logits and va times something plus a constant of each column's own."""
    for network in ("one", "two"):
        path = store.path(work, network, video)
        old = store.read(path)
        logits = old.logits * times + shift * np.arange(1, old.logits.shape[1] + 1)
        va = None if old.va is None else old.va * times + shift
        store.write(path, VideoFeatures(old.frame, old.embedding, logits, va), {"mark": network})


def cut(work: Path, video: str, frames: int) -> None:
    for network in ("one", "two"):
        path = store.path(work, network, video)
        old = store.read(path)
        parts = (None if a is None else a[:frames] for a in (old.embedding, old.logits, old.va))
        store.write(path, VideoFeatures(old.frame[:frames], *parts), {"mark": network})


def test_a_recording_less_its_mean(corpus: Any) -> None:
    rows = load(corpus.work, ["t0", "t1"], "recording")
    assert [block.kind for block in rows.blocks] == ["logits", "logits", "va"], "what stands beside goes as it came"
    for video, network, kind in (("t0", "one", "logits"), ("t1", "two", "va")):
        values = raw(corpus.work, video, network, kind)
        np.testing.assert_allclose(of(rows, video, network, kind), values - values.mean(0), atol=1e-5)
    assert all(".relative." in name for name in rows.columns)


def test_a_person_in_two_videos_and_one_who_is_not_known(corpus: Any) -> None:
    people = {"t0": "Ada", "t2": "Ada", "t3": "Bob", "x0": "Ada"}
    rows = load(corpus.work, ["t0", "t1", "t2", "t3"], "person", people)
    both = np.concatenate([raw(corpus.work, video, "two", "va") for video in ("t0", "t2")])
    np.testing.assert_allclose(
        of(rows, "t2", "two", "va"), raw(corpus.work, "t2", "two", "va") - both.mean(0), atol=1e-5
    )
    for alone in ("t1", "t3"):
        values = raw(corpus.work, alone, "two", "va")
        np.testing.assert_allclose(of(rows, alone, "two", "va"), values - values.mean(0), atol=1e-5)


def test_median_and_spread_beside_the_columns_as_they_are(corpus: Any) -> None:
    settings = Relative(logits="recording", centre="median", spread=True, beside=True)
    rows = load(corpus.work, ["t0"], settings)
    assert [(b.kind, b.relative) for b in rows.blocks] == [
        ("logits", False),
        ("logits", True),
        ("logits", False),
        ("logits", True),
        ("va", False),
    ]
    values = raw(corpus.work, "t0", "one", "logits")
    off = values - np.median(values, 0)
    np.testing.assert_allclose(
        of(rows, "t0", "one", "logits"), off / (1.4826 * np.median(np.abs(off), 0)), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(rows.blocks[0].values, values.astype(np.float32))
    spread = load(corpus.work, ["t0"], Relative(logits="recording", spread=True))
    np.testing.assert_allclose(of(spread, "t0", "one", "logits").std(0), 1, atol=1e-4)


@pytest.mark.parametrize("centre", ["mean", "median"])
def test_a_video_of_one_frame_and_constant_columns_are_0(corpus: Any, centre: str) -> None:
    cut(corpus.work, "t0", 1)
    move(corpus.work, "t1", 3.25, times=0.0)
    settings = Relative(logits="recording", va="recording", centre=centre, spread=True)
    rows = load(corpus.work, ["t0", "t1", "t2"], settings)
    for video in ("t0", "t1"):
        for network, kind in (("one", "logits"), ("two", "va")):
            assert not of(rows, video, network, kind).any()
    assert np.isfinite(rows.batch()).all()


def test_frames_that_an_optional_network_lacks_stay_0_and_have_no_say(corpus: Any) -> None:
    path = store.path(corpus.work, "two", "t0")
    old = store.read(path)
    store.write(path, VideoFeatures(old.frame[5:], old.embedding[5:], old.logits[5:], old.va[5:]), {"mark": "two"})
    sources = (Source("one", ("logits",)), Source("two", ("va",), optional=True))
    rows = load(corpus.work, ["t0"], "recording", sources=sources)
    values = of(rows, "t0", "two", "va")
    assert not values[:5].any()
    np.testing.assert_allclose(values[5:], old.va[5:] - old.va[5:].mean(0), atol=1e-5)


HEADS = {
    "linear": {"penalties": [0.01]},
    "lightgbm": {"trees": 10, "trees_without_dev": 10, "max_bin": 15},
    "mlp": {"hidden": 4, "epochs": 2},
}


@pytest.mark.parametrize(
    ("name", "by"), [("linear", "recording"), ("linear", "person"), ("lightgbm", "person"), ("mlp", "recording")]
)
def test_a_constant_of_each_persons_own_changes_no_prediction(corpus: Any, tmp_path: Path, name: str, by: str) -> None:
    """Steps of 1/8 are added exactly, so that trees see the same bins."""
    people = {"t0": "Ada", "t1": "Ada", "t2": "Bob", "v0": "Eve", "v1": "Eve"}
    steps = {"Ada": 0.5, "Bob": -3.0, "Eve": 2.125}
    for video in [f"t{i}" for i in range(6)] + ["v0", "v1"]:
        for network in ("one", "two"):
            path = store.path(corpus.work, network, video)
            old = store.read(path)
            exact = [None if a is None else np.round(a * 8) / 8 for a in (old.logits, old.va)]
            store.write(path, VideoFeatures(old.frame, old.embedding, *exact), {"mark": network})

    def scores() -> np.ndarray:
        settings = family(name).Settings.model_validate(
            {
                "family": name,
                "inputs": ["logits", "va?"],
                "relative": by,
                "temporal": [{"of": "logits", "windows": [2]}],
                **HEADS[name],
            }
        )
        annotations = read.read_folder(corpus.folder / "va" / "train", TASKS["va"])
        who = People(persons=people)
        prepared = fit.prepare_train(corpus.work, SOURCES[1:], settings, annotations, TASKS["va"], people=who)
        model, _, _ = fit.fit(prepared, prepared.part, 0)
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        model.save(folder)
        found = Model.load(folder).predict_videos(corpus.work, ["v0", "v1"], people=people)
        return np.concatenate([values for _, values in found.videos.values()])

    before = scores()
    for video in [f"t{i}" for i in range(6)] + ["v0", "v1"]:
        move(corpus.work, video, steps.get(people.get(video, ""), 1.0))
    np.testing.assert_allclose(scores(), before, atol=1e-5)
    assert before.std() > 1e-3


def test_what_is_predicted_side_by_side_does_not_hang_on_the_size_of_groups(
    corpus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = {"v0": "Eve", "v1": "Eve"}
    settings = family("linear").Settings.model_validate({"inputs": ["logits", "va?"], "relative": "person"})
    annotations = read.read_folder(corpus.folder / "va" / "train", TASKS["va"])
    prepared = fit.prepare_train(corpus.work, SOURCES[1:], settings, annotations, TASKS["va"])
    model, _, _ = fit.fit(prepared, prepared.part, 0)
    whole = model.predict_videos(corpus.work, ["v0", "v1"], people=people).videos
    monkeypatch.setattr("heads.train.model.GROUP", 1)
    apart = model.predict_videos(corpus.work, ["v0", "v1"], people=people).videos
    alone = model.predict_videos(corpus.work, ["v0", "v1"]).videos
    for video in whole:
        np.testing.assert_array_equal(whole[video][1], apart[video][1])
        assert np.abs(whole[video][1] - alone[video][1]).max() > 1e-3


def test_temporal_columns_and_components_are_of_the_relative_values(corpus: Any) -> None:
    tables = [{"of": "embedding", "windows": [2], "components": 2}, {"of": "logits", "windows": [2]}]
    settings = family("linear").Settings.model_validate(
        {"inputs": ["logits"], "temporal": tables, "relative": {"embedding": "recording", "logits": "recording"}}
    )
    annotations = read.read_folder(corpus.folder / "va" / "train", TASKS["va"])
    sources = (Source("one", ("logits",), ("embedding",)),)
    before = fit.prepare_train(corpus.work, sources, settings, annotations, TASKS["va"])
    [learnt] = before.temporal.components
    every = [
        raw(corpus.work, v, "one", "embedding")[
            annotations[v].valid[store.read(store.path(corpus.work, "one", v)).frame - 1]
        ]
        for v in sorted(annotations)
    ]
    assert np.abs(learnt.mean).max() < 0.2 * np.abs(np.concatenate(every).mean(0)).max() + 0.05
    again = before.restrict_to(np.arange(len(before.labelled_rows.rows.videos)) > 0)
    assert again.labelled_rows.rows.columns == before.labelled_rows.rows.columns


def test_a_word_stands_for_all_kinds_and_wrong_ones_are_refused() -> None:
    assert make(relative="person").relative == Relative(
        logits="person", va="person", embedding="person", table="person"
    )
    assert make().relative == Relative() and not Relative().applies()
    for wrong in ("video", {"logit": "person"}, {"spread": 2}):
        with pytest.raises(ValidationError):
            make(relative=wrong)
    with pytest.raises(ValidationError, match="cannot be relative"):
        family("pretrained").Settings.model_validate({"inputs": ["logits"], "relative": "person"})
