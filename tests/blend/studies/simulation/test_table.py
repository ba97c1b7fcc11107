"""The simulation's table against numbers reckoned naively."""

import numpy as np
import pytest

from blend.studies.simulation import table
from blend.studies.simulation.measure import WAYS


def result(videos, test, **said):
    """One draw; `said` are (own, held, interval) of each way."""
    estimates = {way: dict(zip(("own", "held", "interval"), one, strict=True)) for way, one in said.items()}
    groups = dict.fromkeys(("validation", "same", "shift"), videos)
    return {"videos": videos, "groups": groups, "said": estimates, "test": {"same": dict.fromkeys(WAYS, 0.4) | test}}


def drawn(rng, draws):
    """Random draws; the search is made inside the folds of every other pair."""
    made = []
    for number in range(draws):
        test = dict(zip(WAYS, rng.uniform(0.3, 0.6, len(WAYS)).tolist(), strict=True))
        held = float(rng.uniform(0.3, 0.6))
        tuned = (float(rng.uniform(0.5, 0.7)), float(rng.uniform(0.3, 0.6)) if number // 2 % 2 else None, None)
        crossed = (float(rng.uniform(0.4, 0.6)), held, [held - 0.1, held + 0.1])
        made.append(result(int(rng.integers(6, 16)), test, tuned=tuned, cross_fitted=crossed))
    return made


def naive_error(values):
    pairs = [(values[i] + values[i + 1]) / 2 for i in range(0, len(values), 2)]
    mean = sum(pairs) / len(pairs)
    return (sum((p - mean) ** 2 for p in pairs) / (len(pairs) - 1) / len(pairs)) ** 0.5


def test_lines_add_up():
    rng = np.random.default_rng(0)
    for draws in (4, 8, 20):
        made = drawn(rng, draws)
        line = table.summarise("au", "same", made)
        test = [one["test"]["same"] for one in made]
        assert line["draws"] == draws
        assert line["videos"] == [min(one["videos"] for one in made), max(one["videos"] for one in made)]
        for way in WAYS:
            under = [one["cross_fitted"] - one[way] for one in test]
            assert line["test"][way]["mean"] == pytest.approx(sum(one[way] for one in test) / draws)
            assert line["test"][way]["under"] == pytest.approx(sum(under) / draws, abs=1e-12)
            assert line["test"][way]["se"] == pytest.approx(naive_error(under), abs=1e-12)
        tuned, crossed = line["said"]["tuned"], line["said"]["cross_fitted"]
        off = [one["said"]["tuned"]["own"] - score["tuned"] for one, score in zip(made, test, strict=True)]
        assert tuned["own"]["signed"] == pytest.approx(sum(off) / draws)
        assert tuned["own"]["absolute"] == pytest.approx(sum(map(abs, off)) / draws)
        known = [
            one["said"]["tuned"]["held"] - score["tuned"]
            for one, score in zip(made, test, strict=True)
            if one["said"]["tuned"]["held"] is not None
        ]
        assert tuned["held"]["signed"] == pytest.approx(sum(known) / len(known)) and tuned["held"]["draws"] == len(
            known
        )
        assert tuned["inside"] is None and tuned["in_range"] is None
        inside = [
            one["said"]["cross_fitted"]["interval"][0]
            <= score["cross_fitted"]
            <= one["said"]["cross_fitted"]["interval"][1]
            for one, score in zip(made, test, strict=True)
        ]
        assert crossed["inside"] == pytest.approx(sum(inside) / draws) and crossed["width"] == pytest.approx(0.2)
        assert crossed["in_range"] is True


def test_an_interval_is_held_against_every_test_set_of_its_draw_each_draw_counting_once():
    rng = np.random.default_rng(3)
    made = drawn(rng, 20)
    for item in made:
        item["further"] = {"same": rng.uniform(0.3, 0.6, rng.integers(5)).tolist(), "shift": [0.0]}
    held = []
    for item in made:
        low, high = item["said"]["cross_fitted"]["interval"]
        scores = [item["test"]["same"]["cross_fitted"], *item["further"]["same"]]
        held.append(sum(low <= score <= high for score in scores) / len(scores))
    line, alone = (
        table.summarise("au", "same", made),
        table.summarise("au", "same", drawn(np.random.default_rng(3), 20)),
    )
    assert line["said"]["cross_fitted"]["inside"] == pytest.approx(sum(held) / 20)
    assert line["said"]["cross_fitted"]["inside_se"] == pytest.approx(naive_error(held))
    assert line["said"]["cross_fitted"]["held"] == alone["said"]["cross_fitted"]["held"], "errors are of the first"


def line_with(own, held, inside, default, other, interval=(0.1, 0.9)):
    """Two pairs: a line whose means and coverage are these."""
    said = {"tuned": (0.4 + own, None, None), "cross_fitted": (0.5, default + held, list(interval))}
    made = [result(9, {"cross_fitted": default, "tuned": 0.4, "plain": other + wobble}, **said)
            for wobble in (0.0, 0.0, 0.01, 0.01)]  # fmt: skip
    line = table.summarise("au", "same", made)
    line["said"]["cross_fitted"]["inside"] = inside
    return line


def test_claims_say_what_does_not_hold():
    good = line_with(own=0.09, held=-0.02, inside=0.95, default=0.5, other=0.4)
    assert all(table.claims("same", good).values())
    for fault, word in (
        ({"held": 0.04}, "third"),
        ({"held": -0.04}, "third"),
        ({"inside": 0.9}, "92% to 98%"),
        ({"inside": 1.0}, "92% to 98%"),
        ({"other": 0.52}, "unsmoothed"),
        ({"interval": (-0.01, 0.9)}, "range"),
        ({"interval": (0.1, 1.01)}, "range"),
    ):
        facts = {"own": 0.09, "held": -0.02, "inside": 0.95, "default": 0.5, "other": 0.4} | fault
        wrong = [claim for claim, holds in table.claims("same", line_with(**facts)).items() if not holds]
        assert len(wrong) == 1 and word in wrong[0], fault
    # within a standard error of it (.005): not below
    assert all(table.claims("same", line_with(0.09, -0.02, 0.95, default=0.5, other=0.499)).values())
    shifted = table.claims("shift", line_with(own=0.09, held=0.09, inside=0.2, default=0.5, other=0.4))
    assert all(shifted.values()), "where test shifts, estimates and intervals are printed as they are"


def test_cells_mark_what_does_not_hold():
    found = {"au": {"few": {"same": line_with(0.09, -0.02, 0.9, default=0.5, other=0.52)}}}
    [estimates], [scores] = table.estimates(found), table.scores(found)
    assert len(estimates) == len(table.ESTIMATES) and len(scores) == len(table.SCORES)
    assert estimates[:3] == ["au, 20 to 70", "same", "+0.0900 ± 0.0000"] and estimates[5] == "90.0 %*"
    assert scores[2:] == ["0.525*", "0.400", "0.400", "0.400", "0.400", "0.500"]
    text = table.markdown(table.SCORES, [scores]).splitlines()
    assert len(text) == 3 and {line.count("|") for line in text} == {len(table.SCORES) + 1}
    assert len(table.list_broken_claims(found)) == 2


def test_a_single_pair_has_no_standard_error():
    line = table.summarise("va", "same", drawn(np.random.default_rng(1), 2))
    assert line["test"]["plain"]["se"] is None and "±" not in table.estimates({"va": {"few": {"same": line}}})[0][2]
    assert table.errors(np.array([np.nan])) is None and table.format_signed_number(None) == "–"
