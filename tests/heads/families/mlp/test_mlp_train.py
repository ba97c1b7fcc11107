from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from heads.abaw.tasks import TASKS
from heads.base import scaling, selection
from heads.base.head import row_weights
from heads.data.table import Block, LabelledRows, Rows
from heads.families.mlp import network as mlp_network
from heads.families.mlp import training as mlp_training
from heads.families.mlp.settings import MlpSettings


def rows(*blocks: np.ndarray) -> Rows:
    n = len(blocks[0])
    found = tuple(Block("n", kind, x) for kind, x in zip(("embedding", "logits"), blocks, strict=False))
    return Rows(("v",), np.zeros(n, np.int32), np.arange(1, n + 1, dtype=np.int32), found, np.arange(n))


def settings(**given: Any) -> MlpSettings:
    return MlpSettings(inputs=["embedding"], **given)


def labels(task: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    if task == "va":
        return rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    return rng.integers(0, 8, n).astype(np.int8) if task == "expr" else rng.integers(0, 2, (n, 12)).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_moments_against_numpy(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heads.data.table.CHUNK", 64)
    x = (np.random.default_rng(0).normal(size=(500, 6)) * [1, 5, 0.01, 1, 1, 1] + [0, 900, 0, -3, 0, 7]).astype(dtype)
    x[:, 4] = 2.5
    mean, deviation = scaling.moments(rows(x))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(np.delete(deviation, 4), np.delete(exact.std(0), 4), rtol=1e-5)
    assert deviation[4] == 1, "a constant column is not blown up"
    monkeypatch.setattr(scaling, "MOST_FOR_MOMENTS", 200)
    np.testing.assert_allclose(scaling.moments(rows(x))[0], exact[::3].mean(0), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_weights_by_label_are_those_of_the_rows(balance: float) -> None:
    expr, au = labels("expr", 90), labels("au", 90)
    expr[expr == 3] = 4
    by_class = selection.label_weights(expr, TASKS["expr"], balance)
    np.testing.assert_allclose(by_class[expr], row_weights(expr, TASKS["expr"], balance), rtol=1e-6)
    by_side = selection.label_weights(au, TASKS["au"], balance)
    expected = row_weights(au, TASKS["au"], balance)
    np.testing.assert_allclose(np.where(au > 0, by_side[1], by_side[0]), expected, rtol=1e-6)


def test_selection_scores() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((80, 12)) < 0.2).astype(np.uint8)
    truth[:, 3] = 0
    scores = rng.random((80, 12)).astype(np.float32)
    expected = np.mean([average_precision_score(truth[:, i], scores[:, i]) for i in range(12) if i != 3])
    assert selection.selection_score(TASKS["au"], truth, scores) == pytest.approx(expected)
    assert selection.selection_score(TASKS["au"], truth * 0, scores) == 0
    assert selection.selection_score(TASKS["expr"], np.arange(8), np.eye(8, dtype=np.float32)) == 1
    constant = np.full((9, 2), 0.5, np.float32)
    assert selection.selection_score(TASKS["va"], constant, constant) == -1, "undefined never wins"


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("worth_sharing", [1, 2**60], ids=["in-halves", "whole"])
def test_an_epoch_is_what_keras_itself_learns_from_the_same_batches(
    task: str, worth_sharing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlp_training, "WORTH_SHARING", worth_sharing)
    facts, rng = TASKS[task], np.random.default_rng(0)
    some = rows(rng.normal(size=(50, 6)).astype(np.float16), rng.normal(size=(50, 2)).astype(np.float32))
    train = LabelledRows(some, labels(task, 50))
    given = settings(hidden=4, batch=9, l2=0.01, cosine=False, learning_rate=0.01)
    training = mlp_training.Training(facts, given, train, epochs=2, seed=3)
    for _ in range(2):
        training.epoch()
        seen = training.score_rows(some), mlp_training.predict_rows(training.model, some)
        np.testing.assert_array_equal(*seen, "to the bit")

    import keras
    import tensorflow as tf

    oracle = mlp_network.build(facts, 8, given, seed=3)
    weights = row_weights(train.truth, facts, 1.0).astype(np.float32)
    width = weights.shape[1] if weights.ndim == 2 else 1

    def loss(packed: Any, scores: Any) -> Any:
        wanted, weight = packed[:, : len(facts.outputs)], packed[:, len(facts.outputs) :]
        return mlp_network.create_loss(facts, wanted, scores, weight if width > 1 else weight[:, 0])

    oracle.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss)
    shuffles = np.random.default_rng(3)
    for _ in range(2):
        order = shuffles.permutation(50)
        for start in range(0, 45, 9):
            batch = order[start : start + 9]
            wanted = mlp_network.targets(facts, train.truth[batch]).numpy()
            packed = np.concatenate([wanted, weights[batch].reshape(9, -1)], 1)
            oracle.train_on_batch(tf.constant(some.batch(batch)), tf.constant(packed))
    for ours, theirs in zip(training.model.get_weights(), oracle.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("more", [{}, {"cosine": False, "weight_decay": 0.1}, {"schedule": "coslog4", "l2": 0.01}])
def test_what_is_restarted_learns_what_a_new_one_does_and_leaves_what_it_had_learnt(more: dict[str, Any]) -> None:
    rng = np.random.default_rng(5)
    data = LabelledRows(rows(rng.normal(size=(40, 3)).astype(np.float32)), labels("au", 40))

    def begin(seed: int) -> mlp_training.Training:
        given = settings(hidden=4, batch=8, dropout=0.3, input_dropout=0.2, **more)
        return mlp_training.Training(TASKS["au"], given, data, 4, seed)

    news = [begin(seed) for seed in (1, 2)]
    for new in news:
        new.run(data, 3, lambda *_: None)
    training = begin(1)
    training.run(data, 3, lambda *_: None)
    models = [training.restart(2), training.model]
    training.run(data, 3, lambda *_: None)
    for model, new in zip(models, news, strict=True):
        for ours, theirs in zip(model.get_weights(), new.model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs, "to the bit")


def test_the_best_epoch_is_kept_and_without_dev_the_last() -> None:
    rng = np.random.default_rng(5)
    data = LabelledRows(rows(rng.normal(size=(40, 3)).astype(np.float32)), labels("au", 40))
    seen: list[float] = []

    def train(dev: LabelledRows) -> tuple[Any, tuple[int, float | None]]:
        training = mlp_training.Training(TASKS["au"], settings(hidden=0, batch=8), data, 4, 0)
        return training.model, training.run(dev, 4, lambda done, note: seen.append(done))

    model, (epoch, score) = train(data)
    assert score == selection.selection_score(TASKS["au"], data.truth, mlp_training.predict_rows(model, data.rows))
    assert 1 <= epoch <= 4 and seen == sorted(seen) and seen[-1] == 1
    assert train(data.take(np.empty(0, np.int64)))[1] == (4, None)
