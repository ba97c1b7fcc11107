"""`affect-heads`: every command is there, the list of them loads none, wrong names end with the right one."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from support import command_server

from blend import program

ROOT = Path(__file__).parents[2]
START = "from blend.program import main; main()"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_list_names_what_people_need_and_hides_what_measures() -> None:
    listed = run("--help").stdout.partition("Commands:")[2].partition("Examples:")[0]
    named = [line.split()[0] for line in listed.splitlines() if line.strip()]
    assert named == [name for name, one in program.COMMANDS.items() if not one.is_hidden]
    assert {"run", "extract", "heads", "tune", "predict", "check", "apply", "compare", "import", "export", "init"} <= {
        *named
    }


@pytest.mark.parametrize("arguments", [["-c", START, "--help"], ["-m", "extract.run", "--help"]])
def test_help_on_a_full_disk_is_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
        )
    assert done.returncode == 2 and done.stderr.startswith("error: cannot write (No space left"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("module", ["blend.run", "blend.compare", "heads.run", "heads.tune"])
def test_a_seed_that_libraries_do_not_take_is_refused_at_once(module: str) -> None:
    command = [sys.executable, "-m", module, "--task", "au", "--seed", str(2**31)]
    done = command_server.run(command, cwd=ROOT)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert module == "blend.compare" or "--seed" in done.stderr, done.stderr


def test_the_list_loads_no_command() -> None:
    code = (
        "import sys\nfrom blend.program import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('blend.run', 'heads.run', 'extract.run', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("name", program.COMMANDS)
def test_each_command_has_examples_that_call_it_so(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.app([name, "--help"], prog_name="affect-heads")
    said = capsys.readouterr().out
    assert not ended.value.code and f"affect-heads {name} " in said.partition("Examples:")[2]


def test_a_wrong_name_is_exit_code_2_and_names_the_nearest() -> None:
    done = run("pedict", "clip.mp4")
    assert done.returncode == 2 and "did you mean 'predict'?" in done.stderr and done.stdout == ""


def test_a_commands_own_exit_code_and_line_come_through() -> None:
    done = run("check", "no_such_submission.txt", "no_such_list.txt")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("error: no_such_")


def test_predict_takes_several_blends_as_its_own_command_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "params.json").write_text("{}")
    from blend.predict import __main__ as predict

    given = {}
    monkeypatch.setattr(predict, "main", lambda *args, **kwargs: given.update(args=args, kwargs=kwargs) or [])
    with pytest.raises(SystemExit):
        program.app(["predict", "x.mp4", "--blend", str(tmp_path / "a"), str(tmp_path / "b")], prog_name="affect-heads")
    assert [str(tmp_path / "a"), str(tmp_path / "b")] == [str(path) for path in _paths(given)]


def _paths(given: dict) -> list:
    """The blends among what `main` was given."""
    values = [*given["args"], *given["kwargs"].values()]
    return next(list(value) for value in values if isinstance(value, (list, tuple)) and len(value) == 2)


def test_the_installed_program_is_this_one() -> None:
    scripts = [one for one in metadata.entry_points(group="console_scripts") if one.name == "affect-heads"]
    if not scripts:
        pytest.skip("installed before there was the program")
    assert {one.value for one in scripts} == {"blend.program:main"}
