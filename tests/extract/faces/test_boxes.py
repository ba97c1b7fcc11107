"""Boxes beside the crops: written and read back, and those that crops were cut at."""

import av
import numpy as np
import pytest

from extract.faces import boxes, crop_videos
from extract.faces.people import Sighting
from extract.runtime.errors import InputError


def test_what_is_written_is_read_by_person_in_rising_frames(tmp_path):
    left = {7: np.array([1.5, 2, 3, 4]), 2: np.array([5.0, 6, 7, 8])}
    boxes.write(tmp_path / "b.parquet", [left, {}])
    (frames, found), (none, empty) = boxes.read(tmp_path / "b.parquet", 2)
    assert frames.tolist() == [2, 7] and found.tolist() == [[5, 6, 7, 8], [1.5, 2, 3, 4]]
    assert none.shape == (0,) and empty.shape == (0, 4)


def test_a_damaged_or_missing_file_is_named(tmp_path):
    (tmp_path / "damaged.parquet").write_bytes(b"no parquet")
    for name in ("damaged", "missing"):
        with pytest.raises(
            InputError, match=rf"{name}\.parquet: the faces' places cannot be read .*; delete .* and start"
        ):
            boxes.read(tmp_path / f"{name}.parquet", 1)


def sighting(frames):
    values = np.arange(len(frames), dtype=np.float32)
    return Sighting(np.array(frames), np.tile(np.arange(4.0), (len(frames), 1)), values, values + 0.5, values + 7)


def test_people_by_number_are_read_as_written(tmp_path):
    boxes.write_people(tmp_path / "b.parquet", [sighting([3, 4, 9]), sighting([5])])
    ((frames, box), measures), ((later, _), _) = boxes.read_people(tmp_path / "b.parquet")
    assert frames.tolist() == [3, 4, 9] and later.tolist() == [5] and box.tolist() == [[0, 1, 2, 3]] * 3
    assert {name: values.tolist() for name, values in measures.items()} == {
        "score": [0, 1, 2],
        "roll": [0.5, 1.5, 2.5],
        "sharpness": [7, 8, 9],
    }


def test_people_without_a_first_are_refused(tmp_path):
    boxes.write(tmp_path / "sub" / "b.parquet", [{1: np.ones(4)}])
    with pytest.raises(InputError, match=r"b\.parquet: the faces' places cannot be read"):
        boxes.read_people(tmp_path / "sub" / "b.parquet")
    boxes.write_people(tmp_path / "sub" / "b.parquet", [sighting([]), sighting([5])])
    with pytest.raises(InputError, match=r"b\.parquet: found people \[2\], expected 1, 2"):
        boxes.read_people(tmp_path / "sub" / "b.parquet")


def test_cropping_leaves_the_boxes_of_every_crop(tmp_path, monkeypatch):
    monkeypatch.setattr(crop_videos, "yunet", lambda path: lambda pixels: np.array([[20, 30, 24, 24, 0.95]]))
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        for _ in range(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((96, 96, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    report = crop_videos.crop_files({"a": tmp_path / "a.mp4"}, tmp_path / "out", faces=2)
    left, right = boxes.read(boxes.path(tmp_path / "out", "a"), 2)
    assert report.crops == len(left[0]) == 6 and len(right[0]) == 0
    np.testing.assert_allclose(left[1], np.tile([20, 30, 24, 24], (6, 1)), atol=1e-3)
