"""Published curves are shown on their own corpus alone, weights as they are given; what is not there is said."""

import re

from blend.report import published, summary
from blend.report.html import scores as page_scores


def test_published_curves_stand_beside_ours_on_aff_wild2_alone(make_report):
    table = make_report("va", corpus="affwild2")[2]
    ours = page_scores.smoothing(table)  # a name is not enough
    videos, frames = published.VALIDATION["va"]
    table |= {"videos": [{"video": f"{v}-30-640x360", "labelled": frames // videos} for v in range(videos)]}
    theirs = page_scores.smoothing(table | {"corpus": "mine"})
    assert "Savchenko 2023" in theirs and "published blend" in theirs and theirs.count('class="chart"') == 2
    assert "published" not in ours and ours.count('class="chart"') == 1 and "without smoothing" in ours


def test_weights_of_each_output_are_a_table_and_their_means_bars(make_report):
    table = make_report("va")[2]
    table["weights"] = {"head0": [0.25, 0.75], "head1": 0.5, "head2": 0.0}
    html = page_scores.weights(table)
    assert "The bars are means over outputs." in html and "0.750" in html
    assert re.findall(r"<text[^>]*>([^<]*)<", html) == ["head0", "0.500", "head1", "0.500"]  # none without weight


def test_without_folds_there_is_no_table_of_them(make_report):
    table = make_report("au", videos=1)[2]
    html = page_scores.scores(table)
    assert "fold 1" not in html and "<details" not in html and "greedy selection" in html


def test_a_search_too_short_for_importance_says_so(make_report):
    table = make_report("expr")[2]
    table["search"]["importance"] = None
    assert "Too few trials to say which numbers matter." in page_scores.search(table)
    table["search"]["score"] = []
    assert page_scores.search(table) == ""


def test_a_search_that_drew_nothing_says_what_it_did(make_report):
    table = make_report("va")[2]
    assert "then draws, then refines" in page_scores.search(table)
    for starts, said in (
        (["head a", "grid", "equal"], "Every point of a grid"),
        (["given"], "Nothing was left to search"),
        (["given", "refined"], "The weights are given. Where the line"),
    ):
        table["search"] |= {"start": starts, "score": [0.5] * len(starts), "importance": None}
        html = page_scores.search(table)
        assert said in html and "draws, then" not in html
        legend = {"grid": "grid", "given": "given weights"}[next(s for s in starts if s in ("grid", "given"))]
        assert legend in html


def test_what_was_tuned_on_what_stands_beside_the_table(make_report):
    table = make_report("va")[2]
    for here in (True, False):
        table["heads_tuned_here"] = here
        told = [page_scores.scores(table), " ".join(summary.sentences(table))]
        assert all(("settings were tuned on these validation videos" in text) == here for text in told)
