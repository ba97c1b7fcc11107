"""The submission: what is written reads back, and every kind of damage is found with its line."""

from pathlib import Path

import numpy as np
import pytest

from blend.pool.pool import Pool
from blend.submission import write as submission
from heads.abaw import test_list
from heads.abaw.tasks import TASKS
from heads.abaw.test_list import TestList

NAMES = ["au", "expr", "va"]


def problem(name, lengths, seed=0):
    """A pool without truth over `lengths`, and random decisions on it."""
    task, rng = TASKS[name], np.random.default_rng(seed)
    videos = tuple(sorted(lengths))
    offsets = np.concatenate([[0], np.cumsum([lengths[video] for video in videos])])
    total = int(offsets[-1])
    pool = Pool(task, ("h",), videos, offsets, np.empty((1, total, 0), np.float32), np.ones(total, bool))
    decided = {
        "au": lambda: rng.integers(0, 2, (total, 12)).astype(np.uint8),
        "expr": lambda: rng.integers(0, 8, total).astype(np.int8),
        "va": lambda: rng.uniform(-1, 1, (total, 2)).astype(np.float32),
    }[name]()
    return pool, decided


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_reads_back(tmp_path, name):
    lengths = {"b": 4, "a_left": 3, "c": 12}
    pool, decided = problem(name, lengths)
    whole = test_list.from_lengths(lengths, pool.task, tmp_path / "list.txt")
    order = np.random.default_rng(1).permutation(len(whole.images))[:10]  # any order, not every frame
    listed = TestList(whole.path, whole.header, [whole.images[i] for i in order], whole.names, whole.video_of[order],
                      whole.frame_of[order])  # fmt: skip
    submission.write(tmp_path / "out.txt", listed, pool, decided)
    text = (tmp_path / "out.txt").read_bytes().decode()
    assert text.endswith("\n") and "\r" not in text and " " not in text
    lines = text.splitlines()
    assert lines[0] == listed.header
    assert [line.split(",")[0] for line in lines[1:]] == listed.images
    expected = np.stack([decided[pool.offsets[pool.videos.index(i.split("/")[0])] + int(i.split("/")[1][:5]) - 1]
                         for i in listed.images])  # fmt: skip
    values = np.array([line.split(",")[1:] for line in lines[1:]]).astype(decided.dtype)
    np.testing.assert_array_equal(values.reshape(expected.shape), expected)
    assert submission.check(tmp_path / "out.txt", listed, pool.task) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.txt"]


def test_extreme_values_are_written_and_accepted(tmp_path):
    pool, _ = problem("va", {"a": 4})
    listed = test_list.from_lengths({"a": 4}, pool.task, tmp_path)
    decided = np.array(
        [[-1, 1], [0, -0.0], [1e-8, -1e-30], [np.float32(0.1), np.nextafter(np.float32(1), np.float32(0))]]
    )
    submission.write(tmp_path / "out.txt", listed, pool, decided.astype(np.float32))
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert lines[1] == "a/00001.jpg,-1.0,1.0" and lines[4] == "a/00004.jpg,0.1,0.99999994"


def test_a_list_that_names_a_picture_twice_is_followed(tmp_path):
    task = TASKS["expr"]
    listed = TestList(Path("x"), task.list_header, ["a/00001.jpg"] * 2, ["a"], np.zeros(2, np.int32),
                      np.ones(2, np.int32))  # fmt: skip
    pool, decided = problem("expr", {"a": 1})
    submission.write(tmp_path / "out.txt", listed, pool, decided)
    assert submission.check(tmp_path / "out.txt", listed, task) == []


def test_a_large_file_is_written_and_checked(tmp_path):
    lengths = {f"v{i}": 5_000 for i in range(20)}
    pool, decided = problem("au", lengths)
    listed = test_list.from_lengths(lengths, pool.task, tmp_path)
    submission.write(tmp_path / "out.txt", listed, pool, decided)
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 1 + 100_000
    assert submission.check(tmp_path / "out.txt", listed, pool.task) == []
