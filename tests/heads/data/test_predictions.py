from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS
from heads.data import predictions
from heads.data.predictions import Predictions

VA = TASKS["va"]


def some(task: str = "va", seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    outputs = TASKS[task].outputs
    return Predictions(
        outputs,
        {
            name: (
                np.sort(rng.choice(500, n, replace=False) + 1).astype(np.int32),
                rng.random((n, len(outputs)), dtype=np.float32),
            )
            for name, n in (("a", 5), ("a_left", 1), ("b", 300))
        },
    )


@pytest.mark.parametrize("task", TASKS)
def test_what_is_written_is_read_again(tmp_path: Path, task: str) -> None:
    before = some(task)
    predictions.write(tmp_path / "val.parquet", before)
    after = predictions.read(tmp_path / "val.parquet", TASKS[task])
    assert after.outputs == before.outputs and list(after.videos) == list(before.videos)
    for name, (frames, scores) in before.videos.items():
        np.testing.assert_array_equal(after.videos[name][0], frames)
        np.testing.assert_array_equal(after.videos[name][1], scores)
        assert after.videos[name][0].dtype == np.int32 and after.videos[name][1].dtype == np.float32


def test_the_file_is_as_the_contract_says_and_equal_predictions_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.parquet", "two.parquet"):
        predictions.write(tmp_path / name, some())
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    schema = parquet.read_schema(tmp_path / "one.parquet")
    assert [(f.name, str(f.type)) for f in schema] == [
        ("video", "string"),
        ("frame", "int32"),
        ("valence", "float"),
        ("arousal", "float"),
    ]


def test_no_rows_at_all_is_no_error(tmp_path: Path) -> None:
    predictions.write(tmp_path / "x.parquet", Predictions(VA.outputs, {}))
    assert predictions.read(tmp_path / "x.parquet", VA).videos == {}


def table(**columns: object) -> pa.Table:
    base = {
        "video": ["b", "a", "a"],
        "frame": [1, 2, 1],
        "valence": np.array([0.1, 0.2, 0.3], np.float32),
        "arousal": np.array([0.4, 0.5, 0.6], np.float32),
    }
    return pa.table({key: value for key, value in (base | columns).items() if value is not None})


def test_rows_and_columns_may_come_in_any_order(tmp_path: Path) -> None:
    parquet.write_table(table().select(["arousal", "frame", "video", "valence"]), tmp_path / "x.parquet")
    read = predictions.read(tmp_path / "x.parquet", VA)
    assert list(read.videos) == ["a", "b"]
    np.testing.assert_array_equal(read.videos["a"][0], [1, 2])
    np.testing.assert_array_equal(read.videos["a"][1], np.array([[0.3, 0.6], [0.2, 0.5]], np.float32))


def test_pandas_categories_and_rounding_are_fine(tmp_path: Path) -> None:
    damaged = table(video=pa.array(["b", "a", "a"]).dictionary_encode(), valence=np.array([1.0000001, 0, 0]))
    parquet.write_table(damaged, tmp_path / "x.parquet")
    assert predictions.read(tmp_path / "x.parquet", VA).videos["b"][1].max() == 1


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int64, np.int8, np.uint8, bool])
def test_other_kinds_of_numbers_are_read_as_scores(tmp_path: Path, kind: type) -> None:
    values = np.array([1, 0, 1]).astype(kind)
    parquet.write_table(table(valence=values), tmp_path / "x.parquet")
    read = predictions.read(tmp_path / "x.parquet", VA)
    assert read.videos["a"][1].dtype == np.float32
    assert read.videos["a"][1][:, 0].tolist() == [1, 0] and read.videos["b"][1][0, 0] == 1
    assert read.path == tmp_path / "x.parquet"


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint16, np.uint64])
def test_frames_of_any_whole_kind_are_read(tmp_path: Path, kind: type) -> None:
    parquet.write_table(table(frame=np.array([1, 2, 1]).astype(kind)), tmp_path / "x.parquet")
    assert predictions.read(tmp_path / "x.parquet", VA).videos["a"][0].dtype == np.int32


def test_the_index_that_pandas_adds_is_left_out(tmp_path: Path) -> None:
    frame = table().to_pandas()
    frame[frame["video"] == "a"].to_parquet(tmp_path / "picked.parquet")
    frame.set_index(["video", "frame"]).to_parquet(tmp_path / "indexed.parquet")
    assert list(predictions.read(tmp_path / "picked.parquet", VA).videos) == ["a"]
    assert list(predictions.read(tmp_path / "indexed.parquet", VA).videos) == ["a", "b"]


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (table(arousal=None), "column 'arousal' is missing; expected exactly video, frame, valence, arousal"),
        (table(Neutral=[1.0, 2, 3]), "column 'Neutral' is unknown"),
        (table(frame=[1, 1, 1]), "video 'a' frame 1 occurs more than once"),
        (table(frame=[1, 0, 1]), "video 'a' frame 0: frames are numbered from 1"),
        (table(frame=[1.0, 2.5, 3]), "row 2: frame is 2.5, expected a whole number from 1"),
        (table(video=[1, 2, 3]), "column 'video' is int64, expected string"),
        (table(valence=["x", "y", "z"]), "column 'valence' is string, expected float32"),
        (table(video=["b", "a", None]), "column 'video' has empty cells"),
        (table(valence=[0.0, np.nan, 0.0]), "video 'a' frame 2: a score is not finite"),
        (table(valence=[0.0, None, 0.0]), "video 'a' frame 2: a score is not finite"),
        (table(arousal=[np.inf, 0.0, 0.0]), "video 'b' frame 1: a score is not finite"),
        (table(arousal=[0.0, 0.0, 1e300]), "video 'a' frame 1: a score is not finite"),
        (table(arousal=[0, 0, 3]), r"video 'a' frame 1: a score is outside \[-1, 1\]: arousal is 3 \(1 such rows\)"),
        (table(frame=[1, 2**31, 1]), "video 'a' frame 2147483648: no video has so many frames"),
        (table(arousal=[0.0, 0.0, -1.5]), r"video 'a' frame 1: a score is outside \[-1, 1\]"),
    ],
)
def test_damage_is_named(tmp_path: Path, damaged: pa.Table, said: str) -> None:
    parquet.write_table(damaged, tmp_path / "x.parquet")
    with pytest.raises(InputError, match=said) as error:
        predictions.read(tmp_path / "x.parquet", VA)
    assert "x.parquet" in str(error.value)


def test_probabilities_are_not_negative(tmp_path: Path) -> None:
    bad = some("au")
    bad.videos["b"][1][7, 3] = -0.01
    predictions.write(tmp_path / "x.parquet", bad)
    with pytest.raises(InputError, match=rf"video 'b' frame {bad.videos['b'][0][7]}: a score is outside \[0, 1\]"):
        predictions.read(tmp_path / "x.parquet", TASKS["au"])


def test_a_file_that_is_missing_or_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such prediction file"):
        predictions.read(tmp_path / "x.parquet", VA)
    with pytest.raises(InputError, match="a folder, expected a prediction file"):
        predictions.read(tmp_path, VA)
    for content in (b"", b"video,frame\n", b"PAR1" + bytes(60) + b"PAR1"):
        (tmp_path / "x.parquet").write_bytes(content)
        with pytest.raises(InputError, match="not a readable Parquet file"):
            predictions.read(tmp_path / "x.parquet", VA)


def test_a_text_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("video,frame\n")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        predictions.read(tmp_path / "x.parquet", VA)
