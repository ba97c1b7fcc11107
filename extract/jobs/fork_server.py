"""Jobs with the same heavy imports: a process of Python makes these once, and forks for each job.

    server = ForkServer(("torch", "heads.families.mlp.network:load"), environment)
    process = server.start(command, environment, stdin, stdout, log)

What a job does stays in its own process: its memory, its threads, its log, its end. Nothing but imports may have run
before a fork, as threads do not come along: libraries start theirs with their first work. TensorFlow's allocator has
one at once, and is made for forks.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from operator import attrgetter
from typing import Any

from extract.runtime.process import python_path

MOST_BYTES = 2**20
"""Of what a job is told."""


@cache
def can_fork() -> bool:
    """Whether this system can wait for a process by a file: Linux can, some containers do not let it."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


class ForkedProcess:
    """A job's process as `subprocess.Popen` shows its own. `status`: what the server says of it, pid and exit code."""

    def __init__(self, server: ForkServer, status: int) -> None:
        self._server = server
        self._status = os.fdopen(status, "r")
        self._code: int | None = None
        self._pid: int | None = None
        self._pidfd: int | None = None

    @property
    def pid(self) -> int:
        """Its process id, once it has begun; -1 where its server ended before."""
        if self._pid is None:
            self._pid = int(self._status.readline() or -1)
            with suppress(OSError):  # it has ended already
                self._pidfd = os.pidfd_open(self._pid) if self._pid > 0 else None
        return self._pid

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended, as `subprocess` has it: its server's, where that ended before it began; -9
        where nobody can tell, as the server was killed meanwhile. Raises subprocess.TimeoutExpired as that does.
        """
        if self._code is None:
            self._await(self._status.fileno(), timeout)  # until it has begun: its server may be in an import
            if self.pid > 0:
                self._await(self._status.fileno(), timeout)
            if self.pid < 0:
                self._code = self._server.wait()
            elif said := self._status.readline():
                self._code = int(said)
            else:
                if self._pidfd is not None:
                    self._await(self._pidfd, timeout)
                self._code = -int(signal.SIGKILL)
            self._status.close()
            if self._pidfd is not None:
                os.close(self._pidfd)
        return self._code

    def _await(self, file: int, timeout: float | None) -> None:
        if not _is_ready(file, None if timeout is None else int(1000 * timeout)):
            raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)

    def kill(self) -> None:
        """Let it end at once; where it has not begun, its server with it."""
        if self._code is not None:
            return
        if self._pid is None and not _is_ready(self._status.fileno(), 0):
            self._server.close()
        elif self.pid > 0 and self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


def _is_ready(file: int, milliseconds: int | None) -> bool:
    """Whether there is something to read, or a process has ended, within so long; None: wait for it."""
    waiting = select.poll()
    waiting.register(file, select.POLLIN)
    return bool(waiting.poll(milliseconds))


class ForkServer:
    """A process that makes `imports` (modules, or "module:function", a function that imports) when its first job comes,
    and forks for every one.

    What libraries say meanwhile stands in the first job's log; an import that fails is left to the jobs. `above`: a
    server that has made some of the imports, and forks this one; what it says meanwhile stands in the file `log`.
    """

    def __init__(
        self, imports: Sequence[str], environment: Mapping[str, str], log: int, above: ForkServer | None = None
    ) -> None:
        """Raises OSError where the server above has ended."""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process: subprocess.Popen[bytes] | ForkedProcess
        command = ["extract.jobs.fork_server", *imports]
        with theirs, open(os.devnull, "r+b") as nowhere:
            if above is None:
                own = os.environ | environment | python_path()
                python = [sys.executable, "-m", *command]
                self._process = subprocess.Popen(python, env=own, stdin=theirs, stdout=nowhere, stderr=nowhere)
                return
            try:
                self._process = above.start(command, environment, theirs.fileno(), nowhere.fileno(), log)
            except OSError:
                self._socket.close()
                raise

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], stdin: int, stdout: int, log: int
    ) -> ForkedProcess:
        """Begin `python -m <command>` on open files, which the caller may close. Raises OSError if the server ended."""
        told = json.dumps({"command": list(command), "environment": dict(environment), "cwd": os.getcwd()})
        ours, theirs = os.pipe()
        try:
            socket.send_fds(self._socket, [told.encode()], [stdin, stdout, log, theirs])
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return ForkedProcess(self, ours)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait()

    def close(self) -> None:
        """End it; what jobs of it are left end with it."""
        self._socket.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(SECONDS_TO_END)
        self._process.kill()
        self._process.wait()


SECONDS_TO_END = 0.5
"""For a server that is not in the middle of an import."""


def serve(control: socket.socket, imports: Sequence[str]) -> dict[str, Any] | None:
    """Fork for every job that comes. Returns what a job was told in its own process, None in the server at its end."""
    children: dict[int, tuple[int, int]] = {}
    while True:
        ready, _, _ = select.select([control, *children], [], [])
        for pidfd in set(ready) & children.keys():
            pid, status = children.pop(pidfd)
            _tell(status, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            os.close(status)
            os.close(pidfd)
        if control not in ready:
            continue
        told, files, _, _ = socket.recv_fds(control, MOST_BYTES, 4)
        if not told:  # whoever started this server has closed it, or is gone
            for pid, _ in children.values():
                os.kill(pid, signal.SIGKILL)  # not waited for yet, so the number is still its own
            return None
        if imports:
            os.dup2(files[2], 2)
            gc.disable()  # nothing of what is imported is ever garbage
            for name in imports:
                with suppress(Exception, SystemExit):
                    make_import(name)
            imports = ()
            gc.freeze()  # pages that no collection writes into stay shared
            gc.enable()
        sys.stdout.flush()
        sys.stderr.flush()
        if not (pid := os.fork()):
            control.close()
            for pidfd, (_, status) in children.items():
                os.close(pidfd)
                os.close(status)
            for number, file in enumerate(files[:3]):
                os.dup2(file, number)
            for file in files:
                os.close(file)
            result: dict[str, Any] = json.loads(told)
            return result
        for file in files[:3]:
            os.close(file)
        _tell(files[3], pid)
        children[os.pidfd_open(pid)] = pid, files[3]


def make_import(name: str) -> None:
    """Import a module; of "module:function", call the function, which imports more."""
    module, _, function = name.partition(":")
    imported = importlib.import_module(module)
    if function:
        attrgetter(function)(imported)()


def _tell(status: int, number: int) -> None:
    with suppress(OSError):  # nobody listens any more
        os.write(status, b"%d\n" % number)


def _run(told: Mapping[str, Any], on_ctrl_c: Any) -> None:
    """Be `python -m <command>`."""
    signal.signal(signal.SIGINT, on_ctrl_c)
    os.environ.update(told["environment"])
    os.chdir(told["cwd"])
    module, *arguments = told["command"]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the jobs, and whoever started them
    job = serve(socket.socket(fileno=os.dup(0)), sys.argv[1:])
    if job is None:
        os._exit(0)
    _run(job, usual)
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing lets its own processes end
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # to take libraries apart would take a tenth of a second; whoever writes a file closes it
