"""Commands as `python -m` runs them, without the second that every start of Python and its packages takes.

`run([sys.executable, "-m", "extract.run", ...])` is a process of its own with its own streams, environment, folder and
end. It is forked from one that has the packages loaded and has done nothing else. What a start itself loads or refuses
is tested with `subprocess`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "cv2", "matplotlib.figure", "numba", "openvino", "pandas", "sqlalchemy.orm",
    "extract.run", "heads.run", "blend.run", "blend.check", "blend.apply", "blend.compare",
)  # fmt: skip
"""What most commands load sooner or later; none of it starts threads."""
AT_START = ("PYTHON", "OMP_", "NUMBA_", "OPENCV_", "TF_", "MPL", "LD_", "MALLOC_")
"""Beginnings of variables that are looked at once, by what is loaded: no command can be given its own."""
_server: list[subprocess.Popen[str]] = []


def run(
    command: Sequence[object],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    charts: bool = True,
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` gives of a command `[sys.executable, "-m", module, ...]`, its output captured as text.
    `charts`: without them a blend's page, which takes seconds, has empty ones.
    """
    python, option, *given = map(str, command)
    assert (python, option) == (sys.executable, "-m")
    environment = dict(os.environ if env is None else env)
    other = {name for name, value in environment.items() if value != os.environ.get(name)} - {"PYTHONPATH"}
    assert not any(name.startswith(AT_START) for name in other), "it would come too late"
    if not hasattr(os, "pidfd_open"):  # not Linux
        return subprocess.run(
            [*map(str, command)], capture_output=True, text=True, env=environment, cwd=cwd, timeout=timeout, check=False
        )
    with tempfile.TemporaryDirectory() as folder:
        request = {"given": given, "env": environment, "cwd": str(cwd or Path.cwd()), "streams": folder}
        server = _start()
        assert server.stdin is not None and server.stdout is not None
        print(json.dumps({**request, "timeout": timeout, "charts": charts}), file=server.stdin, flush=True)
        answer = server.stdout.readline()
        assert answer, "the command server has ended"
        said = [Path(folder, name).read_text(encoding="utf-8") for name in ("out", "err")]
    assert answer.strip() != "timeout", (given, said)
    return subprocess.CompletedProcess([*map(str, command)], int(answer), *said)


def _start() -> subprocess.Popen[str]:
    if not _server or _server[0].poll() is not None:
        command = [sys.executable, "-c", "from support import command_server; command_server.serve()"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        _server[:] = [process]
        atexit.register(_stop, process)
    return _server[0]


def _stop(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.wait(timeout=60)


def serve() -> None:
    """The server: a line of JSON, a forked process, its exit code; until its stdin ends."""
    for name in PACKAGES:
        importlib.import_module(name)
    gc.freeze()  # no child looks through, and so copies, what is loaded
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if (pid := os.fork()) == 0:
            _end(_become(request))
        print(_wait(pid, request["timeout"]), flush=True)


def _wait(pid: int, timeout: float) -> str:
    """The exit code of a child; `timeout` where it had to be killed."""
    import select
    import signal

    handle = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([handle], [], [], timeout)
        if not ended:
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return str(code) if ended else "timeout"
    finally:
        os.close(handle)


def empty_charts() -> None:
    """Let this process draw nothing on blends' pages."""
    from markupsafe import Markup

    from blend.report.html import charts

    charts._draw = lambda name, *_: Markup("<svg></svg>")  # type: ignore[assignment]


def _become(request: dict[str, Any]) -> int:
    """Be the command that was asked for; returns its exit code."""
    streams = Path(request["streams"])
    for number, name in enumerate(("in", "out", "err")):
        target = os.open(os.devnull if name == "in" else streams / name, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(target, number)
        os.close(target)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    module, *arguments = request["given"]
    sys.argv = [module, *arguments]
    sys.path[0] = request["cwd"]
    sys.path.remove(str(ROOT / "tests"))
    warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)  # what is loaded runs as __main__ again
    if not request["charts"]:
        empty_charts()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """As the interpreter ends, but for taking apart all that is loaded."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
