from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from extract.features import store
from extract.runtime.errors import InputError
from heads.data import feature_file, lazy_block, table
from heads.data.table import Source

SOURCES = (Source("one", ("embedding", "logits")), Source("two", ("embedding",)))


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_block, "IN_MEMORY", 0)


def test_any_rows_in_any_order_are_those_of_a_table_in_memory(tiny, on_disk, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = {"t0": np.arange(5, 30, dtype=np.int32), "t2": np.array([7, 2], np.int32), "v0": np.array([40], np.int32)}
    for gap in (1, 5, 64):
        monkeypatch.setattr(lazy_block, "MAX_GAP", gap)
        for some in (None, keep):
            whole = table.load(tiny.work, SOURCES, ["v0", "t0", "t2"], keep=some)
            lazy = table.load(tiny.work, SOURCES, ["v0", "t0", "t2"], keep=some, on_disk=True)
            assert [type(b.values).__name__ for b in lazy.blocks] == ["LazyBlock", "ndarray", "LazyBlock"]
            assert lazy.columns == whole.columns and lazy.width == whole.width == 32 and len(lazy) == len(whole)
            rng = np.random.default_rng(gap)
            for index in (
                slice(None),
                slice(3, 9),
                slice(0, 0),
                rng.integers(0, len(whole), 50),
                np.array([], np.int64),
            ):
                np.testing.assert_array_equal(lazy.batch(index), whole.batch(index))
            some_rows = np.flatnonzero(rng.random(len(whole)) < 0.4)
            np.testing.assert_array_equal(lazy.take(some_rows).batch(), whole.take(some_rows).batch())


def test_small_embeddings_are_kept_in_memory(tiny) -> None:
    rows = table.load(tiny.work, SOURCES, ["t0", "t1"], on_disk=True)
    assert all(isinstance(block.values, np.ndarray) for block in rows.blocks)


def test_what_is_left_on_disk_is_looked_through_all_the_same(corpus, on_disk) -> None:
    path = store.path(corpus.work, "one", "t3")
    found = store.read(path)
    found.embedding[7, 1] = np.inf
    store.write(path, found, {"mark": "one"})
    with pytest.raises(InputError, match="network 'one', video 't3', frame 9: embedding is not finite"):
        table.load(corpus.work, SOURCES, ["t0", "t3"], on_disk=True)


def test_a_file_that_is_lost_or_damaged_later_is_named(corpus, on_disk) -> None:
    rows = table.load(corpus.work, SOURCES, ["t0", "t3"], on_disk=True)
    path = store.path(corpus.work, "one", "t3")
    path.write_bytes(path.read_bytes()[:100])
    rows.batch(slice(0, 36))
    with pytest.raises(InputError, match=r"t3\.safetensors: changed or damaged while it was read"):
        rows.batch()
    path.unlink()
    with pytest.raises(InputError, match=r"t3\.safetensors: changed or damaged while it was read"):
        rows.batch()


def test_a_run_of_rows_costs_one_reading(tiny, on_disk, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table.load(tiny.work, [SOURCES[1]], ["t0", "t1"], on_disk=True)
    read: list[tuple[str, int]] = []
    before = lazy_block.LazyBlock._read

    def noting(self: lazy_block.LazyBlock, path: Path, some: np.ndarray) -> np.ndarray:
        read.append((path.stem, len(some)))
        return before(self, path, some)

    monkeypatch.setattr(lazy_block.LazyBlock, "_read", noting)
    rows.batch(slice(30, 42))
    assert read == [("t0", 6), ("t1", 6)]


def widths(rows: table.Rows) -> dict[str, int]:
    return {f"{b.network}.{b.kind}": b.values.shape[1] for b in rows.blocks}


@pytest.mark.parametrize("lazy", [False, True])
def test_videos_and_frames_may_lack_an_optional_source(corpus, monkeypatch: pytest.MonkeyPatch, lazy: bool) -> None:
    if lazy:
        monkeypatch.setattr(lazy_block, "IN_MEMORY", 0)
    sources = (Source("one", ("logits",)), Source("two", ("embedding", "va"), optional=True))
    store.path(corpus.work, "two", "t0").unlink()
    path = store.path(corpus.work, "two", "t2")
    found = store.read(path)
    kept = np.isin(found.frame, [2, 9, 10, 36])
    store.write(
        path, store.VideoFeatures(*(a if a is None else a[kept] for a in vars(found).values())), {"mark": "two"}
    )
    rows = table.load(corpus.work, sources, ["t0", "t1", "t2"], on_disk=lazy)
    assert list(np.bincount(rows.video)) == [36, 36, 36], "the optional source has no say in what frames there are"
    assert widths(rows) == {"one.logits": 8, "two.embedding": 12, "two.va": 2, "two.present": 1}
    assert rows.columns[-1] == "two.present.0"
    x = rows.batch()
    there = x[:, -1].astype(bool)
    assert not there[:36].any() and there[36:72].all()
    assert list(rows.frame[72:][there[72:]]) == [2, 9, 10, 36]
    assert not x[~there, 8:].any()
    own = store.read(store.path(corpus.work, "two", "t1"))
    np.testing.assert_array_equal(x[36:72, 8:20], own.embedding.astype(np.float32))
    np.testing.assert_array_equal(x[72:][there[72:], 8:20], found.embedding[kept].astype(np.float32))
    only = table.load(corpus.work, sources, ["t0"])
    assert only.columns == rows.columns and not only.batch()[:, 8:].any(), "the same columns where all lack it"
    assert list(table.frames(corpus.work, sources, ["t0"])) == ["t0"]


def test_a_video_without_sound_lacks_what_was_heard_and_not_zeros(corpus) -> None:
    """As extract.audio writes it: zeros for each frame, and why."""
    path = store.path(corpus.work, "two", "t0")
    found = store.read(path)
    found.embedding[:] = 0
    store.write(path, found, {"mark": "two", "soundless": "no sound in it"})
    other = store.path(corpus.work, "two", "t1")
    store.write(other, store.read(other), {"mark": "two", "soundless": ""})
    for optional in (True, False):
        rows = table.load(corpus.work, [SOURCES[0], Source("two", ("embedding",), optional=optional)], ["t0", "t1"])
        x = rows.batch()
        assert not x[rows.video == 0, 20:].any() and x[rows.video == 1, 20:32].any(1).all()
        assert not optional or x[:, 32].tolist() == [0] * 36 + [1] * 36


def test_an_optional_source_that_no_video_has_is_an_error(tiny) -> None:
    sources = (Source("one", ("logits",)), Source("three", ("embedding",), optional=True))
    with pytest.raises(InputError, match=r"three: no features of network 'three'"):
        table.load(tiny.work, sources, ["t0"])


def test_the_logits_of_an_optional_source_have_names_also_where_a_video_lacks_them(corpus) -> None:
    import json

    classes = [f"c{i}" for i in range(8)]
    for path in (corpus.work / "features" / "two").glob("*.safetensors"):
        store.write(path, store.read(path), {"mark": "two", "outputs": json.dumps([classes])})
    store.path(corpus.work, "two", "t0").unlink()
    names = feature_file.class_names(store.path(corpus.work, "two", "t1"))
    assert names == tuple(classes)
    rows = table.load(corpus.work, [SOURCES[0], Source("two", ("logits",), optional=True)], ["t0"])
    assert rows.blocks[2].columns == [f"two.logits.{name}" for name in classes]
