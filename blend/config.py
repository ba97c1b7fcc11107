"""[blend.<task>]: how the blend is searched. Everything has a default; `--set blend.au.trials=50` changes one run."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

import heads.config
from extract.config import Strict

K_MAX = {"au": 50, "expr": 100, "va": 100}
"""Published optima are 5 (au) and 50 (expr, va); twice to ten times that is searched."""

ONLY = {"thresholds": "au", "bias": "expr", "filter": "expr", "scale": "va", "shift": "va"}
"""Keys that only one task has."""

Switch = bool | Literal["auto"]
"""Use an optional part of the space: always, never, or ("auto") where it pays on held-out videos. Without cross-fitting
nothing can tell that, so with select = "tuned" auto means never.
"""


class BlendSettings(Strict):
    """The search for one task's blend."""

    select: Literal["cross_fitted", "tuned"] = "cross_fitted"
    """Which blend params.json gets. "tuned": the one that scores best on the validation videos. "cross_fitted": the
    average of what the folds find, where k, kernel and the optional parts are those that score best on held-out videos.
    """
    trials: int = Field(default=200, ge=1)
    """Trials of the search in all, the starts (single heads, equal weights, greedy selection) included; these always
    run.
    """
    sampler: Literal["tpe", "cmaes"] = "tpe"
    """Optuna's sampler. "cmaes" needs the package cmaes."""
    kernels: list[Literal["box", "gaussian", "median"]] = Field(default=["box"], min_length=1)
    """Smoothing kernels to choose among."""
    k_max: int | None = Field(default=None, ge=0)
    """The widest smoothing tried: 2 k + 1 frames, or sigma = k. None: 50 for au, 100 for expr and va."""
    per_output_weights: Switch = False
    """Weights of its own for every unit, class or dimension."""
    per_output_k: Switch = False
    """A k of its own for every unit, class or dimension."""
    thresholds: Literal["auto", "exact", "search", "fixed", "bootstrap", "pulled", "plug-in"] = "auto"
    """au. "exact": the best ones, by counting. "search": Optuna draws them. "fixed": 0.5. "bootstrap": the best ones
    averaged over draws of the videos. "pulled": those, pulled towards a common one by how few videos show the unit.
    "plug-in": half the F1 that calibrated probabilities can reach. "auto": whichever scores best on held-out videos;
    exact with select = "tuned".
    """
    bias: Literal["auto", "off", "prior", "free", "pulled"] = "auto"
    """expr: a number per class, added to the logarithm of its score. "prior": a multiple of the log class prior (logit
    adjustment). "free": eight numbers. "pulled": those, pulled towards 0 by how few videos show the class.
    """
    filter: str = "auto"
    """expr: a head whose sure decisions replace the blend's; "off"; "auto": any head named pretrained..."""
    scale: Switch = "auto"
    """va: stretch the blend to the truth's standard deviation."""
    shift: Switch = "auto"
    """va: move the blend to the truth's mean."""
    folds: int = Field(default=5, ge=2)
    """By-video folds of the cross-fitted score."""
    select_folds: int = Field(default=5, ge=2)
    """By-video folds of cross-fitted selection, which needs no trials."""
    fold_trials: int | None = Field(default=None, ge=1)
    """Trials of the search inside each fold. None: as many as `trials`."""
    draws: int = Field(default=2000, ge=100)
    """Resamples of the videos for the interval."""
    test_from: Literal["train", "train+val"] = "train"
    """What the heads of the submission have learnt from. "train+val": those that have learnt again from both
    (`refit_val` of a head) predict test so, the others as usual."""
    thumbnails: bool = True
    """Show faces in the timeline of report.html. false: for a report that goes where the corpus's pictures may not."""
    missing_frames: float = Field(default=0.5, ge=0, le=1)
    """The largest part of the frames that other people's predictions may lack; fewer are filled and counted."""

    @model_validator(mode="after")
    def _can_be_cross_fitted(self) -> BlendSettings:
        if self.select == "cross_fitted" and self.thresholds == "search":
            raise ValueError('thresholds = "search" needs select = "tuned"; "exact" finds the best ones by counting')
        return self

    def widest(self, task: str) -> int:
        """The k_max that holds for a task."""
        return K_MAX[task] if self.k_max is None else self.k_max


class BlendSection(Strict):
    """[blend]: one table per task."""

    au: BlendSettings = BlendSettings()
    expr: BlendSettings = BlendSettings()
    va: BlendSettings = BlendSettings()

    @model_validator(mode="after")
    def _keys_of_other_tasks(self) -> BlendSection:
        for task in K_MAX:
            for key in sorted(getattr(self, task).model_fields_set & ONLY.keys()):
                if ONLY[key] != task:
                    raise ValueError(f"blend.{task}.{key}: only {ONLY[key]} has {key}")
        return self


class Config(heads.config.Config):
    """What blend reads of a config file: all of it."""

    passes: ClassVar[tuple[str, ...]] = ()

    blend: BlendSection = BlendSection()
