"""The embedded pictures of learning from synthetic data: many clean, small ones to learn from, real ones to be graded.

Two ways of drawing stand for the two sorts. "Synthetic": a studio, even light, smooth skin, 56 pixels. "Real": an odd
light, blur and noise, 112 pixels. No two pictures are of one person. As in the challenge, classes are unequally
frequent, and the folder of Anger is misspelt among the synthetic ones.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock

from .corpus import Progress, clear_other_version, encode, replace_text, run_jobs
from .identity import make_identity
from .plan import NETWORK_SEEDS, SEED
from .render import Renderer
from .stills import CLASSES, photograph, pose_face

VERSION = "demo pictures 1, seed {seed}"
"""Written into DONE. Raise the number with every change that alters a picture."""
EXPRESSIONS = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
HEADER = "image,expression"
SMALL = 56
"""Side of a synthetic picture in pixels."""
ROUGHNESS = 5.0
"""Of real pictures: 1 is a studio, 2 a street, this a poor camera in the dark."""
CHUNK = 30
"""Pictures that a process draws at a time."""


@dataclass(frozen=True)
class Subset:
    """One folder of pictures, and how many of each class it has."""

    folder: str
    counts: tuple[int, ...]
    synthetic: bool = False
    by_class: bool = True
    """Whether each class has a folder; otherwise pictures are shuffled, and called by their number."""
    first: int = 0
    """The number of its first person."""


PARTS = {
    "train": Subset("training_set_synthetic_images", (72, 60, 44, 192, 300, 60), synthetic=True),
    "val": Subset("validation_set_real_images", (44, 36, 32, 60, 48, 40), first=100_000),
    "test": Subset("lsd_test_data", (70, 60, 50, 90, 80, 70), by_class=False, first=200_000),
}
LIST = "LSD_test_set.txt"


def paths(folder: Path) -> dict:
    """Name the parts of the corpus in `folder`, whether made or not: the sections of a config, and `truth`, the test
    list with the class of each picture, for final scoring only.
    """
    folder = Path(folder)
    where = {part: folder / about.folder for part, about in PARTS.items()}
    lsd = {"train": where["train"], "val": where["val"], "test": folder / "test_set" / LIST, "pictures": where["test"]}
    return {"lsd": lsd, "truth": {"lsd": folder / "test_truth" / LIST}}


def size() -> tuple[int, int]:
    """Pictures in all, and folders."""
    return sum(sum(part.counts) for part in PARTS.values()), len(PARTS)


def is_done(folder: Path, seed: int = SEED) -> bool:
    """Whether `folder` holds all pictures of this version."""
    mark = Path(folder) / "DONE"
    return mark.is_file() and mark.read_text() == VERSION.format(seed=seed) + "\n"


def make(folder: Path, on_progress: Progress = lambda done, total: None, processes: int = 2, seed: int = SEED) -> None:
    """Draw and write whatever is missing, in so many processes; `on_progress` is told (pictures done, pictures in all).
    Of another seed all people and poses are others.

    Two callers at once are fine: the second waits, then finds all of it done.
    """
    folder = Path(folder)
    if is_done(folder, seed):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if is_done(folder, seed):
            return
        clear_other_version(folder, VERSION.format(seed=seed), [part.folder for part in PARTS.values()])
        jobs = []
        for part in PARTS:
            rows = list_pictures(seed, part)
            jobs += [(folder, seed, part, rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)]
        done = 0
        for count in run_jobs(_draw_chunk, jobs, processes):
            done += count
            on_progress(done, size()[0])
        listed = [(name, label) for name, label, _ in list_pictures(seed, "test")]
        where = paths(folder)
        for path, lines in (
            (where["lsd"]["test"], [f"{name}," for name, _ in listed]),
            (where["truth"]["lsd"], [f"{name},{label}" for name, label in listed]),
        ):
            replace_text(path, "\n".join([HEADER, *lines]) + "\n")
        replace_text(folder / "DONE", VERSION.format(seed=seed) + "\n")


def list_pictures(seed: int, part: str) -> list[tuple[str, int, int]]:
    """Of each picture of a part: its name in the part's folder, its class, and the number of its person."""
    about = PARTS[part]
    labels = np.repeat(np.arange(len(about.counts)), about.counts)
    if not about.by_class:
        labels = np.random.default_rng([seed, about.first]).permutation(labels)
        names = [f"{i}.jpg" for i in range(len(labels))]
    else:
        folders = ["ANGRER" if about.synthetic and name == "Anger" else name.upper() for name in EXPRESSIONS]
        names = [f"{folders[c]}/{i}.jpg" for c, count in enumerate(about.counts) for i in range(1, count + 1)]
    return [(name, int(label), about.first + i) for i, (name, label) in enumerate(zip(names, labels, strict=True))]


def draw(seed: int, person: int, label: int, synthetic: bool) -> np.ndarray:
    """Draw a person with an expression: uint8 [112, 112, 3], or [56, 56, 3], blue-green-red."""
    rng = np.random.default_rng([0x15D, seed, person])
    who = make_identity(int(rng.integers(NETWORK_SEEDS)))
    aus, side = pose_face(rng, CLASSES.index(EXPRESSIONS[label]), who.asymmetry)
    state = photograph(rng, aus, side, 1.0 if synthetic else ROUGHNESS)
    if not synthetic:
        return Renderer(who).draw(state, rng)
    even = replace(state, blur=0.0, noise=0.0, warmth=0.0, exposure=1.0, light_strength=0.05)
    smooth = cv2.bilateralFilter(Renderer(who).draw(even, rng), 7, 40, 5)
    return cv2.resize(smooth, (SMALL, SMALL), interpolation=cv2.INTER_AREA)


def _draw_chunk(job: tuple[Path, int, str, list[tuple[str, int, int]]]) -> int:
    """Write some pictures that are not there yet; returns how many there are."""
    folder, seed, part, rows = job
    about = PARTS[part]
    for name, label, person in rows:
        path = folder / about.folder / name
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        beside.write_bytes(encode(draw(seed, person, label, about.synthetic), path))
        os.replace(beside, path)
    return len(rows)
