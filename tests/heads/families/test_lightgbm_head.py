from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from heads.abaw.tasks import TASKS
from heads.base.head import row_weights
from heads.data.table import Block, LabelledRows, Rows
from heads.families import lightgbm_head
from heads.families.lightgbm_head import LightGbm, LightGbmSettings


def rows(x: np.ndarray) -> Rows:
    n = len(x)
    return Rows(
        ("v",), np.zeros(n, np.int32), np.arange(1, n + 1, dtype=np.int32), (Block("n", "logits", x),), np.arange(n)
    )


def head(task: str, **given: Any) -> LightGbm:
    return LightGbm(TASKS[task], LightGbmSettings(inputs=["logits"], **given))


def au_data(n: int = 300) -> LabelledRows:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return LabelledRows(rows(x), (x[:, np.arange(12) % 4] + rng.normal(size=(n, 12)) > 0.8).astype(np.uint8))


def test_one_output_is_what_lightgbm_itself_learns_from_the_same_rows_and_weights() -> None:
    data = au_data()
    ours = head("au", trees_without_dev=12)
    ours.fit(data, data.take(np.empty(0, np.int64)), 3)
    weights = row_weights(data.truth, TASKS["au"], 1.0)
    x = data.rows.batch()
    bare = lightgbm.train(ours._params(3), lightgbm.Dataset(x, data.truth[:, 5], weight=weights[:, 5]), 12)
    np.testing.assert_allclose(ours.predict(data.rows)[:, 5], bare.predict(x), rtol=1e-6)


def test_a_fit_hides_nothing_from_a_users_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def hide(names: object) -> None:
        raise AssertionError(names)

    monkeypatch.setattr(lightgbm_head, "hide", hide)
    data = au_data(60)
    head("au", trees_without_dev=1).fit(data, data.take(np.empty(0, np.int64)), 1)


def test_it_stops_early_on_dev_and_refits_as_many_trees() -> None:
    data = au_data()
    train, dev = data.take(np.arange(200)), data.take(np.arange(200, 300))
    ours = head("au", trees=400, patience=5, learning_rate=0.2)
    facts = ours.fit(train, dev, 0)
    assert all(1 <= count < 400 for count in facts["trees"].values())
    for booster, count in zip(ours.boosters, facts["trees"].values(), strict=True):
        assert lightgbm.Booster(model_str=booster).num_trees() == count
    ours.refit(data, 0)
    assert ours.trees == facts["trees"]


def test_memory_is_bounded_because_rows_are_read_in_pieces() -> None:
    data = au_data()
    sequence = lightgbm_head._sequence(data.rows)
    assert isinstance(sequence, lightgbm.Sequence) and len(sequence) == 300
    np.testing.assert_array_equal(sequence[7], data.rows.batch()[7])
    np.testing.assert_array_equal(sequence[5:9], data.rows.batch()[5:9])


def test_dev_labels_weigh_what_they_weigh_in_train() -> None:
    rng = np.random.default_rng(1)
    truth, dev = rng.integers(0, 5, 200).astype(np.int8), rng.integers(0, 8, 90).astype(np.int8)
    weights = row_weights(truth, TASKS["expr"], 1.0)
    seen = lightgbm_head._like_train(truth, weights, dev, TASKS["expr"])
    for label, weight in zip(dev, seen, strict=True):
        assert weight == (weights[truth == label][0] if (truth == label).any() else 1)
    truth, dev = (rng.random((200, 12)) < 0.2).astype(np.uint8), (rng.random((90, 12)) < 0.5).astype(np.uint8)
    truth[:, 4] = 0
    weights = row_weights(truth, TASKS["au"], 1.0)
    seen = lightgbm_head._like_train(truth, weights, dev, TASKS["au"])
    for i in range(12):
        for label in (0, 1):
            where = truth[:, i] == label
            assert (seen[dev[:, i] == label, i] == (weights[where, i][0] if where.any() else 1)).all()


def test_a_unit_that_hardly_occurs_is_predicted_by_its_rate() -> None:
    data = au_data()
    data.truth[:, 0] = 0
    data.truth[4, 0] = 1
    ours = head("au", trees_without_dev=3)
    facts = ours.fit(data, data.take(np.empty(0, np.int64)), 0)
    assert facts["constant_outputs"] == ["AU1"] and facts["trees"]["AU1"] is None
    assert ours.predict(data.rows)[:, 0] == pytest.approx(np.full(300, 1 / 300))


def test_a_corpus_of_one_class_is_predicted_as_that_class() -> None:
    data = LabelledRows(au_data().rows, np.full(300, 4, np.int8))
    ours = head("expr")
    ours.fit(data, data.take(np.empty(0, np.int64)), 0)
    np.testing.assert_array_equal(ours.predict(data.rows), np.eye(8)[np.full(300, 4)])


def test_residuals_of_a_linear_regression_are_learnt_and_added_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)).astype(np.float32)
    y = np.stack([0.3 * x[:, 0], 0.1 * x[:, 1] + 0.2 * (x[:, 2] > 0)], axis=1)
    y[:, 0] = 0.25
    data = LabelledRows(rows(x), y.astype(np.float32))
    train, held = data.take(np.arange(300)), data.take(np.arange(300, 400))
    ours = head("va", trees=60, min_data_in_leaf=5)
    facts = ours.fit(train, held, 0)
    scores = ours.predict(held.rows)
    assert facts["constant_outputs"] == ["valence"] and scores[:, 0] == pytest.approx(np.full(100, 0.25))
    regression = LinearRegression().fit(x[:300], y[:300, 1]).predict(x[300:])
    assert np.square(scores[:, 1] - y[300:, 1]).mean() < 0.5 * np.square(regression - y[300:, 1]).mean()
    ours.save(tmp_path)
    loaded = head("va")
    loaded.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(held.rows), scores)


def test_directly_learnt_values_are_what_lightgbm_itself_learns() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3)).astype(np.float32)
    data = LabelledRows(rows(x), np.tanh(x[:, :2]).astype(np.float32))
    ours = head("va", trees_without_dev=12, target="direct")
    ours.fit(data, data.take(np.empty(0, np.int64)), 3)
    bare = lightgbm.train(ours._params(3), lightgbm.Dataset(x, data.truth[:, 1].copy()), 12)
    np.testing.assert_allclose(ours.predict(data.rows)[:, 1], bare.predict(x), rtol=1e-6)
