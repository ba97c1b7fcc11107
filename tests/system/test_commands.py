"""Every command as people use it: help with an example, exit codes, JSON, and Ctrl-C in the middle of the main job."""

import contextlib
import importlib
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from support import command_server
from support.sweeps import sweep

from blend.studies import finetuned, more_heads
from extract.bench import audio
from extract.jobs.fork_server import can_fork

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for package in ("extract", "heads", "blend")
    for path in (ROOT / package).rglob("*.py")
    if "cli.start(command" in path.read_text(encoding="utf-8")
)
ALL = {"extract.run", "extract.tabular", "extract.export", "heads.run", "heads.tune", "blend.run", "blend.apply"}
ALL |= {
    "extract.pretrain",
    "heads.finetune",
    "blend.init",
    "blend.dashboard",
    "blend.check",
    "blend.predict",
    "blend.compare",
    "blend.studies.ablation",
}
ALL |= {"blend.studies.simulate", "blend.studies.nothing", "blend.studies.splits"}
ALL |= {"extract.enlarge", "extract.bench", "heads.bench", "blend.bench", "blend.bench.report", "blend.bench.predict"}
MEASURED = {
    "blend.studies.ablation": (("--task", "va"), []),
    "blend.studies.sequences": (("--task", "va"), ({"sequence": [(0.5, 0.25)]}, {"difference": 0.25})),
    "blend.bench": ((), {"au": {"ms": 1.5}}),
    "blend.bench.predict": (("--blend", "runs"), {"frames": 7}),
    "blend.bench.report": ((), {"frames": 7, "opens": None}),
    "blend.bench.scale": ((), {"check": [{"workers": 1, "ratio": 1.0}]}),
    "blend.studies.faults": ((), {"va": {"6": {"draws": 2}}}),
    "blend.studies.more_heads": (
        ("--task", "va"),
        ({name: [(0.5, 0.25)] for name in (more_heads.WITH, more_heads.WITHOUT)}, {"difference": 0.25, "interval": []}),
    ),
    "blend.studies.finetuned": (("--task", "va"), [({name: (0.5, 0.25) for name in finetuned.NAMES}, 3, 60.0)]),
    "blend.studies.nothing": ((), [{"task": "va", "error": 0.5}]),
    "blend.studies.peers": (("--task", "va"), {"ways": {"tabm": {"seconds": 1.5}}}),
    "blend.studies.people": ((), {"draws": 2}),
    "blend.studies.pretraining": ((), {"va": {"gain": 0.25}}),
    "blend.studies.simulate": ((), {"va": {"few": {"same": {"draws": 2}}}}),
    "blend.studies.synthetic": (("--draws", "1"), [{"heads": [0.5, 0.4]}]),
    "blend.studies.splits": (("--task", "va"), {"splits": 2}),
    "extract.bench": ((), {"c": 1.5}),
    "extract.bench.audio": ((), audio.VideoCost(7, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0)),
    "extract.bench.cluster": ((), {"ratio": 0.5}),
    "extract.bench.people": ((), {"ours": {"cross": {"switches": [0], "found": [0.8]}}}),
    "heads.bench": ((), {"corpus": {}, "mlp": {"ratio": 1.5}}),
    "heads.bench.sequence": ((), {"cpu": None}),
}
"""Commands that measure -> what they are given, and what their `main` might find."""


def program_of(module):
    """The module that `python -m` runs: of a package its `__main__`."""
    found = importlib.import_module(module)
    return importlib.import_module(f"{module}.__main__") if hasattr(found, "__path__") else found


def start_here(monkeypatch, module: str, *arguments: str) -> int:
    """Run a command in this process; returns its exit code."""
    path = Path(program_of(module).__file__)
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    return int(ended.value.code or 0)


def test_no_command_is_forgotten_here():
    assert set(COMMANDS) >= ALL


@pytest.mark.parametrize("module", COMMANDS)
def test_help_has_an_example_that_names_the_command(monkeypatch, capsys, module):
    monkeypatch.setenv("COLUMNS", "200")
    assert start_here(monkeypatch, module, "--help") == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown and f"python -m {module} " in shown.partition("Examples:")[2]
    assert str(ROOT) not in shown, "a help text is the same on every machine"


@pytest.mark.parametrize("module", COMMANDS)
def test_an_unknown_option_is_exit_code_2_and_nothing_on_stdout(monkeypatch, capsys, module):
    assert start_here(monkeypatch, module, "--no-such-option") == 2
    said = capsys.readouterr()
    assert "No such option" in said.err and said.out == ""


@pytest.mark.parametrize("module", COMMANDS)
def test_json_is_a_switch_in_every_command_and_files_have_options_of_their_own(module):
    app = typer.Typer()
    app.command()(program_of(module).command)
    options = {name: one for one in typer.main.get_command(app).params for name in one.opts}
    assert options["--json"].is_flag
    assert "--out" not in options or not options["--out"].is_flag


@pytest.mark.parametrize("module", MEASURED)
def test_what_was_measured_is_all_there_is_on_stdout_with_json(monkeypatch, capsys, module):
    given, found = MEASURED[module]
    program = program_of(module)
    monkeypatch.setattr(program, "main", lambda *_, **__: found)
    app = typer.Typer()
    app.command()(program.command)
    with pytest.raises(SystemExit) as ended:
        app([*given, "--json"])
    assert not ended.value.code
    said = json.loads(capsys.readouterr().out)
    if isinstance(found, dict) and "ablation" not in module:
        assert said == found
    assert said


def test_every_command_that_measures_is_tried():
    assert {module for module in COMMANDS if re.search("bench|ablation|studies", module)} == set(MEASURED)


def children(process: int) -> set[int]:
    """The processes that a process has started and that still run, and theirs."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, IndexError):
            continue
    found, wanted = {process}, {process}
    while wanted:
        wanted = {child for child, parent in parents.items() if parent in wanted}
        found |= wanted
    return found - {process}


def blend_run(config: Path, work: Path) -> list[str]:
    return [sys.executable, "-m", "blend.run", "--task", "expr", "--config", str(config), "--work", str(work), "--json"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("whole_group", sweep([False, True], [True]), ids=["alone", "as a terminal does"])
def test_ctrl_c_ends_a_run_with_one_line_and_no_children_and_the_same_command_finishes(
    few_videos, tmp_path, whole_group
):
    work = tmp_path / "my work"
    command = blend_run(few_videos, work)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    ) as process:
        while not (started := learning(process.pid)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert process.returncode == 130 and out == ""
    [line] = [line for line in error.splitlines() if not re.match(r"\d/\d ", line)]  # no progress of a slow machine
    assert line.startswith("interrupted: what was finished is kept; the same command goes on from there: ")
    said = line.partition("there: ")[2]
    assert said.startswith("python -m blend.run --task expr") and "'" in said, "it can be copied as it stands"
    deadline = time.monotonic() + 20
    while (left := {child for child in started if _runs(child)}) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
    if whole_group:
        return  # the end is the same
    done = command_server.run(command, cwd=ROOT, charts=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    report = json.loads((work / "blend" / "expr" / "report.json").read_text())
    assert found["expected"] == report["cross_fitted"]["pooled"] and found["interval"] == report["interval"]
    assert all(Path(path).is_file() for path in found["files"].values())
    assert re.search(r"submission\.txt", str(found["files"]))


def learning(process: int) -> set[int]:
    """The processes of heads that it has started."""
    found = set()
    for child in children(process):
        with contextlib.suppress(OSError):
            if b"heads.train" in (Path("/proc") / str(child) / "cmdline").read_bytes():
                found.add(child)
    return found


@pytest.mark.skipif(not can_fork(), reason="this system cannot wait for a process by a file")
@pytest.mark.parametrize("number", sweep([signal.SIGINT, signal.SIGKILL], [signal.SIGKILL]))
def test_heads_that_were_forked_end_with_their_run_and_the_same_command_finishes(few_videos, tmp_path, number):
    work, second = tmp_path / "work", tmp_path / "second.toml"
    second.write_text((ROOT / "configs" / "heads" / "expr" / "lightgbm.toml").read_text())
    command = [*blend_run(few_videos, work), "--set", f'heads.expr.use=["lightgbm", "{second}"]']
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        while len(started := learning(process.pid)) < 2:  # the process that forks, and a head
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    deadline = time.monotonic() + 20
    while (left := {child for child in started if _runs(child)}) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
    done = command_server.run(command, cwd=ROOT, charts=False)
    assert done.returncode == 0, done.stderr
    assert all(
        (work / "heads" / "expr" / head / "DONE").exists() for head in ("lightgbm-demo_mt_enet", "second-demo_mt_enet")
    )


def _runs(process: int) -> bool:
    try:
        return (Path("/proc") / str(process) / "stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def test_known_networks_as_json_have_all_their_facts(monkeypatch, capsys):
    assert start_here(monkeypatch, "extract.run", "--list-networks", "--json") == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["demo_mt_enet"]["size"] == 112 and found["demo_mt_enet"]["outputs"] == ["embedding", "logits", "va"]


def test_a_submissions_problems_as_json_keep_the_exit_code(monkeypatch, capsys, tmp_path):
    template = "image_location,valence,arousal\nv/00001.jpg,0,0\n"
    (tmp_path / "template.txt").write_text(template)
    for text, code in ((template, 0), (template.replace(",0,0", ",0,7"), 1)):
        (tmp_path / "sent.txt").write_text(text)
        paths = str(tmp_path / "sent.txt"), str(tmp_path / "template.txt")
        assert start_here(monkeypatch, "blend.check", *paths, "--json") == code
        found = json.loads(capsys.readouterr().out)
        assert found["complete"] is (code == 0) and len(found["problems"]) == code
