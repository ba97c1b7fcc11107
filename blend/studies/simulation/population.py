"""A made population of videos: truth and the scores of six heads, for `blend.studies.simulate`.

Nothing here knows what the estimators do. The constants were set once, before any estimator was tried on it, so that
with equal weights the pool scores as the published single-frame systems do on validation (per unit and per class about
as well), gains about as much from smoothing, and sets of as many videos as one of five published folds had spread as
those folds did: AU .527 to .587, EXPR .395 to .555, VA .55 to .68 (arXiv 2303.10849).

A video's truth is a threshold, an argmax or a squashing of latent signals that have a level per video and drift within
it. A head sees the truth through noise of three kinds: constant per video (the person, the camera), drifting, and new
in every frame; most of it is common to all heads, which share their features. Frames are thinned: one stands for 3 (au)
or 10 (expr, va), so a published k of 5 or 50 is about 2 or 5 here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numba import njit
from numpy.typing import NDArray

from blend.pool import gap_filling
from blend.pool.pool import Pool, Truth
from heads.abaw.tasks import TASKS

SETTING_SEED = 0
"""Its draws (and those of seeds 4 to 6) may be looked at to set constants of the method: luck, SHORTFALL, MARGIN, usual
parts, the interval's form.
"""
CHECKING_SEED = 7
"""Its draws check: nothing is set by them, and the README's tables are of them."""
SHIFT_SEED = 2
"""Its draws set the amounts of SHIFTS, and nothing else."""


@dataclass(frozen=True)
class Kind:
    """A population; the defaults are those of the plain one."""

    levels: float = 0.0
    """Standard deviation, over sets, of a move of each output's latent level: other class frequencies, other means."""
    noise_video: float = 1.0
    """Factor of the noise that is constant per video (the person, the camera)."""
    errors: float = 0.0
    """Standard deviation, over sets, of a further constant error of each output, most of it common to the heads."""
    length_spread: float = 1.0
    """Factor of the standard deviation of the logarithm of a video's length."""
    longest: int = 2000
    """Frames of the longest video."""
    heavy: bool = False
    """Noise per video follows Student's t with 3 degrees of freedom (variance 1), the same factor for all outputs."""
    videos_of_person: int = 1
    """So many videos show one person, who makes up most of what is constant in a video."""


PUBLISHED_DROPS = {"au": (0.05, 0.07), "expr": (0.10, 0.13), "va": (0.04, 0.06)}
"""Published scores on validation less those on test. Of va one figure, .05, is known; a band is put around it."""
SHIFTS = {
    "au": Kind(levels=0.2, noise_video=1.25, errors=0.35),
    "expr": Kind(levels=0.6, noise_video=1.45, errors=0.5),
    "va": Kind(levels=0.3, noise_video=1.1, errors=0.1),
}
USUAL_KIND = Kind()
HEAVY = Kind(length_spread=1.4, longest=6000, heavy=True)
PEOPLE = Kind(videos_of_person=4)

KINDS = {
    "same": "validation and test from one population",
    "shift": "test as far from validation as published scores fell",
    "half": "test with half as many videos (at least 6)",
    "triple": "test with three times as many videos",
    "heavy": "heavy-tailed lengths and noise per video",
    "people": "four videos per person, folds by person",
}
"""The lines of the table. The first four share their validation sets."""
TEST_KINDS = {"same": ("same", "shift", "half", "triple"), "heavy": ("heavy",), "people": ("people",)}
"""Population of the validation sets -> the kinds of test that are scored with what was selected there."""

FRAMES = 300
"""Mean length of a video."""
SHORTEST = 40
COMMON_PERSON = 0.25
"""Share of a video's level that all units have in common."""
OF_PERSON = 0.8
"""Share of a person, where there are several videos of each, in the variance of what is constant in a video."""
COMMON_ERROR = 0.75
"""Share of a shift's constant errors that all heads have in common: they share their features."""


@dataclass(frozen=True)
class Head:
    """A head's noise relative to the best one's, how far it knows the class priors (0: trained with class weights, 1:
    calibrated), and how steep its scores are.
    """

    name: str
    noise: float
    calibration: float
    steep: float


@dataclass(frozen=True)
class Population:
    """One task's constants."""

    length_spread: float
    """Standard deviation of the logarithm of a video's length."""
    between_share: float
    """Share of the truth's variance that lies between videos."""
    memory: float
    """Frames after which drift has lost 63 % of its correlation."""
    noise_video: float
    noise_drift: float
    """Shares of the noise's variance that are constant per video and drifting; the rest is new in every frame."""
    common: float
    """Share of the noise's variance that all heads have in common."""
    noise: tuple[float, ...]
    """Standard deviation of the noise of each output."""
    offsets: float
    """Standard deviation of the heads' constant errors, per head and output."""
    heads: tuple[Head, ...]


RATES = (0.13, 0.07, 0.154, 0.26, 0.398, 0.347, 0.249, 0.03, 0.028, 0.027, 0.64, 0.09)
"""How often each action unit is on, as in Aff-Wild2."""
LEVELS = (1.6, -0.2, -0.4, -0.4, 1.0, 0.8, 0.2, 1.6)
"""Mean latent level of each expression, which gives about Aff-Wild2's class frequencies."""
PRIOR = (0.3, 0.026, 0.019, 0.02, 0.15, 0.12, 0.051, 0.315)
"""Class frequencies of Aff-Wild2's train and validation."""
CERTAINTY = 2.2
VA_MEAN, VA_SPREAD = (0.2, 0.25), (0.36, 0.24)

_CLASSIFIERS = (
    Head("lama", 1.5, 1.0, 0.6),
    Head("lightgbm", 1.2, 1.0, 1.0),
    Head("mlp_mtl", 1.06, 0.0, 0.8),
    Head("mlp_vgaf", 1.0, 0.0, 0.8),
    Head("pretrained", 1.6, 0.0, 0.6),
    Head("sequence", 1.05, 0.0, 1.2),
)
_REGRESSORS = (
    Head("lama", 1.6, 0.0, 0.5),
    Head("lightgbm", 1.2, 0.0, 0.6),
    Head("mlp_mtl", 1.0, 0.0, 0.8),
    Head("mlp_vgaf", 1.0, 0.0, 0.8),
    Head("pretrained", 1.5, 0.0, 0.9),
    Head("sequence", 1.05, 0.0, 0.7),
)
POPULATIONS = {
    "au": Population(
        1.0, 0.5, 25, 0.5, 0.35, 0.75,
        (0.66, 0.70, 0.60, 0.72, 0.58, 0.54, 0.48, 0.66, 1.25, 1.0, 0.76, 1.05), 0.3, _CLASSIFIERS,
    ),
    "expr": Population(1.3, 0.8, 70, 0.65, 0.1, 0.8, (1.0, 1.0, 0.7, 1.6, 1.1, 0.95, 0.9, 1.1), 0.4, _CLASSIFIERS),
    "va": Population(1.0, 0.5, 25, 0.45, 0.25, 0.7, (1.85, 1.4), 0.05, _REGRESSORS),
}  # fmt: skip
OFFICIAL = {"au": 105, "expr": 70, "va": 76}
"""Videos of the official validation sets."""
FOLD_VIDEOS = {"au": 80, "expr": 64, "va": 86}
"""Videos of one of the published folds: a fifth of train and validation."""


def draw(task: str, videos: int, rng: np.random.Generator, kind: Kind = USUAL_KIND) -> Pool:
    """A set of videos that shows every unit or class, as the official ones do; drawn again until it does."""
    while True:
        pool = _MAKERS[task](_Draw(task, videos, rng, kind))
        if shows_all_labels(pool):
            return pool


def shows_all_labels(pool: Pool) -> bool:
    """Whether every class, or every unit, occurs; always for va."""
    kind, values = pool.blend_task, pool.known_truth.values
    return bool((kind.occurrences(kind.count(values, values, np.zeros(len(values), np.int64), 1)) > 0).all())


class _Draw:
    """Noise of the right shapes, and the pool made of it."""

    def __init__(self, task: str, videos: int, rng: np.random.Generator, kind: Kind) -> None:
        self.task, self.videos, self.rng, self.facts = TASKS[task], videos, rng, POPULATIONS[task]
        self.kind = kind
        spread = self.facts.length_spread * kind.length_spread
        lengths = np.exp(rng.normal(np.log(FRAMES) - spread**2 / 2, spread, videos))
        self.offsets = gap_filling.find_offsets(np.clip(lengths, SHORTEST, kind.longest).astype(int))
        self.video_of = np.repeat(np.arange(videos), np.diff(self.offsets))
        self.person_of = np.arange(videos) // kind.videos_of_person
        self.outputs = len(self.task.outputs)
        self.moves = kind.levels * rng.standard_normal(self.outputs, dtype=np.float32) if kind.levels else np.float32(0)

    def per_video(self, columns: int = 0) -> NDArray[np.float32]:
        result = self.rng.standard_normal((self.videos, columns or self.outputs), dtype=np.float32)
        if self.kind.videos_of_person > 1:
            people = self.rng.standard_normal((self.person_of[-1] + 1, result.shape[1]), dtype=np.float32)
            result = root(OF_PERSON) * people[self.person_of] + root(1 - OF_PERSON) * result
        return result[self.video_of]

    def noise_of_video(self) -> NDArray[np.float32]:
        """The noise that is constant per video, variance 1 before the kind's factor."""
        result = self.per_video()
        if self.kind.heavy:  # 3 / chi-squared has mean 3, so that Student's t has variance 3
            result *= np.sqrt(1 / self.rng.chisquare(3, self.videos)).astype(np.float32)[self.video_of, None]
        return np.float32(self.kind.noise_video) * result

    def per_frame(self) -> NDArray[np.float32]:
        return self.rng.standard_normal((len(self.video_of), self.outputs), dtype=np.float32)

    def latent(self, level: NDArray[np.float32]) -> NDArray[np.float32]:
        """A level per video and drift around it, variance 1, moved as the kind says."""
        drift = _drift(self.per_frame(), self.offsets, self.facts.memory)
        return root(self.facts.between_share) * level + root(1 - self.facts.between_share) * drift + self.moves

    def noise(self) -> NDArray[np.float32]:
        """The three kinds together, variance 1."""
        facts = self.facts
        result = root(facts.noise_video) * self.noise_of_video()
        result += root(facts.noise_drift) * _drift(self.per_frame(), self.offsets, facts.memory)
        return result + root(1 - facts.noise_video - facts.noise_drift) * self.per_frame()

    def observe(self, signal: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The signal as each head sees it, through common noise and its own, and the noise's standard deviations."""
        facts = self.facts
        sigma = np.array(facts.noise, np.float32)
        common = root(facts.common) * self.noise()
        return [signal + sigma * head.noise * (common + root(1 - facts.common) * self.noise()) for head in facts.heads]

    def constant_errors(self) -> NDArray[np.float32]:
        """[H, C], the same in every set, for they belong to the heads; and what a shift adds to them."""
        shape = (len(self.facts.heads), self.outputs)
        result = np.random.default_rng(5).standard_normal(shape) * self.facts.offsets
        if self.kind.errors:
            common, own = self.rng.standard_normal(self.outputs), self.rng.standard_normal(shape)
            result += self.kind.errors * (root(COMMON_ERROR) * common + root(1 - COMMON_ERROR) * own)
        return result.astype(np.float32)

    def pool(self, scores: list[NDArray[np.float32]], truth: NDArray[np.generic]) -> Pool:
        names = tuple(f"video{v:04d}" for v in range(self.videos))
        heads = tuple(head.name for head in self.facts.heads)
        frames = len(self.video_of)
        people = tuple(f"person{p:04d}" for p in self.person_of) if self.kind.videos_of_person > 1 else None
        known = Truth(np.arange(frames), truth)
        whole = np.ones(frames, bool)
        return Pool(self.task, heads, names, self.offsets, np.stack(scores), whole, known, people=people)


def _au(made: _Draw) -> Pool:
    shared = root(COMMON_PERSON) * made.per_video(1) + root(1 - COMMON_PERSON) * made.per_video()
    rates = np.array(RATES, np.float32)
    apart = made.latent(shared) - np.array([NormalDist().inv_cdf(1 - rate) for rate in RATES], np.float32)
    sigma, errors = np.array(made.facts.noise, np.float32), made.constant_errors()
    scores = []
    for head, x, error in zip(made.facts.heads, made.observe(np.tanh(apart)), errors, strict=True):
        known_prior = 0.5 * head.calibration * np.log(rates / (1 - rates))
        scores.append(_sigmoid(2 * head.steep * x / (1 + (sigma * head.noise) ** 2) + error + known_prior))
    return made.pool(scores, (apart > 0).astype(np.uint8))


def _expr(made: _Draw) -> Pool:
    levels = np.array(LEVELS, np.float32) + 1.5 * made.latent(made.per_video())
    clear = _softmax(1.5 * levels) * CERTAINTY
    sigma, errors = np.array(made.facts.noise, np.float32), made.constant_errors()
    scores = []
    for head, x, error in zip(made.facts.heads, made.observe(clear), errors, strict=True):
        known_prior = (0.2 + 0.6 * head.calibration) * np.log(np.array(PRIOR, np.float32))
        scores.append(_softmax(1.3 * head.steep * x / (sigma * head.noise) ** 2 + error + known_prior))
    return made.pool(scores, levels.argmax(1).astype(np.int8))


def _va(made: _Draw) -> Pool:
    mean, spread = np.array(VA_MEAN, np.float32), np.array(VA_SPREAD, np.float32)
    latent, errors = made.latent(made.per_video()), made.constant_errors()
    scores = [
        np.clip(mean + error + spread * head.steep * x, -1, 1)
        for head, x, error in zip(made.facts.heads, made.observe(latent), errors, strict=True)
    ]
    return made.pool(scores, np.tanh(mean + 1.1 * spread * latent).astype(np.float32))


_MAKERS: dict[str, Callable[[_Draw], Pool]] = {"au": _au, "expr": _expr, "va": _va}


def root(share: float) -> np.float32:
    """The standard deviation of a share of variance."""
    return np.float32(np.sqrt(share))


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return 1 / (1 + np.exp(-x))


def _softmax(x: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@njit(cache=True)
def _drift(noise, offsets, memory):  # type: ignore[no-untyped-def]
    """Stationary first-order autoregression within each video, variance 1."""
    keep = np.float32(np.exp(-1 / memory))
    fresh = np.float32(np.sqrt(1 - keep * keep))
    out = noise.copy()
    for v in range(len(offsets) - 1):
        for t in range(offsets[v] + 1, offsets[v + 1]):
            for c in range(noise.shape[1]):
                out[t, c] = keep * out[t - 1, c] + fresh * noise[t, c]
    return out
