from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from extract.errors import InputError
from heads import lama_head
from heads.lama_head import Lama, LamaSettings
from heads.table import Block, Labelled, Rows
from heads.tasks import TASKS


def head(task: str, **given: Any) -> Lama:
    return Lama(TASKS[task], LamaSettings(**({"inputs": ["logits"], "trees": 3, "cv": 2, "penalties": [0.1]} | given)))


def va_data(n: int = 80, videos: int = 4) -> Labelled:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    where = Rows(
        tuple("abcdefgh"[:videos]),
        np.sort(np.arange(n) % videos).astype(np.int32),
        np.arange(1, n + 1, dtype=np.int32),
        (Block("n", "logits", x),),
        np.arange(n),
    )
    return Labelled(where, np.tanh(x[:, :2] + 0.1 * rng.normal(size=(n, 2))).astype(np.float32))


def nothing(data: Labelled) -> Labelled:
    return data.take(np.empty(0, np.int64))


def test_log_loss_is_scikit_learns_and_stands_a_missing_class() -> None:
    rng = np.random.default_rng(0)
    truth, scores, weight = rng.integers(0, 4, 60), rng.dirichlet(np.ones(4), 60), rng.random(60)
    expected = metrics.log_loss(truth, scores, sample_weight=weight)
    assert lama_head.log_loss(truth, scores, weight) == pytest.approx(expected)
    binary = metrics.log_loss(truth > 1, scores[:, 0])
    assert lama_head.log_loss(truth > 1, scores[:, :1]) == pytest.approx(binary)
    assert lama_head.log_loss(np.zeros(60, int), scores) == pytest.approx(-np.log(scores[:, 0]).mean())


def test_numpy_and_warnings_are_as_before() -> None:
    before = np.geterr(), list(warnings.filters)
    data = va_data()
    ours = head("va")
    ours.fit(data, nothing(data), 0)
    ours.predict(data.rows)
    assert (np.geterr(), list(warnings.filters)) == before


def test_every_algorithm_that_was_asked_for_is_in_the_report() -> None:
    data = va_data()
    facts = head("va", use_algos=[["linear_l2", "lgb"]]).fit(data, nothing(data), 0)
    for output in ("valence", "arousal"):
        assert set(facts["algorithms"][output]) == {"LinearL2", "LightGBM"}
        assert sum(facts["algorithms"][output].values()) == pytest.approx(1)


def test_an_algorithm_that_did_not_finish_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        lama_head,
        "_record_finished",
        lambda automl: (setattr(automl, "create_automl", automl.create_automl), {"LinearL2": 2})[1],
    )
    data = va_data()
    with pytest.raises(InputError, match="head lama, valence: algorithm 'lgb' finished 0 of 2 folds within"):
        head("va").fit(data, nothing(data), 0)


def test_a_failing_algorithm_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightautoml.ml_algo.boost_lgbm import BoostLGBM

    def fail(*_: Any) -> None:
        raise OSError("boom")

    monkeypatch.setattr(BoostLGBM, "fit_predict_single_fold", fail)
    data = va_data()
    with pytest.raises(OSError, match="boom"):
        head("va").fit(data, nothing(data), 0)


def test_rows_are_thinned_evenly_to_the_limit() -> None:
    data = va_data(80)
    facts = head("va", max_rows=30).fit(data, nothing(data), 0)
    assert facts["rows"] == 27
    x, truth, video = lama_head._stack(data.take(data.rows.video < 2), data.take(data.rows.video >= 2), 1000)
    np.testing.assert_array_equal(x, data.rows.batch())
    np.testing.assert_array_equal(truth, data.truth)
    assert len(np.unique(video)) == 4, "train's and dev's videos stay apart"


def test_a_unit_without_positives_is_a_constant_and_the_report_says_so() -> None:
    data = va_data()
    rng = np.random.default_rng(0)
    units = Labelled(data.rows, (rng.random((80, 12)) < 0.4).astype(np.uint8))
    units.truth[:, 2] = 0
    ours = head("au", use_algos=[["linear_l2"]])
    facts = ours.fit(units, nothing(units), 0)
    assert facts["constant_outputs"] == ["AU4"]
    assert (ours.predict(units.rows)[:, 2] == 0).all()
