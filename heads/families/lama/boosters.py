"""Boosters of CatBoost and XGBoost in their libraries' own files, which hold numbers and no code."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.runtime.errors import InputError

PACKAGES = {"cb": "catboost", "xgb": "xgboost"}


@dataclass(frozen=True)
class SavedBoosters:
    """One booster per fold."""

    columns: list[int]
    library: str
    """A key of PACKAGES."""
    task: str
    """LightAutoML's name of it."""
    models: list[str]
    """CatBoost's `cbm` files as base64, XGBoost's JSON as it is."""

    @staticmethod
    def of(columns: list[int], library: str, task: str, models: list[Any]) -> SavedBoosters:
        """The boosters of fitted models."""
        if library == "xgb":
            return SavedBoosters(columns, library, task, [bytes(model.save_raw("json")).decode() for model in models])
        return SavedBoosters(
            columns, library, task, [base64.b64encode(model._serialize_model()).decode() for model in models]
        )

    def scorer(self) -> Any:
        """The mean of the folds' scores; features [n, columns] -> [n, outputs]. Raises InputError where the library
        that made them is not installed.
        """
        try:
            models = [(_xgboost if self.library == "xgb" else _catboost)(model, self.task) for model in self.models]
        except ImportError:
            name = PACKAGES[self.library]
            raise InputError(f"a head of family lama needs the package {name}: pip install {name}") from None

        def scores(x: NDArray[np.float32]) -> NDArray[np.float64]:
            some = np.ascontiguousarray(x[:, self.columns])
            found: NDArray[np.float64] = np.mean(
                [np.asarray(model(some), np.float64).reshape(len(x), -1) for model in models], axis=0
            )
            return found

        return scores


def _xgboost(text: str, task: str) -> Any:
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(text, "utf-8"))
    return lambda x: booster.predict(xgboost.DMatrix(x, nthread=1))


def _catboost(text: str, task: str) -> Any:
    import catboost

    model = catboost.CatBoost()
    model.load_model(blob=base64.b64decode(text, validate=True))
    if task in ("reg", "multi:reg"):
        return lambda x: model.predict(x, thread_count=1)
    chances = lambda x: model.predict(x, prediction_type="Probability", thread_count=1)  # noqa: E731
    return (lambda x: chances(x)[..., 1]) if task == "binary" else chances
