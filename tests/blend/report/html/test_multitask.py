"""The multi-task challenge's table and page: every number is one of the report."""

import pytest

from blend import multitask
from blend.report import pointers as page_values
from blend.report.html import multitask as multitask_page


def part(score, test=None, interval=(0.1, 0.9)):
    return {
        "task": "va", "metric": "mean CCC", "select": "tuned", "heads": {"a": score, "b": None}, "equal": score,
        "submitted": score, "searched": score, "expected": score,
        "cross_fitted": {"pooled": score} if score else None, "optimism": 0.0,
        "interval": None if interval is None else list(interval), "ways": {}, "per_output": {},
        "frames": {"labelled": 1234, "people": 9}, "test": None if test is None else {"score": test},
        "unlabelled_test": None,
        "submission": {"path": "submission.txt", "from": "test", "lines": 3, "frames": 2, "videos": 1},
    }  # fmt: skip


def test_rows_are_the_parts_and_their_sum(capsys, tmp_path):
    report = multitask.sum_reports({"va": part(0.25, 0.3), "expr": part(0.5, 0.4), "au": part(0.125, 0.5)}, seed=7)
    report["submissions"] = []
    table = multitask_page.rows(report)
    assert [row[0] for row in table] == ["va", "expr", "au", "P_MTL"]
    assert table[-1][1:] == ("0.8750", "0.8750", "0.8750", "0.8750", "0.300 to 2.700", "1.2000")
    multitask_page.show(report, tmp_path)
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("P_MTL  ")]
    assert "0.300 to 2.700" in line and line.strip().endswith("1.2000"), "a part is one line"
    assert "1,234 for va" in " ".join(page_values.plain(line, report) for line in multitask_page.lines(report))


@pytest.mark.parametrize("test", [None, 0.5])
def test_what_is_not_defined_is_said_and_not_summed(test, capsys, tmp_path):
    report = multitask.sum_reports(
        {"va": part(None, test, None), "expr": part(0.5, test), "au": part(0.5, test)}, seed=0
    )
    report["submissions"] = [{"file": "submissions/1.txt"}]
    assert report["submitted"] is None and report["interval"] is None and report["cross_fitted"] is None
    assert multitask_page.rows(report)[-1][3] == "undefined"
    multitask_page.show(report, tmp_path)
    said = capsys.readouterr().out
    assert "undefined" in said and "submissions/1.txt" in said


def whole(test=0.5):
    """A report with two submissions."""
    report = multitask.sum_reports({"va": part(0.25, test), "expr": part(0.5, test), "au": part(0.125, test)}, seed=7)
    of = {name: {"name": "tuned", "what": f"what <{name}> is"} for name in ("va", "expr", "au")}
    files = [{"file": f"submissions/{i}.txt", "of": of} | ({"test": 1.25} if test else {}) for i in (1, 2)]
    return report | {"submissions": files}


@pytest.mark.parametrize("test", [None, 0.5])
def test_every_number_on_the_page_is_the_reports(page_reader, test):
    report = whole(test)
    html = multitask_page.render(report)
    found = page_reader.Page(html)
    assert all(page_reader.agrees(text, page_values.value(report, at)) for at, text in found.numbers)
    pointers = {at for at, _ in found.numbers}
    assert {"/submitted", "/expected", "/interval/1", "/parts/au/best_head/score", "/submission/frames"} <= pointers
    assert ("/test" in pointers) is ("/submissions/1/test" in pointers) is (test is not None)
    assert found.links == ["va/report.html", "expr/report.html", "au/report.html"]
    assert "<va>" not in html and "http:" not in html and "https:" not in html and "default-src 'none'" in html


def compared(report):
    """The same report with what test's predictions say of themselves."""
    one = {"validation": 0.25, "low": 0.125, "high": 0.5, "test": 0.75, "outside": True}
    fault = {"kind": "sign", "of": "the head <a>", "against": "the other heads", "output": "valence", "own": -0.5,
             "other": 0.5, "usual": 0.25}  # fmt: skip
    facts = {"shares": {"statistics": {"mean valence": one, "certainty": one | {"outside": False}}}, "faults": [fault]}
    report["parts"]["va"]["unlabelled_test"] = facts
    return report


def test_test_is_compared_with_validation_in_every_part_that_has_it(page_reader, capsys, tmp_path):
    report = whole()
    assert "Test beside validation" not in multitask_page.render(report)
    html = multitask_page.render(compared(report))
    found = page_reader.Page(html)
    assert all(page_reader.agrees(text, page_values.value(report, at)) for at, text in found.numbers)
    numbers = dict(found.numbers)
    assert numbers["/parts/va/unlabelled_test/shares/statistics/mean valence/high"] == "0.500"
    assert numbers["/parts/va/unlabelled_test/faults/0/own"] == "-0.500"
    assert "&lt;a&gt;" in html and "<a>" not in html and html.count("outside") == 1
    multitask_page.show(report, tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert "! va: On test valence of the head <a> goes against the other heads (correlation -0.5000" in said
    assert "! va: On test the mean of valence is 0.7500" in said


def test_few_people_are_said_first_once_for_parts_that_are_of_as_many():
    report = whole()
    counts = {"va": 3, "expr": 3, "au": 3}
    for numbers, first in (
        (counts, ["The validation videos are of 3 people, so"]),
        (
            counts | {"au": 4},
            ["va, expr: The validation videos are of 3 people", "au: The validation videos are of 4"],
        ),
        (dict.fromkeys(counts, 6), []),
    ):
        for name, people in numbers.items():
            report["parts"][name]["frames"] |= {"people": people, "people_known": True}
        lines = [page_values.plain(line, report) for line in multitask_page.lines(report)]
        assert len(lines) == 3 + len(first)
        assert all(line.startswith(text) for line, text in zip(lines, first, strict=False))


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_in_chromium_it_fits_and_fetches_nothing(browser, tmp_path, width, scheme):
    path = tmp_path / "report.html"
    path.write_text(multitask_page.render(compared(whole())), encoding="utf-8")
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints, asked = [], []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    wide = tab.evaluate("document.documentElement.scrollWidth")
    rows = tab.locator("table").first.locator("tbody tr").count()
    tab.close()
    assert wide <= width and rows == 4 and complaints == [] and asked == [path.as_uri()]
