"""Who: the proportions, skin, hair and age marks of one face, all drawn from a seed.

Lengths are in face units: 1 is about the distance from the bridge of the nose to the chin; x points right in the
picture, y down. Colours are blue, green, red in 0..255, as OpenCV keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

# (blue, green, red) of lit skin, from light to dark; an identity lies between two neighbours.
_SKINS = (
    (190, 208, 240),
    (164, 190, 232),
    (138, 170, 218),
    (108, 142, 196),
    (78, 110, 164),
    (58, 82, 128),
    (42, 60, 98),
)
_HAIRS = ((22, 22, 26), (30, 40, 58), (40, 62, 96), (70, 112, 160), (120, 170, 210), (40, 70, 140), (175, 178, 182))
_IRISES = ((30, 50, 80), (26, 40, 60), (150, 120, 70), (90, 130, 90), (70, 100, 120))
HAIR_STYLES = ("bald", "short", "fringe", "parted", "long", "bun")


@dataclass(frozen=True)
class Identity:
    """One person. Ratios are about 1 for the average face."""

    seed: int
    face_width: float
    jaw_width: float
    chin: float
    forehead: float
    eye_gap: float
    eye_size: float
    eye_slant: float
    brow_height: float
    brow_thickness: float
    brow_slant: float
    nose_length: float
    nose_width: float
    mouth_width: float
    mouth_height: float
    upper_lip: float
    lower_lip: float
    corner_rest: float  # resting height of the lip corners: some faces look sad or amused at rest
    lid_rest: float  # resting opening of the eyes, ratio
    age: float  # 0 young .. 1 old: depth of the lines
    beard: float  # 0 none .. 1 full
    makeup: float  # 0 none .. 1 strong: redder lips, darker lashes
    glasses: bool
    hair_style: str
    skin: Colour
    lips: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    moles: tuple[tuple[float, float, float], ...]  # x, y, radius
    asymmetry: float  # habitual imbalance of the mouth, about -0.2..0.2


def _between(rng: np.random.Generator, palette: tuple[tuple[int, ...], ...], spread: float) -> Colour:
    """Pick a colour between two neighbours of a palette and move each channel a little."""
    place = rng.uniform(0, len(palette) - 1)
    low = int(place)
    mix = np.asarray(palette[low]) * (1 - place + low) + np.asarray(palette[low + 1]) * (place - low)
    blue, green, red = np.clip(mix + rng.normal(0, spread, 3), 8, 250)
    return float(blue), float(green), float(red)


def _lips(skin: Colour, makeup: float) -> Colour:
    """Skin with less blue and green; make-up takes away more."""
    fade = np.array([0.78, 0.66, 0.95]) - makeup * np.array([0.16, 0.30, 0.0])
    blue, green, red = np.clip(np.asarray(skin) * fade, 10, 245)
    return float(blue), float(green), float(red)


def _hair(rng: np.random.Generator, age: float, dark: bool) -> Colour:
    """A colour that turns grey with age."""
    hair = _between(rng, _HAIRS[:2] if dark else _HAIRS[:6], 5)
    if age > 0.72:
        grey = rng.uniform(0.4, 1.0)
        hair = tuple(float((1 - grey) * c + grey * g) for c, g in zip(hair, _HAIRS[6], strict=True))  # type: ignore[assignment]
    return hair


def make_identity(seed: int) -> Identity:
    """Draw one person; the same seed, any integer >= 0, gives the same one."""
    rng = np.random.default_rng([0xFACE, seed])

    def ratio(spread: float) -> float:
        """Around 1, never further away than two and a half spreads."""
        return float(1 + spread * np.clip(rng.standard_normal(), -2.5, 2.5))

    skin = _between(rng, _SKINS, 4)
    age = float(rng.beta(1.3, 1.6))
    beard = float(rng.choice([0, 0, 0, 0, 0.35, 0.6, 0.9]))
    makeup = 0.0 if beard else float(rng.choice([0, 0, 0.4, 0.9]))
    dark = sum(skin) < 380  # dark skin goes with dark hair and brown eyes, mostly
    hair = _hair(rng, age, dark)
    styles = HAIR_STYLES if beard == 0 else ("bald", "short", "short", "parted", "fringe")
    moles = tuple(
        (float(rng.uniform(-0.55, 0.55)), float(rng.uniform(-0.05, 0.75)), float(rng.uniform(0.008, 0.018)))
        for _ in range(int(rng.choice([0, 0, 1, 2, 4])))
    )
    return Identity(
        seed=seed,
        face_width=ratio(0.06),
        jaw_width=ratio(0.09),
        chin=ratio(0.05),
        forehead=ratio(0.06),
        eye_gap=ratio(0.06),
        eye_size=ratio(0.09),
        eye_slant=float(rng.normal(0, 0.012)),
        brow_height=ratio(0.10),
        brow_thickness=ratio(0.22),
        brow_slant=float(rng.normal(0, 0.018)),
        nose_length=ratio(0.08),
        nose_width=ratio(0.13),
        mouth_width=ratio(0.09),
        mouth_height=ratio(0.03),
        upper_lip=ratio(0.2),
        lower_lip=ratio(0.2),
        corner_rest=float(rng.normal(0, 0.016)),
        lid_rest=ratio(0.09),
        age=age,
        beard=beard,
        makeup=makeup,
        glasses=bool(rng.random() < 0.18),
        hair_style=str(rng.choice(styles)),
        skin=skin,
        lips=_lips(skin, makeup),
        hair=hair,
        iris=_between(rng, _IRISES[:2] if dark else _IRISES, 6),
        shirt=(float(rng.uniform(20, 220)), float(rng.uniform(20, 220)), float(rng.uniform(20, 220))),
        moles=moles,
        asymmetry=float(np.clip(rng.normal(0, 0.09), -0.2, 0.2)),
    )
