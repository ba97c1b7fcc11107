from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from heads.abaw.tasks import TASKS
from heads.base import selection
from heads.data.table import Block, LabelledRows, Rows
from heads.families.mlp import network as mlp_network
from heads.families.mlp.head import Mlp
from heads.families.mlp.settings import MlpSettings


def rows(x: np.ndarray) -> Rows:
    n = len(x)
    return Rows(
        ("v",), np.zeros(n, np.int32), np.arange(1, n + 1, dtype=np.int32), (Block("n", "embedding", x),), np.arange(n)
    )


def settings(**given: Any) -> MlpSettings:
    return MlpSettings(inputs=["embedding"], **given)


@pytest.mark.parametrize(
    ("task", "width", "hidden", "parameters"),
    [("expr", 1280, 128, 165_000), ("au", 1280, 128, 165_516), ("va", 8, 0, 18), ("va", 10, 0, 22)],
)
def test_parameter_counts_are_the_published_ones(task: str, width: int, hidden: int, parameters: int) -> None:
    standardised = (np.zeros(width, np.float32), np.ones(width, np.float32))
    assert mlp_network.build(TASKS[task], width, settings(hidden=hidden), 0, standardised).count_params() == parameters


def test_small_corpora_get_more_epochs_and_dev_chooses_the_best() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int8)
    labelled = LabelledRows(rows(x), y)
    train, dev = labelled.take(np.arange(40)), labelled.take(np.arange(40, 60))
    head = Mlp(TASKS["expr"], settings(hidden=0, batch=10, epochs=2, min_steps=60, learning_rate=0.05))
    facts = head.fit(train, dev, 0)
    assert facts["epochs"] == 15 and 1 <= facts["best_epoch"][0] <= 15
    assert facts["selection_score"][0] == pytest.approx(
        selection.selection_score(TASKS["expr"], dev.truth, head.predict(dev.rows))
    )
    head.refit(labelled, 0)
    assert head.best_epochs == facts["best_epoch"]


def test_members_are_averaged() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, 4)).astype(np.float32)
    labelled = LabelledRows(rows(x), rng.integers(0, 2, (50, 12)).astype(np.uint8))
    head = Mlp(TASKS["au"], settings(hidden=3, epochs=2, members=2))
    facts = head.fit(labelled, labelled.take(np.arange(10)), 0)
    single = [np.asarray(model(x)) for model in head.models]
    assert len(facts["best_epoch"]) == 2 and not np.array_equal(*single)
    np.testing.assert_allclose(head.predict(labelled.rows), np.mean(single, 0), rtol=1e-6)


def test_without_a_hidden_layer_it_is_logistic_regression() -> None:
    rng = np.random.default_rng(4)
    x = (rng.normal(size=(600, 6)) * [1, 20, 0.1, 1, 1, 1] + 3).astype(np.float16)
    z = (x.astype(np.float64) - 3) / [1, 20, 0.1, 1, 1, 1]
    y = (z[:, :3] + 0.5 * rng.normal(size=(600, 3))).argmax(1).astype(np.int8)
    labelled = LabelledRows(rows(x), y)
    head = Mlp(TASKS["expr"], settings(hidden=0, batch=64, epochs=120, learning_rate=0.05, balance=0.0))
    head.fit(labelled.take(np.arange(400)), labelled.take(np.empty(0, np.int64)), 0)
    scores = head.predict(labelled.take(np.arange(400, 600)).rows)
    oracle = LogisticRegression(C=1e3).fit(z[:400], y[:400]).predict_proba(z[400:])
    np.testing.assert_allclose(scores[:, :3], oracle, atol=0.05)


@pytest.mark.parametrize(
    ("kinds", "columns", "share"),
    [
        (("table",), 1280, 17 / 1280),
        (("table", "temporal"), 1280, 34 / 1280),
        (("table",), 10, 1.0),
        (("table",), 0, 1.0),
        (("embedding",), 1280, 1.0),
        (("table", "embedding"), 1280, 1.0),
        (("logits",), 1280, 1.0),
    ],
)
def test_the_penalty_follows_the_columns_of_tables_alone(kinds: tuple[str, ...], columns: int, share: float) -> None:
    some = rows(np.zeros((3, 17), np.float32))
    blocks = tuple(Block("n", kind, np.zeros((3, 17), np.float32)) for kind in kinds)
    found = settings(l2=0.05, l2_columns=columns).for_columns(replace(some, blocks=blocks))
    assert found.l2 == pytest.approx(0.05 * share)
    assert found.model_copy(update={"l2": 0.05}) == settings(l2=0.05, l2_columns=columns)
