"""The benchmark of fine-tuning measures two loops that do the same."""

from __future__ import annotations

import numpy as np
import pytest

from extract.bench import fixtures, learning
from extract.runtime.errors import InputError


def test_less_than_two_batches():
    with pytest.raises(InputError, match=r"^--pictures 7: expected at least two batches, 8$"):
        learning.main(pictures=7, repeats=1, batch=4, device="cpu", seed=0)


@pytest.mark.slow
def test_both_loops_are_measured(tmp_path):
    result = learning.main(pictures=6, repeats=1, batch=2, device="cpu", seed=0)
    assert result["ratio"] == pytest.approx(result[learning.PROJECT_LOOP] / result[learning.BARE_LOOP])
    assert 0 < result["gigabytes"] < 3
    assert f"ratio {result['ratio']:.2f}" in learning.table(result)


@pytest.mark.slow
def test_the_run_learns_from_all_its_pictures(tmp_path):
    fixtures.random_network(tmp_path, 0)
    fixtures.make_crops(tmp_path / "crops" / "video", 5, 0)
    run = learning._run(tmp_path, 2, "cpu", 0)
    assert len(run.train) == 5 and len(run.dev) == learning.DEV_PICTURES
    assert set(np.unique(run.train.truth)) <= set(range(8))
    assert learning.learn_from_files(run) > 0
