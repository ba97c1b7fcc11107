"""How a face moves through a video: units rise, hold and fall; pose, gaze and light drift; something may pass by."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np

from .affect import AU_NAMES, column, wander
from .geometry import Number, Pose

_COLUMNS = {int(name[2:]): i for i, name in enumerate(AU_NAMES)}


@dataclass(frozen=True)
class Occluder:
    """Something between the face and the camera; place and size in face units, angle in radians."""

    kind: str  # "hand", "microphone" or "bar"
    x: Number
    y: Number
    size: Number
    angle: Number


@dataclass(frozen=True)
class FaceState:
    """Everything about one frame except who it is; or about many, then each number is a column [N, 1]."""

    aus: tuple[Number, ...] = (0.0,) * len(AU_NAMES)  # intensities in [0, 1], official order
    side: Number = 0.0  # imbalance of the mouth: -1 only the left corner of the picture moves, 1 only the right
    blink: Number = 0.0  # 0 open .. 1 closed
    gaze: tuple[Number, Number] = (0.0, 0.0)  # -1..1, right and down
    pose: Pose = field(default_factory=Pose)
    light_angle: Number = -2.0  # where the light comes from, radians, 0 right, -pi/2 above
    light_strength: Number = 0.2  # 0 flat .. 0.6 hard
    exposure: Number = 1.0
    warmth: Number = 0.0  # -1 blue .. 1 orange
    blur: Number = 0.0  # standard deviation, pixels of the finished picture
    noise: Number = 2.0  # standard deviation, grey levels
    occluder: Occluder | None = None

    def au(self, number: int) -> Number:
        """Return the intensity of a unit by its number: `state.au(12)`."""
        return self.aus[_COLUMNS[number]]


def stack(items: Sequence[Any]) -> Any:
    """Make one state of frames', with columns [N, 1] for numbers; what is no number is the first frame's."""
    first = items[0]
    if len(items) == 1:
        return first
    if is_dataclass(first):
        names = [f.name for f in fields(first)]
        return replace(first, **{name: stack([getattr(item, name) for item in items]) for name in names})
    if isinstance(first, tuple):
        return tuple(map(stack, zip(*items, strict=True)))
    return np.array(items)[:, None] if isinstance(first, float) else first


# Every way to play an expression: unit number -> apex intensity. "Contempt" and the rest of "Other" are below.
PROTOTYPES: dict[str, tuple[dict[int, float], ...]] = {
    "Neutral": ({}, {7: 0.3}, {10: 0.2}),
    "Anger": ({4: 0.9, 7: 0.8, 23: 0.7}, {4: 0.85, 7: 0.6, 24: 0.8}, {4: 0.95, 7: 0.85, 23: 0.5, 25: 0.6}),
    "Disgust": ({10: 0.95, 4: 0.75, 7: 0.6}, {10: 0.85, 4: 0.65, 6: 0.5, 7: 0.6, 25: 0.5}),
    "Fear": ({1: 0.9, 2: 0.7, 4: 0.7, 25: 0.8}, {1: 0.85, 2: 0.75, 4: 0.75, 25: 0.8, 26: 0.5}),
    "Happiness": (
        {6: 0.7, 12: 0.85, 25: 0.7},
        {6: 0.6, 12: 0.7, 10: 0.5},
        {6: 0.9, 7: 0.5, 10: 0.45, 12: 0.95, 25: 0.9},
    ),
    "Sadness": ({1: 0.75, 4: 0.7}, {1: 0.7, 4: 0.75, 7: 0.45}, {1: 0.8, 4: 0.6, 15: 0.8}),
    "Surprise": ({1: 0.9, 2: 0.9, 25: 0.8, 26: 0.7}, {1: 0.85, 2: 0.8, 25: 0.6}, {1: 0.95, 2: 0.95, 25: 1.0, 26: 1.0}),
    "Other": (
        {10: 0.65, 7: 0.5},
        {6: 0.6, 7: 0.75, 10: 0.6},
        {10: 0.75, 25: 0.7},
        {6: 0.65, 7: 0.6},
        {23: 0.75, 7: 0.4},
        {15: 0.7, 24: 0.7},
        {6: 0.5, 10: 0.7, 7: 0.6, 25: 0.6},
        {24: 0.8, 10: 0.3},
    ),
    "Contempt": ({12: 0.85}, {12: 0.75, 7: 0.35}, {12: 0.9, 10: 0.3}),
}


def blend_units(units: dict[int, float]) -> np.ndarray:
    """Turn {unit number: intensity} into intensities [12] in the official order."""
    out = np.zeros(len(AU_NAMES))
    for number, value in units.items():
        out[column(f"AU{number}")] = value
    return out


def smoothstep(x: np.ndarray) -> np.ndarray:
    """Rise from 0 to 1 between x = 0 and x = 1 with no corner at either end."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def drift(rng: np.random.Generator, frames: int, width: int, memory: float, soften: int = 9) -> np.ndarray:
    """Slow movement with no jerks: `wander` of unit spread, averaged over `soften` frames; [N, width]."""
    window = np.hanning(soften + 2)[1:-1]
    rough = wander(rng, frames + soften - 1, width, 1.0, memory)
    return np.stack([np.convolve(track, window / window.sum(), mode="valid") for track in rough.T], axis=1)


def time_course(frames: int, onset: float, apex: float, offset: float, end: float) -> np.ndarray:
    """One unit's course, [frames] in [0, 1]: rises from `onset` to `apex`, holds, falls from `offset` to `end`."""
    t = np.arange(frames, dtype=np.float64)
    up = smoothstep((t - onset) / max(apex - onset, 1e-6))
    return up * (1 - smoothstep((t - offset) / max(end - offset, 1e-6)))


@dataclass(frozen=True)
class Tracks:
    """A whole video's motion: one array per quantity, one row per frame."""

    aus: np.ndarray  # [N, 12]
    side: np.ndarray  # [N]
    states: tuple[FaceState, ...]


def play(
    rng: np.random.Generator, frames: int, episodes: Sequence[str], asymmetry: float
) -> tuple[np.ndarray, np.ndarray]:
    """Play expressions one after the other over talking lips, narrowed eyes and other habits: intensities [frames, 12]
    in [0, 1] and imbalance of the mouth [frames] in [-1, 1].

    `episodes` are names of `PROTOTYPES`, in order, with "/2" behind for a given variant; calm ones and smiles last
    longest. `asymmetry` is the habitual imbalance of this person's mouth.
    """
    cards = [name.partition("/") for name in episodes]
    long = {"Neutral": 1.0, "Happiness": 1.15, "Sadness": 0.9, "Surprise": 0.95, "Other": 1.1}
    weights = np.array([long.get(name, 0.6) for name, _, _ in cards]) * rng.uniform(0.85, 1.15, len(episodes))
    edges = np.concatenate([[0], np.cumsum(weights) / weights.sum()]) * frames
    aus = np.zeros((frames, len(AU_NAMES)))
    side = np.full(frames, asymmetry)
    for (name, _, choice), start, end in zip(cards, edges[:-1], edges[1:], strict=True):
        variants = PROTOTYPES[name]
        variant = int(rng.integers(len(variants)))
        apex_values = blend_units(variants[int(choice) if choice else variant]) * rng.uniform(0.85, 1.1)
        for unit in np.flatnonzero(apex_values):
            rise, fall = rng.uniform(4, 11), rng.uniform(6, 14)
            first = start + rng.uniform(-2, 5)
            course = time_course(frames, first, first + rise, end - fall, end + rng.uniform(-3, 4))
            aus[:, unit] = np.maximum(aus[:, unit], course * apex_values[unit])
        if name == "Contempt":
            way = 1.0 if rng.random() < 0.5 else -1.0
            side += (way - asymmetry) * time_course(frames, start - 4, start, end + 1, end + 5)
    aus = _habits(rng, aus)
    aus *= 1 + wander(rng, frames, aus.shape[1], scale=0.08, memory=12)
    return np.clip(aus, 0, 1), np.clip(side, -1, 1)


def _habits(rng: np.random.Generator, aus: np.ndarray) -> np.ndarray:
    """Add what faces do besides the expression: talk, squint, lift the lip a little, twitch a brow."""
    frames = len(aus)
    slow = drift(rng, frames, 3, memory=35)
    beat = 1.4 * drift(rng, frames, 1, memory=3, soften=3)[:, 0]
    talking = smoothstep((slow[:, 0] + rng.normal(0.6, 0.4)) * 2)
    lips = talking * np.clip(0.6 + 0.22 * beat, 0, 1)
    squint = smoothstep((slow[:, 1] + rng.normal(-0.4, 0.5)) * 1.5) * 0.65
    lift = smoothstep((slow[:, 2] + rng.normal(-0.75, 0.5)) * 1.5) * 0.55
    jaw = talking * np.clip(0.3 * beat - 0.05, 0, 0.35)
    # Nobody talks with pressed lips: tight lips close the mouth.
    tight = np.clip(1.4 * np.maximum(aus[:, column("AU24")], 0.6 * aus[:, column("AU23")]), 0, 1)
    courses = {"AU25": lips * (1 - tight), "AU7": squint, "AU10": lift * (1 - tight), "AU26": jaw * (1 - tight)}
    for name, course in courses.items():
        aus[:, column(name)] = np.maximum(aus[:, column(name)], course)
    return aus


def _occluder_course(rng: np.random.Generator, frames: int) -> list[Occluder | None]:
    """Let something pass before the face for 15 to 40 frames, or stay away."""
    start, length = int(rng.integers(0, frames)), int(rng.integers(15, 41))
    kind = str(rng.choice(["hand", "microphone", "bar"]))
    x = rng.uniform(-0.6, 0.6) + rng.choice([-1, 1]) * np.linspace(1.2, -0.1, length) ** 2
    y, size, angle = rng.uniform(0.45, 0.95), rng.uniform(0.8, 1.2), rng.uniform(-0.5, 0.5)
    out: list[Occluder | None] = [None] * frames
    for i in range(start, min(start + length, frames)):
        out[i] = Occluder(kind, float(x[i - start]), float(y), float(size), float(angle))
    return out


def _blinks(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Close the eyes for about five frames every 50 to 120; [N] in [0, 1]."""
    out = np.zeros(frames)
    at = rng.uniform(5, 60)
    while at < frames:
        out = np.maximum(out, time_course(frames, at, at + 2, at + 2, at + 5))
        at += rng.uniform(50, 120)
    return out


def animate(
    rng: np.random.Generator, frames: int, episodes: Sequence[str], asymmetry: float = 0.0, occluded: bool = False
) -> Tracks:
    """Make a video's motion; arguments as of `play`, `occluded`: something passes before the face once.

    The same state of `rng` gives the same motion.
    """
    aus, side = play(rng, frames, episodes, asymmetry)
    yaw, pitch, roll, scale, dx, dy, gaze_x, gaze_y = drift(rng, frames, 8, memory=45).T
    bias = rng.standard_normal(3)
    light, exposure, warmth = drift(rng, frames, 3, memory=90).T
    angle, strength = rng.uniform(-np.pi, 0), rng.uniform(0.1, 0.5)
    base_exposure, base_warmth = rng.uniform(0.8, 1.12), rng.normal(0, 0.5)
    blink = _blinks(rng, frames)
    # Compression and focus come in waves; a fast head adds motion blur.
    speed = np.abs(np.gradient(yaw)) + np.abs(np.gradient(pitch))
    base_blur, base_noise = rng.uniform(0.2, 0.7), rng.uniform(2, 7)
    blur = np.clip(base_blur * (1 + 0.5 * wander(rng, frames, 1, 1.0, 6)[:, 0]) + 4 * speed, 0, 2.2)
    noise = np.clip(base_noise * (1 + 0.2 * wander(rng, frames, 1, 1.0, 6)[:, 0]), 1, 14)
    occluders = _occluder_course(rng, frames) if occluded else [None] * frames
    poses = zip(
        np.clip(0.13 * bias[0] + 0.14 * yaw, -0.5, 0.5).tolist(),
        np.clip(0.05 * bias[1] + 0.07 * pitch, -0.25, 0.25).tolist(),
        np.clip(0.03 * bias[2] + 0.04 * roll, -0.2, 0.2).tolist(),
        (1 + 0.03 * np.clip(scale, -2, 2)).tolist(),
        (0.03 * np.clip(dx, -2, 2)).tolist(),
        (0.03 * np.clip(dy, -2, 2)).tolist(),
        strict=True,
    )
    courses = {
        "aus": map(tuple, aus.tolist()),
        "side": side.tolist(),
        "blink": blink.tolist(),
        "gaze": zip(np.tanh(gaze_x * 0.6).tolist(), np.tanh(gaze_y * 0.4).tolist(), strict=True),
        "pose": itertools.starmap(Pose, poses),
        "light_angle": (angle + 0.3 * light).tolist(),
        "light_strength": [float(strength)] * frames,
        "exposure": np.clip(base_exposure + 0.06 * exposure, 0.5, 1.3).tolist(),
        "warmth": np.clip(base_warmth + 0.15 * warmth, -1, 1).tolist(),
        "blur": blur.tolist(),
        "noise": noise.tolist(),
        "occluder": occluders,
    }
    states = tuple(FaceState(**dict(zip(courses, row, strict=True))) for row in zip(*courses.values(), strict=True))
    return Tracks(aus=aus, side=side, states=states)
