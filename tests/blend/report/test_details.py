"""What the pictures show is added to report.json, and nothing that was there changes."""

import json

import pytest

from blend.config import BlendSettings
from blend.report import report

OWN = {"au": "threshold_curves", "expr": "confusion", "va": "density"}


@pytest.mark.parametrize("name", OWN)
def test_details_only_add_and_are_the_same_every_time(make_report, name):
    pool, outcome, table = make_report(name)
    settings = BlendSettings(trials=30, fold_trials=1, folds=3, select_folds=3, draws=200)
    before = report.build_scores(pool, outcome, settings, 0)
    ks = before["score_against_k"]["k"]
    details = report.build_details(pool, outcome, ks, lambda: table["search"]["importance"], "made-up")
    assert not before.keys() & details.keys()
    assert {key for key in OWN.values() if key in details} == {OWN[name]}
    assert json.dumps(details, allow_nan=False) == json.dumps({key: table[key] for key in details})
    assert details["corpus"] == "made-up" and details["heads_against_k"]["k"] == ks and details["held_out"]


def test_held_out_scores_of_outputs_make_up_the_pooled_score(make_report):
    for name in OWN:
        table = make_report(name)[2]
        parts = list(table["per_output_held_out"].values())
        assert sum(parts) / len(parts) == pytest.approx(table["cross_fitted"]["pooled"])
