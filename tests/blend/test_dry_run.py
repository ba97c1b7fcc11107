"""What `blend.run --dry-run` says before, between and after the steps of a small run, and that it writes nothing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image
from support import command_server

from blend import dry_run
from blend.config import Config, RunRequest
from blend.dry_run import Plan, PlannedStep
from extract import config as extract_config
from extract import run as extract_run
from extract.networks import weights
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads import run as heads_run


def tree(folder: Path) -> dict[str, int]:
    """Every file below a folder and when it was written."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def say(config: Path, work: Path, *more: str) -> dict:
    """What the command prints as JSON."""
    command = [sys.executable, "-m", "blend.run", "--task", "va", "--config", str(config), "--work", str(work)]
    done = command_server.run([*command, "--dry-run", "--json", *more])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
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
    before = tree(work)
    assert [step["missing"] for step in say(few_videos, work)["steps"]] == [0, 1, 1]
    assert tree(work) == before

    command = [sys.executable, "-m", "blend.run", "--task", "va", "--config", str(few_videos), "--work", str(work)]
    assert command_server.run(command, charts=False).returncode == 0
    for lock in work.rglob(".lock*"):
        shutil.rmtree(lock) if lock.is_dir() else lock.unlink()
    before = tree(work)
    with run_folder.hold_folder(work / "heads" / "va"):  # a run that is on is not waited for
        finished = say(few_videos, work)
    (work / "heads" / "va" / ".lock").unlink(missing_ok=True)
    assert [step["missing"] for step in finished["steps"]] == [0, 0, 0] and finished["seconds"] is None
    longer = say(few_videos, work, "--set", "blend.va.trials=13")
    assert [step["missing"] for step in longer["steps"]] == [0, 0, 1] and longer["seconds"] > 0
    for more in (["--submissions", "2"], ["--timeout", "60"]):
        assert [step["missing"] for step in say(few_videos, work, *more)["steps"]] == [0, 0, 1]
    again = say(few_videos, work, "--set", "heads.va.lightgbm.trees=21")
    took = json.loads(next((work / "heads" / "va").glob("lightgbm-*/report.json")).read_text())["seconds"]
    assert [step["missing"] for step in again["steps"]] == [0, 1, 1] and again["steps"][1]["seconds"] == took
    assert tree(work) == before
    (work / "heads" / "va" / "prior.json").unlink()
    assert [step["missing"] for step in say(few_videos, work)["steps"]] == [0, 0, 1]
    assert not (work / "heads" / "va" / "prior.json").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--heads", "lightgbm"], "--heads lightgbm: no such head"),
        (["--heads", "none"], "--heads none: then give other people's predictions"),
        (["--set", 'corpus.va.val="/nowhere"'], "/nowhere"),
        (["--set", 'features.networks=["nosuchnet"]'], "nosuchnet"),
    ],
)
def test_what_the_run_refuses_is_refused(few_videos, tmp_path, more, said):
    command = [sys.executable, "-m", "blend.run", "--task", "va", "--config", str(few_videos), "--dry-run"]
    done = command_server.run([*command, "--work", str(tmp_path / "work"), *more])
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "work").exists()


def test_nothing_is_made_rendered_or_fetched(tmp_path, monkeypatch):
    """Neither extraction nor heads are asked to work, whatever the plan is of."""

    def work(*_, **__):
        raise AssertionError("a plan works")

    for module in (extract_run, heads_run):
        monkeypatch.setattr(module, "main", work)
    monkeypatch.setattr(weights, "_download", work)
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    there = tmp_path / "work" / "blend" / "va"
    there.mkdir(parents=True)
    (there / "DONE").write_text("{}")
    demo = extract_config.load(Config, extract_config.DEFAULT, [])
    (tmp_path / "a").mkdir()
    for heads in (None, ["none"]):
        planned = dry_run.plan(demo, ["va"], RunRequest("va", tmp_path / "work", 0, heads, {"a": tmp_path / "a"}))
        assert [step.missing > 0 for step in planned.steps] == [True] * (5 if heads is None else 4)
    frames = tmp_path / "frames" / "v"
    frames.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(frames / "00001.jpg")
    fetched = extract_config.from_tables(
        Config,
        {"corpus": {"name": "x", "frames": str(tmp_path / "frames")}, "features": {"networks": ["enet_b0_8_va_mtl"]}},
    )
    [step] = dry_run._plan_features(fetched, tmp_path / "other")
    assert step.makes == "enet_b0_8_va_mtl (weights to be fetched)" and step.missing == 1 and step.seconds is None


def test_the_demo_is_planned_before_it_is_drawn(tmp_path):
    settings = extract_config.load(Config, extract_config.DEFAULT, [])
    heads = ["va/lightgbm-demo_enet", "expr/lama", "au/mlp_all"]
    planned = dry_run.plan(settings, ["mtl"], RunRequest("mtl", tmp_path / "work", heads=heads))
    parts = [f"{step} mtl/{part}" for part in ("va", "expr", "au") for step in ("heads", "blend")]
    assert [step.step for step in planned.steps] == ["draw", "extract", "extract", *parts, "blend mtl"]
    assert planned.steps[0].makes == "the demo corpus" and planned.seconds is planned.disk is planned.memory is None
    assert dry_run.describe(planned)[0] == "Time: not known before something of it was made here."


def test_of_several_tasks_one_that_is_refused_is_named_after_the_others(few_videos, tmp_path, capsys):
    settings = extract_config.load(Config, few_videos, ['corpus.au.val="/nowhere"'])
    planned = dry_run.plan(settings, ["au", "va"], RunRequest("all", tmp_path / "work"))
    assert [step.step for step in planned.steps] == ["extract", "heads va", "blend va"]
    with pytest.raises(InputError, match="au: /nowhere"):
        dry_run.show(planned)
    assert "heads va" in capsys.readouterr().out


def test_sentences_name_what_is_not_known_and_a_disk_that_is_too_small():
    steps = (
        PlannedStep("extract", "net", 3_000_000, 0, "frames", 25_000.0, 9_000_000_000),
        PlannedStep("heads au", "mlp, lama", 2, 0, "heads"),
    )
    assert dry_run.describe(Plan(steps, {}, free=8_000_000_000, memory=30_000_000_000)) == [
        "Time: about 6.9 h on this machine, heads and blends as they took here last; not known: heads au.",
        "Disk: 9.0 GB of features; 8.0 GB are free.",
        "Warning: that does not fit. Free some of it, or give --work a folder on another disk.",
        f"Memory: heads hold 30.0 GB at most, {dry_run.AT_ONCE} of them side by side; a stride makes it less.",
    ]
    finished = tuple(PlannedStep(step.step, step.makes, 0, 1, step.unit) for step in steps)
    assert dry_run.describe(Plan(finished, {}, 1, 1)) == ["Everything is finished: the run reads it and ends."]
