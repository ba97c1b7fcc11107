"""What `blend.run --dry-run` says before, between and after the steps of a small run, and that it writes nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blend import dry_run
from blend.config import Config
from blend.dry_run import Plan, PlannedStep
from extract import config as extract_config
from extract import run as extract_run
from extract.runtime.errors import InputError


def tree(folder: Path) -> dict[str, int]:
    """Every file below a folder and when it was written."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def say(config: Path, work: Path, *more: str) -> dict:
    """What the command prints as JSON."""
    command = [sys.executable, "-m", "blend.run", "--task", "va", "--config", str(config), "--work", str(work)]
    done = subprocess.run([*command, "--dry-run", "--json", *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_plan_says_what_is_missing_from_the_first_picture_to_the_finished_blend(few_videos, tmp_path):
    work = tmp_path / "work"
    first = say(few_videos, work)
    assert not work.exists(), "it writes nothing"
    extract, heads, blend = first["steps"]
    assert (extract["step"], extract["missing"], extract["finished"], extract["unit"]) == ("extract", 420, 0, "frames")
    assert extract["seconds"] > 0 and first["seconds"] == extract["seconds"], "of the others nothing is known yet"
    assert (heads["step"], heads["missing"], heads["seconds"]) == ("heads va", 1, None)
    assert (blend["step"], blend["missing"]) == ("blend va", 1)

    settings = extract_config.load(Config, few_videos, [])
    extract_run.main(settings, work)
    stored = sum(path.stat().st_size for path in (work / "features").glob("*/*.safetensors"))
    assert 0.5 * stored < first["disk"] < stored, "without what is said beside the numbers"
    shutil.rmtree(work / "features" / settings.features.networks[0] / ".locks", ignore_errors=True)
    before = tree(work)
    assert [step["missing"] for step in say(few_videos, work)["steps"]] == [0, 1, 1]
    assert tree(work) == before

    command = [sys.executable, "-m", "blend.run", "--task", "va", "--config", str(few_videos), "--work", str(work)]
    subprocess.run(command, check=True, capture_output=True)
    before = tree(work)
    finished = say(few_videos, work)
    assert [step["missing"] for step in finished["steps"]] == [0, 0, 0] and finished["seconds"] is None
    longer = say(few_videos, work, "--set", "blend.va.trials=13")
    assert [step["missing"] for step in longer["steps"]] == [0, 0, 1] and longer["seconds"] > 0
    again = say(few_videos, work, "--set", "heads.va.lightgbm.trees=21")
    assert [step["missing"] for step in again["steps"]] == [0, 1, 1] and again["steps"][1]["seconds"] > 0
    assert tree(work) == before


def test_a_head_that_there_is_not_is_refused_before_anything_is_made(few_videos, tmp_path):
    settings = extract_config.load(Config, few_videos, [])
    with pytest.raises(InputError, match="--heads lightbgm: no such head"):
        dry_run.plan(settings, ["va"], tmp_path / "work", heads=["lightbgm"])


def test_the_demo_is_planned_before_it_is_drawn(tmp_path):
    settings = extract_config.load(Config, extract_config.DEFAULT, [])
    planned = dry_run.plan(settings, ["au", "mtl"], tmp_path / "work")
    names = [step.step for step in planned.steps]
    parts = [f"{step} mtl/{part}" for part in ("va", "expr", "au") for step in ("heads", "blend")]
    assert names == [*["extract"] * 3, "heads au", "blend au", *parts]
    assert planned.steps[0].makes == "the demo corpus" and planned.seconds is None
    assert "Time: not known before something of it was made here." in dry_run.describe(planned)


def test_sentences_name_what_is_not_known_and_a_disk_that_is_too_small():
    steps = (
        PlannedStep("extract", "net", 3_000_000, 0, "frames", 25_000.0, 9_000_000_000),
        PlannedStep("heads au", "mlp, lama", 2, 0, "heads"),
    )
    assert dry_run.describe(Plan(steps, free=8_000_000_000, memory=30_000_000_000)) == [
        "Time: about 6.9 h on this machine, and heads au.",
        "Disk: about 9.0 GB of features to come; 8.0 GB are free.",
        "Warning: that does not fit. Free some of it, or give --work a folder on another disk.",
        f"Memory: heads hold 30.0 GB at most, {dry_run.AT_ONCE} of them side by side.",
    ]
    finished = tuple(PlannedStep(step.step, step.makes, 0, 1, step.unit) for step in steps)
    assert dry_run.describe(Plan(finished, 1, 1)) == ["Everything is finished: the run reads it and ends."]
