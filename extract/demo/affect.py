"""What a face means: stated rules from action units to expression, valence and arousal, and the annotator.

The rules work on true unit intensities in [0, 1]. The annotator then adds what real labels have: a lag, noise that
lasts for several frames, and stretches that were never labelled.
"""

from __future__ import annotations

import itertools

import numpy as np

AU_NAMES = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU15", "AU23", "AU24", "AU25", "AU26")
"""The twelve units in the official column order."""

EXPRESSIONS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
"""The eight expression classes in the official order: the class number is the position."""

AU_THRESHOLD = 0.35
"""A unit is labelled present when the intensity the annotator perceives is above this."""

EXPRESSION_THRESHOLD = 0.45
"""The best rule must score above this; below it an active face is Other and a calm one Neutral."""

MIN_ASYMMETRY = 0.55
"""|side| above this makes a raised lip corner a contemptuous one, which the eight classes call Other."""

UNLABELLED_CLASS = -1
"""Annotation of a frame nobody labelled, for expressions and units."""

UNLABELLED_AFFECT = -5.0
"""Annotation of a frame nobody labelled, for valence and arousal."""


def column(name: str) -> int:
    """Return the column of a unit: `column("AU4") == 2`."""
    return AU_NAMES.index(name)


def _units(aus: np.ndarray) -> dict[int, np.ndarray]:
    """Split intensities [N, 12] into one array [N] per unit, keyed by the unit's number."""
    return {int(name[2:]): aus[:, i] for i, name in enumerate(AU_NAMES)}


def expression_scores(aus: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Scores [N, 6] of Anger, Disgust, Fear, Happiness, Sadness, Surprise; around 1 is a clear case.

    `aus` are intensities [N, 12] in [0, 1], `side` is the left-right imbalance of the mouth [N] in [-1, 1]; 0 is
    symmetric. So everywhere below.
    """
    u = _units(np.asarray(aus, dtype=np.float64))
    tight = np.maximum(u[23], u[24])
    brows_up = np.minimum(u[1], u[2])
    anger = np.minimum(u[4], np.maximum(u[7], tight)) + 0.4 * tight - u[1] - 0.6 * u[12] - 0.3 * u[10]
    disgust = 1.3 * np.minimum(u[10], u[4]) + 0.2 * u[7] - u[12] - u[1] - 0.5 * tight
    fear = 1.6 * np.minimum(brows_up, u[4]) + 0.2 * u[25] - u[12]
    happiness = u[12] * (np.abs(side) < MIN_ASYMMETRY) + 0.3 * u[6] - 0.6 * u[4] - 0.6 * u[15]
    sadness = np.minimum(u[1], np.maximum(u[4], u[15])) + 0.5 * u[15] - u[2] - 0.6 * u[12]
    surprise = brows_up + 0.3 * u[26] - u[4] - 0.3 * u[12]
    return np.stack([anger, disgust, fear, happiness, sadness, surprise], axis=1)


def expression(aus: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The expression of every frame by the best rule: class numbers [N], int64, 0 Neutral ... 7 Other.

    Neutral asks for calm brows, cheeks and lip corners only: parted lips (AU25) and narrowed eyes (AU7) are part of
    speaking and of looking into the light, in the real corpus too.
    """
    aus = np.asarray(aus, dtype=np.float64)
    scores = expression_scores(aus, np.asarray(side))
    best = scores.argmax(axis=1) + 1
    calm_units = [column(n) for n in ("AU1", "AU2", "AU4", "AU6", "AU10", "AU12", "AU15", "AU23", "AU24")]
    active = aus[:, calm_units].max(axis=1) > AU_THRESHOLD
    return np.where(scores.max(axis=1) > EXPRESSION_THRESHOLD, best, np.where(active, 7, 0))


def valence_arousal(aus: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Valence and arousal, [N, 2] in (-1, 1).

    Valence rises with a two-sided smile and falls with lowered brows, a raised lip without a smile, lowered corners and
    raised inner brows. Arousal rises with everything that opens or tenses the face and falls with lowered corners.
    """
    u = _units(np.asarray(aus, dtype=np.float64))
    smile = u[12] * (1 - 0.9 * np.abs(side))
    calm_lip = np.clip(1 - 1.4 * smile, 0, 1)
    inner_brows = np.maximum(u[1] - u[2], 0)
    valence = 0.1 + 0.85 * smile + 0.2 * u[6] * smile - 0.6 * u[4] - 0.35 * u[10] * calm_lip - 0.7 * u[15]
    valence = valence - 0.25 * inner_brows - 0.3 * np.maximum(u[23], u[24])
    arousal = -0.05 + 0.60 * u[2] + 0.40 * u[4] + 0.35 * u[6] + 0.15 * u[7] + 0.30 * u[12] + 0.20 * u[25]
    arousal = arousal + 0.70 * u[26] + 0.30 * u[23] - 0.60 * u[15] - 0.55 * inner_brows
    return np.tanh(np.stack([valence, arousal], axis=1))


def wander(rng: np.random.Generator, frames: int, width: int, scale: float, memory: float) -> np.ndarray:
    """Noise that drifts: a first-order process [frames, width] of independent columns, float64.

    `scale` is the standard deviation at every step; after `memory` frames the correlation has fallen to 1/e.
    """
    keep = float(np.exp(-1.0 / memory))
    kicks = rng.standard_normal((frames, width)) * scale
    kicks[1:] *= np.sqrt(1 - keep * keep)
    return np.array(list(itertools.accumulate(kicks, lambda past, kick: keep * past + kick)))


def delay(values: np.ndarray, lag: int) -> np.ndarray:
    """Shift values [N, ...] later by `lag` frames; the first value fills the start."""
    return values[np.maximum(np.arange(len(values)) - lag, 0)]


def annotate_units(rng: np.random.Generator, aus: np.ndarray) -> np.ndarray:
    """Label the units of every frame present (1) or absent (0), as a careful but human coder would: int64 [N, 12]."""
    perceived = delay(aus, int(rng.integers(0, 3)))
    strictness = rng.normal(0.0, 0.03, size=aus.shape[1])  # a coder has habits, the same through a video
    noise = wander(rng, len(aus), aus.shape[1], scale=0.06, memory=8)
    return (perceived + noise > AU_THRESHOLD + strictness).astype(np.int64)


def annotate_expression(rng: np.random.Generator, aus: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Label the expression of every frame, int64 [N] in 0..7, with a lag of 2 to 8 frames and noise that flips doubtful
    frames.
    """
    lag = int(rng.integers(2, 9))
    noise = wander(rng, len(aus), aus.shape[1], scale=0.07, memory=15)
    return expression(np.clip(delay(aus, lag) + noise, 0, 1), delay(side, lag)).astype(np.int64)


def annotate_affect(rng: np.random.Generator, aus: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Trace valence and arousal as with a joystick, float64 [N, 2] in [-1, 1]: late, smoothed, drifting, in steps of
    0.001.
    """
    target = delay(valence_arousal(aus, side), int(rng.integers(3, 10)))
    trace = np.empty_like(target)
    now = target[0]
    for i, goal in enumerate(target):
        now = now + 0.2 * (goal - now)  # the hand needs about five frames
        trace[i] = now
    mood = rng.normal(0.0, 0.04, size=2)  # what the coder knows from the scene and the face does not show
    return np.round(np.clip(trace + mood + wander(rng, len(aus), 2, scale=0.05, memory=40), -1, 1), 3)


def unlabelled_frames(rng: np.random.Generator, frames: int, share: float) -> np.ndarray:
    """Stretches of 3 to 15 frames that nobody labelled, bool [N]; at least about `share` of all frames."""
    missing = np.zeros(frames, dtype=bool)
    while missing.mean() < share:
        start = int(rng.integers(0, frames))
        missing[start : start + int(rng.integers(3, 16))] = True
    return missing
