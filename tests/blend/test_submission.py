"""The submission: what is written reads back, and every kind of damage is found with its line."""

import time
from pathlib import Path

import numpy as np
import pytest

from blend import submission
from blend.pool import Pool
from heads import testlist
from heads.tasks import TASKS
from heads.testlist import TestList

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
    whole = testlist.from_lengths(lengths, pool.task, tmp_path / "list.txt")
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
    listed = testlist.from_lengths({"a": 4}, pool.task, tmp_path)
    decided = np.array(
        [[-1, 1], [0, -0.0], [1e-8, -1e-30], [np.float32(0.1), np.nextafter(np.float32(1), np.float32(0))]]
    )
    submission.write(tmp_path / "out.txt", listed, pool, decided.astype(np.float32))
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert lines[1] == "a/00001.jpg,-1.0,1.0" and lines[4] == "a/00004.jpg,0.1,0.99999994"


LIST = ["a/00001.jpg", "a/00002.jpg", "a/00003.jpg", "b/00001.jpg", "b/00002.jpg"]
GOOD = {"au": "0,1,0,0,0,0,0,0,0,0,1,0", "expr": "3", "va": "0.5,-0.25"}


def replaced(number, text):
    return lambda lines: [*lines[: number - 1], text, *lines[number:]]


def dropped(number):
    return lambda lines: lines[: number - 1] + lines[number:]


def doubled(number):
    return lambda lines: lines[:number] + lines[number - 1 :]


def tail(number, text):
    return lambda lines: replaced(number, lines[number - 1].split(",")[0] + text)(lines)


def swapped(lines):
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


DAMAGE = [
    ("va", replaced(1, "image,valence,arousal"), [1], "header"),
    ("va", replaced(1, "image_location,valence, arousal"), [1], "header"),
    ("va", dropped(1), [1], "header"),
    ("va", dropped(2), [2], "'a/00001.jpg' is missing"),
    ("va", dropped(4), [4], "'a/00003.jpg' is missing"),
    ("va", dropped(6), [6], "'b/00002.jpg' is missing"),
    ("va", doubled(4), [5], "occurs again; it was on line 4"),
    ("va", swapped, [4], "comes too late"),
    ("va", replaced(3, "z/00001.jpg,0,0"), [3, 4], "not in the test list"),
    ("va", lambda lines: [*lines, "b/00003.jpg,0,0"], [7], "not in the test list"),
    ("va", lambda lines: [*lines, ""], [7], "0 values"),
    ("va", tail(5, ""), [5], "0 values"),
    ("va", tail(5, ","), [5], "0 values"),
    ("va", tail(5, ",0.5"), [5], "1 values, expected 2"),
    ("va", tail(5, ",0.5,0.5,0.5"), [5], "3 values, expected 2"),
    ("va", tail(5, ",0.5,nan"), [5], "nan is not in"),
    ("va", tail(5, ",inf,0"), [5], "inf is not in"),
    ("va", tail(5, ",0,1.0000001"), [5], "not in [-1, 1]"),
    ("va", tail(5, ",0,-5"), [5], "not in [-1, 1]"),
    ("va", tail(5, ",0,x"), [5], "no number"),
    ("va", tail(5, ",0,"), [5], "no number"),
    ("va", tail(5, ",0, 1"), [5], "spaces"),
    ("va", tail(5, ",0,1\r"), [5], "carriage return"),
    ("expr", tail(5, ",8"), [5], "none of 0..7"),
    ("expr", tail(5, ",-1"), [5], "none of 0..7"),
    ("expr", tail(5, ",3.0"), [5], "none of 0..7"),
    ("expr", tail(5, ",Anger"), [5], "none of 0..7"),
    ("au", tail(5, ",0,1,0,0,0,0,0,0,0,0,1,2"), [5], "none of 0..1"),
    ("au", tail(5, ",0,1,0,0,0,0,0,0,0,0,1"), [5], "11 values, expected 12"),
    ("au", tail(5, ",0,1,0,0,0,0,0,0,0,0,1,0.5"), [5], "none of 0..1"),
]


@pytest.mark.parametrize(("name", "damage", "where", "what"), DAMAGE)
def test_damage_is_found_with_its_line(tmp_path, name, damage, where, what):
    task, path = TASKS[name], tmp_path / "out.txt"
    listed = testlist.from_lengths({"a": 3, "b": 2}, task, tmp_path / "list.txt")
    assert listed.images == LIST
    lines = [listed.header, *(f"{image},{GOOD[name]}" for image in LIST)]
    path.write_bytes(("\n".join(lines) + "\n").encode())
    assert submission.check(path, listed, task) == []
    path.write_bytes(("\n".join(damage(lines)) + "\n").encode())
    problems = submission.check(path, listed, task)
    assert any(what in text for text in problems), problems
    if damage is not DAMAGE[2][1]:  # without its header the first picture stands for it
        assert sorted({int(text[5 : text.index(":")]) for text in problems}) == where, problems


def test_a_file_that_is_cut_off_or_absent_or_no_text(tmp_path):
    task, path = TASKS["expr"], tmp_path / "out.txt"
    listed = testlist.from_lengths({"a": 2}, task, tmp_path)
    path.write_text(f"{listed.header}\na/00001.jpg,3\na/00002.jpg,3")
    assert submission.check(path, listed, task) == ["line 3: the file does not end with a line end; is it cut off?"]
    path.write_bytes(b"\xff\xfe")
    assert "UTF-8" in submission.check(path, listed, task)[0]
    assert "cannot be read" in submission.check(tmp_path / "other.txt", listed, task)[0]
    path.write_bytes(b"")
    assert submission.check(path, listed, task)


def test_a_list_that_names_a_picture_twice_is_followed(tmp_path):
    task = TASKS["expr"]
    listed = TestList(Path("x"), testlist.default_header(task), ["a/00001.jpg"] * 2, ["a"], np.zeros(2, np.int32),
                      np.ones(2, np.int32))  # fmt: skip
    pool, decided = problem("expr", {"a": 1})
    submission.write(tmp_path / "out.txt", listed, pool, decided)
    assert submission.check(tmp_path / "out.txt", listed, task) == []


def test_the_check_stops_after_many_problems(tmp_path):
    task = TASKS["expr"]
    listed = testlist.from_lengths({"a": 500}, task, tmp_path)
    (tmp_path / "out.txt").write_text(listed.header + "\n" + "".join(f"{image},9\n" for image in listed.images))
    problems = submission.check(tmp_path / "out.txt", listed, task)
    assert len(problems) == submission.PROBLEMS and problems[0].startswith("line 2:")


def test_a_large_file_is_written_and_checked_in_seconds(tmp_path):
    lengths = {f"v{i}": 5_000 for i in range(20)}
    pool, decided = problem("au", lengths)
    listed = testlist.from_lengths(lengths, pool.task, tmp_path)
    began = time.perf_counter()
    submission.write(tmp_path / "out.txt", listed, pool, decided)
    assert time.perf_counter() - began < 5  # well under one second on an idle machine
