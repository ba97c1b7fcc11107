from __future__ import annotations

import numpy as np
import pytest

from heads.abaw.tasks import TASKS
from heads.data.table import Block, LabelledRows, Rows
from heads.families.mlp import training as mlp_training
from heads.families.mlp.settings import MlpSettings


def labelled(n: int = 53) -> LabelledRows:
    rng = np.random.default_rng(0)
    blocks = (
        Block("n", "embedding", rng.normal(size=(2 * n, 5)).astype(np.float16)),
        Block("n", "logits", rng.normal(size=(2 * n, 3)).astype(np.float32)),
    )
    rows = Rows(("v",), np.zeros(n, np.int32), np.arange(1, n + 1, dtype=np.int32), blocks, np.arange(0, 2 * n, 2))
    return LabelledRows(rows, rng.integers(0, 2, (n, 12)).astype(np.uint8))


@pytest.mark.parametrize("most", [1, 2, 3, 64])
def test_batches_are_the_rows_in_order_without_the_ones_that_fill_no_batch(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlp_training, "MAX_BATCHES", most)
    data, order = labelled(), np.random.default_rng(1).permutation(53)
    found = list(mlp_training.batches(data, order, 7))
    assert [len(truth) for _, truth in found] == [most] * (7 // most) + [7 % most] * (7 % most > 0)
    halves, floats = (np.concatenate([parts[i] for parts, _ in found]).reshape(49, -1) for i in (0, 1))
    assert halves.dtype == np.float16 and floats.dtype == np.float32
    np.testing.assert_array_equal(np.concatenate([halves, floats], 1), data.rows.batch(order[:49]))
    np.testing.assert_array_equal(np.concatenate([t for _, t in found]).reshape(49, 12), data.truth[order[:49]])


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = labelled().rows
    monkeypatch.setattr(mlp_training, "BYTES", 1000)
    assert mlp_training.batches_per_read(rows, 7) == 6, "22 bytes a row, 154 a batch"
    assert mlp_training.batches_per_read(rows, 1000) == 1


def test_fewer_rows_than_a_batch_are_none() -> None:
    assert list(mlp_training.batches(labelled(), np.arange(6), 7)) == []


def test_the_four_periods_begin_and_end_at_nothing_and_double_in_length() -> None:
    rate = mlp_training.coslog4(0.02, 1500)
    for step in (0, 100, 300, 700, 1500):  # at 0, 1/15, 3/15, 7/15 and 15/15 of the steps
        assert float(rate(step)) == pytest.approx(0, abs=1e-7), step
    for period in range(4):
        highest = (2 ** (period + 0.5) - 1) / 15 * 1500
        assert float(rate(highest)) == pytest.approx(0.02, rel=1e-5), period
    for step in (37, 555, 1203):
        expected = 0.01 * (1 - np.cos(2 * np.pi * np.log2(1 + step / 100)))
        assert float(rate(step)) == pytest.approx(expected, rel=1e-4)


def test_a_schedule_is_only_there_where_it_is_asked_for() -> None:
    def rate_at(step: int, **more: object) -> float:
        settings = MlpSettings.model_validate({"inputs": ["logits"], "hidden": 0, "learning_rate": 0.5, **more})
        optimizer = mlp_training.Training(TASKS["au"], settings, labelled(), 4, 0)._create_optimizer(100)
        optimizer.iterations.assign(step)
        return float(optimizer.learning_rate)

    assert rate_at(50) == pytest.approx(0.25) and rate_at(50, cosine=False) == 0.5
    assert rate_at(20, schedule="coslog4") == pytest.approx(0, abs=1e-6)
    assert rate_at(50, schedule="coslog4", cosine=False) == pytest.approx(0.25 * (1 - np.cos(2 * np.pi * np.log2(8.5))))
