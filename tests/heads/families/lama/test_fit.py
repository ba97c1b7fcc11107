from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from heads.families.lama import fit as lama_fit
from heads.families.lama import scorer as lama_scorer
from heads.families.lama.fit import FitOrder

SETTINGS = {
    "use_algos": [["linear_l2", "lgb"]],
    "cv": 2,
    "trees": 3,
    "patience": 5,
    "learning_rate": 0.1,
    "num_leaves": 4,
    "penalties": [0.1],
    "memory": 4,
}


def order(kind: str, label: np.ndarray, n: int = 80, **settings: Any) -> FitOrder:
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    video = np.repeat(np.arange(4), n // 4)
    return FitOrder("some", kind, x, label, np.ones(n, np.float32), video, 0, SETTINGS | settings)


def target(n: int = 80) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(n, 3))[:, 0] > 0).astype(np.int64)


def test_log_loss_is_scikit_learns_and_stands_a_missing_class() -> None:
    rng = np.random.default_rng(0)
    truth, scores, weight = rng.integers(0, 4, 60), rng.dirichlet(np.ones(4), 60), rng.random(60)
    expected = metrics.log_loss(truth, scores, sample_weight=weight)
    assert lama_fit.log_loss(truth, scores, weight) == pytest.approx(expected)
    binary = metrics.log_loss(truth > 1, scores[:, 0])
    assert lama_fit.log_loss(truth > 1, scores[:, :1]) == pytest.approx(binary)
    assert lama_fit.log_loss(np.zeros(60, int), scores) == pytest.approx(-np.log(scores[:, 0]).mean())


def test_it_tells_what_finished_and_leaves_numpy_and_warnings_as_they_were() -> None:
    before = np.geterr(), list(warnings.filters)
    done = lama_fit.fit(order("binary", target()))
    assert (np.geterr(), list(warnings.filters)) == before
    assert done.finished_folds == {"LinearL2": 2, "LightGBM": 2}
    assert set(done.weights) == {"LinearL2", "LightGBM"} and sum(done.weights.values()) == pytest.approx(1)
    assert 0 <= done.trees <= 3
    scores = lama_scorer.loads(done.model)(order("binary", target()).x)
    assert scores.shape == (80, 1)
    assert metrics.roc_auc_score(target(), scores[:, 0]) > 0.9


def test_an_algorithm_that_fails_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightautoml.ml_algo.boost_lgbm import BoostLGBM

    def fail(*_: Any) -> None:
        raise OSError("boom")

    monkeypatch.setattr(BoostLGBM, "fit_predict_single_fold", fail)
    with pytest.raises(OSError, match="boom"):
        lama_fit.fit(order("binary", target()))


def test_several_outputs_at_once() -> None:
    labels = np.stack([target(), 1 - target()], axis=1)
    done = lama_fit.fit(order("multilabel", labels, use_algos=[["rf"]]))
    assert done.finished_folds == {"RFSklearn": 2} and done.trees == 0
