"""The rows that peers get against those that heads read, and what they predict against its frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blend.studies.ablation import Data
from blend.studies.peers import export
from extract.features import store
from extract.features.store import VideoFeatures
from extract.runtime.errors import InputError
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.data import table

EXPR = TASKS["expr"]
PARTS = {"train": 6, "val": 2, "test": 2}


@pytest.fixture
def corpus(tmp_path: Path) -> Data:
    """Videos of 20 frames, of which the fifth has no face; the logits say the class."""
    rng, truth = np.random.default_rng(0), {}
    for part, videos in PARTS.items():
        truth[part] = {}
        for v in range(videos):
            name = f"{part}{v}"
            frames = np.delete(np.arange(1, 21), 4).astype(np.int32)
            values = rng.integers(0, 8, 20).astype(np.int8)
            logits = np.eye(8, dtype=np.float32)[values[frames - 1]] + 0.1
            features = VideoFeatures(frames, rng.standard_normal((19, 5)).astype(np.float16), logits, None)
            store.write(store.path(tmp_path, "net", name), features, {"mark": "m"})
            truth[part][name] = Annotation(name, values, np.arange(20) != 0)
    return Data(tmp_path, EXPR, ("net",), truth)


def test_peers_get_the_annotated_rows_and_the_dev_slice_of_heads(corpus: Data, tmp_path: Path) -> None:
    mark = export.write(corpus, 0, tmp_path / "rows")
    with np.load(tmp_path / "rows" / "train.npz", allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    found["dev"] = np.load(tmp_path / "rows" / "dev" / "0" / "dev.npy", allow_pickle=False)
    assert found["labels"] == "multiclass" and found["outputs"] == 8
    truth = np.concatenate([corpus.annotations["train"][f"train{v}"].values for v in range(6)]).reshape(6, 20)
    kept = np.ones(20, bool)
    kept[[0, 4]] = False
    np.testing.assert_array_equal(found["y"], truth[:, kept].ravel())
    np.testing.assert_array_equal(found["group"], np.repeat(np.arange(6), 18))
    assert 0 < found["dev"].sum() < 108 and {*found["dev"].reshape(6, 18).mean(1)} == {0.0, 1.0}, "whole videos"
    np.testing.assert_array_equal(found["x"][:, 5:13].argmax(1), found["y"])
    assert (found["scale"][:5] == 1).all() and (found["scale"][5:] == 8).all()
    counts = np.bincount(found["y"], minlength=8)
    expected = (counts.max() / counts[found["y"]]) ** 0.5
    np.testing.assert_allclose(found["weight"], expected / expected.mean())
    val = np.load(tmp_path / "rows" / "val.npy", allow_pickle=False)
    own = table.load(tmp_path, export.find_sources(corpus)[1], corpus.annotations["val"])
    np.testing.assert_array_equal(val[:, :13], own.batch())
    assert val.shape == (38, found["x"].shape[1])
    written = (tmp_path / "rows" / "DONE").stat().st_mtime_ns
    assert export.write(corpus, 0, tmp_path / "rows") == mark
    assert (tmp_path / "rows" / "DONE").stat().st_mtime_ns == written, "what is there is not made again"
    assert [export.write(corpus, seed, tmp_path / "rows") for seed in range(1, 6)] == [mark] * 5
    assert (tmp_path / "rows" / "DONE").stat().st_mtime_ns == written, "seeds differ in their dev slice alone"
    dev = [np.load(path, allow_pickle=False) for path in sorted((tmp_path / "rows").glob("dev/*/dev.npy"))]
    assert np.shape(dev) == (6, 108), "few videos leave little choice: seeds may have the same ones"


def test_people_stay_on_one_side_of_the_dev_slice(corpus: Data, tmp_path: Path) -> None:
    who = {f"train{v}": f"p{v // 2}" for v in range(6)}
    export.write(replace(corpus, people=who), 0, tmp_path / "rows")
    with np.load(tmp_path / "rows" / "train.npz", allow_pickle=False) as arrays:
        assert arrays["group"].tolist() == np.repeat([0, 1, 2], 36).tolist()
    dev = np.load(tmp_path / "rows" / "dev" / "0" / "dev.npy", allow_pickle=False)
    assert {*dev.reshape(3, 36).mean(1)} == {0.0, 1.0}


def test_many_rows_are_thinned_evenly(corpus: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export.write(corpus, 0, tmp_path / "all")
    monkeypatch.setattr(export, "MOST_ROWS", 27)
    export.write(corpus, 0, tmp_path / "some")
    whole, some = (np.load(tmp_path / name / "train.npz", allow_pickle=False) for name in ("all", "some"))
    for name in ("x", "y", "group"):
        np.testing.assert_array_equal(some[name], whole[name][::4])
    dev = [np.load(tmp_path / name / "dev" / "0" / "dev.npy", allow_pickle=False) for name in ("all", "some")]
    np.testing.assert_array_equal(dev[1], dev[0][::4])


def test_a_corpus_without_test_has_no_file_of_it(corpus: Data, tmp_path: Path) -> None:
    export.write(replace(corpus, annotations={**corpus.annotations, "test": {}}), 0, tmp_path / "rows")
    assert {path.name for path in (tmp_path / "rows").glob("*.np*")} == {"train.npz", "val.npy"}


def test_scores_come_back_at_their_frames(corpus: Data) -> None:
    scores = np.random.default_rng(0).random((38, 8)).astype(np.float32)
    found = export.as_predictions(corpus, "val", scores).videos
    assert list(found) == ["val0", "val1"]
    assert found["val1"][0].tolist() == [1, 2, 3, 4, *range(6, 21)]
    np.testing.assert_array_equal(found["val1"][1], scores[19:])
    with pytest.raises(InputError, match=r"val: a peer's scores have the shape \(37, 8\), expected \(38, 8\)"):
        export.as_predictions(corpus, "val", scores[1:])
