"""The mouth and the chin, where seven of the twelve units act.

AU10 lifts the upper lip, AU12 draws the corners up and out, AU15 down, AU23 tightens the lips to a narrow red
band, AU24 presses them to a line, AU25 parts them and AU26 drops the jaw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas
from .dynamics import FaceState
from .features import MOUTH_Y, scale_colour
from .geometry import Number, Points, curve, enclose, join
from .identity import Identity


def jaw_drop(state: FaceState) -> Number:
    """How far the chin sinks, in face units, 0..0.23."""
    return 0.21 * state.au(26) + 0.02 * state.au(25)


@dataclass(frozen=True)
class MouthShape:
    """Four curves from the left corner to the right one, each [N, 7, 2] in face units, from top to bottom."""

    top: Points  # upper edge of the upper lip
    upper: Points  # lower edge of the upper lip
    lower: Points  # upper edge of the lower lip
    bottom: Points  # lower edge of the lower lip


def mouth_shape(identity: Identity, state: FaceState) -> MouthShape:
    """Lay out the lips of one frame."""
    lift, smile, sad = state.au(10), state.au(12), state.au(15)
    tight, press, part, jaw = state.au(23), state.au(24), state.au(25), state.au(26)
    way = np.array([-1.0, -0.62, -0.28, 0.0, 0.28, 0.62, 1.0])
    # The idle half of a one-sided mouth.
    side = np.where(way < 0, 1 - np.maximum(0.0, state.side), 1 + np.minimum(0.0, state.side))
    pull = smile * side
    half = 0.265 * identity.mouth_width * (1 + 0.30 * pull - 0.27 * tight - 0.10 * press + 0.06 * sad - 0.13 * jaw)
    x = way * half
    rest = MOUTH_Y * identity.mouth_height + 0.03 * press
    bend = identity.corner_rest + 0.15 * pull - 0.125 * sad
    y = rest - bend * np.abs(way) ** 1.7 + 0.025 * smile
    body = np.clip(1 - np.abs(way) ** 2.2, 0, 1)
    thin_up = (1 - 0.45 * tight - 0.80 * press - 0.28 * smile) * identity.upper_lip
    thin_low = (1 - 0.35 * tight - 0.80 * press - 0.18 * smile) * identity.lower_lip
    cupid = np.array([0, 0.62, 1.0, 0.86, 1.0, 0.62, 0])
    raised = lift * np.array([0.0, 0.085, 0.08, 0.06, 0.08, 0.085, 0.0])
    gap = (0.055 * part + 0.12 * part * lift * 0.35 + 0.03 * part * smile) * (1 - 0.9 * press)
    drop = jaw_drop(state)
    upper = y - 0.25 * gap * body - raised * 0.9
    lower = y + (0.75 * gap + drop * (0.35 + 0.65 * np.minimum(1.0, 2 * part))) * body + 0.3 * drop * (1 - body)
    upper = upper + 0.1 * drop * (1 - body)
    lower = np.maximum(lower, upper)
    top = upper - 0.068 * thin_up * cupid - 0.25 * raised
    bottom = lower + 0.085 * thin_low * np.clip(1 - np.abs(way) ** 2.6, 0, 1)
    return MouthShape(*(join(x, y) for y in (top, upper, lower, bottom)))


def draw_mouth(canvas: Canvas, identity: Identity, state: FaceState, m: MouthShape) -> None:
    """Draw the inside, the teeth and the lips."""
    tense = np.maximum(state.au(23), state.au(24))
    opening = (m.lower - m.upper)[:, 3, 1:]
    with canvas.only(opening > 0.012):
        hole = enclose(m.upper, m.lower)
        canvas.fill(hole, (26, 22, 52), smooth=False)
        teeth = np.minimum(0.075, 0.2 * opening + 0.03 * state.au(12) + 0.05 * state.au(10) + 0.01)
        edge = m.upper * [0.9, 1]
        with canvas.inside(canvas.outline(hole, smooth=False)):
            canvas.fill(enclose(edge, edge + curve((0, teeth))), (205, 218, 226), smooth=False)
            with canvas.only(opening > 0.12):
                canvas.disc(0, m.lower[:, 3, 1:], 0.15, 0.07, (85, 80, 165))
    shade = 1 - 0.16 * tense
    canvas.fill(enclose(m.top, m.upper), scale_colour(identity.lips, 0.84 * shade), smooth=False)
    canvas.fill(enclose(m.lower, m.bottom), scale_colour(identity.lips, shade), smooth=False)
    glow = m.lower[:, 2:5] * 0.45 + m.bottom[:, 2:5] * 0.55
    with canvas.only(tense < 0.5):
        canvas.stroke(glow, scale_colour(identity.lips, 1.13), 0.018)
    with canvas.only(opening <= 0.03):
        canvas.stroke(m.upper, scale_colour(identity.lips, 0.42 - 0.15 * tense), 0.016 + 0.014 * state.au(24))
    with canvas.only(state.au(23) > 0.15):  # a tightened lip shows fine upright folds
        for x in (-0.5, -0.2, 0.2, 0.5):
            at = round(3 + 3 * x)
            fold = np.stack([m.top[:, at], m.bottom[:, at]], axis=1)
            canvas.stroke(fold, scale_colour(identity.lips, 0.72), 0.008)


def line_mouth(canvas: Canvas, identity: Identity, state: FaceState, m: MouthShape) -> None:
    """Shade around the mouth: corners, the hollow under the lip, the bulges of pressed lips, the chin."""
    sad, press, tight, smile = state.au(15), state.au(24), state.au(23), state.au(12)
    drop = jaw_drop(state)
    for side, corner in ((-1, m.upper[:, :1]), (1, m.upper[:, -1:])):
        pull = smile * np.maximum(0.0, 1 - np.maximum(0.0, -side * state.side))
        fold = corner + curve((side * 0.015, -0.02 * pull), (side * 0.05, 0.035 - 0.07 * pull + 0.06 * sad))
        canvas.line(fold, 0.15 + 0.25 * pull + 0.35 * sad + 0.3 * press + 0.25 * tight, 0.024)
        # AU15 pulls a pouch down beside the chin.
        droop = corner + np.array([[side * 0.03, 0.05], [side * 0.055, 0.13], [side * 0.02, 0.20]])
        canvas.line(droop, 0.08 * identity.age + 0.30 * sad, 0.022)
        x, y = corner[:, 0, :1] + side * 0.07, corner[:, 0, 1:] + 0.02
        canvas.spot(x, y, 0.05, 0.05, -0.10 - 0.12 * pull - 0.10 * press)
    base, top = m.bottom[:, 3, 1:], m.top[:, 3, 1:]
    canvas.spot(0, base + 0.055, 0.13, 0.035, -0.20 - 0.12 * sad - 0.10 * press)
    canvas.spot(0, base + 0.17, 0.12, 0.07, 0.10 + 0.1 * sad)
    canvas.spot(0, top - 0.055, 0.03, 0.04, -0.10)
    for side in (-1, 1):  # pressed or tightened lips push the skin out above and below
        canvas.spot(side * 0.12, top - 0.05, 0.08, 0.03, 0.26 * press + 0.12 * tight)
        canvas.spot(side * 0.12, base + 0.03, 0.08, 0.03, 0.24 * press + 0.12 * tight)
        canvas.line(curve((side * 0.15, base + 0.09), (side * 0.06, base + 0.065)), 0.45 * press + 0.3 * sad, 0.02)
    for side in (-1, 1):  # hollow cheeks of an open jaw
        canvas.spot(side * 0.47, 0.45, 0.08, 0.18, np.where(drop > 0.05, -0.9 * drop, 0))
