"""What is left of an automl when it has learnt: plain numbers and texts, never a pickle, which could run code.

LightAutoML takes seconds to be imported and passes every chunk through pandas. What it has learnt needs neither: its
linear models are standardisation and coefficients, LightGBM's boosters its own text, all other trees arrays, each with
a share. The scores are LightAutoML's to 1e-6, and to what its linear models' sums lose in float32, which is looked at
every time one is made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.runtime import inputs, limits
from heads.base.linear import softmax
from heads.data.arrays import finite
from heads.data.table import space_evenly
from heads.families import booster_text
from heads.families.lama import boosters, random_forest
from heads.families.lama.boosted_trees import Forest
from heads.families.lama.library import NAMES, as_frame, short_name
from heads.families.lama.random_forest import Forests

Scores = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""Features [n, columns] -> scores [n, 1], or a column per class or output."""
TOLERANCE = 1e-6
FLOAT32 = float(np.finfo(np.float32).eps)
LOOKED_AT = 1000
"""Rows that scores are compared on."""
LINKS = {"Sigmoid": "sigmoid", "SoftmaxClip": "softmax", "Identity": "identity"}
"""Torch's name of a linear model's last step -> ours."""
OBJECTIVES = {"binary sigmoid:1": "sigmoid", "multiclass": "softmax", "regression": "identity"}
"""How the line `objective=` of a booster's text begins -> the step behind its trees."""


TASK_LINKS = {"binary": "sigmoid", "multilabel": "sigmoid", "multiclass": "softmax"}
"""LightAutoML's task -> the step behind the trees of CatBoost and XGBoost; of all others "identity"."""


class NotPlain(Exception):
    """An automl has a part that is not known here."""


@dataclass(frozen=True)
class Linear:
    """One linear model per fold on standardised columns."""

    columns: list[int]
    means: list[float]
    deviations: list[float]
    weights: list[list[list[float]]]
    """[folds, outputs, columns]."""
    biases: list[list[float]]
    """[folds, outputs]."""
    link: str

    def scorer(self) -> Scores:
        """The mean of the folds' scores. Raises ValueError for numbers that do not fit together or are not finite."""
        means, deviations = (np.array(values, np.float32) for values in (self.means, self.deviations))
        models = [(np.array(w, float).T, np.array(b, float)) for w, b in zip(self.weights, self.biases, strict=True)]
        wide = (len(self.columns),)
        fits = (means.shape, deviations.shape) == (wide, wide) and (deviations > 0).all()
        if not (fits and models and all(w.shape == wide + b.shape and b.ndim == 1 for w, b in models)):
            raise ValueError(f"a linear model that does not fit its {wide[0]} columns")
        for values in (means, deviations, *(part for model in models for part in model)):
            finite({"linear": values}, "an automl")

        def scores(x: NDArray[np.float32]) -> NDArray[np.float64]:
            z = ((_take_columns(x, self.columns) - means) / deviations).astype(np.float64)
            return _mean([link(self.link, z @ weights + bias) for weights, bias in models])

        return scores

    def bound_rounding(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """How far from ours scores of features [n, columns] may be, [n], where sums are added up in float32."""
        z = np.abs((_take_columns(x, self.columns) - np.array(self.means)) / np.array(self.deviations))
        sums = z @ np.abs(np.array(self.weights)).max((0, 1)) + np.abs(np.array(self.biases)).max()
        return FLOAT32 * sums


@dataclass(frozen=True)
class Boosters:
    """One booster per fold, as LightGBM's text."""

    columns: list[int]
    texts: list[str]
    link: str

    def scorer(self) -> Scores:
        """The mean of the folds' scores."""
        if not self.texts or not isinstance(self.texts, list):
            raise ValueError("no boosters")
        models = [self._read_model(text) for text in self.texts]
        return lambda x: _mean([model(_take_columns(x, self.columns)) for model in models])

    def _read_model(self, text: str) -> Scores:
        booster_text.check(text, "a head of family lama", len(self.columns))
        if (forest := Forest.from_text(text)) is not None:
            return lambda x: link(self.link, forest.raw(x))
        booster = booster_text.booster(text)
        return lambda x: np.asarray(booster.predict(x, num_threads=1), np.float64).reshape(len(x), -1)


@dataclass(frozen=True)
class TreeSums:
    """One booster of CatBoost or XGBoost per fold, as trees that are added up."""

    columns: list[int]
    folds: list[dict[str, str]]
    """See random_forest.encode."""
    bases: list[list[float]]
    """[folds, outputs]: what the sums begin with."""
    sum: str
    """The type of number that is added (boosters.SUMS)."""
    link: str

    @staticmethod
    def from_models(columns: list[int], library: str, task: str, models: list[Any]) -> TreeSums:
        """The boosters of fitted models; `library` is a key of boosters.SUMS, `task` LightAutoML's."""
        read = boosters.of_xgboost if library == "xgb" else boosters.of_catboost
        folds, bases = zip(*map(read, models), strict=True)
        return TreeSums(columns, list(folds), list(bases), boosters.SUMS[library], TASK_LINKS.get(task, "identity"))

    def scorer(self) -> Scores:
        """The mean of the folds' scores."""
        if self.sum not in boosters.SUMS.values():
            raise ValueError(f"sums of {self.sum!r}")
        models = [(random_forest.decode(f), np.array(b, self.sum)) for f, b in zip(self.folds, self.bases, strict=True)]
        if not models or any(
            base.shape != trees[-1].shape[1:] or not np.isfinite(base).all() for trees, base in models
        ):
            raise ValueError("sums that do not begin with a finite number for each output")

        def scores(x: NDArray[np.float32]) -> NDArray[np.float64]:
            items, result = np.ascontiguousarray(_take_columns(x, self.columns)), []
            for trees, base in models:
                raw = np.tile(base, (len(x), 1))
                random_forest.add_trees(items, trees, raw)
                result.append(link(self.link, raw.astype(np.float64)))
            return _mean(result)

        return scores


Part = Linear | Boosters | Forests | TreeSums
KINDS: dict[str, type[Part]] = {"linear": Linear, "boosters": Boosters, "forests": Forests, "sums": TreeSums}


def dumps(automl: Any, x: NDArray[np.float32]) -> bytes:
    """A fitted automl as JSON; `x` [n, columns] are features that it learnt from.

    Raises NotPlain where it has a part that is not known here, or where its own scores are others.
    """
    parts = [(share, _part(automl, pipe, algorithm)) for share, pipe, algorithm in shares(automl)]
    values = x[space_evenly(len(x), LOOKED_AT)]
    plain, own = _blend(parts)(values), automl.predict(as_frame(values)).data
    if plain.shape != own.shape:
        raise NotPlain(f"its scores as plain numbers are {plain.shape}, not {own.shape}")
    most = TOLERANCE + sum(share * part.bound_rounding(values) for share, part in parts if isinstance(part, Linear))
    apart = np.abs(plain - own).max(1)
    if (apart > most).any():
        raise NotPlain(f"its scores as plain numbers are others ({apart.max()})")
    kinds = {kind: name for name, kind in KINDS.items()}
    return json.dumps([{"kind": kinds[type(part)], "share": share, **vars(part)} for share, part in parts]).encode()


def loads(model: bytes) -> Scores:
    """What predicts, of `dumps`' bytes. Raises ValueError for bytes that are no such JSON, a pickle among them."""
    if (count := sum(map(model.count, (b",", b"[", b"{")))) > limits.JSON_VALUES:
        raise ValueError(f"{count:,} values")
    raws = inputs.parse_json(model.decode("utf-8"))
    if not isinstance(raws, list) or not raws:
        raise ValueError("no list of parts")
    return _blend([_read_part(**raw) for raw in raws])


def _read_part(share: float, kind: str, **values: Any) -> tuple[float, Part]:
    """A part of `dumps`' JSON, and its share. Raises ValueError for a share or columns that are none."""
    part = KINDS[kind](**values)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= limits.NUMBER:
        raise ValueError(f"a share of {share!r}")
    columns = part.columns
    if not isinstance(columns, list) or any(type(column) is not int or column < 0 for column in columns):
        raise ValueError("columns that are no numbers of columns")
    return share, part


def shares(automl: Any) -> Iterator[tuple[float, Any, Any]]:
    """(share in the blend, pipeline, algorithm) of all algorithms that the blender kept."""
    kept = [(pipe, algorithm) for pipe in automl.levels[-1] for algorithm in pipe.ml_algos]
    weights = automl.blender.wts if len(kept) > 1 else [1.0]
    for (pipe, algorithm), share in zip(kept, weights, strict=True):
        yield float(share), pipe, algorithm


def _part(automl: Any, pipe: Any, algorithm: Any) -> Part:
    """One algorithm of an automl of one level. Raises NotPlain."""
    name = short_name(algorithm.name).removeprefix("Tuned_")
    ours = {long: ours for ours, long in NAMES.items()}.get(name)
    if ours == "linear_l2":
        return _linear(pipe, algorithm)
    if ours == "lgb":
        texts = [model.model_to_string() for model in algorithm.models]
        return Boosters(_columns(algorithm.features, ""), texts, _link_of(texts[0]))
    if ours == "rf":  # what it fills in is for features that are not finite, and there are none
        columns = _columns(algorithm.features, "fillnamed__fillinf__")
        return Forests.from_models(columns, algorithm.models, automl.task.name)
    if ours in boosters.SUMS:
        return TreeSums.from_models(_columns(algorithm.features, ""), ours, automl.task.name, algorithm.models)
    raise NotPlain(name)


def _linear(pipe: Any, algorithm: Any) -> Linear:
    scalers = [step for step in _steps(pipe.features_pipeline._pipeline) if type(step).__name__ == "StandardScaler"]
    models = [model.model for model in algorithm.models]
    if len(scalers) != 1 or list(scalers[0].features) != list(algorithm.features):
        raise NotPlain("columns that are made in another way")
    if any(model.cat_params is not None or model.linear is None for model in models):
        raise NotPlain("categories")
    return Linear(
        _columns(algorithm.features, "scaler__fillnamed__fillinf__"),
        np.ravel(scalers[0].means).tolist(),
        np.ravel(scalers[0].stds).tolist(),
        [model.linear.weight.detach().numpy().tolist() for model in models],
        [model.bias.detach().numpy().tolist() for model in models],
        LINKS.get(type(models[0].final_act).__name__, "") or _unknown("link"),
    )


def _steps(transformer: Any) -> Iterator[Any]:
    """A transformer and all that it is made of."""
    yield transformer
    for part in getattr(transformer, "transformer_list", ()):
        yield from _steps(part)


def _columns(features: Sequence[str], prefix: str) -> list[int]:
    """Numbers of the columns f0, f1, ... behind a prefix. Raises NotPlain for columns that are something else."""
    results = [re.fullmatch(rf"{prefix}f(\d+)", name) for name in features]
    return [int(match[1]) if match else _unknown("column") for match in results]


def _link_of(text: str) -> str:
    objective = next((line[10:] for line in text.splitlines() if line.startswith("objective=")), "")
    results = [link for begin, link in OBJECTIVES.items() if objective.startswith(begin)]
    return results[0] if results else _unknown("objective")


def _unknown(what: str) -> Any:
    raise NotPlain(what)


def link(name: str, raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities or values [n, outputs] of raw scores."""
    if name == "identity":
        return raw
    if name == "softmax":
        return softmax(raw)
    if name != "sigmoid":
        raise ValueError(f"no step is called {name!r}")
    with np.errstate(over="ignore"):  # exp(-x) of a very small x is inf, and 1 / (1 + inf) is 0
        return 1 / (1 + np.exp(-raw))


def _blend(parts: Sequence[tuple[float, Part]]) -> Scores:
    """Scores by share; a part with none is not asked."""
    scorers = [(share, part.scorer()) for share, part in parts if share > 0]
    if not (whole := sum(share for share, _ in scorers)):
        raise ValueError("no part has a share")

    def blended(x: NDArray[np.float32]) -> NDArray[np.float64]:
        results = [share / whole * scores(x) for share, scores in scorers]
        if len({result.shape for result in results}) > 1:  # numpy would stretch the narrower one
            raise ValueError(f"parts of different shapes: {sorted({result.shape for result in results})}")
        total: NDArray[np.float64] = sum(results[1:], start=results[0])
        return total

    return blended


def _take_columns(x: NDArray[np.float32], columns: list[int]) -> NDArray[np.float32]:
    return x if columns == list(range(x.shape[1])) else x[:, columns]


def _mean(result: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = np.mean(result, axis=0)
    return mean
