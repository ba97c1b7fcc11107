"""The benchmark of the report: it runs small, and measures what it says."""

import pytest

from blend.bench import report as bench_report
from blend.bench.pools import SIZES


@pytest.mark.slow
def test_a_small_report_is_made_and_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_report, "_opens", lambda path: None)
    found = bench_report.main("va", None, 0.01, 0, tmp_path / "page.html")
    assert found["frames"] == round(0.01 * SIZES["va"][1]) and found["opens"] is None
    parts = ("numbers", "faces", "timeline", "page")
    assert found["seconds"] == pytest.approx(sum(found[part] for part in parts)) and found["gigabytes"] > 0
    html = (tmp_path / "page.html").read_text()
    assert found["megabytes"] == pytest.approx(len(html.encode()) / 1e6) and 'id="faces-0"' in html


@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_invented_annotations_are_official_ones(tmp_path, task):
    from heads.abaw import read
    from heads.abaw.tasks import TASKS

    folder = bench_report._annotations(tmp_path / "train", task, 0.01, 0)
    found = read.read_folder(folder, TASKS[task])
    assert len(found) == max(2, round(bench_report.TRAIN[task][0] * 0.01))
    assert all(one.valid.all() for one in found.values())
