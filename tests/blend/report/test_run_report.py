"""Reports of finished runs in Python: all three kinds of numbers, also of the multi-task challenge, and refusals."""

import json
import shutil
from pathlib import Path

import pytest

from blend.report.run_report import RunReport, load_report
from extract.runtime import run_folder
from extract.runtime.errors import InputError

VALUES = {
    "task": "expr",
    "metric": "macro F1",
    "heads": {"a": 0.5, "b": None},
    "equal": 0.25,
    "submitted": 0.75,
    "expected": 0.625,
    "interval": [0.5, 0.75],
}


def finish(folder, values):
    """A folder as blend.run leaves it, as far as a report goes."""
    run_folder.begin(folder)
    run_folder.write_json(folder / "report.json", values)
    run_folder.finish(folder, "mark", {}, ["report.json"])
    return folder


def test_its_numbers_are_those_of_report_json(tmp_path):
    report = load_report(str(finish(tmp_path / "expr", VALUES)))
    assert report == RunReport(tmp_path / "expr", VALUES)
    assert report.scores == {"a": 0.5, "b": None, "equal": 0.25, "submitted": 0.75}
    assert (report.expected, report.interval) == (0.625, (0.5, 0.75))
    assert repr(report) == f"RunReport(folder={tmp_path / 'expr'!r})"


def test_what_cannot_be_told_of_one_video_is_none(tmp_path):
    report = RunReport(Path("x"), VALUES | {"expected": None, "interval": None})
    assert report.expected is None and report.interval is None
    assert str(report) == f"expr: macro F1 of undefined expected on other videos; {Path('x') / 'submission.txt'}"


def test_of_the_multi_task_challenge_the_scores_are_by_part(tmp_path):
    parts = {"va": {"submitted": 0.25}, "expr": {"submitted": 0.5}, "au": {"submitted": 0.75}}
    values = {key: value for key, value in VALUES.items() if key != "heads"} | {"task": "mtl", "parts": parts}
    report = load_report(finish(tmp_path / "mtl", values))
    assert report.scores == {"va": 0.25, "expr": 0.5, "au": 0.75, "equal": 0.25, "submitted": 0.75}


def _lacks(key):
    return lambda folder: finish(folder, {name: value for name, value in VALUES.items() if name != key})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "report.json: no such file; give a folder that blend.run has finished"),
        (lambda folder: (folder / "DONE").unlink(), r"not finished \(no DONE in it\); start the same run again"),
        (
            lambda folder: (folder / "report.json").write_text(json.dumps(VALUES | {"expected": 1})),
            "not what was written there; python -m blend.run makes it anew",
        ),
        (lambda folder: finish(folder, [1]), "holds list, expected a JSON object"),
        (lambda folder: finish(folder, {"task": "age"}), "no report of a blend"),
        (lambda folder: finish(folder, VALUES | {"expected": "abc"}), "key 'expected': .*number; found 'abc'"),
        (lambda folder: finish(folder, VALUES | {"heads": [1]}), "key 'heads': .*dictionary; found"),
        (_lacks("interval"), "lacks 'interval': of an older version"),
        (_lacks("heads"), "lacks 'heads': of an older version"),
    ],
    ids=["gone", "unfinished", "damaged", "list", "no blend", "text", "heads", "no interval", "no heads"],
)
def test_what_is_no_finished_run_is_refused_in_one_line(tmp_path, damage, said):
    folder = finish(tmp_path / "expr", VALUES)
    damage(folder)
    with pytest.raises(InputError, match=said):
        load_report(folder)
