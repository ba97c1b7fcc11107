"""A tiny corpus of all three tasks: annotations, test lists and a feature store that the labels can be read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from extract.features import store
from heads.abaw.tasks import TASKS

EMBEDDING = 12
NETWORKS = {"one": ("embedding", "logits"), "two": ("embedding", "logits", "va")}
SPLITS = {"train": [f"t{i}" for i in range(6)], "val": ["v0", "v1"], "test": ["x0", "x1_left"]}
FRAMES = 40
MISSING = frozenset({3, 17, 18, FRAMES})
"""Frames without a face, in every video."""


@dataclass(frozen=True)
class Corpus:
    """Where the tiny corpus lies."""

    folder: Path
    work: Path
    videos: dict[str, list[str]] = field(default_factory=lambda: SPLITS)
    frames: int = FRAMES
    missing: frozenset[int] = MISSING

    def toml(self, extra: str = "", networks: str = '["one", "two"]') -> Path:
        """Write a config of the corpus, with `extra` behind it."""
        sections = "".join(
            f'[corpus.{task}]\ntrain = "{task}/train"\nval = "{task}/val"\ntest = "{task}/test.txt"\n' for task in TASKS
        )
        path = self.folder / "corpus.toml"
        path.write_text(f'[corpus]\nname = "tiny"\n{sections}[features]\nnetworks = {networks}\n{extra}')
        return path


def make_corpus(folder: Path, seed: int = 0) -> Corpus:
    """Write the corpus: 40 frames a video, of which four have no face and some no annotation."""
    rng = np.random.default_rng(seed)
    corpus = Corpus(folder, folder / "work")
    mixing = {network: rng.normal(size=(4, EMBEDDING)) for network in NETWORKS}
    for part, videos in SPLITS.items():
        for video in videos:
            state = np.cumsum(rng.normal(size=(FRAMES, 4)), 0)
            state = 0.6 * state / state.std(0) + 0.8 * rng.normal(size=4)
            if part != "test":
                for task in TASKS:
                    write_annotation(folder / task / part / f"{video}.txt", task, state, rng)
            for network, kinds in NETWORKS.items():
                write_features(corpus.work, network, video, kinds, state @ mixing[network], state, rng)
    for task in TASKS.values():
        lines = [f"{v}/{f:05d}.jpg," for v in SPLITS["test"] for f in range(1, FRAMES + 1)]
        (folder / task.name / "test.txt").write_text("\n".join([f"image_location,{task.header}", *lines]) + "\n")
    return corpus


def write_annotation(path: Path, task: str, state: np.ndarray, rng: np.random.Generator) -> None:
    """Labels that follow from the state, with every ninth frame not annotated."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if task == "au":
        rows = (
            state[:, np.arange(12) % 4] + 0.3 * rng.normal(size=(len(state), 12)) > np.linspace(-0.5, 1.2, 12)
        ).astype(int)
        lines = [",".join(map(str, row)) for row in rows]
    elif task == "expr":
        lines = [str(c) for c in np.clip(np.digitize(state[:, 0], [-1.5, -1, -0.5, 0, 0.5, 1, 1.5]), 0, 7)]
    else:
        lines = [f"{v:.4f},{a:.4f}" for v, a in np.tanh(state[:, :2])]
    for i in range(4, len(lines), 9):
        lines[i] = ",".join([f"{TASKS[task].unlabelled_value:g}"] * TASKS[task].columns)
    path.write_text("\n".join([TASKS[task].header, *lines]) + "\n")


def write_features(
    work: Path,
    network: str,
    video: str,
    kinds: tuple[str, ...],
    embedding: np.ndarray,
    state: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """One network's features of a video: noisy views of the state."""
    frame = np.array([f for f in range(1, len(state) + 1) if f not in MISSING], np.int32)
    at = frame - 1
    noise = rng.normal(size=embedding.shape)
    logits = np.concatenate([state, -state], 1) + 0.3 * rng.normal(size=(len(state), 8))
    va = np.tanh(state[:, :2]) + 0.1 * rng.normal(size=(len(state), 2))
    store.write(
        store.path(work, network, video),
        store.VideoFeatures(
            frame,
            (embedding + 0.3 * noise)[at].astype(np.float16),
            logits[at].astype(np.float32),
            va[at].astype(np.float32) if "va" in kinds else None,
        ),
        {"mark": network, "pictures": str(len(frame))},
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The tiny corpus, to read only."""
    return make_corpus(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def corpus(tiny: Corpus, tmp_path: Path) -> Corpus:
    """A copy of the tiny corpus that a test may damage."""
    import shutil

    shutil.copytree(tiny.folder, tmp_path / "corpus")
    return Corpus(tmp_path / "corpus", tmp_path / "corpus" / "work")
