from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract.runtime.errors import InputError
from heads.abaw import read
from heads.abaw.tasks import TASKS
from heads.base.head import family
from heads.data import table
from heads.data.table import Source
from heads.train import fit, model
from heads.train.fit import TrainData
from heads.train.model import Model

Corpus = Any  # tests/heads/conftest.py
VA = TASKS["va"]
SOURCES = (Source("one", ("logits",), ("embedding",)), Source("two", ("va",), ("embedding",)))
TEMPORAL = [{"of": "embedding", "windows": [3], "components": 2}]


def fitted(corpus: Corpus, sources: tuple[Source, ...] = SOURCES) -> tuple[TrainData, Model]:
    raw = {"family": "lightgbm", "inputs": ["logits?", "va?"], "trees": 5, "temporal": TEMPORAL}
    annotations = read.read_folder(corpus.folder / "va" / "train", VA)
    settings = family("lightgbm").Settings.model_validate(raw)
    prepared = fit.prepare_train(corpus.work, sources, settings, annotations, VA)
    return prepared, fit.fit(prepared, prepared.part, 0)[0]


def test_a_saved_model_needs_nothing_else_to_predict_the_same_to_the_bit(tiny: Corpus, tmp_path: Path) -> None:
    prepared, one = fitted(tiny)
    one.save(tmp_path)
    loaded = Model.load(tmp_path)
    assert loaded.sources == SOURCES and loaded.columns == tuple(prepared.labelled.rows.columns)
    assert loaded.head.settings == prepared.settings and loaded.head.task is VA
    before, after = (m.predict_videos(tiny.work, ["v1", "x0", "nobody"]) for m in (one, loaded))
    assert list(before.videos) == list(after.videos) == ["v1", "x0"] and after.outputs == VA.outputs
    for video, (frames, scores) in before.videos.items():
        np.testing.assert_array_equal(after.videos[video][0], frames)
        np.testing.assert_array_equal(after.videos[video][1], scores)
    assert loaded.predict_videos(tiny.work, []).videos == {}


def test_some_videos_at_a_time_are_predicted_as_all_at_once(tiny: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    _, one = fitted(tiny)
    whole = one.predict_videos(tiny.work, tiny.videos["train"])
    sizes: list[int] = []
    load = table.load
    monkeypatch.setattr(table, "load", lambda *args: sizes.append(len(rows := load(*args))) or rows)
    monkeypatch.setattr(model, "GROUP", 50)
    done: list[float] = []
    pieces = one.predict_videos(tiny.work, tiny.videos["train"], done.append)
    assert sizes == [72, 72, 72] and done == pytest.approx([1 / 3, 2 / 3, 1]), "36 frames a video"
    for video, (frames, scores) in whole.videos.items():
        np.testing.assert_array_equal(pieces.videos[video][0], frames)
        np.testing.assert_array_equal(pieces.videos[video][1], scores)


def test_columns_that_were_not_learnt_are_refused_by_name(tiny: Corpus) -> None:
    _, one = fitted(tiny)
    plain = table.load(tiny.work, [Source("one", ("logits",)), Source("two", ("va",))], ["v0"])
    with pytest.raises(InputError, match=r"learnt from 22 columns, these rows have 10: 12 are missing \(first: one\.e"):
        one.predict(plain)
    other = fitted(tiny, (Source("two", ("logits",), ("embedding",)), SOURCES[1]))[0].load(["v0"])
    said = r"14 are missing \(first: one\.logits\.0\); 8 are not among them \(first: two\.logits\.0\)"
    with pytest.raises(InputError, match=said) as error:
        one.predict(other)
    assert str(error.value).endswith("give it the features of one, two")
    with pytest.raises(InputError, match="they are in another order"):
        one.predict(fitted(tiny, SOURCES[::-1])[0].load(["v0"]))
    assert one.predict(table.load(tiny.work, SOURCES, ["nobody"])).shape == (0, 2), "no rows have no columns"


def test_scores_that_are_not_finite_are_a_bug(tiny: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared, one = fitted(tiny)
    monkeypatch.setattr(one.head, "predict", lambda rows: np.full((len(rows), 2), np.nan, np.float32))
    with pytest.raises(RuntimeError, match="lightgbm predicted scores that are not finite"):
        one.predict(prepared.labelled.rows)
