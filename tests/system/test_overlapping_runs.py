"""Runs of other seeds, settings and annotations in one work folder, one of them stopped wherever it is while two more
come: every folder ends with what its provenance says, to the byte.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.corpora import conftest_of
from support.sweeps import sweep

from extract.runtime import run_folder

ROOT = Path(__file__).parents[2]
SECONDS = 300.0
MOMENTS = 20
SETTINGS = """
[corpus]
name = "tiny"
frames = "frames"
[corpus.va]
train = "{annotations}/train"
val = "{annotations}/val"
test = "va/test.txt"
[features]
networks = ["net"]
engine = "openvino"
[networks.net]
path = "net.onnx"
size = 12
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
embedding = "embedding"
[heads.va]
use = ["lightgbm"]
[heads.va.lightgbm]
inputs = ["embedding"]
trees = {trees}
folds = 2
[blend.va]
trials = {trials}
fold_trials = 1
folds = 2
select_folds = 2
draws = 100
"""
RUNS = {
    "first": {"seed": 0, "annotations": "va", "trees": 3, "trials": 4},
    "second": {"seed": 1, "annotations": "others", "trees": 5, "trials": 3},
    "third": {"seed": 2, "annotations": "va", "trees": 5, "trials": 4},
}


class Runs:
    """A corpus, its three runs, what each gives undisturbed, and how to start them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tests = conftest_of("heads")
        corpus = tests.make_corpus(folder / "corpus")
        conftest_of("extract").make_network(corpus.folder / "net.onnx", size=12)
        rng = np.random.default_rng(5)
        for video in (video for videos in corpus.videos.values() for video in videos):
            (corpus.folder / "frames" / video).mkdir(parents=True)
            for number in set(range(1, corpus.frames + 1)) - corpus.missing:
                pixels = rng.integers(0, 256, (12, 12, 3), np.uint8)
                Image.fromarray(pixels).save(corpus.folder / "frames" / video / f"{number:05d}.jpg")
        for part in ("train", "val"):  # other people's annotations of the same videos
            for path in (corpus.folder / "va" / part).iterdir():
                header, *rows = path.read_text().splitlines()
                (corpus.folder / "others" / part).mkdir(parents=True, exist_ok=True)
                (corpus.folder / "others" / part / path.name).write_text("\n".join([header, *reversed(rows)]) + "\n")
        for name, run in RUNS.items():
            (corpus.folder / f"{name}.toml").write_text(SETTINGS.format(**run))
        self.corpus = corpus.folder
        self.server = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "support" / "overlapping_runs.py"],
            stdin=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        )
        self.alone = {name: folder / "alone" / name for name in RUNS}
        for name, work in self.alone.items():
            self.start(name, work, work.parent)
        self.said = {name: self.end(name, work.parent) for name, work in self.alone.items()}

    def start(self, name: str, work: Path, folder: Path, at: int = 0) -> None:
        """Start a run, to stop at a moment (0: never). What it leaves of itself is in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        order = {"name": name, "work": str(work), "folder": str(folder), "at": at, "seed": RUNS[name]["seed"]}
        order |= {"root": str(self.folder), "config": str(self.corpus / f"{name}.toml")}
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(order).encode() + b"\n")
        self.server.stdin.flush()

    def until(self, *files: Path) -> None:
        """Wait for one of these files."""
        late = time.monotonic() + SECONDS
        while not any(file.exists() for file in files):
            assert time.monotonic() < late and self.server.poll() is None, files
            time.sleep(0.01)

    def end(self, name: str, folder: Path) -> dict[str, Any]:
        """What a run says at its end."""
        self.until(folder / f"{name}.json")
        said: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        assert said["code"] == 0, (folder / f"{name}.err").read_text()
        return said


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    found = Runs(tmp_path_factory.mktemp("runs"))
    yield found
    assert found.server.stdin is not None
    found.server.stdin.close()
    found.server.wait()


def untimed(value: Any) -> Any:
    """A report without when it was made, and how long that took."""
    if isinstance(value, dict):
        return {key: untimed(part) for key, part in value.items() if key not in ("seconds", "seconds_of", "made")}
    return [*map(untimed, value)] if isinstance(value, list) else value


def content(path: Path) -> Any:
    """A file's bytes; JSON without the seconds in it."""
    return untimed(json.loads(path.read_bytes())) if path.suffix == ".json" else path.read_bytes()


def check_folders(runs: Runs, work: Path) -> set[str]:
    """Every finished folder equals that of the undisturbed run of its provenance; returns those runs."""
    (head,) = (path.name for path in (work / "heads" / "va").iterdir() if path.is_dir())
    found = set()
    for folder in (f"heads/va/{head}", f"heads/va/{head}/model", "blend/va"):
        assert run_folder.damage(work / folder) is None
        mark, files = run_folder.results(work / folder)
        known = {name: alone for name, alone in runs.alone.items() if run_folder.results(alone / folder)[0] == mark}
        (name,) = [
            name for name, alone in known.items()
            if content(alone / folder / "provenance.json") == content(work / folder / "provenance.json")
        ]  # fmt: skip
        assert files.keys() == run_folder.results(known[name] / folder)[1].keys()
        for file in files:
            assert content(work / folder / file) == content(known[name] / folder / file), (name, folder, file)
        found.add(name)
    for path in (work / "features" / "net").glob("*.safetensors"):
        assert path.read_bytes() == (runs.alone["first"] / "features" / "net" / path.name).read_bytes()
    return found


def overlap(runs: Runs, number: int) -> None:
    """The first run stops at the n-th of MOMENTS moments; the second and third come, and end or wait; all end."""
    folder = runs.folder / f"moment-{number}"
    work = folder / "work"
    at = 1 + runs.said["first"]["moments"] * (2 * number + 1) // (2 * MOMENTS)
    runs.start("first", work, folder, at)
    runs.until(folder / "first.stopped", folder / "first.json")
    assert not (folder / "first.json").exists(), "it stops before its end"
    for name in ("second", "third"):
        runs.start(name, work, folder)
        runs.until(folder / f"{name}.waits", folder / f"{name}.json")
    (folder / "first.go").touch()
    for name in RUNS:
        said = runs.end(name, folder)
        assert untimed(said["report"]) == untimed(runs.said[name]["report"]), "it returns its own results"
    check_folders(runs, work)


def test_runs_differ_and_each_alone_is_what_its_provenance_says(runs: Runs) -> None:
    scores = {name: said["report"]["heads"] for name, said in runs.said.items()}
    assert len({json.dumps(score) for score in scores.values()}) == len(RUNS)
    for name, work in runs.alone.items():
        assert check_folders(runs, work) == {name}


@pytest.mark.parametrize("number", sweep([3, 16], [3]))
def test_runs_that_overlap_leave_what_provenance_says(runs: Runs, number: int) -> None:
    overlap(runs, number)


@pytest.mark.slow
def test_runs_that_overlap_at_any_moment_leave_what_provenance_says(runs: Runs) -> None:
    for number in range(MOMENTS):
        overlap(runs, number)
