"""What stands for a start of Python in other tests does what one does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import command_server


def run(
    folder: Path, code: str, *arguments: str, env: dict[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    (folder / "sample.py").write_text(code)
    return command_server.run([sys.executable, "-m", "sample", *arguments], cwd=folder, env=env, timeout=timeout)


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(2)", 2, ""),
        ("sys.exit('no')", 1, "no\n"),
        ("os.kill(os.getpid(), 9)", -9, ""),
    ],
)
def test_a_commands_end(tmp_path: Path, end: str, code: int, said: str) -> None:
    done = run(tmp_path, f"import os, sys\n{end}\n")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


def test_an_error_is_a_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "1 / 0")
    assert done.returncode == 1 and "Traceback" in done.stderr and done.stderr.endswith("division by zero\n")


def test_streams_folder_and_command_line(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), *sys.orig_argv[1:], *sys.argv[1:], sep=chr(10)); sys.stderr.write('e')"
    done = run(tmp_path, code, "x y")
    assert done.stdout.splitlines() == [str(tmp_path), "-m", "sample", "x y", "x y"] and done.stderr == "e"


def test_variables_are_those_given_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWAY", "1")
    given = {name: value for name, value in os.environ.items() if name != "AWAY"} | {"OWN": "2"}
    show = "import os; print('AWAY' in os.environ, 'OWN' in os.environ)"
    assert run(tmp_path, show, env=given).stdout == "False True\n"
    assert run(tmp_path, show).stdout == "True False\n"


@pytest.mark.parametrize("name", ["PYTHONPATH", "OMP_NUM_THREADS"])
def test_a_command_is_started_for_real_where_variables_would_come_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    show = f"import os, sys; print(os.environ.get({name!r}) == '7', 'pandas' in sys.modules)"
    assert run(tmp_path, show, env=os.environ | {name: "7"}).stdout == "True False\n"
    assert (
        run(tmp_path, show, env={key: value for key, value in os.environ.items() if key != name}).stdout
        == "False True\n"
    )
    monkeypatch.setenv(name, "7")  # of this process, after the server's start
    assert run(tmp_path, show).stdout == "True False\n"


def test_commands_in_turn_share_nothing(tmp_path: Path) -> None:
    show = "import builtins, os; print('X' in os.environ, os.getcwd(), os.umask(0o77), hasattr(builtins, 'x'))\n"
    change = "os.environ['X'] = '1'; os.chdir('/'); builtins.x = 1"
    first, second = run(tmp_path, show + change), run(tmp_path, show)
    assert first.stdout == second.stdout and first.stdout.startswith("False")


def test_a_command_that_takes_too_long_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '100']).pid, flush=True); time.sleep(100)"
    with pytest.raises(AssertionError, match="timeout") as caught:
        run(tmp_path, code, timeout=3)
    assert "sleep" not in command_line(caught)
    assert run(tmp_path, "print(1)").stdout == "1\n"


def test_processes_left_behind_are_killed_and_a_failure(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"left running: .*sleep 100") as caught:
        run(tmp_path, "import subprocess; print(subprocess.Popen(['sleep', '100']).pid)")
    assert "sleep" not in command_line(caught)


def command_line(caught: pytest.ExceptionInfo[AssertionError]) -> str:
    """Of the process whose number the command had printed, a moment later."""
    _, _, (out, _) = caught.value.args[0]
    path = Path(f"/proc/{int(out)}/cmdline")
    until = time.monotonic() + 10
    while path.exists() and path.read_text() and time.monotonic() < until:
        time.sleep(0.02)
    return path.read_text() if path.exists() else ""


def test_an_answer_that_nobody_waits_for_is_not_given_to_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, "").returncode == 0
    server = command_server._server[0]
    assert server.stdout is not None

    def interrupt() -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(server.stdout, "readline", interrupt)
        run(tmp_path, "import sys; sys.exit(7)")
    assert run(tmp_path, "").returncode == 0
    server.wait(timeout=60)
