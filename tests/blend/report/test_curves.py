"""Curves and tables against scikit-learn and naive loops."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from blend.decision import combine
from blend.report import curves as report_curves
from blend.report import videos as video_scores

TASKS = ["au", "expr", "va"]


@pytest.mark.parametrize("name", TASKS)
def test_each_curve_passes_through_the_score_at_its_own_k(make_report, name):
    pool, outcome, table = make_report(name, heads=5)
    curves = table["heads_against_k"]
    heads = [head for head in curves["score"] if head != "equal"]
    worth = {head: table["baselines"][head]["cross_fitted"] for head in pool.heads}
    assert heads == sorted(worth, key=worth.get, reverse=True)[: report_curves.HEADS] and "equal" in curves["score"]
    for head, scores in curves["score"].items():
        params = outcome.baselines[head].params
        for k, score in zip(curves["k"], scores, strict=True):
            assert score == pytest.approx(pool.score(combine.combine(pool, replace(params, k=k))))
            if k == params.k:
                assert score == pytest.approx(table["baselines"][head]["tuned"])


def test_a_head_without_weight_changes_no_curve_unless_it_is_the_filter(make_pool):
    from blend.decision.params import Params

    pool = make_pool("expr")
    params = Params("expr", pool.task.outputs, pool.heads, (1.0, 0.0, 0.0), filter=("head2", 0.9))
    assert report_curves.curve(pool, params, [0, 3]) == [
        pool.score(combine.combine(pool, replace(params, k=k))) for k in (0, 3)
    ]


def test_f1_at_a_threshold_is_scikit_learns(make_report):
    pool, outcome, table = make_report("au")
    curves, params = table["threshold_curves"], outcome.selected_blend.params
    blended = combine.scores(pool, params.weights, params.kernel, params.k)[pool.known_truth.rows]
    truth = pool.known_truth.values
    for i in (0, 7, 32, 63):
        for c, unit in enumerate(pool.task.outputs):
            expected = f1_score(truth[:, c], blended[:, c] >= curves["cuts"][i], zero_division=0)
            assert curves["f1"][unit][i] == pytest.approx(expected, abs=1e-5)
    fold = np.isin(pool.video_of, outcome.selected_blend.cross_fit.folds[1])
    expected = f1_score(truth[fold, 3], blended[fold, 3] >= curves["cuts"][20], zero_division=0)
    assert curves["f1_of_folds"][1]["AU6"][20] == pytest.approx(expected, abs=1e-5)
    assert curves["found_without_fold"] == [list(p.thresholds) for p in outcome.selected_blend.cross_fit.params]


def test_confusion_is_scikit_learns(make_report):
    pool, outcome, table = make_report("expr")
    decided = video_scores.decide(pool, outcome.selected_blend).decisions
    np.testing.assert_array_equal(
        table["confusion"], confusion_matrix(pool.known_truth.values, decided, labels=range(8))
    )


@pytest.mark.parametrize("name", TASKS)
def test_reliability_bins_hold_the_means_of_their_frames(make_report, name):
    pool, outcome, table = make_report(name)
    decided = video_scores.decide(pool, outcome.selected_blend)
    low = -1 if name == "va" else 0
    predicted = decided.decisions if name == "va" else decided.scores
    for c, (output, bins) in enumerate(table["reliability"].items()):
        truth = pool.known_truth.values == c if name == "expr" else pool.known_truth.values[:, c]
        edges = np.linspace(low, 1, report_curves.BINS + 1)
        at = np.clip(np.digitize(predicted[:, c].astype(np.float64), edges) - 1, 0, report_curves.BINS - 1)
        there = np.unique(at)
        assert bins["frames"] == [int((at == b).sum()) for b in there], output
        np.testing.assert_allclose(bins["predicted"], [predicted[at == b, c].mean() for b in there], atol=2e-5)
        np.testing.assert_allclose(bins["observed"], [truth[at == b].mean() for b in there], atol=2e-5)
        gaps = np.abs(np.array(bins["predicted"]) - bins["observed"])
        assert bins["error"] == pytest.approx(np.average(gaps, weights=bins["frames"]), abs=3e-5)


def test_density_counts_every_frame_in_its_cell(make_report):
    pool, outcome, table = make_report("va")
    n = report_curves.CELLS
    t, p = pool.known_truth.values, video_scores.decide(pool, outcome.selected_blend).decisions
    edges = np.linspace(-1, 1, n + 1)
    for name, x, y in (("truth", t[:, 0], t[:, 1]), ("blend", p[:, 0], p[:, 1]), ("arousal", t[:, 1], p[:, 1])):
        expected = np.histogram2d(y.astype(np.float64), x.astype(np.float64), (edges, edges))[0]
        np.testing.assert_array_equal(table["density"][name], expected)
        assert np.sum(table["density"][name]) == len(t)
