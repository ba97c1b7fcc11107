"""The leaderboard's rows stand where they say, in the order of what they are worth, on the terminal and on the page."""

import copy

import pytest

from blend.report import caveats, leaderboard, pointers, summary

KEYS = ("plain", "tuned", "held_out", "k")


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_every_value_is_at_its_place_and_the_terminal_shows_it(make_report, name):
    table = make_report(name)[2]
    rows = leaderboard.board(table)
    for row in rows:
        for key in ("plain", "tuned", "held_out", "interval"):
            place = row["from"][key]
            assert row[key] == (None if place is None else pointers.value(table, pointers.pointer(*place))), row
    for row, (title, *cells) in zip(rows, summary.rows(table), strict=True):
        assert title == row["name"]
        for key, cell in zip(KEYS[:3], cells[:3], strict=True):
            assert cell == ("" if row[key] is None else f"{row[key]:.4f}")
        assert cells[3] == ("" if row["from"]["k"] is None else str(pointers.value(table, _pointer(row))))


def _pointer(row):
    return pointers.pointer(*row["from"]["k"])


def test_heads_are_ranked_by_held_out_videos_and_the_submitted_blend_is_last(make_report):
    table = make_report("au", heads=5)[2]
    rows = leaderboard.board(table)
    names = [row["name"] for row in rows]
    heads = names[: len(table["heads"])]
    worth = [table["baselines"][head]["cross_fitted"] for head in heads]
    assert set(heads) == set(table["heads"]) and worth == sorted(worth, reverse=True)
    assert names[len(heads) :] == [
        "equal weights", "greedy selection", "blend, tuned", "blend, cross-fitted (submitted)",
        "the submission, on test",
    ]  # fmt: skip
    assert [row["name"] for row in rows if row["submitted"]] == ["blend, cross-fitted (submitted)"]
    table["test"] = None
    assert len(leaderboard.board(table)) == len(rows) - 1


def test_where_nothing_is_held_out_plain_scores_rank_and_no_such_score_is_shown(make_report):
    table = make_report("va", videos=1)[2]
    rows = leaderboard.board(table)
    plain = [row["plain"] for row in rows[: len(table["heads"])]]
    assert plain == sorted(plain, reverse=True)
    assert [row["held_out"] for row in rows[:-1]] == [None] * (len(rows) - 1) and rows[-1]["held_out"] == 0.125
    assert {row[3] for row in summary.rows(table)[:-1]} == {""}


def test_the_leader_is_the_best_on_held_out_videos_whoever_it_is(make_report):
    _, _, table = make_report("au")
    for submitted in table["ways"]:
        report = copy.deepcopy(table) | {"select": submitted}
        places = [*(("baselines", name) for name in report["baselines"]), *(("ways", name) for name in report["ways"])]
        for part, name in places:
            for other, key in places:
                report[other][key]["cross_fitted"] = 0.4
            report[part][name]["cross_fitted"] = report["expected"] = 0.5
            first = leaderboard.leader(report)
            assert (first.place, first.score) == ((part, name, "cross_fitted"), 0.5)
            assert first.is_submission == (name == submitted)
            said = summary.sentences(report)
            assert sum("The leader on held-out videos" in line for line in said) == 1
            assert f"The leader on held-out videos is {first.name}, with 0.5000." in said
            warned = [line for line in caveats.list_caveats(report) if "the leader is" in line]
            assert len(warned) == (not first.is_submission)
        for part, name in places:
            report[part][name]["cross_fitted"] = 0.5
        assert leaderboard.leader(report).name == f"the head {next(iter(report['baselines']))} alone", "the simplest"
        for part, name in places:
            report[part][name]["cross_fitted"] = None
        assert leaderboard.leader(report) is None
