"""The report's numbers are those of the parts they name, and its page shows the same."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from blend import crossfit, page, report, search, summary
from blend.config import BlendSettings
from heads import testlist

TASKS = ["au", "expr", "va"]
SETTINGS = BlendSettings(trials=1, folds=3, draws=200)


@pytest.fixture
def build(make_pool, tmp_path):
    def made(name, **sizes):
        pool = make_pool(name, **sizes)
        found = search.search(pool, SETTINGS, 1, 0)
        crossed = crossfit.cross_fit(pool, SETTINGS, 0)
        table = report.build(pool, found, crossed, SETTINGS, 0)
        listed = testlist.from_lengths({video: 3 for video in pool.videos}, pool.task, tmp_path)
        rows = np.arange(3)
        table["submission"] = report.submitted(tmp_path / "submission.txt", listed, pool, rows, "test")
        table["test"] = {"score": 0.125, "per_output": dict.fromkeys(pool.task.outputs, 0.125), "frames": 9}
        table["seconds"] = 1.5
        return pool, found, crossed, table

    return made


@pytest.mark.parametrize("name", TASKS)
def test_its_numbers_are_those_of_the_parts(build, name):
    pool, found, crossed, table = build(name)
    truth = pool.known.values
    for h, head in enumerate(pool.heads):
        scores = pool.scores[h][pool.known.rows]
        direct = {"au": lambda s: s >= 0.5, "expr": lambda s: s.argmax(1), "va": lambda s: s}[name](scores)
        assert table["heads"][head] == pytest.approx(pool.task.score(truth, direct), abs=1e-9)
    assert table["searched"] == found.score
    assert np.mean(list(table["per_output"].values())) == pytest.approx(found.score, abs=1e-9)
    assert table["weights"] == dict(zip(pool.heads, found.params.weights, strict=True))
    assert table["cross_fitted"]["folds"] == list(crossed.scores)
    assert table["cross_fitted"]["mean"] == pytest.approx(np.mean(crossed.scores))
    assert table["cross_fitted"]["std"] == pytest.approx(np.std(crossed.scores, ddof=1))
    assert table["optimism"] == pytest.approx(found.score - crossed.pooled)
    assert table["interval"] == list(crossed.interval)
    curve = dict(zip(table["score_against_k"]["k"], table["score_against_k"]["score"], strict=True))
    assert curve[found.params.k] == found.score
    assert (table["thresholds"] is not None) == (name == "au")
    assert table["frames"]["labelled"] == len(pool.known.rows)
    json.dumps(table, allow_nan=False)


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
    _, _, _, table = build(name)
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
    _, _, _, table = build("va", videos=2)
    table["heads"] = {"<b>&": None}
    table["tuned"]["<b>&"] = {"score": 0.5, "k": 0}
    table["weights"] = {"<b>&": 1.0}
    table["submission"]["videos_without_face"] = ["<i>"]
    table |= {"cross_fitted": None, "interval": None, "optimism": None, "test": None}
    html = page.render(table)
    assert "<b>" not in html and "<i>" not in html and "&lt;b&gt;&amp;" in html
    assert "undefined" in html and "only one annotated validation video" in html
    assert any("training prior" in line for line in summary.sentences(table))


def test_head_scores_that_are_not_defined_are_none(make_pool):
    from dataclasses import replace

    from blend.pool import Truth

    pool = make_pool("va")
    flat = replace(
        pool, scores=np.full_like(pool.scores, 0.5), truth=Truth(pool.known.rows, np.full_like(pool.known.values, 0.5))
    )
    found = search.search(flat, SETTINGS, 1, 0)
    table = report.build(flat, found, crossfit.cross_fit(flat, SETTINGS, 0), SETTINGS, 0)
    assert table["heads"] == dict.fromkeys(flat.heads) and table["searched"] is None
    assert table["cross_fitted"]["mean"] is None and table["interval"] is None
    json.dumps(table, allow_nan=False)
