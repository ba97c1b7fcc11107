from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from heads.data import table, temporal
from heads.data.table import Block, Rows
from heads.data.temporal import Temporal, TemporalColumns

ALL = ["mean", "std", "difference"]


def naive(values: np.ndarray, frame: np.ndarray, window: int, statistic: str) -> np.ndarray:
    """A loop over frames and over the frames around each."""
    out = np.zeros_like(values)
    for i, t in enumerate(frame):
        around = values[[j for j, f in enumerate(frame) if abs(f - t) <= window]]
        ahead = values[[j for j, f in enumerate(frame) if 0 <= f - t <= window]]
        behind = values[[j for j, f in enumerate(frame) if 0 <= t - f <= window]]
        out[i] = {"mean": around.mean(0), "std": around.std(0), "difference": ahead.mean(0) - behind.mean(0)}[statistic]
    return out


def gappy(rng: np.random.Generator, longest: int = 60) -> np.ndarray:
    """Rising frame numbers with gaps of all sizes, one frame or more."""
    return np.cumsum(rng.choice([1, 1, 1, 2, 5, 30], rng.integers(1, longest))).astype(np.int32)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from(ALL))
def test_statistics_of_gappy_videos_against_a_loop(seed: int, window: int, statistic: str) -> None:
    rng = np.random.default_rng(seed)
    frame = gappy(rng)
    values = 100 + rng.normal(size=(len(frame), 3)) * [1, 1e-3, 50]
    (found,) = temporal.statistics(values, frame, [(window, statistic)])
    np.testing.assert_allclose(found, naive(values, frame, window, statistic), atol=1e-9)


def test_constant_and_lonely_frames_have_no_spread_and_no_difference() -> None:
    values = np.full((50, 2), 0.1)
    values[:10, 1] = np.arange(10)
    frame = np.arange(1, 51, dtype=np.int32)
    std, difference = temporal.statistics(values, frame, [(5, "std"), (5, "difference")])
    assert (std[:, 0] == 0).all() and (std[15:, 1] == 0).all() and (std[:15, 1] > 0).all()
    np.testing.assert_allclose(difference[:, 0], 0, atol=1e-12)
    lonely = np.array([1, 100, 200], np.int32)
    std, difference = temporal.statistics(values[:3], lonely, [(5, "std"), (5, "difference")])
    assert (std == 0).all() and (difference == 0).all()


def rows(seed: int = 0, dims: int = 6) -> Rows:
    """Two networks, three gappy videos: `one` has logits and an embedding of rank 4, `two` has logits and va."""
    rng = np.random.default_rng(seed)
    bare = table.bare({name: gappy(rng) for name in ("a", "b", "c")})
    n = len(bare)
    embedding = (rng.normal(size=(n, 4)) @ rng.normal(size=(4, dims)) * 0.1 + 3).astype(np.float16)
    blocks = (
        Block("one", "embedding", embedding),
        Block("one", "logits", rng.normal(size=(n, 3)).astype(np.float32)),
        Block("two", "logits", rng.normal(size=(n, 2)).astype(np.float32)),
        Block("two", "va", np.tanh(rng.normal(size=(n, 2))).astype(np.float32)),
    )
    return replace(bare, blocks=blocks)


def test_each_networks_columns_are_named_and_right_and_videos_do_not_mix() -> None:
    base = rows()
    tables = [Temporal(of="logits", windows=[2, 7], statistics=["difference", "mean"]), Temporal(of="va?", windows=[3])]
    made = temporal.fit(base, tables).add(base)
    assert made.blocks[:4] == base.blocks and len(made.blocks) == 4 + 3
    columns = {name: made.batch()[:, i] for i, name in enumerate(made.columns)}
    assert len(columns) == made.width == base.width + 3 * 4 + 2 * 4 + 2 * 3
    assert made.blocks[-1].values.dtype == np.float32
    for block, column, statistic, window in (
        (base.blocks[1], 2, "difference", 7),
        (base.blocks[1], 0, "mean", 2),
        (base.blocks[2], 1, "mean", 7),
        (base.blocks[3], 1, "std", 3),
    ):
        found = columns[f"{block.network}.{block.kind}.{column}.{statistic}{window}"]
        for start, end in zip(base.ends[:-1], base.ends[1:], strict=True):
            values = block.values[start:end, [column]].astype(np.float64)
            expected = naive(values, base.frame[start:end], window, statistic)
            np.testing.assert_allclose(found[start:end], expected[:, 0], atol=1e-6)


def test_components_are_those_of_scikit_learn_on_trains_rows_alone() -> None:
    base = rows(dims=9)
    train = base.video < 2
    columns = temporal.fit(base.take(train), [Temporal(of="embedding?", windows=[4], components=3)])
    (learnt,) = columns.components
    x = base.blocks[0].values.astype(np.float64)
    oracle = PCA(3, whiten=True).fit(x[train])
    expected = oracle.transform(x) * np.sqrt(train.sum() / (train.sum() - 1))  # scikit-learn divides by n - 1
    expected *= np.sign((expected * learnt.of(x.astype(np.float32))).sum(0))
    np.testing.assert_allclose(learnt.of(x.astype(np.float32)), expected, atol=2e-3)
    assert (learnt.axes.max(0) >= -learnt.axes.min(0)).all(), "signs do not depend on the library"
    made = columns.add(base)
    assert made.columns[-9:-6] == [f"one.embedding.pc{i}.mean4" for i in range(3)]
    assert made.blocks[-1].values.dtype == np.float16
    for start, end in zip(base.ends[:-1], base.ends[1:], strict=True):
        for i, statistic in enumerate(ALL):
            np.testing.assert_allclose(
                made.blocks[-1].values[start:end, 3 * i : 3 * i + 3],
                naive(expected[start:end], base.frame[start:end], 4, statistic),
                atol=5e-3,
            )


def test_more_components_than_dimensions_that_vary_are_zero_and_never_noise() -> None:
    base = rows(dims=3)
    block = base.blocks[0]
    block.values[:, 1:] = 2
    columns = temporal.fit(base, [Temporal(of="embedding?", windows=[1], components=16)])
    made = columns.add(base).blocks[-1]
    assert made.values.shape[1] == 3 * 3 and np.isfinite(made.values).all()
    assert (columns.components[0].axes[:, 1:] == 0).all()
    one = table.bare({"a": np.array([7], np.int32)})
    alone = replace(one, blocks=(Block("one", "embedding", np.ones((1, 3), np.float16)),))
    assert (temporal.fit(alone, columns.tables).add(alone).blocks[-1].values == 0).all(), "one row, nothing varies"


def optional(base: Rows, there: np.ndarray) -> Rows:
    """The rows, where network `one` is optional and absent where `there` [N] is False."""
    blocks = []
    for block in base.blocks:
        values = np.where(there[:, None], block.values, 0) if block.network == "one" else block.values
        blocks.append(replace(block, values=values.astype(block.values.dtype)))
    present = Block("one", table.PRESENT, there[:, None].astype(np.float32))
    return replace(base, blocks=(*blocks[:2], present, *blocks[2:]))


def test_a_frame_that_an_optional_network_lacks_is_no_zero() -> None:
    there = np.arange(1, 12) != 6
    bare = table.bare({"a": np.arange(1, 12, dtype=np.int32)})
    values = np.full((11, 2), 0.8, np.float32) * there[:, None]
    present = Block("one", table.PRESENT, there[:, None].astype(np.float32))
    some = replace(bare, blocks=(Block("one", "va", values), present))
    made = temporal.fit(some, [Temporal(of="va", windows=[2])]).add(some).blocks[-1].values
    np.testing.assert_allclose(made[there], np.tile([0.8, 0.8, 0, 0, 0, 0], (10, 1)), atol=1e-6)
    assert not made[5].any()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(0, 1))
def test_columns_of_an_optional_network_are_those_of_its_own_frames(seed: int, window: int, share: float) -> None:
    base, rng = rows(seed), np.random.default_rng(seed)
    there = (rng.random(len(base)) < share) & (base.video != rng.integers(4))
    some = optional(base, there)
    tables = [
        Temporal(of="logits", windows=[window], statistics=[statistic]) for statistic in ("mean", "std", "difference")
    ]
    made = temporal.fit(some, tables).add(some)
    columns = {name: made.batch()[:, i] for i, name in enumerate(made.columns)}
    for start, end in zip(base.ends[:-1], base.ends[1:], strict=True):
        for network, width, own in (("one", 3, there), ("two", 2, np.ones(len(base), bool))):
            block = next(b for b in some.blocks if (b.network, b.kind) == (network, "logits"))
            at = start + np.flatnonzero(own[start:end])
            for column in range(width):
                for statistic in ALL:
                    expected = np.zeros(end - start)
                    values = block.values[at][:, [column]].astype(np.float64)
                    expected[at - start] = naive(values, base.frame[at], window, statistic)[:, 0]
                    found = columns[f"{network}.logits.{column}.{statistic}{window}"][start:end]
                    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_components_of_an_optional_network_are_learnt_and_made_where_it_is() -> None:
    base = rows(dims=9)
    there = (np.random.default_rng(5).random(len(base)) < 0.7) & (base.video != 1)
    some = optional(base, there)
    tables = [Temporal(of="embedding?", windows=[4], components=3)]
    columns, own = temporal.fit(some, tables), temporal.fit(base.take(there), tables)
    np.testing.assert_array_equal(columns.components[0].axes, own.components[0].axes)
    np.testing.assert_array_equal(columns.components[0].mean, own.components[0].mean)
    made = columns.add(some).blocks[-1].values
    components = own.components[0].of(base.blocks[0].values.astype(np.float32))
    assert not made[~there].any()
    for start, end in zip(base.ends[:-1], base.ends[1:], strict=True):
        at = start + np.flatnonzero(there[start:end])
        for i, statistic in enumerate(ALL):
            expected = naive(components[at], base.frame[at], 4, statistic)
            np.testing.assert_allclose(made[at, 3 * i : 3 * i + 3], expected, atol=5e-3)
    nowhere = optional(base, np.zeros(len(base), bool))
    assert not temporal.fit(nowhere, tables).add(nowhere).blocks[-1].values.any()


def test_components_of_many_rows_are_the_same_as_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    base = rows(3)
    tables = [Temporal(of="embedding?", components=2)]
    whole = temporal.fit(base, tables).components[0]
    monkeypatch.setattr(table, "CHUNK", 7)
    pieces = temporal.fit(base, tables).components[0]
    np.testing.assert_allclose(pieces.axes, whole.axes, rtol=1e-5)
    np.testing.assert_array_equal(pieces.mean, whole.mean)


def test_saved_and_loaded_columns_are_the_same_to_the_bit(tmp_path: Path) -> None:
    base = rows()
    tables = [Temporal(of="embedding?", components=3), Temporal(of="logits", windows=[9])]
    for columns in (temporal.fit(base, tables), TemporalColumns()):
        columns.save(tmp_path)
        loaded = TemporalColumns.load(tmp_path)
        assert loaded.tables == columns.tables
        before, after = columns.add(base), loaded.add(base)
        assert after.columns == before.columns
        np.testing.assert_array_equal(after.batch(), before.batch())
        for path in tmp_path.iterdir():
            path.unlink()


def test_a_part_of_a_videos_rows_is_refused() -> None:
    base = rows()
    with pytest.raises(ValueError, match="whole videos"):
        temporal.fit(base, [Temporal(of="logits")]).add(base.take(np.arange(1, len(base))))


def test_rows_that_lack_what_columns_are_made_of_are_refused() -> None:
    base = rows()
    with pytest.raises(ValueError, match="rows without the va of one"):
        temporal.fit(base, [Temporal(of="va")]).add(base)
