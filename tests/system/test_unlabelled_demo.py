"""What the unlabelled test says of the demo: nothing of honest submissions, and each planted fault, by the commands."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from support import command_server
from support.sweeps import sweep

from blend import check_predictions
from blend.report import pointers
from blend.report.unlabelled_test import KEY, sentences
from extract.demo import corpus

TASKS = ("expr", "au", "va")
OTHER_SEEDS = (1, 2)
Lines = dict[str, list[list[str]]]
"""video -> the values of each of its lines."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return command_server.run([sys.executable, "-m", *arguments])


def finished(work: Path, task: str, *more: str) -> Path:
    """The folder of a finished blend, made where it is not there."""
    if not (work / "blend" / task / "DONE").exists():
        done = run("blend.run", "--task", task, "--work", str(work), *more)
        assert done.returncode == 0, done.stderr
    return work / "blend" / task


def said(report: dict) -> list[str]:
    return [pointers.plain(text, report, digits=2) for text in sentences(report)]


def swap(task: str) -> Callable[[Lines], Lines]:
    def change(row: list[str]) -> list[str]:
        if task == "expr":
            return [{"0": "4", "4": "0"}.get(row[0], row[0])]
        first = 0 if task == "va" else 10  # AU25 and AU26 resemble each other
        row = list(row)
        row[first], row[first + 1] = row[first + 1], row[first]
        return row

    return lambda lines: {video: [change(row) for row in rows] for video, rows in lines.items()}


def turn(task: str) -> Callable[[Lines], Lines]:
    """argmin: of a unit the other decision, of a value its negative, of a class one that heads hold for unlikely."""
    change = {"au": lambda x: "10"[int(x)], "va": lambda x: str(-float(x)), "expr": lambda x: "2" if x != "2" else "4"}
    return lambda lines: {v: [[change[task](cell) for cell in row] for row in rows] for v, rows in lines.items()}


def late(lines: Lines) -> Lines:
    return {video: [rows[max(i - 5, 0)] for i in range(len(rows))] for video, rows in lines.items()}


def foreign(lines: Lines) -> Lines:
    one, *_, other = lines
    return lines | {one: [lines[other][min(i, len(lines[other]) - 1)] for i in range(len(lines[one]))]}


def damage(submission: Path, out: Path, change: Callable[[Lines], Lines]) -> Path:
    header, *lines = submission.read_text().splitlines()
    images = [line.split(",")[0] for line in lines]
    values: Lines = {}
    for image, line in zip(images, lines, strict=True):
        values.setdefault(image.split("/")[0], []).append(line.split(",")[1:])
    rows = iter([row for own in change(values).values() for row in own])
    out.write_text("\n".join([header, *(",".join([image, *next(rows)]) for image in images)]) + "\n")
    return out


@pytest.mark.parametrize("task", sweep(TASKS, ["au"]))
def test_an_honest_submission_raises_nothing_and_each_fault_in_it_is_seen(
    demo: Path, tmp_path: Path, task: str
) -> None:
    out = finished(demo, task)
    report = json.loads((out / "report.json").read_text())
    facts = report[KEY]
    assert facts["faults"] == [] and facts["shares"]["largest"] < facts["shares"]["threshold"] and said(report) == []
    assert "Test beside validation" in (out / "report.html").read_text()

    weights = json.loads((out / "params.json").read_text())["weights"]
    most = max(weights, key=lambda name: np.mean(weights[name]))  # one that weighs little may not tell of 5 frames
    template, head = Path(corpus.paths(demo / "corpus")[task]["test"]), demo / "heads" / task / most
    for given in (out, head, head / "test.parquet"):
        assert check_predictions.warnings(out / "submission.txt", task, template, [given]) == [], given
    planted = {
        "are columns swapped?": swap(task),
        "is argmin in place of argmax": turn(task),
        "taken to be 5 frames late": late,
        "are these another video's predictions?": foreign,
    }
    for text, change in planted.items():
        file = damage(out / "submission.txt", tmp_path / "damaged.txt", change)
        found = check_predictions.warnings(file, task, template, [out])
        assert any(text in one for one in found), (text, found)
        assert check_predictions.warnings(file, task, template, [head]), text


def test_the_command_warns_and_ends_with_1(demo: Path, tmp_path: Path) -> None:
    out = finished(demo, "au")
    template = str(corpus.paths(demo / "corpus")["au"]["test"])
    done = run("blend.check", str(out / "submission.txt"), template, "--compare", str(out), "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["warnings"] == [], done.stderr
    file = damage(out / "submission.txt", tmp_path / "damaged.txt", swap("au"))
    done = run("blend.check", str(file), template, "--compare", str(out))
    first, *_, last = done.stdout.splitlines()
    assert done.returncode == 1 and first.startswith("! On test the submission goes with other columns"), done.stderr
    assert last.startswith(f"{file}: complete")


@pytest.mark.slow
def test_a_head_whose_test_predictions_have_swapped_columns_is_named_in_the_report(demo: Path, tmp_path: Path) -> None:
    finished(demo, "expr")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "corpus").symlink_to(demo / "corpus")
    given = []
    for name in ("lama", "mlp_all", "lightgbm-demo_enet"):
        (tmp_path / name).mkdir()
        for part in ("val", "test"):  # files of one's own: what is beside a DONE may not be changed
            shutil.copy(demo / "heads" / "expr" / name / f"{part}.parquet", tmp_path / name)
        given += ["--predictions", f"{name}-again={tmp_path / name}"]
    table = parquet.read_table(tmp_path / "mlp_all" / "test.parquet")
    names = [
        "Happiness" if name == "Neutral" else "Neutral" if name == "Happiness" else name for name in table.schema.names
    ]
    parquet.write_table(pa.table(table.columns, names=names), tmp_path / "mlp_all" / "test.parquet")
    quick = "blend.expr={trials=3, draws=100, folds=2, select_folds=2}"
    done = run(
        "blend.run", "--task", "expr", "--work", str(tmp_path / "work"), "--heads", "none", *given, "--set", quick
    )
    assert done.returncode == 0, done.stderr
    warning = "On test the head mlp_all-again goes with other columns of the other heads: Neutral with Happiness"
    assert warning in " ".join(done.stdout.split())
    report = json.loads((tmp_path / "work" / "blend" / "expr" / "report.json").read_text())
    assert {fault["of"] for fault in report[KEY]["faults"]} <= {"the head mlp_all-again", "the submission"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", OTHER_SEEDS)
def test_honest_submissions_of_other_seeds_raise_nothing(demo: Path, tmp_path: Path, seed: int) -> None:
    for name in ("corpus", "features"):
        if (demo / name).exists():
            shutil.copytree(demo / name, tmp_path / name)
    for task in TASKS:
        out = finished(tmp_path, task, "--seed", str(seed))
        report = json.loads((out / "report.json").read_text())
        facts = report[KEY]
        assert facts["faults"] == [] and facts["shares"]["largest"] < facts["shares"]["threshold"]
        assert said(report) == []
