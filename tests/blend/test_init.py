"""`init`: a corpus as the organisers hand it out is found by content, and the config it writes is taken as it is."""

from __future__ import annotations

import errno
import os
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import command_server

from blend import init
from blend.config import Config
from extract import config as configs
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS

ROOT = Path(__file__).parents[2]
OFFICIAL = {
    "au": "AU_Detection_Challenge",
    "expr": "EXPR_Classification_Challenge",
    "va": "VA_Estimation_Challenge",
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two tasks with all three parts, one with validation only, among files that are something else."""
    root = tmp_path / 'of "us"'
    for video in ("a", "b"):
        (root / "faces" / video).mkdir(parents=True)
        (root / "faces" / video / "00001.jpg").write_bytes(b"x")
    (root / "readme.txt").write_text("about these data\n")
    for task, name in OFFICIAL.items():
        for part in ("Train_Set", "Validation_Set") if task != "va" else ("Validation_Set",):
            (root / "annotations" / name / part).mkdir(parents=True)
            (root / "annotations" / name / part / "a.txt").write_text(f"{TASKS[task].header}\n")
    (root / "lists").mkdir()
    (root / "lists" / "one.txt").write_text(f"image_location,{TASKS['au'].header}\r\na/00001.jpg,\r\n")
    (root / "lists" / "two.txt").write_text(f"\ufeffimage_location,{TASKS['expr'].header},\n")
    return root


def test_what_is_there_is_found_by_content(corpus: Path) -> None:
    found = init.find_layout(corpus)
    assert found.frames == [corpus / "faces"] and not found.videos
    assert found.annotations == {
        (task, part.split("_")[0].lower().removesuffix("idation")): corpus / "annotations" / name / part
        for task, name in OFFICIAL.items()
        for part in ("Train_Set", "Validation_Set")
        if (task, part) != ("va", "Train_Set")
    }
    assert found.lists == {"au": corpus / "lists" / "one.txt", "expr": corpus / "lists" / "two.txt"}


def test_each_folder_is_listed_once(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[Path] = []
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: (listed.append(self), iterdir(self))[1])
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(Path(path)), scandir(path))[1])
    init.find_layout(corpus)
    monkeypatch.undo()
    assert listed.count(corpus) == 1
    assert max(listed.count(path) for path in corpus.rglob("*") if path.is_dir()) == 2, "looked into, then listed"


@pytest.mark.parametrize("why", ["not to be listed", "not to be entered"])
def test_a_folder_that_cannot_be_read_is_passed_over_with_a_warning(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], why: str
) -> None:
    """Root may read everything: what the system would say is said in its place."""
    expected = init.find_layout(corpus)
    (locked := corpus / "locked").mkdir()
    (locked / "clip.mp4").write_bytes(b"x")
    iterdir, access = Path.iterdir, os.access

    def refuse(self: Path) -> Iterator[Path]:
        if self == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return iterdir(self)

    if why == "not to be listed":
        monkeypatch.setattr(Path, "iterdir", refuse)
    else:
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != locked and access(path, mode))
    assert init.find_layout(corpus) == expected
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith(f"warning: {locked}: cannot be read (Permission denied)"), said
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\); change its permissions"):
        init.find_layout(locked)


def test_links_in_a_circle_are_not_followed(corpus: Path) -> None:
    expected = init.find_layout(corpus)
    for number in range(6):
        (corpus / f"again-{number}").symlink_to(corpus)
        (corpus / "annotations" / f"above-{number}").symlink_to(corpus.parent)
    (corpus / "lists" / "annotations").symlink_to(corpus / "annotations")
    (corpus / "annotations" / "lists").symlink_to(corpus / "lists")
    (corpus / "nowhere").symlink_to(corpus / "nowhere")
    began = time.monotonic()
    result = init.find_layout(corpus)
    assert time.monotonic() - began < 5
    assert result.frames == expected.frames and set(result.annotations) == set(expected.annotations)


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "", "a b", "-x", "two\nlines", "x" * 300])
def test_a_name_that_no_run_takes_is_refused_and_no_file_lands_elsewhere(corpus: Path, name: str) -> None:
    command = [sys.executable, "-m", "blend.init", ".", f"--name={name}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    before = set(corpus.parent.rglob("*"))
    done = command_server.run(command, cwd=corpus, env=environment)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--name" in done.stderr, done.stderr
    assert set(corpus.parent.rglob("*")) == before


def test_the_config_is_one_that_runs_take(corpus: Path, tmp_path: Path) -> None:
    init.main(corpus, tmp_path / "mine.toml", "mine")
    config = configs.load(Config, tmp_path / "mine.toml", None)
    assert config.corpus.name == "mine" and config.corpus.frames == [corpus / "faces"]
    assert config.corpus.au is not None and config.corpus.au.test == corpus / "lists" / "one.txt"
    assert config.corpus.va is not None and config.corpus.va.train is None and config.corpus.va.test is None


def test_what_is_not_there_is_a_comment_to_fill_in(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found neither frames"):
        init.main(tmp_path, tmp_path / "mine.toml", "mine")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "train").mkdir()
    (tmp_path / "texts" / "train" / "a.txt").write_text(TASKS["au"].header + "\n")
    init.main(tmp_path / "texts", tmp_path / "mine.toml", "mine")
    text = (tmp_path / "mine.toml").read_text()
    table = tomllib.loads(text)
    assert set(table) == {"corpus", "features"} and "# [corpus.au]" in text and "not found" in text
    command = [sys.executable, "-m", "blend.run", "--task", "au", "--config", str(tmp_path / "mine.toml")]
    done = command_server.run(command, cwd=ROOT)
    assert (
        done.returncode == 2 and done.stderr.count("\n") == 1 and "corpus.frames is still the template's" in done.stderr
    )


def test_a_file_that_is_there_is_not_written_over_and_a_folder_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        init.main(tmp_path, tmp_path / "mine.toml", "mine")
    assert (tmp_path / "mine.toml").read_text() == "mine"
    with pytest.raises(InputError, match="no such folder"):
        init.main(tmp_path / "none", tmp_path / "other.toml", "mine")
    assert not (tmp_path / "other.toml").exists()
