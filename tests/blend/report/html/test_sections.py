"""The parts of the page: each shows what the report has, and is left out where it has nothing."""

import copy
import json
import re

import pytest

from blend.report import published_scores, summary
from blend.report.html import sections
from blend.report.html import timeline as page_timeline
from blend.report.html.thumbnails import Faces


def test_published_curves_stand_beside_ours_on_aff_wild2_alone(make_report):
    table = make_report("va", corpus="affwild2")[2]
    ours = sections.smoothing(table)  # a name is not enough
    videos, frames = published_scores.VALIDATION["va"]
    table |= {"videos": [{"video": f"{v}-30-640x360", "labelled": frames // videos} for v in range(videos)]}
    theirs = sections.smoothing(table | {"corpus": "mine"})
    assert "Savchenko 2023" in theirs and "published blend" in theirs and theirs.count('class="chart at-wide"') == 2
    assert "published" not in ours and ours.count('class="chart at-wide"') == 1 and "without smoothing" in ours


def test_weights_of_each_output_are_a_table_and_their_means_bars(make_report):
    table = make_report("va")[2]
    table["weights"] = {"head0": [0.25, 0.75], "head1": 0.5, "head2": 0.0}
    html = sections.weights(table)
    assert "The bars are means over outputs." in html and "0.750" in html
    assert re.findall(r"<text[^>]*>([^<]*)<", html) == ["head0", "0.500", "head1", "0.500"] * 2  # none without weight


def test_without_folds_there_is_no_table_of_them(make_report):
    table = make_report("au", videos=1)[2]
    html = sections.scores(table)
    assert "fold 1" not in html and "<details" not in html and "greedy selection" in html


def test_a_search_too_short_for_importance_says_so(make_report):
    table = make_report("expr")[2]
    table["search"]["importance"] = None
    assert "Too few trials to say which numbers matter." in sections.search(table)
    table["search"]["score"] = []
    assert sections.search(table) == ""


def test_a_search_that_drew_nothing_says_what_it_did(make_report):
    table = make_report("va")[2]
    assert "then draws, then refines" in sections.search(table)
    for starts, said in (
        (["head a", "grid", "equal"], "Every point of a grid"),
        (["given"], "Nothing was left to search"),
        (["given", "refined"], "The weights are given. Where the line"),
    ):
        table["search"] |= {"start": starts, "score": [0.5] * len(starts), "importance": None}
        html = sections.search(table)
        assert said in html and "draws, then" not in html
        legend = {"grid": "grid", "given": "given weights"}[next(s for s in starts if s in ("grid", "given"))]
        assert legend in html


def test_what_was_tuned_on_what_stands_beside_the_table(make_report):
    table = make_report("va")[2]
    for here in (True, False):
        table["heads_tuned_here"] = here
        told = [sections.scores(table), " ".join(summary.sentences(table))]
        assert all(("settings were tuned on these validation videos" in text) == here for text in told)


def test_the_confusion_table_is_shaded_by_share_of_the_row(make_report):
    table = make_report("expr")[2]
    html = sections.outputs(table)
    cells = re.findall(r'--v:([\d.]+)" data-key="/confusion/(\d)/(\d)"( class="same")?>([\d,]+)<', html)
    assert len(cells) == 64 and sum(bool(same) for *_, same, _ in cells) == 8
    for shade, i, j, same, shown in cells:
        row = table["confusion"][int(i)]
        assert int(shown.replace(",", "")) == row[int(j)] and bool(same) == (i == j)
        assert float(shade) == pytest.approx(row[int(j)] / max(sum(row), 1), abs=0.006)


def test_thresholds_have_a_panel_per_unit_and_a_table_over_folds(make_report):
    table = make_report("au")[2]
    html = sections.outputs(table)
    assert html.count('class="chart"') == 12 and "without fold 3" in html and "without fold 4" not in html
    table["thresholds"] = None
    assert "F1 against the threshold" not in sections.outputs(table)


def test_scores_held_out_and_on_test_are_columns_where_they_are_known(make_report):
    table = make_report("va")[2]
    header = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)<", sections.outputs(table))
    assert header[:3] == ["", "made from", "held out"] and header[-1] == "test"
    table |= {"test": None, "per_output_held_out": None}
    header = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)<", sections.outputs(table))
    assert "held out" not in header and "test" not in header


def test_videos_are_listed_from_the_one_that_pulls_most(make_report):
    pool, outcome, table = make_report("expr", videos=8)
    influence = {row["video"]: row["influence"] for row in table["videos"]}
    ranked = sorted(influence, key=lambda name: (influence[name], name))
    html = sections.timeline(table, page_timeline.make(pool, outcome), None)
    options = re.findall(r'<option value="(\d+)">(video\d+)</option>', html)
    assert [name for _, name in options] == ranked
    assert all(pool.videos[int(v)] == name for v, name in options)
    listed = sections.videos(table, True)
    links = re.findall(r'<a href="#timeline" data-video="(\d+)">(video\d+)</a>', listed)
    assert all(pool.videos[int(v)] == name for v, name in links)
    assert [name for _, name in links][-8:] == ranked
    assert "data-video" not in sections.videos(table, False)


def test_what_the_script_reads_cannot_end_the_script(make_report):
    pool, outcome, table = make_report("va")
    made = page_timeline.make(pool, outcome)
    made.about["names"][0] = "</script><b>"
    faces = Faces(((1, 2), *((),) * 5), ("QUJD", *("",) * 5))
    html = sections.timeline(table, made, faces)
    about = re.search(r'id="timeline-about">(.*?)</script>', html)[1]
    assert json.loads(about)["names"][0] == "</script><b>" and "<b>" not in html
    assert json.loads(about)["faces"][0] == [1, 2] and html.count('id="faces-') == 1
    assert sections.timeline(table, None, None) == ""


def test_train_stands_beside_validation_where_it_is_known(make_report):
    for name in ("au", "va"):
        table = make_report(name)[2]
        alone = sections.data(table)
        assert "/data/train" not in alone and "/data/validation/filled" in alone
        table["data"]["train"] = copy.deepcopy(table["data"]["validation"])
        del table["data"]["train"]["filled"]
        both = sections.data(table)
        assert "/data/train/labelled" in both and '<td class="n">–</td>' in both
        first = next(iter(table["per_output"]))
        key = "mean" if name == "va" else "rate"
        assert f"/data/train/outputs/{first}/{key}" in both and f"/data/validation/outputs/{first}/{key}" in both


def test_the_submission_says_how_much_of_it_is_filled(make_report):
    table = make_report("au")[2]
    table["submission"] |= {"videos_without_face": ["a<b"], "filled_by_head": {"mlp": 7}}
    table["submission"]["filled_by_head"]["same"] = table["submission"]["filled"]
    html = sections.submission(table)
    assert "filled for same" not in html
    assert "a&lt;b" in html and '<td class="n" data-key="/submission/filled_by_head/mlp">7</td>' in html


def test_people_are_listed_from_who_pulls_most_where_they_are_known(make_report):
    table = make_report("va")[2]
    assert "people" not in sections.videos(table, True)
    table["people"] = [
        {"person": "Ann", "videos": ["a", "b<"], "labelled": 1234, "score": 0.5, "influence": 0.0125},
        {"person": "<Ben>", "videos": ["c"], "labelled": 9, "score": None, "influence": -0.5},
    ]
    html = sections.videos(table, True)
    listed = html[html.index("All 2 people") :]
    assert listed.index("&lt;Ben&gt;") < listed.index("Ann") and "<Ben>" not in html and "a, b&lt;" in listed
    assert 'data-key="/people/0/labelled">1,234<' in listed and 'data-key="/people/1/score">undefined<' in listed
    assert 'data-key="/people/0/influence">0.0125<' in listed
