"""The table of a video: rows, empty cells, files; and what is said of it, against pandas by hand."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from blend.predict import table as prediction_table
from blend.predict.scores import BlendedVideo
from blend.predict.source import DetectedFaces, Timing
from heads.abaw.tasks import AU, EXPR, VA


def made(people=1, frames=10, seed=0):
    """Faces in some frames, and made-up outputs of all tasks."""
    rng = np.random.default_rng(seed)
    boxes, blended, names = [], {}, [f"v{i}" for i in range(people)]
    for name in names:
        there = np.flatnonzero(rng.random(frames) < 0.7).astype(np.int32) + 1
        boxes.append((there, rng.random((len(there), 4)).astype(np.float32) * 100))
        au, expr = rng.random((frames, 12)).astype(np.float32), rng.dirichlet(np.ones(8), frames).astype(np.float32)
        va = rng.uniform(-1, 1, (frames, 2)).astype(np.float32)
        blended[name] = [
            BlendedVideo("expr", expr, expr.argmax(1).astype(np.int8)),
            BlendedVideo("au", au, (au >= 0.5).astype(np.uint8)),
            BlendedVideo("va", va, va),
        ]
    timing = Timing(Fraction(25), np.arange(frames) / 25)
    return DetectedFaces(timing, boxes, tuple(names), Path("crops")), blended


def test_every_value_is_in_its_row_and_rows_without_a_face_are_empty():
    found, blended = made()
    table = prediction_table.build(found, blended, ["expr", "au", "va"])
    (there, boxes), (expr, au, va) = found.people[0], blended["v0"]
    for row in range(10):
        line = table.iloc[row]
        if row + 1 not in there:
            assert line.iloc[3:].isna().all()
            continue
        assert line["width"] == pytest.approx(boxes[there.tolist().index(row + 1), 2], abs=0.01)
        assert line["expression"] == EXPR[expr.decisions[row]] and line["Fear"] == expr.scores[row, 3]
        assert line["AU4"] == au.decisions[row, 2] and line["AU4_score"] == au.scores[row, 2]
        assert line["arousal"] == va.decisions[row, 1]


def test_two_faces_alternate_and_one_that_is_never_seen_has_empty_rows():
    found, blended = made(people=2)
    blended.pop("v1")
    nobody = np.empty(0, np.int32), np.empty((0, 4))
    faces = DetectedFaces(found.timing, [found.people[0], nobody], found.videos, found.crops)
    table = prediction_table.build(faces, blended, ["au"])
    assert table["face"].tolist() == ["left", "right"] * 10
    right = table[table["face"] == "right"]
    assert right.iloc[:, 3:].isna().all(axis=None)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_files_give_the_table_back(tmp_path, name):
    found, blended = made(frames=30)
    table = prediction_table.build(found, blended, ["expr", "au", "va"])
    prediction_table.write(table, tmp_path / name)
    read = pd.read_csv(tmp_path / name) if name.endswith("csv") else pd.read_parquet(tmp_path / name)
    assert list(read) == list(table) == ["frame", "time", "face", "x", "y", "width", "height",
                                         *prediction_table.columns_of(["expr", "au", "va"])]  # fmt: skip
    assert read["expression"].isna().equals(table["expression"].isna())
    for column in (*VA, *AU, *EXPR, "time"):
        np.testing.assert_allclose(
            read[column].to_numpy(float, na_value=np.nan), table[column].to_numpy(float, na_value=np.nan), rtol=1e-6
        )


def test_the_summary_counts_frames_with_a_face_alone():
    found, blended = made(people=2, frames=50)
    table = prediction_table.build(found, blended, ["expr", "au", "va"])
    for facts, (_, some) in zip(prediction_table.summary(table), table.groupby("face", sort=False), strict=True):
        seen = some.dropna(subset=["x"])
        assert facts["frames"] == len(seen)
        for name, share in facts["expressions"].items():
            assert share == pytest.approx((seen["expression"] == name).mean(), abs=1e-4)
        assert facts["units"]["AU12"] == pytest.approx((seen["AU12"] == 1).mean(), abs=1e-4)
        assert facts["affect"]["valence"]["min"] == pytest.approx(seen["valence"].min(), abs=1e-4)
        words = prediction_table.in_words(facts)
        assert next(iter(facts["expressions"])) in words and "valence" in words
    assert prediction_table.in_words({"face": "left", "frames": 0}) == "no face"
