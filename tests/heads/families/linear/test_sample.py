from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from heads.abaw.tasks import TASKS
from heads.base.scaling import BlockScales
from heads.data.table import Block, LabelledRows, Rows
from heads.families.linear import sample

VIDEOS = ("a", "b_left", "b_right", "c", "d")


def labelled(frames: int = 20, group: np.ndarray | None = None) -> LabelledRows:
    n = len(VIDEOS) * frames
    rng = np.random.default_rng(0)
    embedding = (rng.normal(size=(n, 3)) * 4 + 2).astype(np.float16)
    embedding[:, 1] = 7
    blocks = (
        Block("n", "embedding", embedding),
        Block("n", "logits", rng.normal(size=(n, 2)).astype(np.float32) + 50),
        Block("n", "temporal", rng.normal(size=(n, 1)).astype(np.float32)),
    )
    video = np.repeat(np.arange(5, dtype=np.int32), frames)
    frame = np.tile(np.arange(1, frames + 1, dtype=np.int32), 5)
    rows = Rows(VIDEOS, video, frame, blocks, np.arange(n), group)
    return LabelledRows(rows, rng.integers(0, 8, n).astype(np.int8))


def cut(whole: LabelledRows) -> tuple[LabelledRows, LabelledRows]:
    dev = np.isin(whole.rows.video, [1, 4])
    return whole.take(~dev), whole.take(dev)


def test_columns_are_standardised_and_blocks_have_their_scales() -> None:
    train, dev = cut(labelled())
    drawn = sample.draw(train, dev, 1000, BlockScales(logits=8, temporal=2))
    raw = np.concatenate([train.rows.batch(), dev.rows.batch()])
    expected = StandardScaler().fit_transform(raw.astype(np.float64)) * [1, 0, 1, 8, 8, 2]
    np.testing.assert_allclose(drawn.x, expected, atol=1e-4)
    np.testing.assert_allclose((raw - drawn.mean) * drawn.factor, drawn.x, atol=1e-4)
    assert drawn.factor[1] == 0, "a constant column"
    np.testing.assert_array_equal(drawn.truth, np.concatenate([train.truth, dev.truth]))


def test_without_an_embedding_all_columns_are_of_one_scale() -> None:
    whole = labelled()
    bare = LabelledRows(replace(whole.rows, blocks=whole.rows.blocks[1:]), whole.truth)
    np.testing.assert_allclose(sample.draw(*cut(bare), 1000, BlockScales()).x.std(0), 1, atol=1e-4)


@pytest.mark.parametrize("most", [1, 7, 99, 100, 1000])
def test_rows_are_thinned_evenly_over_train_and_dev(most: int) -> None:
    train, dev = cut(labelled())
    drawn = sample.draw(train, dev, most, BlockScales())
    assert len(drawn) == min(most, 100) == len(drawn.x) == len(drawn.group)
    if most == 99:
        assert (np.bincount(drawn.group) >= 19).all()


def test_folds_keep_recordings_and_people_whole() -> None:
    for group, together in (
        (None, [{"b_left", "b_right"}]),
        (np.array([0, 1, 1, 0, 2]), [{"a", "c"}, {"b_left", "b_right"}]),
    ):
        train, dev = cut(labelled(group=group))
        drawn = sample.draw(train, dev, 1000, BlockScales())
        fold = drawn.folds(TASKS["expr"], 3, seed=0)
        video = np.array(VIDEOS)[np.concatenate([train.rows.video, dev.rows.video])]
        of = {name: set(fold[video == name].tolist()) for name in VIDEOS}
        assert all(len(folds) == 1 for folds in of.values()) and set(fold.tolist()) == {0, 1, 2}
        for names in together:
            assert len(set.union(*(of[name] for name in names))) == 1


def test_rows_of_two_tables_are_refused() -> None:
    train, dev = cut(labelled())
    with pytest.raises(ValueError, match="one table"):
        sample.draw(train, LabelledRows(replace(dev.rows, videos=("x",)), dev.truth), 10, BlockScales())
