"""`init`: a corpus as the organisers hand it out is found by content, and the config it writes is taken as it is."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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


def test_the_config_is_one_that_runs_take(corpus: Path, tmp_path: Path) -> None:
    init.main(corpus, tmp_path / "mine.toml", "mine")
    config = configs.load(Config, tmp_path / "mine.toml", None)
    assert config.corpus.name == "mine" and config.corpus.frames == [corpus / "faces"]
    assert config.corpus.au is not None and config.corpus.au.test == corpus / "lists" / "one.txt"
    assert config.corpus.va is not None and config.corpus.va.train is None and config.corpus.va.test is None


def test_what_is_not_there_is_a_comment_to_fill_in(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    init.main(tmp_path / "empty", tmp_path / "mine.toml", "mine")
    text = (tmp_path / "mine.toml").read_text()
    table = tomllib.loads(text)
    assert set(table) == {"corpus", "features"} and "# [corpus.au]" in text and "not found" in text
    command = [sys.executable, "-m", "blend.run", "--task", "au", "--config", str(tmp_path / "mine.toml")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
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
