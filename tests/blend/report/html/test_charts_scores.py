"""What the charts of scores say, and what they single out."""

import re

import pytest

from blend.report.html import charts_scores


def video(name, influence, score=0.5, labelled=100):
    return {"video": name, "influence": influence, "score": score, "labelled": labelled}


def test_the_worst_videos_are_those_that_pull_most():
    rows = [video("a", -0.1), video("b", 0.2), video("c", None), video("d", -0.3), video("e", -0.1)]
    assert charts_scores.worst_of(rows) == ["d", "a", "e"]
    assert charts_scores.worst_of(rows, 1) == ["d"] and charts_scores.worst_of([]) == []


def test_videos_are_drawn_also_where_scores_are_missing():
    svg = charts_scores.videos([video("a", -0.1), video("b", 0.1, None), video("c", 0.1, 0.7, 0)], "mean F1")
    assert "2 videos by score and length; the lowest is a" in svg
    assert "<path" in charts_scores.videos([video("b", None, None)], "mean F1")


def test_trials_are_told_apart_by_what_they_started_as():
    starts = ["head mlp", "equal", "greedy", None, "refined"]
    assert [charts_scores.kind_of(start) for start in starts] == [
        "single heads", "equal weights", "greedy selection", "drawn", "refined",
    ]  # fmt: skip
    search = {"score": [0.1, 0.2, None], "start": ["equal", None, None]}
    assert "3 trials; the best scores 0.2000" in charts_scores.history(search)
    assert [kind["name"] for kind in charts_scores.kinds(search)] == ["equal weights", "drawn"]


@pytest.mark.parametrize("scores", [[0.5], [None, 0.25, 0.5], [None, None, None]])
def test_a_curve_says_where_it_is_best(scores):
    ks = [0, 3, 10][: len(scores)]
    one = {"name": "mlp", "k": ks, "score": scores, "series": 0, "chosen": 3}
    svg = charts_scores.against_k("x", ks, [one], "k")
    best = "mlp: not defined" if scores[-1] is None else f"mlp: best 0.500 at k = {ks[-1]}"
    assert best in svg


@pytest.mark.parametrize(
    ("scores", "low", "high"),
    [
        ([[0.5, 0.52, 0.1], [0.4, 0.45, None]], 0.35, 0.52),  # 0.1 beneath the lowest top
        ([[0.5, 0.52], [None, None]], 0.5, 0.52),  # everything
        ([[0.3]], 0.3, 0.3),
    ],
)
def test_every_top_is_in_view_and_far_falls_are_not(scores, low, high):
    bottom, top = charts_scores.tops([{"score": one} for one in scores])
    room = 0.06 * max(high - low, 0.01)
    assert (bottom, top) == pytest.approx((low - room, high + room)) and bottom < top
    assert charts_scores.tops([{"score": [None]}]) == (0, 1)


def test_bars_carry_their_numbers():
    svg = charts_scores.bars("x", "Weights", {"a": 0.1666, "b": 0.8334}, digits=3)
    assert re.findall(r"<text[^>]*>([^<]*)<", svg) == ["a", "0.167", "b", "0.833"] * 2, "for wide and narrow screens"
    assert charts_scores.bars("x", "Weights", {}).startswith("<svg")


def test_paths_are_told_apart_in_few_letters():
    shorten = charts_scores.shorten
    assert shorten(["runs/a/blend/au", "runs/b/blend/au"]) == {"runs/a/blend/au": "a", "runs/b/blend/au": "b"}
    assert shorten(["a", "a/b"]) == {"a": "a", "a/b": "b"} and shorten(["a/b", "a/b/a/b"])["a/b"] == "a/b"
    assert shorten(["one"]) == {"one": "one"}
    long = shorten(["x/" + "1" * 50, "x/" + "2" * 50])
    assert set(long.values()) == {"…" + "1" * 19, "…" + "2" * 19}
