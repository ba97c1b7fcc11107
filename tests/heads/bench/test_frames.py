from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from extract.runtime.errors import InputError
from heads.bench import frames as bench_frames

REAL = Path(__file__).resolve().parents[3] / "../shared/data/affwild2_frames/frames.parquet"


def check(parts: bench_frames.Parts) -> None:
    for part, (videos, frames) in bench_frames.PUBLISHED_COUNTS.items():
        assert len(parts[part]) == videos
        assert sum(map(len, parts[part].values())) == pytest.approx(frames, rel=0.02)
        assert list(parts[part]) == sorted(parts[part])
        assert all((np.diff(some) > 0).all() and some[0] >= 1 for some in parts[part].values())
    assert not parts["train"].keys() & parts["val"].keys()


def test_invented_videos_are_as_many_and_as_long_as_the_real_ones() -> None:
    parts, source = bench_frames.choose(None, 1, 0)
    check(parts)
    assert source == "invented"
    some = [frames for videos in parts.values() for frames in videos.values()]
    gaps = np.concatenate([np.diff(frames) - 1 for frames in some])
    assert 0.03 < gaps.sum() / sum(map(len, some)) < 0.12, (
        "6 % of the real frames between the first and last are missing"
    )
    again, _ = bench_frames.choose(None, 1, 0)
    for video, frames in again["val"].items():
        np.testing.assert_array_equal(frames, parts["val"][video])


@pytest.mark.skipif(not REAL.exists(), reason="the real frame index lies outside of the repository")
def test_real_videos() -> None:
    parts, _ = bench_frames.choose(REAL, 1, 0)
    check(parts)
    assert any(video.endswith("_left") for video in parts["train"])


def test_a_part_of_the_frames_is_a_part_of_the_videos_and_of_each() -> None:
    whole, part = (bench_frames.choose(None, scale, 0)[0] for scale in (1, 0.01))
    assert [len(part[name]) for name in ("train", "val")] == [30, 10]
    for video, frames in part["train"].items():
        np.testing.assert_array_equal(frames, whole["train"][video][: len(frames)])
    assert 6000 < sum(map(len, part["train"].values())) < 30_000


def test_a_table_is_read_by_video_whatever_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_frames, "PUBLISHED_COUNTS", {"train": (2, 10), "val": (1, 5)})
    videos, frames = np.repeat(["b", "a", "c"], 4), np.tile([4, 1, 2, 9], 3)
    pd.DataFrame({"video": videos, "frame": frames, "other": 1.0}).to_parquet(tmp_path / "frames.parquet")
    found = bench_frames.read(tmp_path / "frames.parquet")
    assert list(found) == ["b", "a", "c"] and all(some.tolist() == [1, 2, 4, 9] for some in found.values())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"video": ["a"], "frame": [1]}, "1 videos, expected 400 or more"),
        ({"video": ["a"]}, "no Parquet table with columns 'video' and 'frame'"),
    ],
)
def test_a_table_that_is_none_is_refused(table: dict[str, list[object]], message: str, tmp_path: Path) -> None:
    path = tmp_path / "frames.parquet"
    pd.DataFrame(table).to_parquet(path)
    with pytest.raises(InputError, match=f"frames.parquet: {message}"):
        bench_frames.read(path)


@pytest.mark.parametrize("scale", [0, -1, 1.5])
def test_scale_is_a_part(scale: float) -> None:
    with pytest.raises(InputError, match="expected a number above 0, at most 1"):
        bench_frames.choose(None, scale, 0)
