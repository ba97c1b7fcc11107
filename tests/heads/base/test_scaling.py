"""Powers and sizes of columns, against plain numpy, and through a whole mlp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heads.abaw.tasks import TASKS
from heads.base import scaling
from heads.data.table import Block, LabelledRows, Rows
from heads.families.mlp import head as mlp_head
from heads.families.mlp import settings as mlp_settings

N, EMBEDDING, LOGITS = 40, 6, 3


def rows(kinds: tuple[str, ...] = ("logits", "embedding")) -> Rows:
    rng = np.random.default_rng(0)
    values = {
        "logits": rng.normal(2, 5, (N, LOGITS)).astype(np.float32),
        "embedding": rng.normal(0.1, 1, (N, EMBEDDING)).astype(np.float16),
    }
    values["embedding"][:5] = 0
    blocks = tuple(Block("net", kind, values[kind]) for kind in kinds)
    return Rows(("v",), np.zeros(N, np.int32), np.arange(1, N + 1, dtype=np.int32), blocks, np.arange(N))


def test_the_signed_power_is_of_the_embedding_alone():
    some = rows()
    embedding = scaling.embedding_columns(some)
    assert embedding.tolist() == [False] * LOGITS + [True] * EMBEDDING
    x = some.batch()
    made = scaling.raise_power(x, embedding, 0.5)
    np.testing.assert_array_equal(made[:, :LOGITS], x[:, :LOGITS])
    np.testing.assert_allclose(made[:, LOGITS:], np.sign(x[:, LOGITS:]) * np.sqrt(np.abs(x[:, LOGITS:])), rtol=1e-6)
    assert scaling.raise_power(x, embedding, 1.0) is x
    np.testing.assert_allclose(np.asarray(scaling.power_layer(embedding, 0.5)(x)), made, rtol=1e-5, atol=1e-6)


def test_moments_are_those_of_the_powered_columns():
    some = rows()
    mean, deviation = scaling.moments(some, 0.5)
    made = scaling.raise_power(some.batch(), scaling.embedding_columns(some), 0.5).astype(np.float64)
    np.testing.assert_allclose(mean, made.mean(0), rtol=1e-5)
    np.testing.assert_allclose(deviation, made.std(0), rtol=1e-5)


def test_columns_beside_an_embedding_come_out_larger_and_alone_they_do_not():
    some = rows(("logits", "embedding"))
    found = scaling.block_scales(some, scaling.BlockScales.make_uniform(4))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.where(scaling.embedding_columns(some), 1, 4))
    assert (scaling.block_scales(rows(("logits",)), scaling.BlockScales.make_uniform(4)) == 1).all()


@pytest.mark.parametrize("kinds", [("logits", "embedding"), ("embedding",), ("logits",)])
def test_an_mlp_with_both_learns_is_saved_and_predicts_the_same(kinds: tuple[str, ...], tmp_path: Path):
    settings = {"inputs": list(kinds), "hidden": 0, "epochs": 2, "embedding_power": 0.5, "logits_times": 4.0}
    some = rows(kinds)
    labelled = LabelledRows(some, (np.arange(N) % 8).astype(np.int8))

    def make(**more: float) -> mlp_head.Mlp:
        return mlp_head.Mlp(TASKS["expr"], mlp_settings.MlpSettings.model_validate(settings | more))

    head = make()
    head.fit(labelled, labelled.take(np.empty(0, np.int64)), 0)
    scores = head.predict(some)
    head.save(tmp_path)
    loaded = make()
    loaded.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(some), scores)
    # by hand: the layer's weights on the powered, standardised, enlarged columns
    x = scaling.raise_power(some.batch(), head.embedding, 0.5).astype(np.float64)
    x = (x - x.mean(0)) / x.std(0) * np.where(head.embedding | ~head.embedding.any(), 1, 4)
    kernel, bias = head.models[0].get_weights()
    z = np.exp(x @ kernel + bias)
    np.testing.assert_allclose(scores, z / z.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)
    if "embedding" in kinds:
        plain = make(embedding_power=1.0, logits_times=1.0)
        plain.fit(labelled, labelled.take(np.empty(0, np.int64)), 0)
        assert np.abs(plain.predict(some) - scores).max() > 1e-3


def test_blocks_have_scales_of_their_own_beside_an_embedding_alone():
    scales = scaling.BlockScales(logits=4, embedding=0.5)
    np.testing.assert_array_equal(scaling.block_scales(rows(), scales), [4.0] * LOGITS + [0.5] * EMBEDDING)
    np.testing.assert_array_equal(scaling.block_scales(rows(("logits",)), scales), np.ones(LOGITS))


def test_quartiles_are_of_the_columns_with_their_ranges_where_half_of_the_rows_are_equal():
    some = rows()
    some.blocks[0].values[:, 1] = np.r_[np.zeros(N - 4), 1, 2, 3, 4]
    some.blocks[0].values[:, 2] = 7.5
    median, wide = scaling.quartiles(some, 0.5)
    x = scaling.raise_power(some.batch(), scaling.embedding_columns(some), 0.5).astype(np.float64)
    for column in range(LOGITS + EMBEDDING):
        ordered = np.sort(x[:, column])
        at = [part * (N - 1) for part in (0.25, 0.5, 0.75)]
        low, middle, high = (ordered[int(p)] + (p % 1) * (ordered[int(p) + 1] - ordered[int(p)]) for p in at)
        assert median[column] == pytest.approx(middle, abs=1e-5)
        expected = {1: 2.0, 2: 1.0}.get(column, high - low)
        assert wide[column] == pytest.approx(expected, rel=1e-4), column
    assert wide.dtype == median.dtype == np.float32


def test_quartiles_of_many_rows_are_those_of_evenly_spaced_ones(monkeypatch: pytest.MonkeyPatch):
    some = rows()
    monkeypatch.setattr(scaling, "MOST_FOR_QUARTILES", 10)
    for found, expected in zip(scaling.quartiles(some), scaling.quartiles(some.take(np.arange(0, N, 4))), strict=True):
        np.testing.assert_array_equal(found, expected)
    median, wide = scaling.quartiles(some.take(np.empty(0, np.int64)))
    assert (median == 0).all() and (wide == 1).all()


def test_quartiles_are_the_same_some_columns_at_a_time(monkeypatch: pytest.MonkeyPatch):
    whole, sorted_at_a_time, quantile = scaling.quartiles(rows(), 0.5), [], np.quantile

    def watch(values, *given, **more):
        sorted_at_a_time.append(values.shape[1])
        return quantile(values, *given, **more)

    monkeypatch.setattr(scaling, "COLUMNS", 4)
    monkeypatch.setattr(np, "quantile", watch)
    for found, expected in zip(scaling.quartiles(rows(), 0.5), whole, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert sorted_at_a_time == [4, 4, 1]


def test_robust_scaling_of_what_is_not_standardised_is_refused():
    with pytest.raises(ValueError, match='scaling = "robust" says how to standardise, but standardise = false'):
        mlp_settings.MlpSettings(inputs=["logits"], scaling="robust", standardise=False)


def test_bent_columns_are_as_they_were_near_zero_and_never_beyond_three():
    x = np.array([[0, 1e-3, 3, -3, 4, 1e6, -1e18]], np.float32)
    expected = np.array([0, 1e-3, 3 / np.sqrt(2), -3 / np.sqrt(2), 2.4, 3, -3])
    times = np.array([1, 2, 1, 1, 4, 1, 1], np.float32)
    np.testing.assert_allclose(np.asarray(scaling.bend_layer(times)(x))[0], expected * times, rtol=1e-5)


@pytest.mark.parametrize("kinds", [("logits", "embedding"), ("logits",)])
def test_a_robust_mlp_is_saved_and_predicts_what_it_does_by_hand(kinds: tuple[str, ...], tmp_path: Path):
    settings = {"inputs": list(kinds), "hidden": 0, "epochs": 2, "logits_times": 4.0, "scaling": "robust"}
    some = rows(kinds)
    labelled = LabelledRows(some, (np.arange(N) % 8).astype(np.int8))
    head, loaded = (mlp_head.Mlp(TASKS["expr"], mlp_settings.MlpSettings.model_validate(settings)) for _ in range(2))
    head.fit(labelled, labelled.take(np.empty(0, np.int64)), 0)
    scores = head.predict(some)
    head.save(tmp_path)
    loaded.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(some), scores)
    x = some.batch().astype(np.float64)
    low, median, high = np.quantile(x, [0.25, 0.5, 0.75], axis=0)
    x = (x - median) / (high - low)
    x = x / np.sqrt(1 + (x / 3) ** 2) * np.where(head.embedding | ~head.embedding.any(), 1, 4)
    kernel, bias = head.models[0].get_weights()
    z = np.exp(x @ kernel + bias)
    np.testing.assert_allclose(scores, z / z.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)
