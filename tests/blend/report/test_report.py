"""The report's numbers are those of the parts they name."""

import json

import numpy as np
import pytest

from blend.config import BlendSettings
from blend.crossfit.outcome import ResultBuilder
from blend.decision import combine
from blend.report import caveats, leaderboard, report, summary
from blend.search import search
from heads.abaw import test_list

TASKS = ["au", "expr", "va"]
SETTINGS = BlendSettings(trials=1, folds=3, select_folds=3, draws=200)


@pytest.fixture
def build(make_pool, tmp_path):
    def made(name, select="tuned", **sizes):
        pool = make_pool(name, **sizes)
        settings = SETTINGS.model_copy(update={"select": select})
        outcome = ResultBuilder(pool, settings, 0, search.search(pool, settings, 1, 0)).finish()
        listed = test_list.from_lengths({video: 3 for video in pool.videos}, pool.task, tmp_path)
        test = {"score": 0.125, "per_output": dict.fromkeys(pool.task.outputs, 0.125), "frames": 9}
        sent = report.describe_submission(listed, pool, "test")
        return pool, outcome, report.build(pool, outcome, settings, 0, sent, test=test)

    return made


def direct(pool, scores):
    """Unsmoothed scores of the annotated frames, decided in the plainest way."""
    return {"au": lambda s: s >= 0.5, "expr": lambda s: s.argmax(1), "va": lambda s: s}[pool.task.name](scores)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("select", ["tuned", "cross_fitted"])
def test_its_numbers_are_those_of_the_parts(build, name, select):
    pool, outcome, table = build(name, select)
    truth, way = pool.known_truth.values, outcome.ways[select]
    for h, head in enumerate(pool.heads):
        scores = pool.scores[h][pool.known_truth.rows]
        assert table["heads"][head] == pytest.approx(pool.task.score(truth, direct(pool, scores)), abs=1e-9)
        assert table["baselines"][head]["score"] == table["heads"][head]
    assert table["select"] == select
    assert table["submitted"] == way.score == pool.score(combine.combine(pool, way.params))
    assert table["expected"] == way.cross_fit.pooled_score and table["searched"] == outcome.ways["tuned"].score
    assert np.mean(list(table["per_output"].values())) == pytest.approx(way.score, abs=1e-9)
    assert table["weights"] == way.params.as_json()["weights"]
    assert table["cross_fitted"]["folds"] == list(way.cross_fit.scores)
    assert table["cross_fitted"]["mean"] == pytest.approx(np.mean(way.cross_fit.scores))
    assert table["cross_fitted"]["std"] == pytest.approx(np.std(way.cross_fit.scores, ddof=1))
    assert table["optimism"] == pytest.approx(way.score - way.cross_fit.pooled_score)
    assert table["interval"] == list(way.cross_fit.interval)
    curve = dict(zip(table["score_against_k"]["k"], table["score_against_k"]["score"], strict=True))
    assert curve[way.params.k] == way.score
    assert (table["thresholds"] is not None) == (name == "au")
    assert table["frames"]["labelled"] == len(pool.known_truth.rows)
    json.dumps(table, allow_nan=False)


@pytest.mark.parametrize("name", TASKS)
def test_both_ways_and_every_baseline_are_told(build, name):
    pool, outcome, table = build(name)
    assert set(table["ways"]) == {"tuned", "cross_fitted"}
    assert set(table["baselines"]) == {*pool.heads, "equal"}
    assert table["ways"]["tuned"]["tuned"] == outcome.search.score
    for one in (*table["ways"].values(), *table["baselines"].values()):
        assert one["optimism"] == pytest.approx(one["tuned"] - one["cross_fitted"])
        assert one["interval"][0] < one["cross_fitted"] < one["interval"][1]
        assert 0 <= one["k"] <= SETTINGS.widest(name) and one["kernel"] == "box"
    for one in table["baselines"].values():
        assert one["tuned"] >= one["score"] - 1e-9  # no smoothing and 0.5 are among what is tried


def test_a_page_says_what_to_expect_and_what_the_other_way_reaches(build):
    _, outcome, table = build("au", "cross_fitted", videos=8)
    lines = " ".join(summary.sentences(table))
    ways = {name: crossed.cross_fit.pooled_score for name, crossed in outcome.ways.items()}
    assert f"reaches {ways['cross_fitted']:.4f}: expect that on new videos" in lines
    assert f"The other way, tuned on all validation videos, reaches {outcome.ways['tuned'].score:.4f}" in lines
    assert f"and {ways['tuned']:.4f} on held-out ones" in lines
    best = max(table["heads"], key=lambda head: table["baselines"][head]["cross_fitted"])
    assert f"the best head alone, {best}, reaches {table['baselines'][best]['cross_fitted']:.4f}" in lines
    names = [row[0] for row in summary.rows(table)]
    assert names[-3:] == ["blend, tuned", "blend, cross-fitted (submitted)", "the submission, on test"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": 7, "kernel": "median"}, "made of b (0.6000) and a (0.4000), and smoothed with k = 7 (median)."),
        ({"k": 0}, "made of b (0.6000) and a (0.4000), and not smoothed."),
        ({"k": [1, 2]}, "and a (0.4000), and smoothed with a k of its own for every output (box)."),
        ({"weights": {"a": 0.0, "b": [0.25, 0.75]}}, "made of b, with weights of their own for every output, and smoo"),
        (
            {"weights": {name: 0.125 + (name == "f") * 0.25 for name in "abcdef"}},
            "f (0.3750), a (0.1250), b (0.1250), c (0.1250) and 2 more, and smoothed with k = 3 (box).",
        ),
    ],
)
def test_the_blend_is_named_by_its_heads_and_its_smoothing(make_report, change, said):
    table = make_report("va")[2] | {"weights": {"a": 0.4, "b": 0.6, "c": 0.0}, "k": 3, "kernel": "box"} | change
    assert said in summary.sentences(table)[1]


def test_head_scores_that_are_not_defined_are_none(make_pool):
    from dataclasses import replace

    from blend.pool.pool import Truth

    pool = make_pool("va")
    flat = replace(
        pool,
        scores=np.full_like(pool.scores, 0.5),
        truth=Truth(pool.known_truth.rows, np.full_like(pool.known_truth.values, 0.5)),
    )
    table = report.build_scores(
        flat, ResultBuilder(flat, SETTINGS, 0, search.search(flat, SETTINGS, 1, 0)).finish(), SETTINGS, 0
    )
    assert table["heads"] == dict.fromkeys(flat.heads) and table["submitted"] is None and table["searched"] is None
    assert table["cross_fitted"]["mean"] is None and table["interval"] is None
    json.dumps(table, allow_nan=False)


def test_the_terminal_says_what_to_worry_about(make_report, tmp_path, capsys):
    _, _, table = make_report("au")
    summary.show(table, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    said, paths = " ".join(" ".join(lines).split()), [line for line in lines if line.startswith(str(tmp_path))]
    assert paths[0] == str(tmp_path / "report.html"), "what a person opens comes first"
    [marked] = [line for line in lines if "◂ leads" in line]
    assert f"{leaderboard.leader(table).score:.4f}" in marked
    assert caveats.list_caveats(table) and said.count(" ! ") == len(caveats.list_caveats(table))
    assert "blend, cross-fitted (submitted)" in said and f"{table['submitted']:.4f}" in said
