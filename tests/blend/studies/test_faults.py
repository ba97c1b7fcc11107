"""The table of warnings counts what it says, and repeats with its seed."""

from __future__ import annotations

import numpy as np
import pytest

from blend.studies import faults as simulate_faults
from blend.studies.simulation import population


@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_each_fault_changes_what_it_says_and_nothing_else(task):
    pool = population.draw(task, 4, np.random.default_rng(0))
    x = pool.scores[0]
    for fault in simulate_faults.FAULTS:
        wrong = simulate_faults.plant(x, pool, fault, np.random.default_rng(1))
        assert wrong.shape == x.shape and wrong.dtype == x.dtype
        if fault == "columns":
            assert (wrong != x).any(0).sum() == 2 and sorted(wrong[7]) == sorted(x[7])
        elif fault == "argmin":
            assert (np.argsort(wrong[3]) == np.argsort(x[3])[::-1]).all()
        elif fault == "frames":
            a, b = pool.offsets[1:3]
            assert (wrong[a + 5 : b] == x[a : b - 5]).all() and (wrong[a : a + 5] == x[a]).all()
        else:
            changed = [(wrong[a:b] != x[a:b]).any() for a, b in zip(pool.offsets, pool.offsets[1:], strict=False)]
            assert sum(changed) == 1


def test_an_obvious_fault_is_counted_and_the_same_seed_counts_the_same():
    found = simulate_faults.main(["va"], [8], 1, 3)["va"]["8"]
    assert found["seen"]["decisions"]["argmin"] == found["seen"]["head"]["argmin"] == 1
    assert found["false_faults"] == found["blamed"] == 0
    assert simulate_faults.count("va", 8, 1, 3) == found
