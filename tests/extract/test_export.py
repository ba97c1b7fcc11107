"""Exporting the feature store: values, names, order, and nothing half-written."""

import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support import command_server

from extract import export
from extract.features import store
from extract.runtime.errors import InputError
from extract.tabular import importer
from extract.tabular.formats import Choice


@pytest.fixture
def work(tmp_path):
    """Network 'net' with three videos, one of them empty, and all three kinds."""
    rng = np.random.default_rng(0)
    for video, frames in {"b": [2, 3, 9], "a_left": list(range(1, 8)), "none": []}.items():
        count = len(frames)
        features = store.VideoFeatures(
            np.array(frames, np.int32),
            rng.normal(size=(count, 5)).astype(np.float16),
            rng.normal(size=(count, 2)).astype(np.float32),
            rng.normal(size=(count, 2)).astype(np.float32),
        )
        about = {"network": "net", "mark": "m", "outputs": '[true, null, null, null, ["Anger", "Joy"]]'}
        store.write(store.path(tmp_path, "net", video), features, about)
    return tmp_path


def read(path):
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


@pytest.mark.parametrize("format", ["parquet", "csv"])
@pytest.mark.parametrize("rows", [1, 4, 16384])
def test_the_table_holds_the_stores_values_by_video_and_frame(work, format, rows, monkeypatch):
    monkeypatch.setattr(export, "ROWS", rows)
    assert export.main("net", work, work / f"out.{format}") == 10
    table = read(work / f"out.{format}")
    embedding = [f"embedding_{i}" for i in range(5)]
    assert list(table) == ["video", "frame", *embedding, "logits_Anger", "logits_Joy", "valence", "arousal"]
    assert table["video"].tolist() == ["a_left"] * 7 + ["b"] * 3
    features = [store.read(store.path(work, "net", video)) for video in ("a_left", "b")]
    np.testing.assert_array_equal(table["frame"], np.concatenate([each.frame for each in features]))
    for names, kind in (
        (embedding, "embedding"),
        (["logits_Anger", "logits_Joy"], "logits"),
        (["valence", "arousal"], "va"),
    ):
        expected = np.concatenate([getattr(each, kind) for each in features])
        np.testing.assert_allclose(table[names].to_numpy(np.float32), expected, rtol=1e-6 if format == "csv" else 0)


def test_an_export_imports_back_to_the_same_features(work):
    export.main("net", work, work / "out.parquet")
    choice = Choice(columns=("embedding_*",), logits=("logits_*",), va=("valence", "arousal"))
    importer.main(work / "out.parquet", "back", work, choice)
    for video in ("a_left", "b"):
        there, back = (store.read(store.path(work, name, video)) for name in ("net", "back"))
        for kind in ("frame", *store.KINDS):
            np.testing.assert_array_equal(getattr(back, kind), getattr(there, kind))


def test_imported_columns_keep_their_names(work):
    (work / "t.csv").write_text("video,frame,AU01,AU02,v,a\nx,1,0.5,0.25,0.1,0.2\n")
    importer.main(work / "t.csv", "table", work, Choice(columns=("AU*",), va=("v", "a")))
    export.main("table", work, work / "out.csv")
    assert (work / "out.csv").read_text().splitlines()[0] == '"video","frame","AU01","AU02","v","a"'
    importer.main(work / "t.csv", "double", work, Choice(columns=("v",), va=("v", "a")))
    export.main("double", work, work / "double.csv")
    assert list(pd.read_csv(work / "double.csv")) == ["video", "frame", "embedding_v", "va_v", "va_a"]


def test_chosen_kinds_only(work):
    export.main("net", work, work / "out.parquet", kinds=["va"])
    assert list(read(work / "out.parquet")) == ["video", "frame", "valence", "arousal"]
    store.write(store.path(work, "bare", "a"), store.VideoFeatures(np.array([1]), np.ones((1, 2))), {"mark": "m"})
    with pytest.raises(InputError, match=r"--kinds logits: .* has only embedding"):
        export.main("bare", work, work / "out2.parquet", kinds=["logits"])


def test_small_videos_share_row_groups(work):
    export.main("net", work, work / "out.parquet")
    assert pq.ParquetFile(work / "out.parquet").num_row_groups == 1


def test_damaged_and_mixed_files_leave_no_table(work):
    store.write(store.path(work, "net", "c"), store.VideoFeatures(np.array([1]), np.ones((1, 4))), {"mark": "n"})
    with pytest.raises(InputError, match=r"c\.safetensors: embedding: found shape \(1, 4\), expected shape \(1, 5\)"):
        export.main("net", work, work / "out.parquet")
    store.path(work, "net", "c").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"c\.safetensors: damaged"):
        export.main("net", work, work / "out.parquet")
    assert [path.name for path in work.iterdir()] == ["features"]


def test_an_earlier_table_stays_until_the_new_one_is_whole(work):
    (work / "out.csv").write_text("earlier")
    store.path(work, "net", "none").write_bytes(b"cut")
    with pytest.raises(InputError):
        export.main("net", work, work / "out.csv")
    assert (work / "out.csv").read_text() == "earlier"


def test_unknown_formats_and_networks_are_refused(work):
    with pytest.raises(InputError, match="format 'xlsx'; expected --format parquet or csv"):
        export.main("net", work, work / "out.xlsx")
    with pytest.raises(InputError, match="no features of network 'nope'"):
        export.main("nope", work, work / "out.csv")


def test_the_command_writes_what_pandas_reads_in_a_line(work):
    command = [sys.executable, "-m", "extract.export", "--network", "net", "--work", str(work), "--format", "parquet"]
    done = command_server.run([*command, "--kinds", "embedding,va", str(work / "x")])
    assert done.returncode == 0 and "10 rows are in" in done.stdout
    assert pd.read_parquet(work / "x").shape == (10, 9)
