"""What every output has of its own is shown beside its score."""

import re

import pytest

from blend.report.html import outputs as page_outputs


def test_the_confusion_table_is_shaded_by_share_of_the_row(make_report):
    table = make_report("expr")[2]
    html = page_outputs.confusion(table)
    cells = re.findall(r'--v:([\d.]+)" data-key="/confusion/(\d)/(\d)"( class="same")?>([\d,]+)<', html)
    assert len(cells) == 64 and sum(bool(same) for *_, same, _ in cells) == 8
    for shade, i, j, same, shown in cells:
        row = table["confusion"][int(i)]
        assert int(shown.replace(",", "")) == row[int(j)] and bool(same) == (i == j)
        assert float(shade) == pytest.approx(row[int(j)] / max(sum(row), 1), abs=0.006)


def test_thresholds_have_a_panel_per_unit_and_a_table_over_folds(make_report):
    table = make_report("au")[2]
    html = page_outputs.thresholds(table)
    assert html.count('class="chart"') == 12 and "without fold 3" in html and "without fold 4" not in html
    table["thresholds"] = None
    assert page_outputs.thresholds(table) == ""


def test_scores_held_out_and_on_test_are_columns_where_they_are_known(make_report):
    table = make_report("va")[2]
    header = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)<", page_outputs.outputs(table))
    assert header[:3] == ["", "made from", "held out"] and header[-1] == "test"
    table |= {"test": None, "per_output_held_out": None}
    header = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)<", page_outputs.outputs(table))
    assert "held out" not in header and "test" not in header
