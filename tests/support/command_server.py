"""Commands as `python -m` runs them, without the second that every start of Python and its packages takes.

`run([sys.executable, "-m", "extract.run", ...])` is a process of its own with its own streams, environment, folder and
end. It is forked from one that has the packages loaded and has done nothing else. What a start itself loads or refuses
is tested with `subprocess`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from heads.base.spare import hide

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "cv2", "matplotlib.figure", "numba", "openvino", "pandas", "sqlalchemy.orm",
    "extract.run", "heads.run", "blend.run", "blend.check", "blend.apply", "blend.compare",
)  # fmt: skip
"""What most commands load sooner or later; none of it starts threads."""
AT_START = ("PYTHON", "OMP_", "NUMBA_", "OPENCV_", "MPL", "LD_PRELOAD", "MALLOC_")
"""Beginnings of variables that are looked at once, by what is loaded: a command with its own is started for real."""
FOR_CHILDREN = ("PYTHONHASHSEED", "PYTHONUNBUFFERED")
"""Our own code sets them for the processes that it starts, in whatever process it runs."""
ENVIRONMENT = dict(os.environ)
"""The server's environment: a test may change this process's own later."""
SECONDS_FOR_ORPHANS = 5.0
"""What a command has started may live on so long: a resource tracker ends when it sees that its user has."""
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
    other = {name for name in environment.keys() | ENVIRONMENT if environment.get(name) != ENVIRONMENT.get(name)}
    late = {name for name in other - {*FOR_CHILDREN} if name.startswith(AT_START)}
    if environment.get("PYTHONPATH") in (None, str(ROOT)):
        late -= {"PYTHONPATH"}
    if late or not _has_handles():
        return subprocess.run(
            [*map(str, command)], capture_output=True, text=True, env=environment, cwd=cwd, timeout=timeout, check=False
        )
    with tempfile.TemporaryDirectory() as folder:
        request = {"given": given, "env": environment, "cwd": str(cwd or Path.cwd()), "streams": folder}
        server = _start()
        assert server.stdin is not None and server.stdout is not None
        try:
            print(json.dumps({**request, "timeout": timeout, "charts": charts}), file=server.stdin, flush=True)
            answer = server.stdout.readline()
        except BaseException:  # else the next command would be given this one's answer
            _server.clear()
            server.stdin.close()  # it ends with its command
            raise
        assert answer, "the command server has ended"
        said = [Path(folder, name).read_text(encoding="utf-8") for name in ("out", "err")]
    code, trouble = json.loads(answer)
    assert not trouble, (trouble, given, said)
    return subprocess.CompletedProcess([*map(str, command)], code, *said)


def _has_handles() -> bool:
    """Whether there are handles of processes: on Linux, unless it is old or a sandbox refuses."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _start() -> subprocess.Popen[str]:
    if not _server or _server[0].poll() is not None:
        command = [sys.executable, "-c", "from support import command_server; command_server.serve()"]
        paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [ENVIRONMENT.get("PYTHONPATH")])]
        environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(paths)}
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
    """The server: a line of JSON, a forked process, its exit code and what went wrong; until its stdin ends."""
    with hide(("openvino_telemetry",)):  # starts a thread, to tell the network of the import
        for name in PACKAGES:
            importlib.import_module(name)
    assert threading.active_count() == 1, "a fork has no threads but one, and may wait for what others held"
    gc.freeze()  # no child looks through, and so copies, what is loaded
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if (pid := os.fork()) == 0:
            _end(_become(request))
        print(json.dumps(_wait(pid, request["timeout"])), flush=True)


def _wait(pid: int, timeout: float) -> tuple[int, str]:
    """The exit code of a child, and what went wrong: it took too long, or left processes. These are killed."""
    handle, ended = os.pidfd_open(pid), False
    try:
        ended = bool(select.select([handle], [], [], timeout)[0])
    finally:
        os.close(handle)
        if not ended:
            _kill(pid)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    until = time.monotonic() + SECONDS_FOR_ORPHANS
    while (left := _members(pid)) and time.monotonic() < until:
        time.sleep(0.02)
    if left:
        _kill(pid)
    return code, "timeout" if not ended else f"left running: {left}" if left else ""


def _kill(group: int) -> None:
    for kill in (os.kill, os.killpg):  # a child of this moment has no group yet
        with contextlib.suppress(ProcessLookupError):
            kill(group, signal.SIGKILL)


def _members(group: int) -> list[str]:
    """Command lines of the processes of a group that have not ended."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return []
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, number, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(number) == group and state not in "ZX":
                found.append((folder / "cmdline").read_text(errors="replace").replace("\0", " "))
    return found


def empty_charts() -> None:
    """Let this process draw nothing on blends' pages."""
    from markupsafe import Markup

    from blend.report.html import charts

    charts._draw = lambda name, *_: Markup("<svg></svg>")  # type: ignore[assignment]


def _become(request: dict[str, Any]) -> int:
    """Be the command that was asked for; returns its exit code."""
    os.setsid()
    streams = Path(request["streams"])
    for number, name in enumerate(("in", "out", "err")):
        target = os.open(os.devnull if name == "in" else streams / name, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(target, number)
        os.close(target)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    module, *arguments = request["given"]
    sys.argv, sys.orig_argv = [module, *arguments], [sys.executable, "-m", module, *arguments]
    sys.path[0] = request["cwd"]
    sys.path.remove(str(ROOT / "tests"))
    warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)  # what is loaded runs as __main__ again
    if not request["charts"]:
        empty_charts()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
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
