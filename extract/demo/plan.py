"""The demo's cast list: which videos there are, in which part, who plays what, and what is wrong with each.

A video is a pure function of the seed and its name, so it can be rendered alone, in any order, by any process.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from . import affect
from .dynamics import PROTOTYPES, Tracks, animate
from .identity import Identity, make_identity

SEED = 2
"""Seed of the shipped corpus."""

TASKS = ("au", "expr", "va")
PARTS = ("train", "val", "test")

NETWORK_SEEDS = 1_000_000
"""Identities from this seed on belong to the networks' training pictures; the corpus uses smaller ones only."""


@dataclass(frozen=True)
class DemoVideo:
    """Facts of one video. Gaps are half-open stretches of 0-based frames without a face."""

    name: str
    part: str  # train, val or test
    frames: int
    tasks: tuple[str, ...] = TASKS  # who annotated it
    gaps: tuple[tuple[int, int], ...] = ()
    is_occluded: bool = False
    unlabelled_share: float = 0.0  # share of frames nobody labelled


_NAMES = [f"demo-{i:02d}" for i in range(1, 13)] + ["demo-13_left", "demo-13_right"]
_NAMES += [f"demo-{i:02d}" for i in range(14, 28)]

_TRAIN_LENGTHS = [214, 180, 240, 203, 265, 190, 231, 172, 300, 208, 222, 156, 240, 240]
_VAL_LENGTHS = [217, 243, 188, 262, 224, 199, 210]
_TEST_LENGTHS = [236, 205, 260, 190, 227, 179, 252]
_LENGTHS = [*_TRAIN_LENGTHS, *_VAL_LENGTHS, *_TEST_LENGTHS]

# What real corpora have: faces lost for a while, tasks that skipped a video, stretches without labels.
_SPECIAL: dict[str, dict[str, object]] = {
    "demo-02": {"tasks": ("expr", "va"), "gaps": ((60, 63),)},
    "demo-03": {"gaps": ((0, 7), (231, 240)), "unlabelled_share": 0.05},
    "demo-05": {"tasks": ("au", "va"), "unlabelled_share": 0.04},
    "demo-07": {"is_occluded": True, "gaps": ((118, 131),)},
    "demo-09": {"tasks": ("au", "expr"), "gaps": ((20, 22), (150, 151), (260, 268))},
    "demo-11": {"unlabelled_share": 0.10, "is_occluded": True},
    "demo-13_left": {"gaps": ((100, 112),)},
    "demo-13_right": {"gaps": ((40, 44), (180, 200)), "unlabelled_share": 0.03},
    "demo-15": {"is_occluded": True, "unlabelled_share": 0.05},
    "demo-16": {"gaps": ((88, 104),)},
    "demo-18": {"tasks": ("au", "va"), "gaps": ((0, 2),)},
    "demo-19": {"unlabelled_share": 0.06, "gaps": ((150, 153),)},
    "demo-22": {"tasks": ("au", "expr"), "is_occluded": True, "gaps": ((200, 205),)},
    "demo-23": {"gaps": ((12, 60), (75, 81), (120, 170), (205, 215))},
    "demo-25": {"unlabelled_share": 0.05, "gaps": ((0, 3),)},
    "demo-26": {"tasks": ("au", "va"), "unlabelled_share": 0.02},
    "demo-27": {"is_occluded": True, "gaps": ((244, 252),)},
}


def _cast() -> tuple[DemoVideo, ...]:
    """Put the table together: 14 videos to train on, 7 to validate, 7 to test."""
    parts = ["train"] * 14 + ["val"] * 7 + ["test"] * 7
    plain = [DemoVideo(*row) for row in zip(_NAMES, parts, _LENGTHS, strict=True)]
    return tuple(replace(video, **_SPECIAL.get(video.name, {})) for video in plain)  # type: ignore[arg-type]


DEMO_VIDEOS = _cast()
"""All videos, in order."""

# How often each expression is played in every seven videos, five episodes a video. The variants of an expression take
# turns, so that every part of the corpus sees every class and every unit, the rare ones in two videos or so.
_PLAYED = dict(Neutral=8, Happiness=7, Sadness=4, Surprise=2, Anger=2, Disgust=2, Fear=2, Other=7, Contempt=1)
_DECK = [f"{name}/{i % len(PROTOTYPES[name])}" for name, times in _PLAYED.items() for i in range(times)]
_EPISODES = 5


def video(name: str) -> DemoVideo:
    """Find a video by its name; raises KeyError listing what there is."""
    for row in DEMO_VIDEOS:
        if row.name == name:
            return row
    raise KeyError(f"no demo video {name!r}; there are {[row.name for row in DEMO_VIDEOS]}")


def episodes(seed: int, name: str) -> list[str]:
    """What a video plays: a hand of five from its part's shuffled deck, so that every part sees every class."""
    row = video(name)
    mates = [other.name for other in DEMO_VIDEOS if other.part == row.part]
    group, place = divmod(mates.index(name), 7)
    rng = np.random.default_rng([seed, PARTS.index(row.part), group])
    deck = list(rng.permutation(_DECK))
    return [str(card) for card in deck[place * _EPISODES : (place + 1) * _EPISODES]]


def stream(seed: int, name: str, purpose: str) -> np.random.Generator:
    """Randomness for one purpose in one video, independent of every other."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), zlib.crc32(purpose.encode())])


def identity(seed: int, name: str) -> Identity:
    """The person in a video; both halves of a `_left` / `_right` pair are different people."""
    return make_identity(int(stream(seed, name, "identity").integers(NETWORK_SEEDS)))


@lru_cache(maxsize=len(DEMO_VIDEOS))
def motion(seed: int, name: str) -> Tracks:
    """How the person in a video moves; kept, as each task's annotations are made of it."""
    row, plays, rng = video(name), episodes(seed, name), stream(seed, name, "motion")
    return animate(rng, row.frames, plays, identity(seed, name).asymmetry, row.is_occluded)


def has_face(row: DemoVideo) -> np.ndarray:
    """bool [frames], False where the detector found nobody and the file is missing."""
    out = np.ones(row.frames, dtype=bool)
    for start, stop in row.gaps:
        out[start:stop] = False
    return out


def annotation(seed: int, name: str, task: str) -> np.ndarray:
    """The annotator's file of one video, a row per frame: "au" int64 [N, 12] of 0, 1, -1; "expr" int64 [N, 1] of 0..7,
    -1; "va" float64 [N, 2] in [-1, 1] or -5.

    Unlabelled rows hold -1, or -5 for "va". In one part in five of the frames without a face the annotator could tell
    nothing either.
    """
    row, tracks = video(name), motion(seed, name)
    rng = stream(seed, name, task)
    if task == "au":
        values = affect.annotate_units(rng, tracks.aus).astype(np.float64)
    elif task == "expr":
        values = affect.annotate_expression(rng, tracks.aus, tracks.side)[:, None].astype(np.float64)
    elif task == "va":
        values = affect.annotate_affect(rng, tracks.aus, tracks.side)
    else:
        raise ValueError(f"got task {task!r}, expected one of {TASKS}")
    missing = affect.unlabelled_frames(rng, row.frames, row.unlabelled_share)
    missing |= ~has_face(row) & (rng.random(row.frames) < 0.2)
    values[missing] = affect.UNLABELLED_AFFECT if task == "va" else affect.UNLABELLED_CLASS
    return values if task == "va" else values.astype(np.int64)
