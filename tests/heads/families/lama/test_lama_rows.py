from __future__ import annotations

import numpy as np

from heads.data.table import Block, LabelledRows, Rows, space_evenly
from heads.families.lama.data import TrainDevRows


def test_rows_are_spaced_evenly() -> None:
    for rows, wanted in ((10, 3), (100, 64), (7, 7), (5, 9), (4, 1)):
        found = space_evenly(rows, wanted)
        assert len(found) == min(rows, wanted) and (np.diff(found) > 0).all() and found[-1] < rows
        assert np.ptp(np.diff(np.append(found, rows))) <= 1


def test_train_and_dev_are_one_table_and_their_videos_stay_apart() -> None:
    rng = np.random.default_rng(0)
    blocks = (Block("n", "logits", rng.normal(size=(30, 2)).astype(np.float32)),)
    rows = Rows(("a", "b", "c"), np.repeat(np.arange(3, dtype=np.int32), 10), np.arange(1, 31), blocks, np.arange(30))
    data = LabelledRows(rows, rng.integers(0, 2, (30, 12)).astype(np.uint8))
    both = TrainDevRows(data.take(rows.video != 1), data.take(rows.video == 1))
    order = np.r_[0:10, 20:30, 10:20]
    some = np.array([1, 5, 19, 20, 29])
    np.testing.assert_array_equal(both.features(some), blocks[0].values[order[some]])
    np.testing.assert_array_equal(both.truth, data.truth[order])
    assert len(both) == 30 and [len(np.unique(both.video[i : i + 10])) for i in (0, 10, 20)] == [1, 1, 1]
    assert len(np.unique(both.video)) == 3
    assert both.features(np.arange(3)).shape == (3, 2)
