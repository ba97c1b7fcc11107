"""The timeline's bytes, unpacked as report.js does it, against the pool."""

import base64
import gzip
from dataclasses import replace

import numpy as np
import pytest

from blend.decision import combine
from blend.report.html import timeline as page_timeline
from blend.report.html.timeline import MISSING_VALUE, OFF, ON, PARTLY, UNKNOWN


def unpack(made, v, outputs, va):
    """Rows of one video, by what they are."""
    bins = -(-made.about["frames"][v] // made.about["stride"])
    flat = np.frombuffer(gzip.decompress(base64.b64decode(made.data[v])), np.uint8).reshape(-1, bins)
    rows = np.cumsum(flat, axis=1, dtype=np.uint8)
    heads = len(made.about["heads"])
    sizes = [outputs] * (1 + heads) + ([outputs, 1] if va else [outputs, outputs, 1])
    assert len(rows) == sum(sizes)
    parts = np.split(rows, np.cumsum(sizes)[:-1])
    return parts[0], parts[1 : 1 + heads], parts[1 + heads], None if va else parts[2 + heads], parts[-1][0]


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_at_full_resolution_everything_is_there_to_a_hundredth(make_report, name):
    pool, outcome, _ = make_report(name)
    holes = pool.present.copy()
    holes[5:9] = False
    pool = replace(pool, present=holes)
    made = page_timeline.make(pool, outcome)
    assert made.about["stride"] == 1 and made.about["names"] == list(pool.videos)
    low, params = made.about["low"], outcome.selected_blend.params
    decisions = combine.combine(pool, params)
    scores = decisions if name == "va" else combine.scores(pool, params.weights, params.kernel, params.k)
    outputs = len(pool.task.outputs)
    for v in range(len(pool.videos)):
        here = slice(pool.offsets[v], pool.offsets[v + 1])
        blend, heads, truth, decided, present = unpack(made, v, outputs, name == "va")
        np.testing.assert_allclose(blend.T / 100 + low, scores[here], atol=0.00501)
        for own, head in zip(heads, made.about["heads"], strict=True):
            np.testing.assert_allclose(own.T / 100 + low, pool.scores[pool.heads.index(head), here], atol=0.00501)
        np.testing.assert_array_equal(present == ON, holes[here])
        expected = np.full((outputs, here.stop - here.start), MISSING_VALUE if name == "va" else UNKNOWN)
        for row, value in zip(pool.known_truth.rows, pool.known_truth.values, strict=True):
            if here.start <= row < here.stop:
                levels = {
                    "au": lambda x: np.where(x, ON, OFF),
                    "expr": lambda x: np.where(np.arange(8) == x, ON, OFF),
                    "va": lambda x: np.rint((x + 1) * 100),
                }
                expected[:, row - here.start] = levels[name](value)
        np.testing.assert_array_equal(truth, expected)
        if name == "au":
            np.testing.assert_array_equal(decided.T == ON, decisions[here] == 1)
        elif name == "expr":
            np.testing.assert_array_equal(decided.argmax(0), decisions[here])


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_a_small_budget_is_kept_by_sharing_values(make_report, name):
    pool, outcome, _ = make_report(name)
    whole = page_timeline.make(pool, outcome)
    most = sum(len(base64.b64decode(one)) for one in whole.data)
    made = page_timeline.make(pool, outcome, budget=most // 2)
    stride = made.about["stride"]
    assert stride > 1 and sum(len(base64.b64decode(one)) for one in made.data) <= most // 2
    outputs = len(pool.task.outputs)
    fine, coarse = unpack(whole, 1, outputs, name == "va"), unpack(made, 1, outputs, name == "va")
    for b in range(coarse[0].shape[1]):
        some = slice(b * stride, (b + 1) * stride)
        np.testing.assert_allclose(coarse[0][:, b], fine[0][:, some].mean(1), atol=1.01)
        if name != "va":
            states = fine[3][:, some]
            same = states.min(1) == states.max(1)
            np.testing.assert_array_equal(coarse[3][:, b], np.where(same, states[:, 0], PARTLY))


def test_heads_are_the_best_on_held_out_videos_as_many_as_fit(make_report, monkeypatch):
    pool, outcome, table = make_report("au", heads=5)
    worth = {head: table["baselines"][head]["cross_fitted"] for head in pool.heads}
    ranked = sorted(worth, key=worth.get, reverse=True)
    assert page_timeline.make(pool, outcome).about["heads"] == ranked
    monkeypatch.setattr(page_timeline, "FEW_FRAMES", 10)
    assert page_timeline.make(pool, outcome).about["heads"] == ranked[:2]


def test_the_same_pool_gives_the_same_bytes(make_report):
    pool, outcome, _ = make_report("va")
    assert page_timeline.make(pool, outcome) == page_timeline.make(pool, outcome)
