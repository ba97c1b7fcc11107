"""Eyes, brows, nose and mouth, and what each action unit does to them.

Face units: x right, y down, the bridge of the nose near (0, -0.2), the chin near (0, 0.95).
"""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .dynamics import FaceState
from .geometry import Number, Points, curve, enclose, join, row
from .identity import Colour, Identity

EYE_Y = -0.20
NOSE_Y = 0.24
MOUTH_Y = 0.53


def scale_colour(colour: Colour, factor: Number) -> Colour:
    """Make a colour lighter or darker."""
    least = np.minimum if isinstance(factor, np.ndarray) else min
    blue, green, red = (least(c * factor, 255.0) for c in colour)
    return blue, green, red


def eye_opening(identity: Identity, state: FaceState) -> tuple[Number, Number]:
    """Height of the opening above and below the line of the eye corners, in face units, never negative.

    Raised brows (AU1, AU2) widen the eyes, AU7 tightens both lids, AU6 pushes the lower lid up,
    AU4 weighs on the upper.
    """
    rest = identity.eye_size * identity.lid_rest
    wide = 1 + 0.22 * state.au(1) + 0.38 * state.au(2) - 0.16 * state.au(4) - 0.48 * state.au(7) - 0.12 * state.au(6)
    low = 1 + 0.15 * state.au(2) - 0.75 * state.au(7) - 0.65 * state.au(6)
    closed = 1 - state.blink
    lower = 0.055 * rest * np.maximum(low, 0.05) * closed - 0.01 * state.blink
    return np.maximum(0.092 * rest * wide * closed, 0.0), np.maximum(lower, 0.0)


def draw_eye(canvas: Canvas, identity: Identity, state: FaceState, way: int) -> None:
    """Draw one eye; `way` is -1 for the left of the picture, 1 for the right."""
    centre, half = 0.365 * identity.eye_gap, 0.165 * identity.eye_size
    up, low = eye_opening(identity, state)
    tilt = identity.eye_slant
    x = np.array([-1.0, -0.55, 0.0, 0.55, 1.0]) * half  # from the inner corner outwards
    upper = join(way * (centre + x), EYE_Y - tilt * x / half - up * np.array([0, 0.78, 1.0, 0.8, 0.0]))
    lower = join(way * (centre + x), EYE_Y - tilt * x / half + low * np.array([0, 0.7, 1.0, 0.9, 0.0]))
    opening = enclose(upper, lower)
    with canvas.only(up + low > 0.012):
        px, py = way * centre + 0.06 * state.gaze[0], EYE_Y - 0.015 + 0.02 * state.gaze[1]
        radius = 0.078 * identity.eye_size**0.5
        with canvas.inside(canvas.outline(opening, smooth=False)):
            canvas.fill(opening, (222, 226, 232), smooth=False)
            canvas.disc(px, py, radius, radius, scale_colour(identity.iris, 0.45))
            canvas.disc(px, py, radius * 0.84, radius * 0.84, scale_colour(identity.iris, 1.25))
            canvas.disc(px, py, radius * 0.46, radius * 0.46, (12, 12, 12))
            canvas.disc(px + 0.025, py - 0.03, 0.018, 0.018, (250, 250, 250))
            canvas.stroke(upper + np.array([0, 0.012]), (90, 95, 105), 0.02)  # the shadow of the lid on the ball
    lash = scale_colour(identity.hair, 0.45) if identity.makeup else scale_colour(identity.skin, 0.3)
    canvas.stroke(upper, lash, 0.022 + 0.016 * identity.makeup)
    canvas.stroke(lower, scale_colour(identity.skin, 0.58), 0.01)


def line_eye(canvas: Canvas, identity: Identity, state: FaceState, way: int) -> None:
    """Shade the skin around one eye: socket, lid crease, pouch, cheek and crow's feet."""
    centre, half = 0.365 * identity.eye_gap, 0.165 * identity.eye_size
    up, low = eye_opening(identity, state)
    cheek, squint, age = state.au(6), state.au(7), identity.age
    crease_y = EYE_Y - np.maximum(up, 0.02) - 0.045 + 0.012 * squint
    x = np.array([-0.8, -0.3, 0.3, 0.95]) * half
    crease = join(way * (centre + x), crease_y + np.array([0.03, 0, 0, 0.035]))
    canvas.line(crease, 0.35 + 0.2 * age + 0.15 * squint, 0.014)
    canvas.spot(way * (centre - 0.10), EYE_Y - 0.05, 0.10, 0.09, -0.16 - 0.08 * state.au(4))
    canvas.spot(way * centre, EYE_Y - 0.13, 0.16, 0.05, 0.06)
    # AU7 bunches the lower lid, AU6 lifts the whole cheek up to it and folds the outer corner.
    x = way * (centre + np.array([-0.9, 0, 0.9]) * half)
    pouch = join(x, EYE_Y + low + np.array([0.045, 0.065, 0.03]))
    canvas.line(pouch, 0.16 + 0.25 * age + 0.45 * squint + 0.5 * cheek, 0.016)
    canvas.spot(way * (centre + 0.06), 0.13 - 0.13 * cheek, 0.15, 0.10, 0.05 + 0.28 * cheek)
    canvas.spot(way * (centre + 0.08), 0.30 - 0.08 * cheek, 0.17, 0.07, -0.04 - 0.16 * cheek)
    feet = 0.12 * max(age - 0.4, 0) + 0.6 * cheek + 0.1 * squint
    for slope in (-0.09, -0.02, 0.06):
        outer = np.array([[centre + half + 0.03, EYE_Y + slope * 0.5], [centre + half + 0.14, EYE_Y + slope * 1.7]])
        canvas.line(outer * [way, 1], feet, 0.013)


def brow_curve(identity: Identity, state: FaceState, way: int) -> Points:
    """Middle line of one brow [N, 4, 2], inner end first.

    AU1 lifts the inner end, AU2 the outer; AU4 lowers both brows and gathers them.
    """
    item, two, four = state.au(1), state.au(2), state.au(4)
    gap = identity.eye_gap
    x = row(0.155 * gap - 0.05 * four + 0.012 * item, 0.30 * gap, 0.46 * gap, 0.60 * gap)
    rest = -0.405 - 0.05 * (identity.brow_height - 1) * 4 + np.array([0.02, -0.02, -0.03, 0.035])
    rest = rest + identity.brow_slant * np.array([1, 0.3, -0.3, -1])
    lift = item * np.array([0.15, 0.085, 0.01, 0.0]) + two * np.array([0.01, 0.06, 0.13, 0.12])
    drop = four * np.array([0.125, 0.09, 0.05, 0.02]) * (1 - 0.55 * np.maximum(item, two))
    return join(way * x, rest - lift + drop)


def draw_brow(canvas: Canvas, identity: Identity, state: FaceState, way: int) -> None:
    """Draw one brow as a tapered band of hair."""
    middle = brow_curve(identity, state, way)
    thick = 0.036 * identity.brow_thickness * np.array([0.8, 1.1, 0.9, 0.25])[:, None]
    band = enclose(middle - thick * [0, 1], middle + thick * [0, 1])
    strength = 0.82 if sum(identity.hair) < 380 else 0.6
    canvas.tint(canvas.outline(band, smooth=False), scale_colour(identity.hair, 0.75), strength, soften=3)


def line_brow(canvas: Canvas, identity: Identity, state: FaceState) -> None:
    """Wrinkle the forehead (AU1 in the middle, AU2 at the sides) and furrow between the brows (AU4)."""
    item, two, four, age = state.au(1), state.au(2), state.au(4), identity.age
    for number, y in enumerate((-0.60, -0.69, -0.78)):
        fade = 1 - 0.25 * number
        rest = 0.3 * max(age - 0.35, 0)
        middle = curve((-0.22, y + 0.015), (0, y - 0.02 * item), (0.22, y + 0.015))
        canvas.line(middle, fade * (rest + 0.6 * item), 0.018)
        for way in (-1, 1):
            side = np.array([[0.24, y + 0.01], [0.38, y - 0.015], [0.52, y + 0.04]]) * [way, 1]
            canvas.line(side, fade * (0.8 * rest + 0.6 * two), 0.018)
    for way in (-1, 1):
        inner = brow_curve(identity, state, way)[:, :1]
        fold = inner + np.array([[-way * 0.055, -0.06], [-way * 0.07, 0.09]])
        canvas.line(fold, 0.12 * age + 0.8 * four, 0.022)
    canvas.spot(0, -0.40 + 0.03 * four, 0.07, 0.08, -0.22 * four)


def draw_nose(canvas: Canvas, identity: Identity, state: FaceState) -> None:
    """Draw the nostrils; AU10 lifts and widens them a little."""
    lip = state.au(10)
    width, y = 0.105 * identity.nose_width * (1 + 0.15 * lip), NOSE_Y * identity.nose_length + 0.035 - 0.035 * lip
    for way in (-1, 1):
        canvas.disc(
            way * width * 0.62, y, 0.036 * identity.nose_width, 0.017, scale_colour(identity.skin, 0.33), lift=0.10
        )


def line_nose(canvas: Canvas, identity: Identity, state: FaceState) -> None:
    """Model the nose in light and shade, wrinkle its root with AU10 and AU4 together, and fold the cheeks."""
    lip, smile, cheek, frown = state.au(10), state.au(12), state.au(6), state.au(4)
    tip = NOSE_Y * identity.nose_length
    wide = identity.nose_width
    canvas.spot(0.0, -0.08, 0.035, 0.17, 0.14)
    canvas.spot(0.0, tip - 0.04, 0.06, 0.05, 0.2)
    canvas.spot(0.0, tip + 0.10, 0.09, 0.035, -0.2)
    for way in (-1, 1):
        canvas.spot(way * 0.10 * wide, -0.04, 0.035, 0.16, -0.13)
        y = tip - 0.035 * lip
        wing = curve((0.10, y - 0.075), (0.155 + 0.02 * lip, y - 0.01), (0.135, y + 0.05)) * [way * wide, 1]
        canvas.line(wing, 0.5 + 0.35 * lip, 0.02, lift=0.06)
        bunch = np.array([[0.03, -0.16], [0.09, -0.12], [0.12, -0.07]]) * [way, 1]
        canvas.line(bunch, 0.75 * np.minimum(lip, 0.4 + frown) * lip, 0.016, lift=0.08)
        canvas.line(bunch + np.array([0, 0.06]), 0.6 * lip * lip, 0.016, lift=0.08)
        # The fold from the wing of the nose: AU10 makes it deep and square at the top, AU12 draws it round the mouth.
        pull = smile * np.maximum(0.0, 1 - np.maximum(0.0, -way * state.side))
        depth = 0.08 + 0.24 * identity.age + 0.36 * lip + 0.33 * pull + 0.12 * cheek
        side = (0.27 + 0.05 * lip + 0.07 * pull, y + 0.06 - 0.03 * lip)
        fold = curve((0.17 * wide, y - 0.03), side, (0.35 + 0.12 * pull, MOUTH_Y - 0.06))
        canvas.line(fold * [way, 1], np.minimum(depth, 0.6), 0.026)
        canvas.spot(way * (0.30 + 0.06 * pull), y + 0.03, 0.09, 0.07, 0.16 * lip + 0.14 * pull)
