"""One peer learns: a model of another library on a table of columns, as a user of that library would fit it.

    <python> -m blend.studies.peers.worker          the job comes on stdin

A process of its own, of any Python that has the library; beside it this file needs numpy and scikit-learn. All peers
see the same rows, and these weigh as our heads' do. The by-video dev slice that our heads choose their epochs on stops
boosting and epochs, too, and then all rows are learnt from again.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.runtime import process

Floats = NDArray[np.floating[Any]]
Predict = Callable[[Floats], Floats]
"""Columns [n, D] -> scores [n, outputs]: probabilities, or values."""

FEWEST = 2
"""Positives, and negatives, that a unit needs to be learnt; others are predicted by their rate."""
ROUNDS, PATIENCE = 1000, 50
"""Trees at most, and how many without a better dev loss end it."""
STRENGTHS = (1e-4, 1e-3, 3e-3, 1e-2, 1e-1)
"""scikit-learn's C of logistic regression; ridge regression has 1 / C as its penalty."""
FOLDS = 5
EPOCHS, TABM_PATIENCE, BATCH, WIDTH, MEMBERS = 100, 16, 256, 256, 32
"""Of TabM; the rest are the package's defaults and its example's rate and decay."""
PIECE, TABM_PIECE = 8192, 1024
"""Rows that are predicted at a time; by TabM, which makes MEMBERS times WIDTH float32 of each."""
LIMIT, PRESETS = 300.0, "medium_quality"
"""AutoGluon's: seconds that it has for a task, and how much it tries in them."""


@dataclass(frozen=True)
class Train:
    """Rows to learn from. `labels` is the kind of the task's: "multilabel", "multiclass" or "regression"."""

    labels: str
    outputs: int
    seed: int
    x: NDArray[np.float32]
    """[N, D]."""
    y: NDArray[Any]
    """Units uint8 [N, outputs], classes int8 [N], values float32 [N, outputs]."""
    weight: NDArray[np.float64]
    """[N], of units [N, outputs]."""
    dev: NDArray[np.bool_]
    """[N]: rows of the dev slice's videos."""
    group: NDArray[np.int64]
    """[N]: the number of the recording or person."""
    scale: NDArray[np.float32]
    """[D]: what a column's deviation is made where blocks of columns are scaled."""
    limit: float = LIMIT
    presets: str = PRESETS

    def take(self, at: NDArray[Any] | slice) -> Train:
        """Some of the rows."""
        parts = {name: getattr(self, name)[at] for name in ("x", "y", "weight", "dev", "group")}
        return replace(self, **parts)


def each_output(train: Train, fit: Callable[[Train], Predict | None], stops: bool = True) -> Predict:
    """One model of all classes, or one for each unit or value, whose predictions stand side by side.

    An only class has probability 1. A unit that (almost) never changes, or of which `fit` makes nothing, is predicted
    by its rate; where a peer `stops` on the dev slice the other rows must show a change, too.
    """
    if train.labels == "multiclass":
        return _one_of_all(train, fit)
    models = []
    for i in range(train.outputs):
        y = np.ascontiguousarray(train.y[:, i])
        weight = np.ascontiguousarray(train.weight[:, i]) if train.labels == "multilabel" else train.weight
        rare = train.labels == "multilabel" and _counts(y[~train.dev] if stops else y) < FEWEST
        model, rate = None if rare else fit(replace(train, y=y, weight=weight)), float(y.mean())
        models.append(model or (lambda x, rate=rate: np.full(len(x), rate)))
    return lambda x: np.column_stack([model(x) for model in models])


def _one_of_all(train: Train, fit: Callable[[Train], Predict | None]) -> Predict:
    classes = np.unique(train.y)
    if len(classes) == 1:
        return lambda x: widen(np.ones((len(x), 1)), classes, train.outputs)
    if (model := fit(train)) is None:
        raise RuntimeError("no model was made: give it more time")
    return model


def _counts(y: NDArray[Any]) -> int:
    """How many rows the rarer side of a unit has."""
    return int(min((y > 0).sum(), (y == 0).sum()))


def widen(scores: Floats, classes: Sequence[Any], outputs: int) -> Floats:
    """Probabilities of the classes that were learnt, [n, K] -> of all, [n, outputs]; the others' are 0."""
    whole = np.zeros((len(scores), outputs))
    whole[:, np.asarray(classes, np.int64)] = scores
    return whole


# -- regressions


def logistic(train: Train, scaled: bool = False) -> Predict:
    """Logistic regression, of values ridge regression, on standardised columns; C has the best out-of-fold loss.

    `scaled`: few columns (logits, valence, arousal, temporal ones) are made larger than those of embeddings.
    """
    from threadpoolctl import threadpool_limits

    mean, factor = _moments(train.x)
    factor = factor * train.scale if scaled else factor

    def standardise(x: Floats) -> Floats:
        moved = np.subtract(x, mean, dtype=np.float32)
        moved *= factor
        return moved

    ready = replace(train, x=standardise(train.x))
    with threadpool_limits(1):  # small products: threads that wait for each other cost more than they do
        strength = STRENGTHS[len(STRENGTHS) // 2]  # of one recording, which cannot be cut in folds
        if len(np.unique(train.group)) > 1:
            strength = min(STRENGTHS, key=lambda c: _held_out_loss(ready, c))
        model = _regression(ready, strength)
    return lambda x: model(standardise(x))


def _moments(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean of each column [D], and 1 / its deviation, of a constant one 0: float64 sums of PIECE rows at a time."""
    starts = range(0, len(x), PIECE)
    mean = sum(x[at : at + PIECE].sum(0, dtype=np.float64) for at in starts) / len(x)
    deviation = np.sqrt(sum(np.square(x[at : at + PIECE] - mean).sum(0) for at in starts) / len(x))
    factor = np.where(deviation > 1e-6 * (1 + np.abs(mean)), 1 / np.where(deviation > 0, deviation, 1), 0)
    return mean.astype(np.float32), factor.astype(np.float32)


def _regression(train: Train, strength: float) -> Predict:
    from sklearn.linear_model import LogisticRegression, Ridge

    if train.labels == "regression":
        ridge = Ridge(1 / strength).fit(train.x, train.y)
        return lambda x: np.reshape(ridge.predict(x), (len(x), train.outputs))

    def fit(part: Train) -> Predict:
        model = LogisticRegression(C=strength, max_iter=1000).fit(part.x, part.y, part.weight)
        if part.labels == "multilabel":
            return lambda x: model.predict_proba(x)[:, 1]
        return lambda x: widen(model.predict_proba(x), model.classes_, part.outputs)

    return each_output(train, fit, stops=False)


def _held_out_loss(train: Train, strength: float) -> float:
    """The weighted loss of out-of-fold predictions, folds by group: cross-entropy, of values the squared error."""
    from sklearn.model_selection import GroupKFold

    folds = GroupKFold(min(FOLDS, len(np.unique(train.group)))).split(train.x, groups=train.group)
    losses = []
    for rest, held in folds:
        scores = np.clip(_regression(train.take(rest), strength)(train.x[held]), -1, 1)
        y = train.y[held]
        if train.labels == "regression":
            losses.append(((scores - y) ** 2).sum())
            continue
        right = scores[np.arange(len(y)), y.astype(int)] if y.ndim == 1 else np.where(y > 0, scores, 1 - scores)
        losses.append(-(train.weight[held] * np.log(np.clip(right, 1e-6, 1))).sum())
    return float(np.sum(losses))


# -- trees


def lightgbm(train: Train) -> Predict:
    """LightGBM: its defaults at a learning rate of .05."""
    import lightgbm as lgb

    common = {"learning_rate": 0.05, "verbosity": -1, "seed": train.seed, "num_threads": 2}
    common |= {"deterministic": True, "force_row_wise": True}

    def fit(part: Train) -> Predict:
        classes, y = _numbered(part)
        objective = {"multilabel": "binary", "multiclass": "multiclass", "regression": "regression"}[part.labels]
        settings: dict[str, Any] = common | {"objective": objective}
        if part.labels == "multiclass":
            settings["num_class"] = len(classes)
        data = lgb.Dataset(part.x, y, weight=part.weight, free_raw_data=False)
        rounds = ROUNDS // 10
        if part.dev.any():
            first, dev = (data.subset(np.flatnonzero(at)) for at in (~part.dev, part.dev))
            stop = lgb.early_stopping(PATIENCE, verbose=False)
            rounds = lgb.train(settings, first, ROUNDS, [dev], callbacks=[stop]).best_iteration
        model = lgb.train(settings, data, rounds)
        if part.labels == "multiclass":
            return lambda x: widen(np.asarray(model.predict(x)), classes, part.outputs)
        return lambda x: np.asarray(model.predict(x))

    return each_output(train, fit)


def _numbered(train: Train) -> tuple[NDArray[Any], NDArray[Any]]:
    """The classes that occur, and the rows' classes as numbers of these; of other labels the rows' own."""
    if train.labels != "multiclass":
        return np.empty(0), train.y
    classes, y = np.unique(train.y, return_inverse=True)
    return classes, y


def catboost(train: Train) -> Predict:
    """CatBoost with its defaults."""
    from catboost import CatBoostClassifier, CatBoostRegressor, Pool

    def fit(part: Train) -> Predict:
        loss = {"multilabel": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}[part.labels]
        kind = CatBoostRegressor if part.labels == "regression" else CatBoostClassifier
        common = {"loss_function": loss, "random_seed": part.seed, "verbose": False, "thread_count": 2}
        common |= {"allow_writing_files": False}

        def pool(at: NDArray[np.bool_]) -> Any:
            return Pool(part.x[at], part.y[at], weight=part.weight[at])

        rounds = ROUNDS // 10
        everything = np.ones(len(part.x), bool)
        seen = np.isin(part.y, part.y[~part.dev]) if part.labels == "multiclass" else everything
        several = part.labels == "regression" or len(np.unique(part.y[~part.dev])) > 1
        if several and (part.dev & seen).any():  # a class that the rest lacks cannot be looked at
            model = kind(iterations=ROUNDS, **common)
            model.fit(pool(~part.dev), eval_set=pool(part.dev & seen), early_stopping_rounds=PATIENCE)
            rounds = model.tree_count_
            common["learning_rate"] = model.get_all_params()["learning_rate"]
        last = kind(iterations=max(1, rounds), **common).fit(pool(everything))
        if part.labels == "multiclass":
            return lambda x: widen(last.predict_proba(x), np.ravel(last.classes_), part.outputs)
        return lambda x: last.predict(x) if part.labels == "regression" else last.predict_proba(x)[:, 1]

    return each_output(train, fit)


# -- networks


def tabm(train: Train) -> Predict:
    """TabM as the package's example has it (quantiles of a normal distribution, AdamW at .002, patience of 16 epochs),
    MEMBERS networks of WIDTH.
    """
    from sklearn.preprocessing import QuantileTransformer

    quantiles = max(min(len(train.x) // 30, 1000), 10)
    noise = 1e-5 * np.random.default_rng(train.seed).standard_normal(train.x.shape)
    ready = QuantileTransformer(
        n_quantiles=quantiles, output_distribution="normal", subsample=10**9, random_state=train.seed
    ).fit((train.x + noise).astype(np.float32))
    moved = replace(train, x=ready.transform(train.x).astype(np.float32))
    epochs = EPOCHS // 2
    if train.dev.any():
        epochs, _ = _learn_tabm(moved.take(~moved.dev), moved.take(moved.dev), EPOCHS)
    _, model = _learn_tabm(moved, None, epochs)
    return lambda x: _predict_tabm(model, ready.transform(x).astype(np.float32), train.labels)


def _learn_tabm(train: Train, dev: Train | None, epochs: int) -> tuple[int, Any]:
    """Learn, of `dev` rows until their loss has not fallen for TABM_PATIENCE epochs; the best epoch, and the network as
    it is at the end.
    """
    import tabm
    import torch

    torch.manual_seed(train.seed)
    rng = np.random.default_rng(train.seed)
    model = tabm.TabM.make(n_num_features=train.x.shape[1], d_out=train.outputs, k=MEMBERS, d_block=WIDTH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=3e-4)
    best, best_epoch = np.inf, epochs
    for epoch in range(1, epochs + 1):
        model.train()
        for at in np.array_split(rng.permutation(len(train.x)), -(-len(train.x) // BATCH)):
            optimizer.zero_grad()
            _tabm_loss(model, train.take(at)).backward()
            optimizer.step()
        if dev is None:
            continue
        loss = _score_tabm(model.eval(), dev)
        if loss < best:
            best, best_epoch = loss, epoch
        elif epoch - best_epoch >= TABM_PATIENCE:
            break
    return best_epoch, model.eval()


def _score_tabm(model: Any, dev: Train) -> float:
    """The loss of all rows, TABM_PIECE at a time."""
    import torch

    parts = [dev.take(slice(start, start + TABM_PIECE)) for start in range(0, len(dev.x), TABM_PIECE)]
    with torch.inference_mode():
        return sum(float(_tabm_loss(model, part)) * len(part.x) for part in parts) / len(dev.x)


def _tabm_loss(model: Any, part: Train) -> Any:
    """The mean over members of the weighted loss of each."""
    import torch
    from torch.nn import functional

    out = model(torch.from_numpy(part.x))
    weight = torch.from_numpy(part.weight.astype(np.float32))
    y = torch.from_numpy(part.y.astype(np.int64 if part.labels == "multiclass" else np.float32))
    if part.labels == "multiclass":
        each = functional.cross_entropy(out.flatten(0, 1), y.repeat_interleave(out.shape[1]), reduction="none")
        return (each.unflatten(0, out.shape[:2]) * weight[:, None]).mean()
    y = y[:, None].expand_as(out)
    if part.labels == "multilabel":
        return functional.binary_cross_entropy_with_logits(out, y, weight[:, None].expand_as(out))
    return functional.mse_loss(out, y)


def _predict_tabm(model: Any, x: NDArray[np.float32], labels: str) -> Floats:
    import torch

    with torch.inference_mode():
        out = torch.cat([_activate(model(part), labels) for part in torch.from_numpy(x).split(TABM_PIECE)])
    return out.double().numpy()


def _activate(out: Any, labels: str) -> Any:
    """The mean of the members' probabilities or values, [n, outputs]."""
    if labels == "regression":
        return out.mean(1)
    return (out.softmax(-1) if labels == "multiclass" else out.sigmoid()).mean(1)


# -- AutoML


def autogluon(train: Train) -> Predict:
    """AutoGluon: `presets` in `limit` seconds; the dev slice is its validation.

    Units or values are learnt one by one, each in an equal share of the limit; to refit on all rows comes on top of it.
    """
    from autogluon.tabular import TabularDataset, TabularPredictor

    def fit(part: Train) -> Predict | None:
        kinds = {"multilabel": ("binary", "f1"), "multiclass": ("multiclass", "f1_macro")}
        problem, metric = kinds.get(part.labels, ("regression", "root_mean_squared_error"))
        names = [f"c{i}" for i in range(part.x.shape[1])]
        rows = TabularDataset(part.x, columns=names)
        rows["label"], rows["weight"] = part.y, part.weight
        common = {"sample_weight": "weight", "verbosity": 1, "learner_kwargs": {"label_count_threshold": 1}}
        predictor = TabularPredictor("label", problem, metric, path=f"{tempfile.mkdtemp(dir='.')}/models", **common)
        held = {"tuning_data": rows[part.dev], "use_bag_holdout": True} if part.dev.any() else {}
        try:
            predictor.fit(rows[~part.dev], presets=part.presets, time_limit=limit, num_cpus=2, **held)
        except (AssertionError, RuntimeError) as error:  # no model was done in time, or not even begun
            if not str(error).startswith(("No models were trained", "Not enough time left")):
                raise
            print(f"AutoGluon made no model in {limit:g} s: {error}")
            return None
        predictor.refit_full()
        print("AutoGluon's models:", *predictor.model_names(), "; predicts:", predictor.model_best)

        def predict(x: Floats) -> Floats:
            table = TabularDataset(x, columns=names)
            if part.labels == "regression":
                return np.asarray(predictor.predict(table), np.float64)
            scores = predictor.predict_proba(table)
            if part.labels == "multilabel":
                return np.asarray(scores[1], np.float64)
            return widen(scores.to_numpy(np.float64), scores.columns, part.outputs)

        return predict

    limit = train.limit if train.labels == "multiclass" else train.limit / train.outputs
    return each_output(train, fit)


PEERS: dict[str, tuple[str, Callable[[Train], Predict]]] = {
    "logistic": ("sklearn", logistic),
    "logistic_scaled": ("sklearn", lambda train: logistic(train, scaled=True)),
    "lightgbm": ("lightgbm", lightgbm),
    "catboost": ("catboost", catboost),
    "tabm": ("tabm", tabm),
    "autogluon": ("autogluon.tabular", autogluon),
}
"""Name -> the package that it needs, and how it learns."""


def find_versions() -> dict[str, str]:
    """Peers whose package this Python has -> its version."""
    from importlib.metadata import version

    results = {}
    for name, (package, _) in PEERS.items():
        parent, _, child = package.partition(".")
        if importlib.util.find_spec(parent) and (not child or importlib.util.find_spec(package)):
            results[name] = version({"sklearn": "scikit-learn"}.get(package, package))
    return results


def learn(folder: Path, peer: str, seed: int, limit: float, presets: str) -> dict[str, NDArray[Any]]:
    """Fit a peer on the folder's `train.npz` and the seed's dev slice, and predict `<part>.npy`. Returns scores by
    part, and "seconds": processor seconds that it took to learn, its own processes' among them.
    """
    with np.load(folder / "train.npz", allow_pickle=False) as arrays:
        values: dict[str, Any] = {name: arrays[name] for name in arrays.files}
    values["dev"] = np.load(folder / "dev" / str(seed) / "dev.npy", allow_pickle=False)
    about = {"labels": str(values.pop("labels")), "outputs": int(values.pop("outputs"))}
    train = Train(**about, seed=seed, limit=limit, presets=presets, **values)
    began = _processor_seconds()
    predict = PEERS[peer][1](train)
    results: dict[str, NDArray[Any]] = {"seconds": np.array(_processor_seconds() - began)}
    for path in sorted(folder.glob("*.npy")):
        x = np.load(path, mmap_mode="r", allow_pickle=False)
        pieces = [predict(np.array(x[start : start + PIECE])) for start in range(0, len(x), PIECE)]
        scores = np.concatenate([np.empty((0, train.outputs)), *pieces])
        results[path.stem] = np.clip(scores, -1 if train.labels == "regression" else 0, 1).astype(np.float32)
    return results


def _processor_seconds() -> float:
    return sum(os.times()[:4])


def main() -> None:
    """Do the job on stdin: tell which peers are installed ("peer" is empty), or let one learn."""
    job = process.job()
    tell = process.reserve_stdout()
    if not job["peer"]:
        tell(find_versions())
        return
    out = Path(job["out"])
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        home, folder = Path.cwd(), Path(job["folder"]).resolve()
        os.chdir(scratch)  # libraries leave files where they are
        results = learn(folder, job["peer"], job["seed"], job["limit"], job["presets"])
        os.chdir(home)
    temporary = out / "scores.part.npz"
    np.savez(temporary, **results)
    temporary.replace(out / "scores.npz")
    tell({"seconds": float(results["seconds"])})


if __name__ == "__main__":
    main()
