from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract.features import store
from extract.runtime.errors import InputError
from heads.abaw import read as labels
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.data import feature_file, table
from heads.data.table import Block, Rows, Source

Corpus = Any  # tests/heads/conftest.py
BOTH = (Source("one", ("embedding",)), Source("two", ("logits", "va")))


def write(work: Path, network: str, video: str, frames: list[int], **kinds: np.ndarray) -> None:
    features = store.VideoFeatures(np.array(frames, np.int32), **kinds)
    store.write(store.path(work, network, video), features, {"mark": network})


def numbered(frames: list[int], width: int, dtype: type = np.float32) -> np.ndarray:
    """Features that tell their frame and column: 10 * frame + column."""
    return (10 * np.array(frames)[:, None] + np.arange(width)).astype(dtype)


def test_networks_are_joined_on_video_and_frame(tmp_path: Path) -> None:
    write(tmp_path, "one", "a", [1, 2, 4, 7], embedding=numbered([1, 2, 4, 7], 3, np.float16))
    write(tmp_path, "two", "a", [2, 3, 7], logits=-numbered([2, 3, 7], 2))
    write(tmp_path, "one", "b", [5], embedding=numbered([5], 3, np.float16))
    write(tmp_path, "two", "b", [6], logits=numbered([6], 2))  # nothing in common
    write(tmp_path, "one", "c", [5], embedding=numbered([5], 3, np.float16))  # two has no file
    write(tmp_path, "one", "d", [9], embedding=numbered([9], 3, np.float16))
    write(tmp_path, "two", "d", [9], logits=-numbered([9], 2))
    rows = table.load(tmp_path, [Source("two", ("logits",)), Source("one", ("embedding",))], ["d", "a", "b", "c", "x"])
    assert rows.videos == ("a", "d")
    assert rows.columns == ["two.logits.0", "two.logits.1", "one.embedding.0", "one.embedding.1", "one.embedding.2"]
    np.testing.assert_array_equal(rows.video, [0, 0, 1])
    np.testing.assert_array_equal(rows.frame, [2, 7, 9])
    np.testing.assert_array_equal(
        rows.batch(), [[-10 * f, -10 * f - 1, 10 * f, 10 * f + 1, 10 * f + 2] for f in (2, 7, 9)]
    )
    assert [block.values.dtype for block in rows.blocks] == [np.float32, np.float16], "embeddings stay float16"


def test_a_subset_is_a_view_and_batches_are_float32(tiny: Corpus) -> None:
    rows = table.load(tiny.work, BOTH, tiny.videos["train"])
    assert len(rows) == len(tiny.videos["train"]) * (tiny.frames - len(tiny.missing)) and rows.width == 12 + 8 + 2
    some = rows.take(np.arange(5, len(rows), 3)).take(np.array([4, 2]))
    assert all(a.values is b.values for a, b in zip(some.blocks, rows.blocks, strict=True))
    assert some.batch().dtype == np.float32
    np.testing.assert_array_equal(some.batch(), rows.batch(np.array([17, 11])))
    np.testing.assert_array_equal(some.frame, rows.frame[[17, 11]])
    np.testing.assert_array_equal(np.concatenate(list(rows.chunks())), rows.batch())
    mask = rows.video == 2
    np.testing.assert_array_equal(rows.take(mask).batch(), rows.batch()[mask])


def test_no_video_with_features_gives_no_rows(tiny: Corpus) -> None:
    assert len(table.load(tiny.work, BOTH, ["nobody"])) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    damaged = numbered([3, 8, 9], 2)
    damaged[1, 1] = value
    write(tmp_path, "net", "clip", [3, 8, 9], logits=damaged)
    with pytest.raises(InputError, match="network 'net', video 'clip', frame 8: logits is not finite"):
        table.load(tmp_path, [Source("net", ("logits",))], ["clip"])


def test_other_widths_and_missing_kinds_are_named(tmp_path: Path) -> None:
    write(tmp_path, "net", "a", [1], logits=numbered([1], 8))
    write(tmp_path, "net", "b", [1], logits=numbered([1], 7))
    write(tmp_path, "net", "c", [1], va=numbered([1], 2))
    source = [Source("net", ("logits",))]
    with pytest.raises(InputError, match=r"b\.safetensors: logits has 7 columns, in other videos it has 8"):
        table.load(tmp_path, source, ["a", "b"])
    with pytest.raises(InputError, match=r"c\.safetensors: no logits in it"):
        table.load(tmp_path, source, ["a", "c"])


def test_damaged_files_are_named(tmp_path: Path) -> None:
    write(tmp_path, "net", "a", [1, 2], logits=numbered([1], 8))
    with pytest.raises(InputError, match="logits has 1 rows, frame has 2"):
        table.load(tmp_path, [Source("net", ("logits",))], ["a"])
    write(tmp_path, "net", "a", [2, 2], logits=numbered([1, 2], 8))
    with pytest.raises(InputError, match="must start at 1 or later and rise"):
        table.load(tmp_path, [Source("net", ("logits",))], ["a"])
    store.path(tmp_path, "net", "a").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"a\.safetensors: damaged feature file"):
        table.load(tmp_path, [Source("net", ("logits",))], ["a"])


@pytest.mark.parametrize("task", TASKS)
def test_truth_against_a_loop(tiny: Corpus, task: str) -> None:
    annotations = labels.read_folder(tiny.folder / task / "train", TASKS[task])
    del annotations["t3"]  # a video with features but no annotation
    short = annotations["t1"]
    annotations["t1"] = Annotation("t1", short.values[:20], short.valid[:20])  # frames past the annotation's end
    rows = table.load(tiny.work, BOTH, tiny.videos["train"])
    values, valid = table.truth(rows, annotations, TASKS[task])
    for i in range(len(rows)):
        annotation, at = annotations.get(rows.videos[rows.video[i]]), rows.frame[i] - 1
        known = annotation is not None and at < len(annotation.valid) and bool(annotation.valid[at])
        assert valid[i] == known
        if known:
            np.testing.assert_array_equal(values[i], annotation.values[at])
    some = table.label_rows(rows, annotations, TASKS[task])
    assert len(some) == valid.sum() and len(some.truth) == len(some)
    np.testing.assert_array_equal(some.rows.frame, rows.frame[valid])


def test_extended_videos_are_whole_and_thinned_afterwards(tiny: Corpus) -> None:
    sources = (Source("one", ("logits",), ("embedding",)), Source("two", ("va",)))
    seen = []

    def extend(rows: Rows) -> Rows:
        seen.append((rows.videos, len(rows), [block.kind for block in rows.blocks]))
        first = np.arange(len(rows), dtype=np.float32)[:, None] + rows.blocks[1].values[:, :1].astype(np.float32)
        return replace(rows, blocks=(*rows.blocks, Block("one", "made", first, ("first",))))

    keep = {"t1": np.array([2, 5, 3, 36], np.int32), "t4": np.array([3, 999], np.int32), "t0": np.array([1], np.int32)}
    rows = table.load(tiny.work, sources, ["t4", "t1", "t0", "t2"], extend, keep)
    assert rows.videos == ("t0", "t1") and list(rows.frame) == [1, 2, 5, 36], "frame 3 has no face"
    assert seen == [((name,), 36, ["logits", "embedding", "va"]) for name in ("t0", "t1")]
    assert rows.columns[-1] == "one.first" and [b.kind for b in rows.blocks] == ["logits", "va", "made"]
    whole = table.load(tiny.work, [Source("one", ("logits", "embedding")), sources[1]], ["t1"])
    at = np.searchsorted(whole.frame, [2, 5, 36])
    expected = np.column_stack([whole.batch()[at][:, [*range(8), 20, 21]], at + whole.batch()[at][:, 8]])
    np.testing.assert_array_equal(rows.batch()[1:], expected.astype(np.float32))
    assert "embedding" not in [b.kind for b in table.load(tiny.work, sources, ["t1"]).blocks], "not read for nothing"


def test_each_file_is_read_once_and_only_what_is_wanted_of_it(tiny: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, tuple[str, ...]]] = []
    before = feature_file.read

    def noting(path: Path, kinds: tuple[str, ...], network: str) -> Any:
        read.append((f"{network}/{path.stem}", tuple(kinds)))
        return before(path, kinds, network)

    monkeypatch.setattr(feature_file, "read", noting)
    table.load(tiny.work, [Source("one", ("logits",)), Source("two", ("va", "logits"))], ["t0", "t1"])
    wanted = {"one": ("logits",), "two": ("va", "logits")}
    assert read == [(f"{n}/{video}", wanted[n]) for video in ("t0", "t1") for n in ("one", "two")]


def test_frames_of_videos_without_reading_features(tiny: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_file, "read", lambda *args: pytest.fail("features were read"))
    found = table.frames(tiny.work, BOTH, ["v0", "t1", "nobody"])
    assert list(found) == ["t1", "v0"] and all(len(frames) == 36 for frames in found.values())
    rows = table.bare(found)
    assert rows.videos == ("t1", "v0") and rows.width == 0 and list(rows.ends) == [0, 36, 72]
    np.testing.assert_array_equal(rows.frame, [*found["t1"], *found["v0"]])
    assert len(table.bare({})) == 0


def test_reading_takes_the_rows_and_one_video_of_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for video in "abcdefgh":
        frames = list(range(1, 2001))
        write(tmp_path, "net", video, frames, embedding=rng.normal(size=(2000, 256)).astype(np.float16))
    sources = [Source("net", ("embedding",))]
    table.load(tmp_path, sources, ["a"])  # imports and compiles
    one = 2000 * 256 * 2
    for keep, kept in ((None, 8.0), ({video: np.arange(1, 2001, 10, dtype=np.int32) for video in "abcdefgh"}, 0.8)):
        tracemalloc.start()
        table.load(tmp_path, sources, "abcdefgh", keep=keep)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert kept * one < peak < (kept + 3) * one, "no second copy, no float32"
