"""The embedded pictures: as many as said, the same bytes after a kill, other people with another seed."""

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from extract.demo import picture_corpus as pictures


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def few(monkeypatch):
    """Two pictures of each class, three of one in train."""
    for part, about in pictures.PARTS.items():
        counts = (2, 2, 2, 2, 3 if part == "train" else 2, 2)
        monkeypatch.setitem(pictures.PARTS, part, replace(about, counts=counts))


def test_all_parts_are_there_and_a_killed_run_ends_with_the_same_bytes(few, tmp_path, monkeypatch):
    pictures.make(tmp_path / "whole", processes=1)
    assert pictures.is_done(tmp_path / "whole") and not pictures.is_done(tmp_path / "whole", seed=1)
    where = pictures.paths(tmp_path / "whole")
    names = sorted(folder.name for folder in where["lsd"]["train"].iterdir())
    assert names == ["ANGRER", "DISGUST", "FEAR", "HAPPINESS", "SADNESS", "SURPRISE"]
    small, real = (cv2.imread(str(where["lsd"][part] / "FEAR" / "1.jpg")) for part in ("train", "val"))
    assert small.shape == (56, 56, 3) and real.shape == (112, 112, 3)
    listed, truth = (path.read_text().splitlines() for path in (where["lsd"]["test"], where["truth"]["lsd"]))
    assert listed[0] == truth[0] == "image,expression" and len(listed) == 1 + 12
    assert [line + label for line, label in zip(listed[1:], "".join(t[-1] for t in truth[1:]), strict=True)] == truth[
        1:
    ]
    assert sorted(line[-1] for line in truth[1:]) == sorted("001122334455")

    draw, left = pictures.draw, [9]

    def dying(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(pictures, "draw", dying)
    with pytest.raises(KeyboardInterrupt):
        pictures.make(tmp_path / "killed", processes=1)
    assert not pictures.is_done(tmp_path / "killed")
    monkeypatch.setattr(pictures, "draw", draw)
    pictures.make(tmp_path / "killed", processes=1)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    pictures.make(tmp_path / "killed", processes=1, seed=1)
    assert contents(tmp_path / "killed") != contents(tmp_path / "whole"), "another seed clears and draws anew"
