"""The data's facts with and without train, and what is handed in."""

import copy

from blend.report.html import data as page_data


def test_train_stands_beside_validation_where_it_is_known(make_report):
    for name in ("au", "va"):
        table = make_report(name)[2]
        alone = page_data.data(table)
        assert "/data/train" not in alone and "/data/validation/filled" in alone
        table["data"]["train"] = copy.deepcopy(table["data"]["validation"])
        del table["data"]["train"]["filled"]
        both = page_data.data(table)
        assert "/data/train/labelled" in both and '<td class="n">–</td>' in both
        first = next(iter(table["per_output"]))
        key = "mean" if name == "va" else "rate"
        assert f"/data/train/outputs/{first}/{key}" in both and f"/data/validation/outputs/{first}/{key}" in both


def test_the_submission_says_how_much_of_it_is_filled(make_report):
    table = make_report("au")[2]
    table["submission"] |= {"videos_without_face": ["a<b"], "filled_by_head": {"mlp": 7}}
    table["submission"]["filled_by_head"]["same"] = table["submission"]["filled"]
    html = page_data.submission(table)
    assert "filled for same" not in html
    assert "a&lt;b" in html and '<td class="n" data-key="/submission/filled_by_head/mlp">7</td>' in html
