"""report.html: whole, self-contained, the report's own numbers, the same bytes every time."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from support.page_reader import Page, agrees
from support.sweeps import sweep

from blend.config import BlendSettings
from blend.crossfit.outcome import ResultBuilder
from blend.pool.pool import Truth
from blend.report import pointers as page_values
from blend.report import published_scores, report, summary
from blend.report.html import charts, page
from blend.report.html import timeline as page_timeline
from blend.search import search
from heads.abaw import test_list

TASKS = ["au", "expr", "va"]


PAGES = {}


@pytest.fixture(autouse=True)
def published_curves(monkeypatch):
    """Pages have the published curves, as if the videos were Aff-Wild2's."""
    monkeypatch.setattr(published_scores, "curves", lambda task, videos, frames: published_scores.CURVES[task])


@pytest.fixture(params=TASKS)
def made(make_report, request):
    """A report, its timeline and its page, drawn once."""
    if request.param not in PAGES:
        pool, outcome, table = make_report(request.param)
        timeline = page_timeline.make(pool, outcome)
        PAGES[request.param] = table, timeline, page.render(table, timeline)
    return PAGES[request.param]


def test_every_number_that_is_shown_is_the_reports(made):
    table, _, html = made
    found = Page(html)
    assert len(found.numbers) > 150
    for pointer, text in found.numbers:
        assert agrees(text, page_values.value(table, pointer)), (pointer, text)
    pointers = {pointer for pointer, _ in found.numbers}
    for pointer in ("/submitted", "/expected", "/interval/0", "/optimism", "/test/score", "/equal"):
        assert pointer in pointers
    assert {f"/heads/{head}" for head in table["heads"]} <= pointers
    assert {f"/per_output/{name}" for name in table["per_output"]} <= pointers
    assert {f"/videos/{i}/score" for i in range(len(table["videos"]))} <= pointers
    assert {f"/weights/{head}" for head in table["weights"]} <= pointers


def test_the_first_look_is_five_numbers(made):
    """Expected, fitted, best head, equal weights, test; each says what it means, and the best held-out one leads."""
    table, _, html = made
    block = re.search(r'<ul class="cards".*?</ul>', html, re.DOTALL)[0]
    alone = {name: row["cross_fitted"] for name, row in table["baselines"].items() if name != "equal"}
    best = max(alone, key=alone.get)
    places = ["/expected", "/interval/0", "/interval/1", "/submitted", f"/baselines/{best}/cross_fitted",
              "/baselines/equal/cross_fitted", "/test/score"]  # fmt: skip
    assert [pointer for pointer, _ in Page(block).numbers] == places
    assert len(re.findall(r'<li title="[^"]{40,}"', block)) == 5
    leads = re.findall(r'class="leads"><span class="soft">(.*?), leads<', block)
    held = {
        "expected": table["expected"],
        "best head": alone[best],
        "equal weights": table["baselines"]["equal"]["cross_fitted"],
    }
    assert len(leads) <= 1 and all(held[name] == max(held.values()) for name in leads)
    folded = re.search(r"<details><summary>In words</summary>.*?</details>", html, re.DOTALL)[0]
    assert "same procedure" in folded and "The blend is made of" not in folded and "The blend is made of" in html


def test_words_hold_no_score_of_their_own(made):
    """Scores in the text all name their place."""
    html = made[2]
    marked = sum(bool(re.search(r"\d\.\d{3}", text)) for _, text in Page(html).numbers)
    body = re.sub(r"<(script|style|svg).*?</\1>", "", html, flags=re.DOTALL)
    assert len(re.findall(r"\d\.\d{3}", re.sub(r"<[^>]*>", " ", body))) == marked


def test_numbers_in_charts_are_the_reports(made):
    table, _, html = made
    charts_of = re.findall(r'<svg class="chart[^"]*" role="img" aria-label="([^"]*)".*?>(.*?)</svg>', html, re.DOTALL)
    texts = {says: re.findall(r"<text[^>]*>([^<]*)<", body) for says, body in charts_of}

    def drawn(begin):
        [found] = [words for says, words in texts.items() if says.startswith(begin)]
        return dict(zip(found[::2], map(float, found[1::2]), strict=True))

    weights = {head: weight for head, weight in table["weights"].items() if weight}
    assert drawn("Weight of each head: ") == pytest.approx(weights, abs=5.01e-4)
    matter = {name: share for name, share in table["search"]["importance"].items() if share >= 0.005}
    assert drawn("Importance: ") == pytest.approx(matter, abs=5.01e-3)
    titles = " ".join(" ".join(word.split()) for words in texts.values() for word in words)
    for name, bins in table["reliability"].items():
        assert f"{name} ±{bins['error']:.2f}".replace("0.", ".") in titles
    for name, cut in zip(table["per_output"], table["thresholds"] or (), strict=False):
        assert f"{name} {cut:.2f}".replace("0.", ".") in titles
    for row in table["baselines"].values():  # read to those who do not see the chart
        assert any(f"held out {row['cross_fitted']:.3f}" in says for says in texts if says.startswith("Scores of"))


def test_it_loads_nothing_and_names_everything_once(made):
    html = made[2]
    found = Page(html)
    assert "default-src 'none'" in html and "prefers-color-scheme: dark" in html
    assert "http://" not in html and "https://" not in html and "@import" not in html
    assert len(found.ids) == len(set(found.ids))
    assert all(link[0] == "#" and link[1:] in found.ids for link in found.links)
    parts = {"scores", "smoothing", "weights", "outputs", "reliability", "videos", "timeline", "search", "data"}
    assert parts | {"unlabelled", "submission", "made"} <= set(found.ids)


def test_the_same_report_gives_the_same_bytes(made):
    table, timeline, html = made
    assert page.render(table, timeline) == html


def test_charts_take_their_colours_from_the_page(made):
    svgs = re.findall(r'<svg class="chart.*?</svg>', made[2], re.DOTALL)
    assert len(svgs) >= 7
    for svg in svgs:
        assert not re.search(r"#[0-9a-f]{6}", re.sub(r'(?:href="|url\()#[^")]*', "", svg)), svg[:200]
        assert 'role="img" aria-label="' in svg and "<path" in svg
        assert set(re.findall(r"var\(--(\w+)\)", svg)) <= set(charts.VARIABLES.values())


HOSTILE = '<b onclick="x">&\'{{ 7 * 7 }}</script>'


def test_names_are_escaped_and_missing_numbers_are_said(make_report):
    """Whatever people call heads, videos, people and the corpus: it is text, in elements, attributes and charts."""
    pool, outcome, table = make_report("va", videos=2)
    table["corpus"] = HOSTILE
    table["heads"] = {HOSTILE: None}
    table["baselines"] = {HOSTILE: table["baselines"]["head0"], "equal": table["baselines"]["equal"]}
    table["weights"] = {HOSTILE: 1.0}
    table["submission"]["videos_without_face"] = [HOSTILE]
    table["search"]["importance"] = {f"weight of {HOSTILE}": 1.0}
    table["heads_against_k"]["score"] = {HOSTILE: table["heads_against_k"]["score"]["head0"]}
    for row in table["videos"]:
        row["video"] = f"{HOSTILE}{row['video']}"
    table["people"] = [{"person": HOSTILE, "videos": [HOSTILE], "labelled": 1, "score": None, "influence": -0.5}]
    table |= {"cross_fitted": None, "interval": None, "optimism": None, "test": None, "per_output_held_out": None}
    timeline = page_timeline.make(pool, outcome)
    for name in ("names", "heads"):
        timeline.about[name] = [HOSTILE] * len(timeline.about[name])
    html = page.render(table, timeline)
    assert "<b" not in html.replace("<br>", "").replace("<body>", "").replace("<button", "")
    assert "undefined" in html and "Only one person or recording is annotated" in html
    assert any("training prior" in line for line in summary.sentences(table))
    found = Page(html)
    assert sum(HOSTILE in text for text in found.texts) > 20
    assert any(HOSTILE in label for label in map(unescape, re.findall(r'aria-label="([^"]*)"', html)))
    assert html.count("</script>") == html.count("<script"), "no name ends a script"


def test_every_part_of_a_blend_is_shown(make_report):
    _, _, table = make_report("va")
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
    found = Page(page.render(table))
    numbers = dict(found.numbers)
    assert numbers["/k/1"] == "21" and numbers["/scale/0"] == "1.250" and numbers["/weights/head0/1"] == "0.750"
    assert numbers["/filter/t"] == "0.875" and numbers["/submissions/files/1/differs"] == "25.0%"
    assert numbers["/submission/filled_by_head/head1"] == "2,345"
    text = " ".join(found.texts)
    for words in ("Every output has a k of its own", "head2 is a copy of head0", "head1 decides where it is above"):
        assert words in text
    for words in ("submissions/2_equal.txt", "what <equal> is", "Left out: greedy decides every frame as tuned does."):
        assert words in text


@pytest.mark.parametrize("name", sweep(TASKS, ["expr"]))
def test_a_single_video_is_a_page_too(make_report, name):
    pool, outcome, table = make_report(name, videos=1)
    html = page.render(table, page_timeline.make(pool, outcome))
    found = Page(html)
    assert "Only one person or recording is annotated" in html and "could not be estimated" in html
    assert "made from it" in html and all(agrees(text, page_values.value(table, at)) for at, text in found.numbers)


def test_scores_that_are_not_defined_anywhere_are_said(make_pool):
    """Nothing varies, so no CCC is defined."""
    pool = make_pool("va")
    truth = Truth(pool.known_truth.rows, np.full_like(pool.known_truth.values, 0.5))
    pool = replace(pool, scores=np.full_like(pool.scores, 0.5), truth=truth)
    settings = BlendSettings(trials=30, fold_trials=1, folds=3, select_folds=3, draws=100)
    outcome = ResultBuilder(pool, settings, 0, search.search(pool, settings, 30, 0)).finish()
    listed = test_list.from_lengths({video: 3 for video in pool.videos}, pool.task, Path("list.txt"))
    table = report.build(pool, outcome, settings, 0, report.describe_submission(listed, pool, "test"))
    json.dumps(table, allow_nan=False)
    found = Page(page.render(table, page_timeline.make(pool, outcome)))
    assert dict(found.numbers)["/submitted"] == "undefined"
    assert all(agrees(text, page_values.value(table, at)) for at, text in found.numbers)
