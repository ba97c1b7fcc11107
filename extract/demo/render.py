"""Draw one frame: a person in a state becomes a 112 x 112 picture, blue-green-red, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import cv2
import numpy as np

from .canvas import Canvas
from .dynamics import FaceState, Occluder, stack
from .features import draw_brow, draw_eye, draw_nose, line_brow, line_eye, line_nose, scale_colour
from .geometry import CANVAS, Points, curve, mirror
from .identity import Identity
from .mouth import draw_mouth, jaw_drop, line_mouth, mouth_shape

SIZE = 112
"""Side of the picture in pixels."""


def face_outline(identity: Identity, state: FaceState) -> Points:
    """Contour of the face [N, K, 2]; the jaw follows AU26 and the cheeks AU6 and AU12."""
    wide, jaw, drop = identity.face_width, identity.jaw_width, jaw_drop(state)
    cheek = 0.025 * state.au(6) + 0.025 * state.au(12)
    chin = 0.97 * identity.chin + drop
    half = curve(
        (0.0, -1.02 * identity.forehead),
        (0.42 * wide, -0.95 * identity.forehead),
        (0.70 * wide, -0.60),
        (0.76 * wide, -0.15),
        ((0.73 + cheek) * wide, 0.22),
        (0.61 * wide * jaw, 0.58 + 0.5 * drop),
        (0.34 * wide * jaw, 0.87 * identity.chin + 0.95 * drop),
        (0.0, chin),
    )
    return mirror(half)


def _background(who: Identity) -> np.ndarray:
    """An out-of-focus room, uint8 [224, 224, 3], the same for all frames of a person."""
    rng = np.random.default_rng([0xBAC, who.seed])
    coarse = rng.uniform(30, 200) + rng.normal(0, 28, (5, 5, 1)) + rng.normal(0, 16, (5, 5, 3))
    small = np.clip(coarse, 5, 250).astype(np.float32)
    return np.clip(cv2.resize(small, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


class Renderer:
    """Draws one person; keeps what is the same in all pictures: the background, the grain of the skin."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._room = _background(identity)
        rough = np.random.default_rng([0x5C1, identity.seed]).normal(0, 1, (CANVAS // 2, CANVAS // 2))
        grain = cv2.GaussianBlur(rough.astype(np.float32), (3, 3), 0.8)
        wide = cv2.resize(grain * (3 + 5 * identity.age), (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
        grain = cv2.merge([np.round(wide).astype(np.int16)] * 3)
        self._grain = np.maximum(grain, 0).astype(np.uint8), np.maximum(-grain, 0).astype(np.uint8)

    def draw(self, state: FaceState, rng: np.random.Generator) -> np.ndarray:
        """Draw one frame, uint8 [112, 112, 3], blue-green-red; `rng` is for the sensor noise."""
        return next(self.film([state], iter([rng])))

    def film(self, states: Iterable[FaceState], rngs: Iterator[np.random.Generator]) -> Iterator[np.ndarray]:
        """Draw frame after frame as `draw` does, at less cost; `rngs` holds one for each."""
        for _, run in groupby(states, lambda state: state.occluder and state.occluder.kind):
            frames = list(run)
            canvas = self._compose(stack(frames))
            for i, state in enumerate(frames):
                yield self._develop(canvas.develop(i), state, next(rngs))

    def _compose(self, state: FaceState) -> Canvas:
        """Ask for all that is seen in one frame, or in many."""
        who = self.identity
        canvas = Canvas(self._room, state.pose)
        self._behind(canvas)
        face = face_outline(who, state)
        skin = canvas.outline(face)
        canvas.fill(face, who.skin)
        self._complexion(canvas, state)
        line_brow(canvas, who, state)
        for way in (-1, 1):
            line_eye(canvas, who, state, way)
        line_nose(canvas, who, state)
        lips = mouth_shape(who, state)
        line_mouth(canvas, who, state, lips)
        for x, y, radius in who.moles:
            canvas.disc(x, y, radius, radius, scale_colour(who.skin, 0.45))
        canvas.spot(0, -0.70, 0.35, 0.18, 0.08)
        across, down = np.cos(state.light_angle), np.sin(state.light_angle)
        canvas.shade(skin, (state.light_strength * across, state.light_strength * down))
        draw_nose(canvas, who, state)
        draw_mouth(canvas, who, state, lips)
        for way in (-1, 1):
            draw_eye(canvas, who, state, way)
            draw_brow(canvas, who, state, way)
        self._hair(canvas)
        if who.glasses:
            self._glasses(canvas)
        if state.occluder is not None:
            _occlude(canvas, who, state.occluder)
        return canvas

    def _behind(self, canvas: Canvas) -> None:
        """Draw what the face covers: long hair, neck, shoulders and ears."""
        who = self.identity
        dark = scale_colour(who.hair, 0.8)
        if who.hair_style == "long":
            hair = [[0, -1.22], [0.62, -1.08], [0.95, -0.5], [1.0, 0.4], [0.95, 1.3], [0, 1.3]]
            canvas.fill(mirror(np.array(hair)), dark)
        elif who.hair_style != "bald":
            hair = [[0, -1.2], [0.55, -1.08], [0.86, -0.6], [0.84, -0.1], [0.4, 0.0], [0, 0.0]]
            canvas.fill(mirror(np.array(hair)), dark)
        if who.hair_style == "bun":
            canvas.disc(0, -1.16, 0.3, 0.2, dark)
        neck = scale_colour(who.skin, 0.66)
        canvas.fill(np.array([[-0.42, 0.5], [0.42, 0.5], [0.46, 1.4], [-0.46, 1.4]]), neck, smooth=False)
        shoulders = [[-1.4, 1.4], [-0.9, 1.08], [-0.4, 0.98], [0, 1.12], [0.4, 0.98], [0.9, 1.08], [1.4, 1.4]]
        canvas.fill(np.array(shoulders), who.shirt)
        for way in (-1, 1):
            canvas.disc(way * 0.77 * who.face_width, -0.04, 0.10, 0.2, scale_colour(who.skin, 0.82))
            canvas.disc(way * 0.79 * who.face_width, -0.03, 0.05, 0.12, scale_colour(who.skin, 0.62))

    def _complexion(self, canvas: Canvas, state: FaceState) -> None:
        """Colour the skin: grain, rosy cheeks, beard."""
        who = self.identity
        # Grain is added to the whole canvas: behind the face it reads as sensor grain.
        canvas.add_grain(*self._grain)
        blue, green, red = who.skin
        rosy = (blue * 0.86, green * 0.86, min(red * 1.05, 255.0))
        for way in (-1, 1):
            ring = np.array([[0.25, 0.15], [0.42, 0.05], [0.6, 0.15], [0.45, 0.32]]) * [way, 1]
            canvas.tint(canvas.outline(ring), rosy, 0.4 + 0.2 * who.makeup, soften=15)
        if who.beard:
            drop = jaw_drop(state)
            jaw = who.jaw_width
            beard = [(0.0, 0.40), (0.26, 0.42), (0.42, 0.5), (0.66 * jaw, 0.30), (0.56 * jaw, 0.66 + 0.6 * drop)]
            beard += [(0.3 * jaw, 0.88 * who.chin + drop), (0, 0.96 * who.chin + drop)]
            outline = canvas.outline(mirror(curve(*beard)))
            canvas.tint(outline, scale_colour(who.hair, 0.8), 0.62 * who.beard, soften=9)

    def _hair(self, canvas: Canvas) -> None:
        """Draw the hair before the forehead."""
        who = self.identity
        style, top = who.hair_style, -1.02 * who.forehead
        if style == "bald":
            return
        line = {"short": 0.20, "fringe": 0.42, "parted": 0.16, "long": 0.17, "bun": 0.14}[style] + top
        low = {"short": -0.42, "fringe": -0.3, "parted": -0.3, "long": 0.35, "bun": -0.3}[style]
        wide = 0.78 * who.face_width
        front = [[-0.38, line + 0.02], [0.0, line], [0.38, line + 0.02]]
        if style == "parted":
            front = [[-0.45, line + 0.20], [-0.2, line + 0.02], [0.42, line + 0.10]]
        left, right = (
            [[-wide + 0.07, low], [-wide + 0.12, line + 0.22]],
            [[wide - 0.12, line + 0.22], [wide - 0.07, low]],
        )
        outer = [[wide + 0.06, low], [wide + 0.06, -0.62], [0.52, top - 0.1], [0, top - 0.19]]
        outer += [[-0.52, top - 0.1], [-wide - 0.06, -0.62], [-wide - 0.06, low]]
        canvas.fill(np.array(left + front + right + outer), who.hair)
        for start in (-0.5, -0.2, 0.1, 0.4):  # strands of light
            middle = [start * 1.1 + 0.03, (line + top) / 2 - 0.05]
            strand = np.array([[start, line - 0.02], middle, [start * 0.9 + 0.1, top - 0.1]])
            canvas.stroke(strand, scale_colour(who.hair, 1.25), 0.02)

    def _glasses(self, canvas: Canvas) -> None:
        """Draw a thin frame round both eyes."""
        gap, dark = 0.365 * self.identity.eye_gap, (40.0, 36.0, 34.0)
        turn = np.linspace(0, 2 * np.pi, 13)
        for way in (-1, 1):
            rim = np.stack([way * gap + 0.245 * np.cos(turn), -0.18 + 0.185 * np.sin(turn)], axis=1)
            canvas.stroke(rim, dark, 0.018, lift=0.08)
            canvas.stroke(np.array([[way * (gap + 0.245), -0.2], [way * 0.78, -0.22]]), dark, 0.018, lift=0.04)
        canvas.stroke(np.array([[-gap + 0.245, -0.2], [0, -0.24], [gap - 0.245, -0.2]]), dark, 0.018, lift=0.12)

    def _develop(self, image: np.ndarray, state: FaceState, rng: np.random.Generator) -> np.ndarray:
        """Take the photograph: down to 112 pixels, exposure, white balance, blur, noise."""
        small: np.ndarray = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
        balance = np.array([1 - 0.12 * state.warmth, 1, 1 + 0.12 * state.warmth], np.float32)
        # Whole rows: numpy is slow where an innermost axis has three numbers.
        rows = small.reshape(SIZE, 3 * SIZE)
        rows *= np.tile(np.float32(state.exposure) * balance, SIZE)
        if state.blur > 0.15:
            small = cv2.GaussianBlur(small, (0, 0), state.blur)
        grey = rng.standard_normal((SIZE, SIZE), np.float32) * np.float32(0.8 * state.noise)
        small += cv2.merge([grey, grey, grey])
        colour = rng.standard_normal((SIZE, SIZE, 3), np.float32)
        colour *= np.float32(0.5 * state.noise)
        small += colour
        small += np.float32(0.5)
        return np.clip(small, 0, 255, out=small).astype(np.uint8)


def _occlude(canvas: Canvas, who: Identity, thing: Occluder) -> None:
    """Draw what passes between face and camera."""
    c, s = np.cos(thing.angle), np.sin(thing.angle)
    turn = curve((c * thing.size, s * thing.size), (-s * thing.size, c * thing.size))
    at = curve((thing.x, thing.y))
    if thing.kind == "hand":
        palm = np.array([[-0.25, 0.9], [-0.26, 0.1], [-0.12, -0.05], [0.2, -0.02], [0.27, 0.2], [0.22, 0.9]])
        canvas.fill(palm @ turn + at, scale_colour(who.skin, 0.9))
        for x in (-0.19, -0.06, 0.07, 0.19):
            finger = np.array([[x - 0.06, 0.2], [x - 0.055, -0.25], [x, -0.33], [x + 0.055, -0.25], [x + 0.06, 0.2]])
            canvas.fill(finger @ turn + at, scale_colour(who.skin, 0.97))
    elif thing.kind == "microphone":
        handle = np.array([[-0.06, 0.1], [0.06, 0.1], [0.08, 1.2], [-0.08, 1.2]])
        canvas.fill(handle @ turn + at, (40, 40, 42), smooth=False)
        canvas.disc(thing.x, thing.y, 0.15 * thing.size, 0.17 * thing.size, (62, 62, 66))
    else:
        bar = np.array([[-0.13, -2.5], [0.13, -2.5], [0.13, 2.5], [-0.13, 2.5]])
        canvas.fill(bar @ turn + at, (90, 105, 110), smooth=False)
