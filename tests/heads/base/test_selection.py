"""The score by which epochs are chosen, beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from heads.base.selection import average_precision


@pytest.mark.parametrize("seed", range(40))
def test_average_precision_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(1, 600))
    truth = (rng.random(rows) < rng.random()).astype(np.uint8)
    truth[rng.integers(rows)] = 1
    scores = rng.random(rows, np.float32)
    if seed % 2:
        scores = np.round(scores, 1)  # many of one value
    assert average_precision(truth, scores) == average_precision_score(truth, scores)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        average_precision(np.array([1, 0]), np.array([0.5, np.nan]))
