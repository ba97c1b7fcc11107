"""[blend.<task>] and how a search is run: everything has a default; `--set blend.au.trials=50` changes one run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

import heads.config
from blend.tasks.lookup import BLEND_TASKS, key_owners
from extract.config import Strict
from extract.runtime import limits


def _expected(text: str) -> WrapValidator:
    """One message for all that a union of types refuses."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("expected", "expected {text}", {"text": text}) from None

    return WrapValidator(validate)


Switch = bool | Literal["auto"]
"""Use an optional part of the space: always, never, or ("auto") where it pays on held-out videos. Without cross-fitting
nothing can tell that, so with select = "tuned" auto means never.
"""
Kernel = Literal["box", "gaussian", "median"]
Width = Annotated[int, Field(strict=True, ge=0, le=limits.K)]
"""Frames."""
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Threshold = Annotated[Number, Field(ge=0, le=1)]
Weight = Annotated[Number, Field(ge=0)]

Widths = Annotated[Width | list[Width] | None, _expected("a whole number of frames >= 0, or one for each output")]
Weights = Annotated[
    dict[str, Weight | list[Weight]] | None,
    _expected("a table of heads: head = a number >= 0, or head = [one for each output]"),
]
Thresholds = Annotated[
    Literal["auto", "exact", "search", "fixed", "bootstrap", "pulled", "plug-in", "pulled-plug-in"]
    | Threshold
    | list[Threshold],
    _expected(
        "auto, exact, search, fixed, bootstrap, pulled, plug-in, pulled-plug-in, a number from 0 to 1, or one for each "
        "unit"
    ),
]
Bias = Annotated[
    Literal["auto", "off", "prior", "free", "pulled"] | list[Number],
    _expected("auto, off, prior, free, pulled, or a list of one number for each class"),
]
Plain = Annotated[bool, Field(strict=True)] | Literal["auto"]
"""A Switch beside numbers: 0 is not false."""
Scale = Annotated[
    Plain | Positive | list[Positive], _expected("true, false, auto, a number above 0, or one for each output")
]
Shift = Annotated[Plain | Number | list[Number], _expected("true, false, auto, a number, or one for each output")]


class BlendSettings(Strict):
    """The search for one task's blend. A number that is given is neither searched nor refined."""

    select: Literal["cross_fitted", "tuned"] = "cross_fitted"
    """Which blend params.json gets. "tuned": the one that scores best on the validation videos. "cross_fitted": the
    average of what the folds find, where k, kernel and the optional parts are those that score best on held-out videos.
    """
    trials: int = Field(default=200, ge=1)
    """Trials of the search in all, the starts (single heads, equal weights, greedy selection) included; these always
    run.
    """
    sampler: Literal["tpe", "cmaes", "grid"] = "tpe"
    """Optuna's sampler. "cmaes" needs the package cmaes. "grid": every blend of `weight_step`, `grid_k` and `kernels`
    is tried, as published blends were found; `trials` counts for nothing.
    """
    weight_step: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.1
    """Grid: weights are its multiples, of sum 1. 1 must be one of them."""
    grid_k: list[Width] | None = Field(default=None, min_length=1)
    """Grid: the widths tried. None: 0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100 as far as `k_max`."""
    weights: Weights = None
    """Head = weight, or a weight for each output; heads that are not named weigh nothing. Scaled to sum 1 for each
    output. None: searched.
    """
    sigma: Widths = None
    """Short for kernel = "gaussian" and k = sigma."""
    k: Widths = None
    """Frames on either side of the smoothing window (sigma of the Gaussian); one for all outputs, or one for each.
    None: searched.
    """
    kernel: Kernel | None = None
    """Short for kernels = [kernel]."""
    kernels: list[Kernel] = Field(default=["box"], min_length=1)
    """Smoothing kernels to choose among."""
    k_max: int | None = Field(default=None, ge=0, le=limits.K)
    """The widest smoothing tried: 2 k + 1 frames, or sigma = k. None: 50 for au, 100 for expr and va, 0 for
    lsd.
    """
    per_output_weights: Switch = False
    """Weights of its own for every unit, class or dimension."""
    per_output_k: Switch = False
    """A k of its own for every unit, class or dimension."""
    thresholds: Thresholds = "auto"
    """au. "exact": the best ones, by counting. "search": Optuna draws them. "fixed": 0.5. "bootstrap": the best ones
    averaged over draws of the videos. "pulled": those, pulled towards a common one by how few videos show the unit.
    "plug-in": half the F1 that calibrated probabilities can reach. "pulled-plug-in": those, pulled likewise. "auto":
    pulled-plug-in; exact with select = "tuned". A number for all units, or one for each: these.
    """
    bias: Bias = "auto"
    """expr: a number per class, added to the logarithm of its score. "prior": a multiple of the log class prior (logit
    adjustment). "free": eight numbers. "pulled": those, pulled towards 0 by how few videos show the class. "auto": off,
    unless prior or pulled pays on held-out videos. A number for each class: these.
    """
    filter: str = "auto"
    """expr: a head whose sure decisions replace the blend's; "off"; "auto": any head named pretrained..."""
    scale: Scale = "auto"
    """va: stretch the blend to the truth's standard deviation; a number, or one for each output: by these. (What is
    decided is scale * score + shift.)
    """
    shift: Shift = "auto"
    """va: move the blend to the truth's mean; a number, or one for each output: by these."""
    out_of_fold: Switch = "auto"
    """Weights, thresholds, biases, scale and shift are the mean of what validation and what train's out-of-fold
    predictions give; of heads that all have these (`folds` of a head).
    """
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

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, table: Any) -> Any:
        """What sigma and kernel are short for, written out."""
        full = dict(table) if isinstance(table, dict) else {}
        for key in ("sigma", "kernel"):
            if (value := full.get(key)) is None:
                continue
            meant: dict[str, Any] = {"k": value, "kernel": "gaussian"} if key == "sigma" else {"kernels": [value]}
            for other, known in meant.items():
                if full.get(other) not in (None, known):
                    result = full[other]
                    raise ValueError(f"{key} = {value!r} means {other} = {known!r}; found {other} = {result!r}, too")
                full[other] = known
        return full or table

    @model_validator(mode="after")
    def _agree(self) -> BlendSettings:
        if self.select == "cross_fitted" and self.thresholds == "search":
            raise ValueError('thresholds = "search" needs select = "tuned"; "exact" finds the best ones by counting')
        for given, searched in (("weights", "per_output_weights"), ("k", "per_output_k")):
            if getattr(self, given) is not None and getattr(self, searched) is not False:
                raise ValueError(f"{given} is given, so {searched} has nothing to search; leave one out")
        if self.sampler == "grid":
            self._can_be_a_grid()
        return self

    def _can_be_a_grid(self) -> None:
        if abs(round(1 / self.weight_step) * self.weight_step - 1) > 1e-9:
            raise ValueError(f"weight_step = {self.weight_step!r}: 1 must be a multiple of it, as of 0.1 or 0.05")
        off = {"per_output_weights": (False, "auto"), "per_output_k": (False, "auto"), "filter": ("off", "auto")}
        for key, allowed in off.items():
            if getattr(self, key) not in allowed:
                raise ValueError(f'sampler = "grid" cannot search {key} = {getattr(self, key)!r}; "tpe" can')
        if self.bias in ("prior", "free", "pulled") or self.thresholds == "search":
            key = "thresholds" if self.thresholds == "search" else "bias"
            raise ValueError(f'sampler = "grid" cannot search {key} = {getattr(self, key)!r}; "tpe" can')

    def widest(self, task: str) -> int:
        """The k_max that holds for a task."""
        return BLEND_TASKS[task].k_max if self.k_max is None else self.k_max


class BlendSection(Strict):
    """[blend]: one table per task."""

    au: BlendSettings = BlendSettings()
    expr: BlendSettings = BlendSettings()
    va: BlendSettings = BlendSettings()
    lsd: BlendSettings = BlendSettings()

    @model_validator(mode="after")
    def _keys_of_other_tasks(self) -> BlendSection:
        owners = key_owners()
        for task in BLEND_TASKS:
            for key in sorted(getattr(self, task).model_fields_set & owners.keys()):
                if task not in owners[key]:
                    who = f"{' and '.join(owners[key])} {'have' if len(owners[key]) > 1 else 'has'}"
                    raise ValueError(f"blend.{task}.{key}: only {who} {key}")
        return self

    @model_validator(mode="after")
    def _no_neighbours(self) -> BlendSection:
        for task in (name for name, blend_task in BLEND_TASKS.items() if blend_task.task.stills):
            settings: BlendSettings = getattr(self, task)
            for key in ("k", "k_max", "grid_k", "per_output_k"):
                if np.any(getattr(settings, key) or 0):
                    raise ValueError(
                        f"blend.{task}.{key}: single pictures have no neighbours to smooth over; leave it out"
                    )
        return self

    @model_validator(mode="after")
    def _one_for_each_output(self) -> BlendSection:
        for task, outputs in ((task, blend_task.task.outputs) for task, blend_task in BLEND_TASKS.items()):
            settings: BlendSettings = getattr(self, task)
            given = {key: getattr(settings, key) for key in ("k", "sigma", "thresholds", "bias", "scale", "shift")}
            given |= {f"weights.{head}": weight for head, weight in (settings.weights or {}).items()}
            for key, value in given.items():
                if isinstance(value, list) and len(value) != len(outputs):
                    names = ", ".join(outputs)
                    raise ValueError(f"blend.{task}.{key}: {len(value)} given, {len(outputs)} expected: of {names}")
            if settings.weights is not None:
                each = np.array([np.broadcast_to(w, len(outputs)) for w in settings.weights.values()])
                if not (each.reshape(-1, len(outputs)).sum(0) > 0).all():
                    raise ValueError(f"blend.{task}.weights: no head weighs anything; expected a number above 0")
        return self


class Config(heads.config.Config):
    """What blend reads of a config file: all of it."""

    passes: ClassVar[tuple[str, ...]] = ()

    blend: BlendSection = BlendSection()

    @classmethod
    def schema_of_file(cls) -> dict[str, Any]:
        """The JSON schema of a config file, `configs/schema.json`, by which editors complete and check keys."""
        table = cls.model_json_schema()
        table["properties"]["extends"] = {"type": "string", "description": "Another config, whose keys hold here, too."}
        return {key: value for key, value in table.items() if key != "required"}  # another file may have it


@dataclass(frozen=True)
class SearchOptions:
    """The defaults are one process that keeps its trials in the run folder, for as long as it takes."""

    workers: int = 1
    storage: str = ""
    """URL of a PostgreSQL server; empty: the run folder."""
    study: str = "blend"
    """The study's name in a shared storage."""
    timeout: float | None = None
    """Seconds after which no trial is drawn."""

    @property
    def is_shared(self) -> bool:
        """Whether several processes draw."""
        return self.workers > 1 or bool(self.storage)

    def until(self) -> float | None:
        """The time (`time.monotonic`) after which no trial is drawn, for a search that begins now."""
        return None if self.timeout is None else time.monotonic() + self.timeout


SINGLE_PROCESS = SearchOptions()


@dataclass(frozen=True)
class RunRequest:
    """What a run is asked for, of one task or of one part of a challenge ("mtl/va")."""

    task: str
    work: Path
    seed: int = 0
    heads: list[str] | None = None
    """Names of ours (["none"]: none); None: all."""
    predictions: dict[str, Path] = field(default_factory=dict)
    """Other people's heads."""
    submissions: int = 1
    options: SearchOptions = SINGLE_PROCESS

    @property
    def out(self) -> Path:
        """The blend's folder."""
        return self.work / "blend" / self.task
