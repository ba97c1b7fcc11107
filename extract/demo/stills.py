"""Posed pictures of people outside the corpus: what the small networks learn from, as EmotiEffNet did from AffectNet.

Each picture is a still near an apex, sharper and better lit than a video frame, and the eight classes are equally
frequent: statistics unlike the corpus's, as in reality.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from . import affect
from .dynamics import PROTOTYPES, FaceState, blend_units
from .geometry import Pose
from .identity import make_identity
from .plan import NETWORK_SEEDS
from .render import Renderer

CLASSES = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
"""AffectNet's classes in the order of the networks' logits."""

BESIDE = {"AU25": (0.5, 0.9), "AU7": (0.3, 0.7), "AU10": (0.25, 0.6), "AU26": (0.15, 0.5), "AU6": (0.15, 0.6)}
"""Units that go with any expression: how often, and the most intense."""

HELD_OUT = NETWORK_SEEDS + 500_000
"""Identities from this seed on are never trained on."""


@dataclass(frozen=True)
class Stills:
    """Labelled pictures."""

    images: np.ndarray  # uint8 [N, 112, 112, 3], blue-green-red
    classes: np.ndarray  # int64 [N], positions in CLASSES
    affect: np.ndarray  # float32 [N, 2], valence and arousal in [-1, 1]

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.classes)


def still_class(aus: np.ndarray, side: float) -> int | None:
    """Class of one posed face, of intensities [12], by the stated rules; a one-sided raised lip corner is contempt.
    None for what AffectNet has no name for.
    """
    name = affect.EXPRESSIONS[int(affect.expression(aus[None], np.array([side]))[0])]
    if name != "Other":
        return CLASSES.index(name)
    one_sided = abs(side) > affect.MIN_ASYMMETRY and aus[affect.column("AU12")] > affect.AU_THRESHOLD
    return CLASSES.index("Contempt") if one_sided else None


def pose_face(rng: np.random.Generator, wanted: int, asymmetry: float) -> tuple[np.ndarray, float]:
    """Draw units [12] and imbalance whose class by the rules is the wanted one."""
    name = CLASSES[wanted]
    while True:
        variants = PROTOTYPES[name]
        aus = blend_units(variants[int(rng.integers(len(variants)))]) * rng.uniform(0.65, 1.1)
        aus = aus * rng.uniform(0.75, 1.2, len(aus))
        for unit, (often, most) in BESIDE.items():
            if rng.random() < often:
                aus[affect.column(unit)] = max(aus[affect.column(unit)], rng.uniform(0.1, most))
        aus = np.clip(aus, 0, 1)
        if max(aus[affect.column("AU23")], aus[affect.column("AU24")]) > 0.3:
            aus[affect.column("AU25")] = min(aus[affect.column("AU25")], 0.3)
        side = float(rng.choice([-1, 1]) * rng.uniform(0.75, 1.0)) if name == "Contempt" else asymmetry
        if still_class(aus, side) == wanted:
            return aus, side


def photograph(rng: np.random.Generator, aus: np.ndarray, side: float, roughness: float) -> FaceState:
    """Put a posed face before the camera: pose, light, focus. Roughness 1 is a studio, 2 a street."""
    return FaceState(
        aus=tuple(float(a) for a in aus),
        side=side,
        gaze=(float(rng.normal(0, 0.25)), float(rng.normal(0, 0.15))),
        pose=Pose(
            yaw=float(np.clip(rng.normal(0, 0.13), -0.4, 0.4)),
            pitch=float(np.clip(rng.normal(0, 0.05), -0.2, 0.2)),
            roll=float(np.clip(rng.normal(0, 0.04), -0.15, 0.15)),
            scale=float(rng.uniform(0.94, 1.06)),
            dx=float(rng.normal(0, 0.025)),
            dy=float(rng.normal(0, 0.025)),
        ),
        light_angle=float(rng.uniform(-np.pi, 0)),
        light_strength=float(rng.uniform(0.05, 0.35)),
        exposure=float(rng.uniform(0.85, 1.12)),
        warmth=float(rng.normal(0, 0.3)),
        blur=float(rng.uniform(0.0, 0.45 * roughness)),
        noise=float(rng.uniform(1.0, 3.0 * roughness)),
    )


def portraits(seed: int, per_person: int, roughness: float) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """Draw one person several times: (uint8 [112, 112, 3], class, float32 [2] valence and arousal) each."""
    who = make_identity(seed)
    renderer = Renderer(who)
    rng = np.random.default_rng([0x57111, seed, per_person])
    first = int(rng.integers(len(CLASSES)))
    for i in range(per_person):
        wanted = (first + 3 * i) % len(CLASSES)
        aus, side = pose_face(rng, wanted, who.asymmetry)
        image = renderer.draw(photograph(rng, aus, side, roughness), rng)
        yield image, wanted, affect.valence_arousal(aus[None], np.array([side]))[0].astype(np.float32)


def make_stills(first: int, people: int, per_person: int, roughness: float) -> Stills:
    """Draw `per_person` pictures of each of `people` identities, seeds `first`, `first + 1`, ..."""
    drawn = [still for seed in range(first, first + people) for still in portraits(seed, per_person, roughness)]
    return Stills(*(np.stack(column) for column in zip(*drawn, strict=True)))
