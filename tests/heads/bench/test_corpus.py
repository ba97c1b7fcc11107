from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from extract.features import store
from extract.runtime.errors import InputError
from heads.abaw import annotations as annotation_files
from heads.abaw import read
from heads.abaw.tasks import TASKS
from heads.bench import corpus as bench_corpus
from heads.bench import frames as bench_frames
from heads.bench.corpus import NETWORK, World


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus of a few videos."""
    monkeypatch.setattr(bench_frames, "PUBLISHED_COUNTS", {"train": (8, 8 * 4700), "val": (2, 2 * 4700)})


def make(work: Path, scale: float = 0.1) -> Path:
    return bench_corpus.make(work, None, scale, seed=1)


def contents(work: Path) -> dict[str, bytes]:
    return {str(path.relative_to(work)): path.read_bytes() for path in sorted(work.rglob("*")) if path.is_file()}


def test_states_are_autoregressive_around_a_videos_own_offset() -> None:
    state, drive = bench_corpus.states(World.from_seed(0), "some", 40_000)
    centred = state - state.mean(0)
    np.testing.assert_allclose(centred.std(0), 1, atol=0.15)
    follows = (centred[1:] * centred[:-1]).mean(0) / centred.var(0)
    np.testing.assert_allclose(follows, bench_corpus.MEMORY, atol=0.01)
    assert drive.shape == (40_000, 12)
    other, _ = bench_corpus.states(World.from_seed(0), "other", 100)
    assert not np.array_equal(other, state[:100])


def test_the_corpus_has_the_published_rates_and_tells_of_the_units(tmp_path: Path) -> None:
    make(tmp_path)
    found = read.read_folder(tmp_path / "annotations" / "train", TASKS["au"])
    truth = np.concatenate([a.values[a.valid] for a in found.values()])
    np.testing.assert_allclose(truth.mean(0), bench_corpus.RATES, atol=0.002)
    embedding = []
    for video, annotation in found.items():
        features = store.read(store.path(tmp_path, NETWORK, video))
        np.testing.assert_array_equal(np.flatnonzero(annotation.valid) + 1, features.frame)
        assert features.has() == ("embedding", "logits", "va")
        embedding.append(features.embedding)
    x = np.concatenate(embedding).astype(np.float64)
    x -= x.mean(0)
    unit = truth[:, 10].astype(np.float64)
    direction = x.T @ (unit - unit.mean())
    assert np.corrcoef(x @ direction, unit)[0, 1] > 0.4


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    make(tmp_path / "one")
    make(tmp_path / "two")
    whole = contents(tmp_path / "one")
    assert contents(tmp_path / "two") == whole
    features = sorted((tmp_path / "two" / "features" / NETWORK).iterdir())
    features[1].unlink()
    features[2].write_bytes(features[2].read_bytes()[:100])
    (tmp_path / "two" / "annotations" / "train" / f"{features[0].stem}.txt").unlink()
    kept = features[3].stat().st_mtime_ns
    make(tmp_path / "two")
    assert contents(tmp_path / "two") == whole
    assert features[3].stat().st_mtime_ns == kept


def test_another_corpus_in_the_folder_is_refused(tmp_path: Path) -> None:
    make(tmp_path, 0.02)
    with pytest.raises(InputError, match=r"another corpus .* choose another --work"):
        make(tmp_path, 0.03)


def test_a_full_disk_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_corpus.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match=r"the corpus takes 0\.\d GB, 0\.0 GB are free"):
        make(tmp_path)


def test_annotations_are_official_files(tmp_path: Path) -> None:
    units = np.random.default_rng(0).random((6, 12)) < 0.5
    there = np.array([True, True, False, True, False, True])
    (tmp_path / "v.txt").write_bytes(bench_corpus.annotation(units, there))
    found = annotation_files.read(tmp_path / "v.txt", TASKS["au"])
    np.testing.assert_array_equal(found.valid, there)
    np.testing.assert_array_equal(found.values[there], units[there])
