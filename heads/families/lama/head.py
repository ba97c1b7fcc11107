"""The lama family: LightAutoML, one automl per output (au binary, va regression; expr one multiclass).

For several outputs at once LightAutoML drops LightGBM, so outputs are learnt one by one; `per_output = false` learns
them together, as the published runs did, for comparison. An algorithm that was asked for and did not finish is an error
that names it. The family makes its own out-of-fold predictions, so it learns from train and dev rows alike.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from extract.runtime import inputs, limits, run_folder
from extract.runtime.errors import InputError
from heads.base.head import Head, HeadSettings, OnProgress, _quiet, blank_rows, row_weights
from heads.base.threads import threads
from heads.data.table import CHUNK, LabelledRows, Rows, space_evenly
from heads.families.lama import budget
from heads.families.lama import data as lama_data
from heads.families.lama import fit as lama_fit
from heads.families.lama import library as lama_library
from heads.families.lama import pool as lama_pool
from heads.families.lama import scorer as lama_scorer
from heads.families.lama.data import Target, TrainDevRows
from heads.families.lama.fit import FitOrder, FitResult

Algorithm = Literal["linear_l2", "lgb", "lgb_tuned", "rf", "rf_tuned", "cb", "cb_tuned", "xgb", "xgb_tuned"]
SINGLE = ("lgb", "lgb_tuned", "xgb", "xgb_tuned")
"""Algorithms that LightAutoML leaves out, without a word, where several outputs are learnt at once."""
FIRST = 0.3
"""The part of the work that the first fits are, for the progress bar."""
TIMING_ROWS = 2000
"""Rows that are predicted to see what predicting takes, where that is not known."""


class LamaSettings(HeadSettings):
    """Settings of a lama head. `*_tuned` algorithms search by the clock: their results differ from run to run."""

    family: Literal["lama"] = "lama"
    use_algos: list[list[Algorithm]] = Field(default=[["linear_l2", "lgb"]], min_length=1)
    timeout: int = Field(default=600, gt=0)
    """Seconds for learning all outputs and predicting validation; the rows are chosen to fit (lama.budget).
    Reading features comes on top, and so do the test list, each of `folds` and `refit_val` (a limit of its own each).
    """
    per_output: bool = True
    """One automl per output; false: one for all of them (LightAutoML's multilabel and multi:reg)."""
    cv: int = Field(default=3, ge=2)
    max_rows: int | None = Field(default=None, ge=1)
    """Frames are thinned evenly to at most so many, however much time there is."""
    trees: int = Field(default=300, ge=1)
    patience: int = Field(default=20, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    num_leaves: int = Field(default=15, ge=2)
    penalties: list[float] = Field(default=[1e-3, 1e-2, 1e-1, 1.0, 10.0], min_length=1)
    """LinearL2 tries these C in rising order and stops when two in a row are no better."""
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class or unit weights: 1 is the published formula, 0 no weights."""
    memory: int = Field(default=16, gt=0)
    """GB that LightAutoML may plan with."""

    @property
    def algorithms(self) -> list[str]:
        """All algorithms that were asked for, once each."""
        return list(dict.fromkeys(name for level in self.use_algos for name in level))


class Lama(Head):
    """One fitted automl per output; what (almost) never changes in train is predicted by its mean."""

    Settings = LamaSettings
    settings: LamaSettings
    learns_dev = True
    scorers: list[lama_scorer.Scores] | None = None
    """Of `models`, once they have been asked for."""

    def fit(
        self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: OnProgress = _quiet
    ) -> dict[str, Any]:
        """See Head.fit. Learns from some thousand rows first, then from as many as there is time for.

        Raises InputError that names an algorithm which did not finish within `timeout`.
        """
        began = time.monotonic()
        until = began + self.settings.timeout
        self._refuse()
        lama_pool.start(min(threads(), len(self.task.outputs)))
        data = TrainDevRows(train, dev)
        self.targets, self.base = lama_data.find_targets(
            self.task, data.truth, data.video, self.settings.per_output, self.settings.cv, seed
        )

        def run(which: list[int], rows: list[int], done: float, share: float, note: str) -> list[FitResult | None]:
            return lama_pool.run(
                len(which),
                lambda i: self._order(data, self.targets[which[i]], rows[which[i]], seed),
                threads(),
                until,
                lambda finished: on_progress(done + share * finished / len(which), note),
            )

        most = min(len(data), self.settings.max_rows or len(data))
        few = budget.first_rows(most, self.settings.timeout)
        every, asked = list(range(len(self.targets))), time.monotonic()
        best = self._required(run(every, [few] * len(every), 0.0, FIRST, f"{few:,} rows"))
        took = threads() * (time.monotonic() - asked) / max(1, len(best))
        self.models, self.scorers = [fitted.model for fitted in best], None
        result = self._plan(best, few, most, data, took)
        until -= result.reserve_prediction(self.settings.timeout, time.monotonic() - began, threads())
        plan = list(result.rows)
        again = [i for i in every if plan[i] > few]
        late = []
        for i, fitted in zip(again, run(again, plan, FIRST, 1 - FIRST, "more rows"), strict=True):
            if fitted is None or self._missing(fitted):
                late.append(self.targets[i].name)
                plan[i] = few
            else:
                best[i] = fitted
        self.models, self.scorers = [fitted.model for fitted in best], None
        return {
            "learnt_rows": {target.name: rows for target, rows in zip(self.targets, plan, strict=True)},
            "algorithms": {target.name: fitted.weights for target, fitted in zip(self.targets, best, strict=True)},
            "constant_outputs": lama_data.list_constant(self.task, self.targets),
            "out_of_time": late,
            "learning_seconds": round(time.monotonic() - began, 2),
        }

    def _refuse(self) -> None:
        """Raise InputError for algorithms that would be left out in silence, and for stacks."""
        if len(self.settings.use_algos) > 1:
            raise InputError(
                f"lama: use_algos has {len(self.settings.use_algos)} levels; a head learns one: give one list, as in "
                f"use_algos = [{json.dumps(self.settings.algorithms)}]"
            )
        together = not self.settings.per_output and not self.task.is_multiclass
        for algorithm in self.settings.algorithms:
            if together and algorithm in SINGLE:
                raise InputError(
                    f"lama: {algorithm!r} cannot learn several outputs at once; take it out of use_algos (which "
                    f"can: linear_l2, rf, cb) or set per_output = true"
                )

    def _order(self, data: TrainDevRows, target: Target, rows: int, seed: int) -> FitOrder:
        values = space_evenly(len(data), rows)
        searches = any(algorithm.endswith("_tuned") for algorithm in self.settings.algorithms)
        weights = row_weights(data.truth[values], self.task, self.settings.balance)
        return FitOrder(
            target.name,
            target.kind,
            data.features(values),
            target.label(data.truth[values]),
            (weights[:, target.columns[0]] if weights.ndim == 2 else weights).astype(np.float32),
            data.video[values],
            seed,
            self.settings.model_dump(),
            max(1, self.settings.timeout // (2 * len(self.targets))) if searches else lama_fit.FAR,
        )

    def _missing(self, fitted: FitResult | None) -> dict[str, int]:
        """The algorithms asked for that did not finish, and how many folds of them did."""
        finished = fitted.finished_folds if fitted else {}
        folds = {name: finished.get(lama_library.long_name(name), 0) for name in self.settings.algorithms}
        return {name: count for name, count in folds.items() if count < self.settings.cv}

    def _required(self, first: list[FitResult | None]) -> list[FitResult]:
        """The first fits, all of them. Raises InputError that names output and algorithm where one is missing."""
        for target, fitted in zip(self.targets, first, strict=True):
            for algorithm, folds in self._missing(fitted).items():
                raise InputError(
                    f"lama, {target.name}: algorithm {algorithm!r} finished {folds} of {self.settings.cv} folds "
                    f"within timeout = {self.settings.timeout} s; raise timeout, or take it out of use_algos"
                )
        return [fitted for fitted in first if fitted]

    def _plan(self, first: list[FitResult], few: int, rows: int, data: TrainDevRows, took: float) -> budget.Plan:
        """The second fits: see heads.families.lama.budget. `took`: seconds of each first fit."""
        s = self.settings
        train = data.parts[0].rows
        predicted = int(budget.PREDICTED_SHARE * len(data) * s.stride)
        if budget.KNOWN_ALGORITHMS.issuperset(s.algorithms):
            costs = []
            for target in self.targets:
                outputs = len(target.columns) if target.kind == "multiclass" or target.is_joint else 1
                algorithms = tuple(s.algorithms)
                costs.append(budget.CostModel(train.width, s.cv, algorithms, outputs, s.trees, s.patience, predicted))
            return budget.plan(s.timeout, costs, [fitted.trees for fitted in first], few, rows)
        values = train.take(space_evenly(len(train), TIMING_ROWS))
        self.predict(values)  # loads what predicts
        asked = time.monotonic()
        self.predict(values)
        seconds = threads() * (time.monotonic() - asked) * predicted / max(1, len(values))
        return budget.plan_by_clock(s.timeout, len(first), few, rows, took, seconds)

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """See Head.predict. Each output's models run in one thread, several outputs side by side."""
        out = np.tile(np.array(self.base, np.float32), (len(rows), 1))
        if self.scorers is None:
            self.scorers = [lama_scorer.loads(model) for model in self.models]
        with lama_library.lightautoml(), ThreadPoolExecutor(threads()) as pool:
            for start in range(0, len(rows), CHUNK):
                chunk = rows.batch(slice(start, start + CHUNK))
                result = pool.map(lambda scores, chunk=chunk: scores(chunk), self.scorers)
                for target, values in zip(self.targets, result, strict=True):
                    target.fill(values, out[start : start + CHUNK])
        return np.clip(out, self.task.lowest, 1.0)

    def save(self, folder: Path) -> None:
        """Each automl in a JSON file of its own (heads.families.lama.scorer), and what for."""
        for i, model in enumerate(self.models):
            with run_folder.write_whole(folder / f"automl_{i}.json") as temporary:
                temporary.write_bytes(model)
        run_folder.write_json(folder / "lama.json", {"targets": [asdict(t) for t in self.targets], "base": self.base})

    def load(self, folder: Path) -> None:
        """See Head.load."""
        about = run_folder.read_json(folder / "lama.json", "make the head anew")
        outputs, self.base = len(self.task.outputs), about["base"]
        if not isinstance(self.base, list) or len(self.base) != outputs:
            raise ValueError(f"lama.json: base is no list of {outputs} numbers")
        if not all(isinstance(value, float) and self.task.lowest <= value <= 1 for value in self.base):
            raise ValueError(f"lama.json: base {self.base!r}, expected numbers in [{self.task.lowest:g}, 1]")
        if len(about["targets"]) > outputs:
            raise ValueError(f"lama.json: {len(about['targets'])} targets of {outputs} outputs")
        self.targets = [Target.read(raw, self.task) for raw in about["targets"]]
        columns = [column for target in self.targets for column in target.columns]
        if len({*columns}) < len(columns):
            raise ValueError("lama.json: two targets of one output")
        files = [folder / f"automl_{i}.json" for i in range(len(self.targets))]
        self.models = [inputs.read_bytes(file, largest=limits.MODEL_BYTES) for file in files]
        self.scorers = [lama_scorer.loads(model) for model in self.models]  # damage is found here, not while predicting

    def check(self, columns: Sequence[str]) -> None:
        """See Head.check: also of each automl by itself, whose scores numpy would stretch."""
        rows = blank_rows(len(columns)).batch()
        for target, scores in zip(self.targets, self.scorers or (), strict=True):
            if (shape := scores(rows).shape) != (len(rows), target.width):
                raise ValueError(f"the automl of {target.name!r} gives {shape} scores, expected {target.width} columns")
        super().check(columns)
