"""[blend.<task>]: how the blend is searched. Everything has a default; `--set blend.au.trials=50` changes one run."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

import heads.config
from extract.config import Strict

K_MAX = {"au": 50, "expr": 100, "va": 100}
"""Published optima are 5 (au) and 50 (expr, va); twice to ten times that is searched."""


class BlendSettings(Strict):
    """The search for one task's blend."""

    trials: int = Field(default=200, ge=1)
    """Trials in all, the starts (single heads, equal weights, greedy selection) included; these always run."""
    kernels: list[Literal["box", "gaussian", "median"]] = Field(default=["box"], min_length=1)
    """Smoothing kernels to choose among."""
    k_max: int | None = Field(default=None, ge=0)
    """The widest smoothing tried: 2 k + 1 frames, or sigma = k. None: 50 for au, 100 for expr and va."""
    folds: int = Field(default=5, ge=2)
    """By-video folds of the cross-fitted score."""
    fold_trials: int | None = Field(default=None, ge=1)
    """Trials of the search inside each fold. None: as many as `trials`."""
    draws: int = Field(default=2000, ge=100)
    """Resamples of the videos for the interval."""

    def widest(self, task: str) -> int:
        """The k_max that holds for a task."""
        return K_MAX[task] if self.k_max is None else self.k_max


class BlendSection(Strict):
    """[blend]: one table per task."""

    au: BlendSettings = BlendSettings()
    expr: BlendSettings = BlendSettings()
    va: BlendSettings = BlendSettings()


class Config(heads.config.Config):
    """What blend reads of a config file: all of it."""

    passes: ClassVar[tuple[str, ...]] = ()

    blend: BlendSection = BlendSection()
