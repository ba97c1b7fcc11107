"""Per-video tables against scores counted directly, on blends that were made without the video."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score

from blend.calibrate import video_counts
from blend.decision import combine
from blend.pool.pool import Truth
from blend.report import videos as video_scores

TASKS = ["au", "expr", "va"]


@pytest.mark.parametrize("name", TASKS)
def test_held_out_decisions_are_those_of_the_folds_blends(make_report, name):
    pool, outcome, _ = make_report(name)
    decided = video_scores.decide(pool, outcome.selected_blend)
    assert decided.held_out
    rows, video_of = pool.known_truth.rows, pool.video_of
    for held, params in zip(
        outcome.selected_blend.cross_fit.folds, outcome.selected_blend.cross_fit.params, strict=True
    ):
        whole = combine.combine(pool, params)  # smoothing never crosses videos, so cutting the pool changes nothing
        mine = np.isin(video_of, held)
        np.testing.assert_array_equal(decided.decisions[mine], whole[rows[mine]])
        blended = combine.scores(pool, params.weights, params.kernel, params.k)
        np.testing.assert_array_equal(decided.scores[mine], blended[rows[mine]])
    assert pool.task.score(pool.known_truth.values, decided.decisions) == pytest.approx(
        outcome.selected_blend.cross_fit.pooled_score
    )


@pytest.mark.parametrize("name", TASKS)
def test_scores_influences_and_counts_are_those_of_the_videos(make_report, name):
    pool, outcome, table = make_report(name)
    decided = video_scores.decide(pool, outcome.selected_blend)
    rows = table["videos"]
    assert [row["video"] for row in rows] == list(pool.videos)
    truth, video_of = pool.known_truth.values, pool.video_of
    for v, row in enumerate(rows):
        mine = video_of == v
        parts = pool.task.per_output(truth[mine], decided.decisions[mine])
        others = pool.task.per_output(truth[~mine], decided.decisions[~mine])
        whole = pool.task.per_output(truth, decided.decisions)
        if name == "va":
            there = left = np.ones(2, bool)
        else:
            shown = [(truth[some] == c if name == "expr" else truth[some][:, c]) for some in (mine, ~mine) for c in
                     range(len(parts))]  # fmt: skip
            there, left = np.array([one.any() for one in shown]).reshape(2, -1)
        assert row["score"] == pytest.approx(parts[there].mean())
        assert row["influence"] == pytest.approx((whole - others)[left].mean(), abs=1e-9)
        assert row["labelled"] == mine.sum() and row["frames"] == np.diff(pool.offsets)[v]
    held = video_scores.tables(rows)
    assert video_counts.score(name, held.sum(0)) == pytest.approx(table["cross_fitted"]["pooled"])
    assert video_counts.score(name, video_scores.tables(rows, "counts_submitted").sum(0)) == pytest.approx(
        table["submitted"]
    )
    json.dumps(rows, allow_nan=False)


def test_a_single_video_is_judged_by_the_blend_that_was_made_from_it(make_report):
    pool, outcome, table = make_report("expr", videos=1)
    decided = video_scores.decide(pool, outcome.selected_blend)
    assert not decided.held_out and not table["held_out"] and table["per_output_held_out"] is None
    assert pool.task.score(pool.known_truth.values, decided.decisions) == pytest.approx(outcome.selected_blend.score)
    assert len(table["videos"]) == 1 and table["videos"][0]["influence"] is None


def test_other_labels_or_other_frames_give_another_hash(make_report):
    pool, outcome, table = make_report("au")
    values = pool.known_truth.values.copy()
    values[0, 0] ^= 1
    changed = replace(pool, truth=Truth(pool.known_truth.rows, values))
    decided = video_scores.decide(pool, outcome.selected_blend)
    again = video_scores.facts(changed, decided, outcome.selected_blend.params)
    differ = [a["video"] for a, b in zip(again, table["videos"], strict=True) if a["truth"] != b["truth"]]
    assert differ == [pool.videos[0]]


def test_gaps_are_counted(make_report):
    pool, outcome, _ = make_report("va")
    holes = pool.present.copy()
    holes[pool.known_truth.rows[:7]] = False
    gappy = replace(pool, present=holes)
    rows = video_scores.facts(gappy, video_scores.decide(gappy, outcome.selected_blend), outcome.selected_blend.params)
    assert rows[0]["filled"] == 7 and sum(row["filled"] for row in rows) == 7


@pytest.mark.parametrize("name", TASKS)
def test_what_decisions_are_worth_is_what_scikit_learn_says(make_report, name):
    pool, outcome, table = make_report(name)
    truth, decided = pool.known_truth.values, video_scores.decide(pool, outcome.selected_blend).decisions
    for c, output in enumerate(pool.task.outputs):
        found = table["decisions"][output]
        if name == "va":
            t, p = truth[:, c].astype(float), decided[:, c].astype(float)
            expected = dict(zip(found, (np.corrcoef(t, p)[0, 1], t.mean(), p.mean(), t.std(), p.std()), strict=True))
            assert abs(table["per_output_held_out"][output]) <= abs(found["correlation"])
        else:
            t, p = (pool.task.as_columns(values, int)[:, c] for values in (truth, decided))
            worth = [score(t, p, zero_division=np.nan) for score in (precision_score, recall_score)]
            expected = dict(zip(found, (*worth, t.mean(), p.mean()), strict=True))
            if None not in found.values() and found["precision"] + found["recall"]:
                f1 = 2 * found["precision"] * found["recall"] / (found["precision"] + found["recall"])
                assert f1 == pytest.approx(table["per_output_held_out"][output])
        known = {key: number for key, number in expected.items() if np.isfinite(number)}
        assert {key: number for key, number in found.items() if number is not None} == pytest.approx(known, abs=1e-6)


def test_what_is_never_decided_or_constant_has_no_number():
    au = {"labelled": 4, "counts": [[0] * 12, [0] * 12, [2, 0] * 6]}
    found = video_scores.describe_decisions("au", [au])
    assert found["AU1"] == {"precision": None, "recall": 0.0, "occurrence": 0.5, "decided": 0.0}
    assert found["AU2"]["recall"] is None
    va = {"labelled": 4, "counts": [[4, 4], [2.0, 2.0], [2.0, 1.0], [1.0, 1.5], [1.0, 0.25], [1.0, 0.5]]}
    assert video_scores.describe_decisions("va", [va])["valence"]["correlation"] is None
