"""The multi-task challenge's table and page: every number is one of the report."""

import pytest

from blend import mtl, mtl_page


def part(score, test=None, interval=(0.1, 0.9)):
    return {
        "task": "va", "metric": "mean CCC", "select": "tuned", "heads": {"a": score, "b": None}, "equal": score,
        "searched": score, "cross_fitted": {"pooled": score} if score else None, "optimism": 0.0,
        "interval": None if interval is None else list(interval), "ways": {}, "per_output": {},
        "frames": {"labelled": 1234}, "test": None if test is None else {"score": test},
        "submission": {"path": "submission.txt", "from": "test", "lines": 3, "frames": 2, "videos": 1},
    }  # fmt: skip


def test_rows_are_the_parts_and_their_sum(capsys, tmp_path):
    report = mtl.summed({"va": part(0.25, 0.3), "expr": part(0.5, 0.4), "au": part(0.125, 0.5)}, seed=7)
    report["submissions"] = []
    table = mtl_page.rows(report)
    assert [row[0] for row in table] == ["va", "expr", "au", "P_MTL"]
    assert table[-1][1:] == ("0.8750", "0.8750", "0.8750", "0.8750", "0.300 to 2.700", "1.2000")
    mtl_page.show(report, tmp_path)
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("P_MTL  ")]
    assert "0.300 to 2.700" in line and line.strip().endswith("1.2000"), "a part is one line"
    text = mtl_page.render(report)
    assert "1,234 for va" in text
    assert all(f'href="{name}/report.html"' in text for name in ("va", "expr", "au"))


@pytest.mark.parametrize("test", [None, 0.5])
def test_what_is_not_defined_is_said_and_not_summed(test, capsys, tmp_path):
    report = mtl.summed({"va": part(None, test, None), "expr": part(0.5, test), "au": part(0.5, test)}, seed=0)
    report["submissions"] = [{"file": "submissions/1.txt"}]
    assert report["searched"] is None and report["interval"] is None and report["cross_fitted"] is None
    assert mtl_page.rows(report)[-1][3] == "undefined"
    mtl_page.show(report, tmp_path)
    said = capsys.readouterr().out
    assert "undefined" in said and "submissions/1.txt" in said
