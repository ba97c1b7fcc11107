"""index.html of a work folder: numbers of what is finished, links that lead there, nothing of what is not."""

import json
import re

import pytest
from support.page_reader import Page

from blend.report.html import index
from extract.runtime import run_folder

TASKS = ["au", "expr", "va"]


@pytest.fixture
def finished(make_report, tmp_path):
    """finished(place, **changes) -> its report, in a folder that a run has closed."""

    def make(place, **changes):
        folder = tmp_path / "my runs" / "blend" / place
        report = make_report(place.rpartition("/")[2])[2] | changes
        run_folder.write_json(folder / "report.json", report)
        run_folder.write_text(folder / "report.html", "<p>")
        run_folder.finish(folder, "mark", {}, ["report.json", "report.html"])
        return report

    make.work = tmp_path / "my runs"
    return make


def rows(html):
    """By link, the texts of its row's cells."""
    found = re.findall(r'<tr><th scope="row"><a href="([^"]*)">(.*?)</tr>', html, re.DOTALL)
    return {link: [re.sub(r"<[^>]*>", " ", cell) for cell in row.split("<td")[1:]] for link, row in found}


def test_it_has_the_five_numbers_of_every_finished_task(finished):
    reports = {name: finished(name) for name in TASKS}
    index.write(finished.work)
    html = (finished.work / "index.html").read_text()
    Page(html)
    assert "<h1>Runs in my runs</h1>" in html and "Not finished" not in html
    shown = rows(html)
    assert list(shown) == [f"blend/{name}/report.html" for name in TASKS]
    for link, cells in shown.items():
        assert (finished.work / link).is_file()
        report = reports[link.split("/")[1]]
        alone = {name: row["cross_fitted"] for name, row in report["baselines"].items() if name != "equal"}
        best = max(alone, key=alone.get)
        equal = report["baselines"]["equal"]["cross_fitted"]
        for cell, number in zip(
            cells, (report["expected"], report["submitted"], alone[best], equal, 0.125), strict=False
        ):
            assert f"{number:.3f}" in cell
        assert best in cells[2] and "2026-11-30 12:00" in cells[5]
        assert all(f"{bound:.3f}" in cells[0] for bound in report["interval"])


def test_it_is_written_once_for_the_same_reports(finished):
    finished("va")
    index.write(finished.work)
    before = (finished.work / "index.html").stat().st_mtime_ns
    index.write(finished.work)
    assert (finished.work / "index.html").stat().st_mtime_ns == before
    finished("au")
    index.write(finished.work)
    assert "blend/au/report.html" in (finished.work / "index.html").read_text()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"task": "au"}', "\x00", '{"expected": "<script>"}', "9" * 5000, "[" * 100_000],
)
def test_what_is_half_made_or_foreign_is_not_in_the_table(finished, content):
    finished("va")
    folder = finished.work / "blend" / "au"
    folder.mkdir()
    (folder / "report.json").write_text(content)
    for done in (None, "", "mark\n"):
        if done is not None:
            (folder / "DONE").write_text(done)
        html = index.render(finished.work)
        assert list(rows(html)) == ["blend/va/report.html"] and "of another version: au." in html
    run_folder.finish(folder, "mark", {}, ["report.json"])  # closed by whoever wrote it
    assert list(rows(index.render(finished.work))) == ["blend/va/report.html"]


def test_reports_that_lack_or_twist_a_number_are_left_out(finished):
    report = finished("au")
    for key in ("expected", "interval", "baselines", "ways"):
        finished("au", **{key: "<b>"})
        assert rows(index.render(finished.work)) == {}, key
    finished("au", baselines={name: row for name, row in report["baselines"].items() if name != "equal"})
    assert rows(index.render(finished.work)) == {}
    finished("au", made=None)
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", rows(index.render(finished.work))["blend/au/report.html"][5])
    finished("au", metric="<b>&")
    assert "&lt;b&gt;&amp;" in index.render(finished.work)


def test_the_multi_task_challenge_and_its_parts(finished):
    finished("mtl/va")
    numbers = {"expected": 1.25, "submitted": 1.5, "best_heads": 1.125, "equal": 1.0, "test": None}
    folder = finished.work / "blend" / "mtl"
    run_folder.write_json(folder / "report.json", {"task": "mtl", "metric": "P_MTL", "interval": [1.0, 1.5], **numbers})
    run_folder.finish(folder, "mark", {}, ["report.json"])
    shown = rows(index.render(finished.work))
    assert list(shown) == ["blend/mtl/report.html", "blend/mtl/va/report.html"]
    cells = [cell.partition(">")[2].split() for cell in shown["blend/mtl/report.html"]]
    assert [cell[:1] for cell in cells[:5]] == [["1.250"], ["1.500"], ["1.125"], ["1.000"], []]


def test_a_folder_that_cannot_be_written_or_is_empty_fails_no_run(finished, tmp_path, monkeypatch):
    index.write(tmp_path / "nothing")
    assert "No finished blend" in (tmp_path / "nothing" / "index.html").read_text()
    finished("va")
    (finished.work / "index.html").mkdir()
    index.write(finished.work)
    assert json.loads((finished.work / "blend" / "va" / "report.json").read_text())
