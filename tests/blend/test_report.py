"""The report's numbers are those of the parts they name, and its page shows the same."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from blend import combine, page, report, search, summary
from blend.config import BlendSettings
from blend.outcome import Finding
from heads import testlist

TASKS = ["au", "expr", "va"]
SETTINGS = BlendSettings(trials=1, folds=3, select_folds=3, draws=200)


@pytest.fixture
def build(make_pool, tmp_path):
    def made(name, select="tuned", **sizes):
        pool = make_pool(name, **sizes)
        settings = SETTINGS.model_copy(update={"select": select})
        outcome = Finding(pool, settings, 0, search.search(pool, settings, 1, 0)).finish()
        table = report.build(pool, outcome, settings, 0)
        listed = testlist.from_lengths({video: 3 for video in pool.videos}, pool.task, tmp_path)
        rows = np.arange(3)
        table["submission"] = report.submitted(tmp_path / "submission.txt", listed, pool, rows, "test")
        table["test"] = {"score": 0.125, "per_output": dict.fromkeys(pool.task.outputs, 0.125), "frames": 9}
        table["seconds"] = 1.5
        return pool, outcome, table

    return made


def direct(pool, scores):
    """Unsmoothed scores of the annotated frames, decided in the plainest way."""
    return {"au": lambda s: s >= 0.5, "expr": lambda s: s.argmax(1), "va": lambda s: s}[pool.task.name](scores)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("select", ["tuned", "cross_fitted"])
def test_its_numbers_are_those_of_the_parts(build, name, select):
    pool, outcome, table = build(name, select)
    truth, way = pool.known.values, outcome.ways[select]
    for h, head in enumerate(pool.heads):
        scores = pool.scores[h][pool.known.rows]
        assert table["heads"][head] == pytest.approx(pool.task.score(truth, direct(pool, scores)), abs=1e-9)
        assert table["baselines"][head]["score"] == table["heads"][head]
    assert table["select"] == select
    assert table["searched"] == way.score == pool.score(combine.combine(pool, way.params))
    assert np.mean(list(table["per_output"].values())) == pytest.approx(way.score, abs=1e-9)
    assert table["weights"] == way.params.as_json()["weights"]
    assert table["cross_fitted"]["folds"] == list(way.crossed.scores)
    assert table["cross_fitted"]["mean"] == pytest.approx(np.mean(way.crossed.scores))
    assert table["cross_fitted"]["std"] == pytest.approx(np.std(way.crossed.scores, ddof=1))
    assert table["optimism"] == pytest.approx(way.score - way.crossed.pooled)
    assert table["interval"] == list(way.crossed.interval)
    curve = dict(zip(table["score_against_k"]["k"], table["score_against_k"]["score"], strict=True))
    assert curve[way.params.k] == way.score
    assert (table["thresholds"] is not None) == (name == "au")
    assert table["frames"]["labelled"] == len(pool.known.rows)
    json.dumps(table, allow_nan=False)


@pytest.mark.parametrize("name", TASKS)
def test_both_ways_and_every_baseline_are_told(build, name):
    pool, outcome, table = build(name)
    assert set(table["ways"]) == {"tuned", "cross_fitted"}
    assert set(table["baselines"]) == {*pool.heads, "equal"}
    assert table["ways"]["tuned"]["tuned"] == outcome.found.score
    for one in (*table["ways"].values(), *table["baselines"].values()):
        assert one["optimism"] == pytest.approx(one["tuned"] - one["cross_fitted"])
        assert one["interval"][0] < one["cross_fitted"] < one["interval"][1]
        assert 0 <= one["k"] <= SETTINGS.widest(name) and one["kernel"] == "box"
    for one in table["baselines"].values():
        assert one["tuned"] >= one["score"] - 1e-9  # no smoothing and 0.5 are among what is tried


class Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.cells, self.open = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "link"):
            self.open.append(tag)
        for name, value in attributes:
            assert name not in ("src", "href") and "http" not in (value or "")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "p", "text", "title"):
            self.cells.append(data.strip())


@pytest.mark.parametrize("name", TASKS)
def test_the_page_shows_the_reports_numbers_and_needs_no_network(build, name):
    _, _, table = build(name)
    html = page.render(table)
    assert "http" not in html and "<script" not in html and "prefers-color-scheme: dark" in html
    parser = Text()
    parser.feed(html)
    assert parser.open == []
    text = " ".join(parser.cells)
    numbers = {f"{value:.4f}" for value in re_numbers(table)}
    shown = set(re.findall(r"-?\d\.\d{4}", text))
    assert shown <= numbers
    for key in ("searched", "equal", "optimism"):
        assert f"{table[key]:.4f}" in shown
    for part in ("heads", "per_output", "weights"):
        assert {f"{value:.4f}" for value in table[part].values()} <= shown
    assert {f"{value:.4f}" for value in table["cross_fitted"]["folds"]} <= shown


def re_numbers(value):
    """Every float anywhere in a report."""
    if isinstance(value, dict):
        return [n for inner in value.values() for n in re_numbers(inner)]
    if isinstance(value, list):
        return [n for inner in value for n in re_numbers(inner)]
    return [value] if isinstance(value, float | int) else []


def test_names_are_escaped_and_missing_numbers_are_said(build):
    _, _, table = build("va", videos=2)
    table["heads"] = {"<b>&": None}
    table["baselines"] = {"<b>&": table["baselines"]["head0"], "equal": table["baselines"]["equal"]}
    table["weights"] = {"<b>&": 1.0}
    table["submission"]["videos_without_face"] = ["<i>"]
    table |= {"cross_fitted": None, "interval": None, "optimism": None, "test": None}
    html = page.render(table)
    assert "<b>" not in html and "<i>" not in html and "&lt;b&gt;&amp;" in html
    assert "undefined" in html and "only one annotated validation video" in html
    assert any("training prior" in line for line in summary.sentences(table))


def test_every_part_of_a_blend_is_shown(build):
    _, _, table = build("va")
    table |= {"k": [3, 21], "scale": [1.25, 1.5], "copies": {"head2": "head0"}, "filter": {"head": "head1", "t": 0.875}}
    table["weights"]["head0"] = [0.25, 0.75]
    table["submission"]["filled_by_head"] = {"head0": 1, "head1": 2345, "head2": 1}
    table["submissions"] = {
        "files": [
            {"file": f"submissions/{i}_{name}.txt", "name": name, "what": f"what <{name}> is", "differs": i / 4 - 0.25}
            for i, name in enumerate(("tuned", "equal"), start=1)
        ],
        "left_out": ["greedy decides every frame as tuned does"],
    }
    html = page.render(table)
    for text in ("every output has a k of its own", "<th>k</th>", "<td>21</td>", "<td>1.2500</td>", "<th>scale</th>"):
        assert text in html
    for text in ("head2 is a copy of head0", "head1, above 0.8750", "head1 2,345", "submissions/2_equal.txt"):
        assert text in html
    assert "what &lt;equal&gt; is" in html and "<td>25.0%</td>" in html
    assert "Left out: greedy decides every frame as tuned does." in html


def test_a_page_says_what_to_expect_and_what_the_other_way_reaches(build):
    _, outcome, table = build("au", "cross_fitted", videos=8)
    lines = " ".join(summary.sentences(table))
    ways = {name: crossed.crossed.pooled for name, crossed in outcome.ways.items()}
    assert f"reaches {ways['cross_fitted']:.4f}: expect that on new videos" in lines
    assert f"The other way, tuned on all validation videos, reaches {outcome.ways['tuned'].score:.4f}" in lines
    assert f"and {ways['tuned']:.4f} on held-out ones" in lines
    best = max(table["heads"], key=lambda head: table["baselines"][head]["cross_fitted"])
    assert f"the best head alone, {best}, reaches {table['baselines'][best]['cross_fitted']:.4f}" in lines
    names = [row[0] for row in summary.rows(table)]
    assert names[-3:] == ["blend, tuned", "blend, cross-fitted (submitted)", "the submission, on test"]


def test_head_scores_that_are_not_defined_are_none(make_pool):
    from dataclasses import replace

    from blend.pool import Truth

    pool = make_pool("va")
    flat = replace(
        pool, scores=np.full_like(pool.scores, 0.5), truth=Truth(pool.known.rows, np.full_like(pool.known.values, 0.5))
    )
    table = report.build(flat, Finding(flat, SETTINGS, 0, search.search(flat, SETTINGS, 1, 0)).finish(), SETTINGS, 0)
    assert table["heads"] == dict.fromkeys(flat.heads) and table["searched"] is None
    assert table["cross_fitted"]["mean"] is None and table["interval"] is None
    json.dumps(table, allow_nan=False)
