"""Differences against a bootstrap written out, what is refused, and the command line."""

import json
import sys

import numpy as np
import pytest
from support import command_server

from blend import compare
from blend.calibrate import video_counts
from blend.report import videos as video_scores
from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_json

TASKS = ["au", "expr", "va"]


@pytest.fixture
def runs(make_report, tmp_path):
    """Folders of the two ways of one task."""

    def make(name, **sizes):
        folders = []
        for select in ("cross_fitted", "tuned"):
            write_json(tmp_path / select / "report.json", make_report(name, select, **sizes)[2])
            folders.append(tmp_path / select)
        return folders

    return make


@pytest.mark.parametrize("name", TASKS)
def test_scores_and_differences_are_the_reports(runs, name):
    folders = runs(name)
    found = compare.main(folders, draws=300)
    reports = [json.loads((folder / "report.json").read_text()) for folder in folders]
    assert found["compared"] == "held_out" and found["videos"] == len(reports[0]["videos"])
    for run, report in zip(found["runs"], reports, strict=True):
        assert run["score"] == pytest.approx(report["cross_fitted"]["pooled"])
        assert run["submitted"] == report["submitted"] and run["interval"] == report["interval"]
    (one,) = found["differences"]
    assert one["difference"] == pytest.approx(found["runs"][1]["score"] - found["runs"][0]["score"])
    assert one["interval"][0] <= one["difference"] <= one["interval"][1] and 0 <= one["better_in"] <= 1
    assert found == compare.main(folders, draws=300), "the same seed gives the same numbers"
    assert found != compare.main(folders, draws=300, seed=1)


def test_the_draws_are_of_whole_videos_and_the_same_for_both(runs):
    folders = runs("expr")
    found = compare.main(folders, draws=400, seed=3)["differences"][0]
    a, b = (video_scores.tables(compare.read(folder).videos) for folder in folders)
    times = np.random.default_rng(3).multinomial(len(a), np.full(len(a), 1 / len(a)), size=400)
    gains = []
    for row in times:
        scores = []
        for table in (b, a):
            total = np.zeros((8, 8))
            for v, n in enumerate(row):
                total += n * table[v]
            f1 = [2 * total[c, c] / max(total[c].sum() + total[:, c].sum(), 1e-9) for c in range(8)]
            scores.append(np.mean([f1[c] for c in range(8) if total[c].sum() or not table[:, c].sum()]))
        gains.append(scores[0] - scores[1])
    gains = np.array(gains)
    assert found["better_in"] == pytest.approx((gains > 0).mean() + 0.5 * (gains == 0).mean())
    spread = np.quantile(gains, 0.975) - np.quantile(gains, 0.025)
    assert found["interval"][1] - found["interval"][0] > spread  # widened, because videos are few


def test_a_blend_that_is_better_on_every_video_is_said_to_be(runs):
    folders = runs("au", videos=12)
    better = json.loads((folders[0] / "report.json").read_text())
    for row in better["videos"]:  # every decision right
        row["counts"] = [row["counts"][2]] * 3
    write_json(folders[0].parent / "best" / "report.json", better)
    found = compare.main([folders[0], folders[0].parent / "best", folders[1]], draws=200)
    assert [(one["of"][-4:], one["against"][-4:]) for one in found["differences"]] == [
        ("best", "tted"), ("uned", "tted"), ("uned", "best"),
    ]  # fmt: skip
    assert found["differences"][0]["better_in"] == 1 and found["differences"][2]["better_in"] == 0
    assert "best is better than" in compare.verdict(found["differences"][0])
    assert "is worse than" in compare.verdict(found["differences"][2])


def test_a_single_video_is_compared_on_what_blends_were_made_from(runs, capsys):
    found = compare.main(runs("va", videos=1), draws=200)
    assert found["compared"] == "submitted" and found["differences"][0]["interval"] is None
    compare.show(found)
    assert "made from" in capsys.readouterr().out
    assert "a single video says no more" in compare.verdict(found["differences"][0])


def changed(folder, name, change):
    table = json.loads((folder / "report.json").read_text())
    change(table)
    write_json(folder.parent / name / "report.json", table)
    return folder.parent / name


def test_what_cannot_be_compared_is_refused_in_one_line(runs, make_report, tmp_path):
    first, second = runs("au")
    other = tmp_path / "va"
    write_json(other / "report.json", make_report("va")[2])
    lacks = changed(first, "lacks", lambda table: table["videos"].pop(2))
    relabelled = changed(first, "relabelled", lambda table: table["videos"][3].update(truth="0" * 16))
    old = changed(first, "old", lambda table: table.pop("held_out"))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "report.json").write_text("no json")
    (tmp_path / "list.json").write_text("[]")
    write_json(tmp_path / "mtl" / "report.json", {"task": "mtl"})
    write_json(tmp_path / "odd" / "report.json", {"task": ["au"]})
    for paths, said in (
        ([first], "two blends or more"),
        ([first, first], "given twice"),
        ([first, other], "is of task 'va'"),
        ([first, lacks], "lacks the validation video 'video02'"),
        ([lacks, second], "lacks the validation video 'video02'"),
        ([first, relabelled], "video 'video03' has other labels"),
        ([first, old], "of an older version; run python -m blend.run again"),
        ([first, tmp_path / "gone"], "no such file; give a folder that blend.run has finished"),
        ([first, tmp_path / "text"], "not readable as JSON"),
        ([first, tmp_path / "list.json"], "holds list, expected a JSON object; give a folder"),
        ([first, tmp_path / "odd"], "no report of a blend"),
        ([first, tmp_path / "mtl"], "of the multi-task challenge; compare its parts, as in .*mtl/va"),
    ):
        with pytest.raises(InputError, match=said):
            compare.main(paths)


def test_the_command_prints_a_table_or_json_and_exits_with_2_for_bad_input(runs, tmp_path):
    first, second = runs("au")

    def run(*more):
        command = [sys.executable, "-m", "blend.compare", *map(str, more)]
        return command_server.run(command)

    good = run(first, second, "--draws", 200)
    assert good.returncode == 0 and "held out" in good.stdout and "of the draws" in good.stdout, good.stderr
    machine = run(first, second, "--draws", 200, "--json")
    assert json.loads(machine.stdout) == compare.main([first, second], 200)
    bad = run(first, tmp_path / "none")
    assert bad.returncode == 2 and bad.stderr.startswith("error: ") and len(bad.stderr.splitlines()) == 1


def test_scores_that_are_not_defined_are_said(runs):
    first, second = runs("va")
    flat = changed(first, "flat", lambda table: [row.update(counts=[[0.0, 0.0]] * 6) for row in table["videos"]])
    found = compare.main([flat, second], draws=200)
    assert found["runs"][0]["score"] is None and "a score is not defined" in compare.verdict(found["differences"][0])
    assert np.isnan(video_counts.score("va", np.zeros((6, 2))))
    compare.show(found)


def test_no_interval_of_a_difference_leaves_what_a_difference_can_be():
    """Two groups, each won by another blend: hardly anything is known."""
    right, wrong = np.zeros((3, 12)), np.zeros((3, 12))
    right[:], wrong[1:] = 10, 10
    for mine, theirs in (([right, wrong], [wrong, right]), ([right, right], [wrong, right])):
        found = compare.gain("au", [np.stack(mine)], [np.stack(theirs)], [100, 100], 500, 0)
        low, high = found["interval"]
        assert -1 <= low <= found["difference"] <= high <= 1


def test_a_page_of_it_in_chromium(runs, make_report, tmp_path, browser):
    """Table, chart and words are the result's; nothing fails or is fetched; 400 pixels are enough."""
    folders = runs("au")
    third = tmp_path / ("<b>other" + "_of_a_long_name" * 4)
    write_json(third / "report.json", make_report("au", "tuned")[2] | {"k": [3] * 12})
    file = tmp_path / "compared.html"
    result = compare.main([*folders, third], draws=200)
    file.write_text(compare.render(result))
    complaints, asked = [], []
    for width in (1200, 400):
        tab = browser.new_page(viewport={"width": width, "height": 900})
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(file.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.locator("svg.chart:visible").focus()
        tab.keyboard.press("End")
        place = tab.locator("#tip").get_attribute("data-place").split("/")[1:]
        number = result[place[0]][int(place[1])][place[2]]
        assert float(tab.locator("#tip b").inner_text()) == pytest.approx(number, abs=5.1e-4)
        text = tab.inner_text("main")
        tab.close()
    assert complaints == [] and asked == [file.as_uri()] * 2
    for row in compare.rows(result):
        assert all(cell in text for cell in row)
    for item in result["differences"]:
        assert compare.verdict(item) in text


def test_the_page_is_a_file_of_the_command(runs, tmp_path):
    folders = [str(folder) for folder in runs("va")]
    command = [sys.executable, "-m", "blend.compare", *folders, "--draws", "100", "--json", "--html"]
    done = command_server.run([*command, str(tmp_path / "page.html")])
    assert done.returncode == 0 and json.loads(done.stdout)["task"] == "va", done.stderr
    assert "<h1>Blends compared</h1>" in (tmp_path / "page.html").read_text()
    refused = command_server.run([*command, str(tmp_path)])
    assert refused.returncode == 2 and refused.stderr.startswith(f"error: --html {tmp_path}: is a folder")
