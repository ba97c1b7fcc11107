"""What every head is: it learns from labelled rows, predicts rows, and can be saved and loaded.

A family is a subclass in a file of its own. Its settings are a strict model: an unknown key is an error that lists the
known ones. Heavy libraries are imported only inside the functions that use them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from extract.config import Strict
from extract.features.store import KINDS
from extract.runtime.errors import InputError, did_you_mean
from heads.abaw.tasks import Task
from heads.data.feature_file import TABLE
from heads.data.relative import Relative
from heads.data.table import Block, LabelledRows, Rows
from heads.data.temporal import Temporal

TRIAL_ROWS = 2
"""Rows that a head which was read from files predicts at once, to see whether it can."""
OnProgress = Callable[[float, str], None]
"""Called with the part done, 0 to 1, and a few words."""


def _quiet(_done: float, _note: str) -> None:
    """Progress that nobody looks at."""


def share_progress(whole: OnProgress, start: float, share: float, note: str = "") -> OnProgress:
    """The progress of a `share` of the whole, which begins at `start`; `note` stands before its words."""
    return lambda done, words: whole(start + share * done, note + words)


class HeadSettings(Strict):
    """What all families share. A kind of input with a `?` behind it is used where a network has it."""

    family: str
    networks: Literal["each", "all"] | list[str] = "each"
    """One head for each network, one on all networks' columns side by side, or one on the networks named."""
    inputs: list[str] = Field(min_length=1)
    """Of "embedding", "logits", "va" and "table": the columns of an imported table, of 256 at most. A head that asks
    for both takes a table's columns as "table", a network's as "embedding".
    """
    stride: int = Field(default=1, ge=1)
    """Train on every stride-th labelled frame of a video: neighbours are nearly equal."""

    on_request: bool = False
    """A standard head that runs only where the config's `use` names it."""
    refit: bool = True
    """When all is chosen, learn again from train and dev rows together."""
    temporal: list[Temporal] = Field(default=[])
    """[[temporal]] tables: columns beside `inputs`."""
    relative: Relative = Relative()
    """"none", "recording" or "person": inputs less their mean there; or a table by kinds of inputs (data.relative)."""
    folds: int = Field(default=0, ge=0)
    """2 or more: also predict train out of fold, by recording (`oof.parquet`; see heads.data.splits)."""
    bags: int = Field(default=0, ge=0)
    """2 or more: so many models, each of which lacks the recordings of one fold of train. Their mean is predicted; of
    train what the model says that has not seen it (`oof.parquet`).
    """
    refit_val: bool = False
    """Also learn from train and validation together, with what was chosen on train alone (`test_trainval.parquet`).
    With `bags` as many models anew, each without a fold of both.
    """

    @field_validator("inputs")
    @classmethod
    def _known_kinds(cls, value: list[str]) -> list[str]:
        for kind in value:
            if kind.removesuffix("?") not in (*KINDS, TABLE):
                raise ValueError(f"{kind!r} is none of {', '.join((*KINDS, TABLE))}")
        if len({kind.removesuffix("?") for kind in value}) < len(value):
            raise ValueError("a kind of input occurs twice")
        return value

    @field_validator("temporal")
    @classmethod
    def _different(cls, value: list[Temporal]) -> list[Temporal]:
        made = [(t.kind, window, statistic) for t in value for window in t.windows for statistic in t.statistics]
        if len(set(made)) < len(made):
            kind, window, statistic = next(item for item in made if made.count(item) > 1)
            raise ValueError(f"the {statistic} of {kind} over {window} frames occurs twice")
        return value

    @model_validator(mode="after")
    def _one_number_of_folds(self) -> Self:
        if self.bags == 1:
            raise ValueError("bags = 1 would lack every video: give 2 or more, or 0 for none")
        if self.folds and self.bags:
            raise ValueError("bags make folds of their own: give folds or bags, not both")
        return self

    @property
    def fold_count(self) -> int:
        """Into how many folds train is cut; 0 where it is not."""
        return count if (count := max(self.folds, self.bags)) > 1 else 0

    @property
    def may_lack(self) -> tuple[str, ...]:
        """Networks whose features some videos may lack."""
        return ()


class Head(ABC):
    """One model of one task.

    Scores are float32 [N, outputs]: probabilities for au and expr (rows of expr sum to 1), values in [-1, 1] for va.
    The same rows, settings and seed give the same scores to the bit on one machine. Labels may lack a class, a unit's
    positives, or a whole dev slice (0 rows: the corpus has one labelled video); a head copes and says so in its facts.
    """

    Settings: ClassVar[type[HeadSettings]]
    learns_dev: ClassVar[bool] = False
    """Whether dev rows are learnt from too, so that a score on them says nothing."""
    streams: ClassVar[bool] = False
    """Whether it reads rows piece by piece in their order, so that large embeddings may stay on disk."""
    in_time: ClassVar[bool] = False
    """Whether its score of a frame hangs on the frames around it, beyond what its columns do."""
    imports: ClassVar[tuple[str, ...]] = ()
    """Libraries that take seconds to import (or "module:function", which imports them), and may be forked then: before
    they are used they work in no thread and ask for no device.
    """
    gpu: ClassVar[bool] = False
    """Whether it learns on a GPU where there is one; other families never see one."""

    def __init__(self, task: Task, settings: HeadSettings) -> None:
        self.task = task
        self.settings = settings

    @abstractmethod
    def fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress = _quiet
    ) -> dict[str, Any]:
        """Learn from `train`, choose (epoch, trees, ...) by `dev`. Returns facts for the report, JSON-able."""

    def refit(self, rows: LabelledRows, seed: int, on_progress: OnProgress = _quiet) -> None:
        """Learn again from `rows` with what `fit` chose (epochs, trees, ...). Nothing, for families that learn dev."""
        return None

    @abstractmethod
    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """Scores [N, outputs] of rows that have the same columns as those learnt from. Any number of rows, also 0."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that `load` needs into an existing folder."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Become the head that was saved there: the same predictions to the bit."""

    def check(self, columns: Sequence[str]) -> None:
        """Try a head that was loaded on rows of zeros. Raises ValueError, or whatever a library does, where it does not
        fit such columns: a file may be of another head, or somebody else's.
        """
        scores = self.predict(blank_rows(len(columns)))
        if scores.shape != (TRIAL_ROWS, len(self.task.outputs)) or not np.isfinite(scores).all():
            raise ValueError(f"it predicts {scores.shape} scores that are not all finite, of {len(columns)} columns")


def blank_rows(width: int) -> Rows:
    """Two frames of a video whose columns are 0."""
    order = np.arange(TRIAL_ROWS)
    block = Block("tried", "embedding", np.zeros((TRIAL_ROWS, width), np.float32))
    return Rows(("tried",), np.zeros(TRIAL_ROWS, np.int32), order.astype(np.int32) + 1, (block,), order)


FAMILIES = {
    "mlp": "heads.families.mlp.head:Mlp",
    "lightgbm": "heads.families.lightgbm_head:LightGbm",
    "linear": "heads.families.linear.head:LinearHead",
    "tabm": "heads.families.tabm.head:Tabm",
    "lama": "heads.families.lama.head:Lama",
    "pretrained": "heads.families.pretrained_head:PretrainedHead",
    "sequence": "heads.families.sequence.head:Sequence",
    "fusion": "heads.families.sequence.fusion:Fusion",
}


def family(name: str) -> type[Head]:
    """The head class of a family. Raises InputError that lists the families for a name that is none of them."""
    if name not in FAMILIES:
        hint = did_you_mean(name, FAMILIES)
        raise InputError(f"no family of heads is called {name!r}; there are {', '.join(FAMILIES)}{hint}")
    module, _, attribute = FAMILIES[name].partition(":")
    results: type[Head] = getattr(import_module(module), attribute)
    return results


def class_weights(counts: NDArray[np.generic], balance: float = 1.0) -> NDArray[np.float64]:
    """Weight of each class, (largest count / count) ** balance, for counts [C]: the published formula at balance 1.

    A class that does not occur has weight 0, not infinity: there is no row that it would apply to.
    """
    counts = np.asarray(counts, np.float64)
    there = counts > 0
    ratio = np.divide(counts.max(), counts, out=np.zeros_like(counts), where=there)
    return np.where(there, ratio**balance, 0.0)


def unit_weights(
    positives: NDArray[np.generic], rows: int, balance: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (w0, w1) of a unit's negatives and positives, for positives [units] among `rows` labelled rows.

    w0 = N / (2 negatives), w1 = N / (2 positives), each to the power of `balance` (1: the published formula; 0: no
    weights); 1 for a side that does not occur.
    """
    positives = np.asarray(positives, np.float64)

    def weight(count: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = np.divide(rows, 2.0 * count, out=np.ones_like(count), where=count > 0)
        return np.where(count > 0, ratio**balance, 1.0)

    return weight(rows - positives), weight(positives)


def row_weights(truth: NDArray[np.generic], task: Task, balance: float) -> NDArray[np.float64]:
    """Weight of each row (expr: [N], mean 1) or of each row's units (au: [N, 12]); va: ones [N]."""
    if task.is_multiclass:
        weights = class_weights(np.bincount(truth, minlength=len(task.outputs)), balance)[truth.astype(np.int64)]
        return weights / weights.mean()
    if task.is_multilabel:
        negative, positive = unit_weights(truth.sum(0, dtype=np.int64), len(truth), balance)
        return np.where(truth > 0, positive, negative)
    return np.ones(len(truth))
