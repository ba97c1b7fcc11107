"""Shares of decisions by hand, and how far test may be from validation by chance: every parting of a few groups."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from blend.unlabelled_test import shares
from blend.unlabelled_test.shares import Shares


def drawn(rng, groups, rate=0.3, outputs=3):
    count = rng.integers(50, 150, groups).astype(float)
    each = np.clip(rng.normal(rate, 0.05, (groups, outputs)), 0, 1)
    return Shares(tuple(f"o{i}" for i in range(outputs)), each * count[:, None], count)


@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_statistics_are_those_of_the_frames(make_pool, task):
    pool = make_pool(task, seed=1, videos=4)
    rng = np.random.default_rng(0)
    frames, outputs = int(pool.offsets[-1]), len(pool.task.outputs)
    pool = replace(pool, people=("a", "b", "b", "c"), present=rng.random(frames) < 0.7)
    scores = pool.scores.mean(0)
    decided = {"au": scores > 0.5, "expr": scores.argmax(1), "va": scores}[task]
    found = shares.shares(pool, decided, scores, np.zeros(2))
    [all_of] = found.of(np.ones((1, 3)))
    expected = {"without a face": (~pool.present).mean()}
    for c, name in enumerate(pool.task.outputs):
        if task == "va":
            expected |= {f"mean {name}": scores[:, c].mean(), f"square {name}": (scores[:, c] ** 2).mean()}
        else:
            expected[name] = (decided == c).mean() if task == "expr" else decided[:, c].mean()
    if task == "expr":
        expected["certainty"] = (scores.max(1) / scores.sum(1)).mean()
    elif task == "au":
        expected["certainty"] = np.abs(2 * scores - 1).mean()
    else:
        expected["certainty"] = 1 - pool.scores.std(0).mean()
    assert dict(zip(found.names, all_of, strict=True)) == pytest.approx(expected, abs=1e-5)
    assert found.count.sum() == frames and len(found.names) == (outputs if task != "va" else 4) + 2
    [one] = found.of(np.array([[0.0, 1.0, 0.0]]))  # the two videos of person b
    own = slice(pool.offsets[1], pool.offsets[3])
    assert one[-1] == pytest.approx((~pool.present[own]).mean(), abs=1e-6)


def test_the_threshold_is_that_of_every_parting_of_the_groups(monkeypatch):
    monkeypatch.setattr(shares, "LEVEL", 0.1)
    rng = np.random.default_rng(5)
    here, there = drawn(rng, 5), drawn(rng, 4)
    sums, count = (np.concatenate([getattr(one, key) for one in (here, there)]) for key in ("sums", "count"))
    every = []
    for chosen in combinations(range(9), 4):
        test = np.isin(np.arange(9), chosen)
        every.append(sums[test].sum(0) / count[test].sum() - sums[~test].sum(0) / count[~test].sum())
    most = np.abs(np.array(every) / np.std(every, axis=0)).max(1)
    found = shares.compare(here, there, 0)
    assert found["threshold"] == pytest.approx(np.quantile(most, 0.9), rel=0.05)
    own = there.sums.sum(0) / there.count.sum() - here.sums.sum(0) / here.count.sum()
    assert found["largest"] == pytest.approx(np.abs(own / np.std(every, axis=0)).max(), rel=0.05)
    assert shares.compare(here, there, 0) == found


def test_an_output_that_test_decides_far_more_often_is_outside_and_no_other():
    rng = np.random.default_rng(2)
    here, there = drawn(rng, 20), drawn(rng, 15)
    there.sums[:, 1] = there.count * rng.normal(0.6, 0.05, 15)
    found = shares.compare(here, there, 0)["statistics"]
    assert [name for name, one in found.items() if one["outside"]] == ["o1"]
    assert found["o1"]["low"] < found["o1"]["validation"] < found["o1"]["high"] < found["o1"]["test"]


def test_a_small_difference_and_few_groups_raise_nothing():
    rng = np.random.default_rng(2)
    here, there = drawn(rng, 20), drawn(rng, 15)
    here.sums[:] = here.count[:, None] * 0.30
    there.sums[:] = there.count[:, None] * 0.32
    assert not any(one["outside"] for one in shares.compare(here, there, 0)["statistics"].values())
    few = shares.compare(drawn(rng, 20), drawn(rng, 3, rate=0.9), 0)
    assert few["largest"] is None and not any(one["outside"] for one in few["statistics"].values())


def test_equal_populations_are_told_apart_no_more_often_than_the_level_says(monkeypatch):
    monkeypatch.setattr(shares, "LEVEL", 0.1)
    monkeypatch.setattr(shares, "PARTINGS", 499)
    rng = np.random.default_rng(8)
    beyond = 0
    for seed in range(200):
        found = shares.compare(drawn(rng, 9), drawn(rng, 7), seed)
        beyond += found["largest"] > found["threshold"]
    assert 8 <= beyond <= 34  # 20 expected; 3 standard deviations are 13
