from __future__ import annotations

import time

import numpy as np
import pytest

from heads.families.lama import fit as lama_fit
from heads.families.lama import pool as lama_pool
from heads.families.lama.fit import FitOrder

SETTINGS = {"use_algos": [["linear_l2"]], "cv": 2, "trees": 3, "patience": 5, "learning_rate": 0.1}
SETTINGS |= {"num_leaves": 4, "penalties": [0.1], "memory": 4}


def order(**settings: object) -> FitOrder:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    label = (x[:, 0] > 0).astype(np.int64)
    return FitOrder("AU4", "binary", x, label, np.ones(40, np.float32), np.repeat([0, 1], 20), 0, SETTINGS | settings)


def test_a_process_fits_as_the_function_does() -> None:
    (found,) = lama_pool.run(1, lambda _: order(), 1, time.monotonic() + 300, lambda _: None)
    assert found and found.finished_folds == lama_fit.fit(order()).finished_folds == {"LinearL2": 2}


def test_a_process_says_which_output_failed_and_why() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)AU4: Traceback.*penalties"):
        del (settings := dict(SETTINGS))["penalties"]
        bad = FitOrder(**{**vars(order()), "settings": settings})
        lama_pool.run(1, lambda _: bad, 1, time.monotonic() + 300, lambda _: None)
