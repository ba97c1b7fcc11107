"""Published scores against k on Aff-Wild2's validation part, to be shown beside one's own.

A. V. Savchenko, "EmotiEffNets for Facial Processing in Video-Based Valence-Arousal Prediction, Expression
Classification and Action Unit Detection" (CVPR Workshops 2023), as its public notebooks print them: means over 2k + 1
frames, everything chosen on the validation videos themselves, frames without a face left out. So they compare with
`tuned` scores, not with held-out ones.
"""

from __future__ import annotations

import re

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


def curves(corpus: str, task: str) -> dict[str, Curve]:
    """The published curves of a task where the corpus is Aff-Wild2, by its name; else none."""
    name = re.sub(r"[^a-z0-9]", "", corpus.lower())
    return CURVES[task] if "affwild2" in name else {}
