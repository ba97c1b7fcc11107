"""Published scores against k on Aff-Wild2's validation part, to be shown beside one's own.

A. V. Savchenko, "EmotiEffNets for Facial Processing in Video-Based Valence-Arousal Prediction, Expression
Classification and Action Unit Detection" (CVPR Workshops 2023), as its public notebooks print them: means over 2k + 1
frames, everything chosen on the validation videos themselves, frames without a face left out. So they compare with
`tuned` scores, not with held-out ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Curve = dict[int, float]
"""Score at each k."""

SINGLE, BLEND = "published head", "published blend"
_AU, _EXPR, _VA = (0, 3, 5, 7, 10, 15, 20, 25, 50), (0, 5, 15, 25, 50, 100, 200), (0, 1, 10, 25, 50, 100, 200)


def _curve(ks: tuple[int, ...], *scores: float) -> Curve:
    return dict(zip(ks, scores, strict=True))


CURVES: dict[str, dict[str, Curve]] = {
    "au": {
        SINGLE: _curve(_AU, 0.5367, 0.5457, 0.5454, 0.5445, 0.5416, 0.5350, 0.5294, 0.5235, 0.5008),
        BLEND: _curve(_AU, 0.5416, 0.5528, 0.5539, 0.5536, 0.5520, 0.5486, 0.5445, 0.5398, 0.5236),
    },
    "expr": {SINGLE: _curve(_EXPR, 0.38443, 0.40042, 0.41233, 0.41831, 0.42367, 0.41975, 0.41971)},
    "va": {
        SINGLE: _curve(_VA, 0.48161, 0.4885, 0.5172, 0.5380, 0.54277, 0.5259, 0.4913),
        BLEND: _curve(_VA, 0.48987, 0.4966, 0.5253, 0.5461, 0.55017, 0.5318, 0.4952),
    },
}
"""au: EmotiEffNet MLP with tuned thresholds; with LightAutoML, weight .6, cut at .5. expr: MLP on EmotiEffNet
embeddings. va: EmotiEffNet MLP; with MT-EmotiEffNet, weight .5 (k = 0: before smoothing).
"""


VALIDATION = {"au": (105, 445_845), "expr": (70, 284_230), "va": (76, 382_021)}
"""Videos and annotated frames of Aff-Wild2's validation parts (ABAW-5), as published: with a face and without."""
NAME = re.compile(r"(\d+-\d+-\d+x\d+(-\d+)?|\d+|video\d+(_\d+)?)(_left|_right)?")
"""How Aff-Wild2's videos are called: 10-60-1280x720_right, 102, video10_1_left."""
SIZE_PATTERN = re.compile(r"\d+-\d+-\d+x\d+")
"""The form that no other corpus is known to have; a part of every official set has it."""
NEARLY = 0.01
"""Releases of the annotations differ by less, as a part of the frames."""


def curves(task: str, videos: Sequence[str], frames: int) -> dict[str, Curve]:
    """The published curves of a task where the annotated validation videos are Aff-Wild2's; else none.

    Told from the annotations: as many videos and (to 1 %) valid frames as the official part has, and names of the
    official forms. It holds no list of names, so other Aff-Wild2 videos of the same number and total length would pass
    for them; a corpus that is merely called so, a part of the official set, or another release with more videos do not.
    """
    known, annotated = VALIDATION.get(task, (0, 0))
    named = all(NAME.fullmatch(video) for video in videos) and any(SIZE_PATTERN.match(video) for video in videos)
    theirs = named and len(videos) == known and abs(frames - annotated) <= NEARLY * annotated
    return CURVES[task] if theirs else {}


DROPS = {"au": (0.05, 0.07), "expr": (0.10, 0.13), "va": (0.05, 0.05)}
"""How much lower the same systems scored on the challenge's test videos than on validation (the same paper's tables 2,
4 and 6 against 1, 3 and 5): more than chance among videos of one kind, so no interval from validation has room for it.
"""
