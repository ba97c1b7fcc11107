"""Jobs on this machine: each a process of its own, some side by side. A cluster's worker runs its jobs so, too."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from extract.jobs.fork_server import ForkedProcess, ForkServer, can_fork
from extract.jobs.job import Job, OnEnd, OnLook, OnNews
from extract.runtime import run_folder
from extract.runtime.process import VARIABLE, python_path

SECONDS_BETWEEN_LOOKS = 1.0
TAIL = 30
"""Lines of a log that tell how a job failed."""
Files = tuple[int, int, int]
"""Numbers of the open files that are stdin, stdout and stderr."""
Hear = Callable[[dict[str, Any] | None], None]
News = queue.Queue[tuple[str, dict[str, Any] | None]]
"""(a job's name, what it says on stdout; None: no more)"""
Servers = dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], ForkServer]
"""By imports and environment."""


class JobProcess:
    """A process of Python. Its stdin stays open for as long as this one lives, and its stderr is a log; `hear` gets
    what it says on stdout, one JSON object a line, and None when it says no more.

    `alone`: in a session of its own, which ends with it. Ctrl-C is then for us to pass on. `server`: forked by it.
    """

    def __init__(
        self,
        command: Iterable[str],
        environment: Mapping[str, str],
        log: IO[bytes],
        told: str,
        hear: Hear,
        folder: str | None = None,
        alone: bool = False,
        server: ForkServer | None = None,
    ) -> None:
        self._alone = alone
        (stdin, ours), (theirs, stdout) = os.pipe(), os.pipe()
        try:
            self._process = self._begin([*command], environment, (stdin, stdout, log.fileno()), folder, server)
        finally:
            os.close(stdin)
            os.close(stdout)
        self._stdin = os.fdopen(ours, "w", encoding="utf-8", errors="replace")
        self._stdout = os.fdopen(theirs, "r", encoding="utf-8", errors="replace")
        threading.Thread(target=self._read, args=(hear,), daemon=True).start()
        if told:
            with suppress(OSError):  # it died already, its exit code says how
                self._stdin.write(told + "\n")
                self._stdin.flush()

    def _begin(
        self, command: list[str], own: Mapping[str, str], files: Files, folder: str | None, server: ForkServer | None
    ) -> subprocess.Popen[bytes] | ForkedProcess:
        if server is not None:
            with suppress(OSError):  # it was killed: this one makes its imports itself
                return server.start(command, own, *files)
        python, environment = [sys.executable, "-m", *command], os.environ | own | python_path()
        stdin, stdout, log = files
        return subprocess.Popen(
            python, stdin=stdin, stdout=stdout, stderr=log, cwd=folder, env=environment, start_new_session=self._alone
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _read(self, hear: Hear) -> None:
        with self._stdout as stdout:
            for line in stdout:
                with suppress(ValueError):  # what a library prints is no news
                    if isinstance(news := json.loads(line), dict):
                        hear(news)
        hear(None)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait()

    def end(self) -> int:
        """Let nothing of it be left, whatever it does; returns its exit code."""
        if self._alone:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        with suppress(OSError):
            self._stdin.close()
        return self._process.wait()


@dataclass(frozen=True)
class LocalMachine:
    """This machine as `extract.jobs.cluster.Cluster`: `at_once` jobs side by side, each with the threads it needs, and
    (`alone`) in a session of its own (see JobProcess).
    """

    at_once: int
    alone: bool = False

    def run(
        self, title: str, jobs: Iterable[Job], on_news: OnNews, on_end: OnEnd, on_look: OnLook = lambda: None
    ) -> None:
        """Run the jobs as `Cluster.run`, but each once, taken when it can begin; however it ends, no process is left.
        So `on_end(job, result)` is told of failures, too, by result's `code`, and may raise; `last` is what the job
        said last. `title` is for a cluster's record.
        """
        waiting, again = iter(jobs), list[Job]()
        running: dict[str, tuple[Job, JobProcess]] = {}
        last: dict[str, dict[str, Any]] = {}
        news: News = queue.Queue()
        servers: Servers = {}
        looked = time.monotonic()
        try:
            while True:
                while len(running) < self.at_once and (job := again.pop() if again else next(waiting, None)):
                    running[job.name] = job, self._start(job, news, servers)
                if not running:
                    return
                with suppress(queue.Empty):
                    name, said = news.get(timeout=SECONDS_BETWEEN_LOOKS)
                    job, process = running[name]
                    if said is not None:
                        last[name] = said
                        on_news(job, said)
                    else:
                        process.wait()
                        del running[name]
                        result = {"code": process.end(), "last": last.pop(name, None)}
                        again += [after] if (after := on_end(job, result)) is not None else []
                if time.monotonic() - looked > SECONDS_BETWEEN_LOOKS:
                    on_look()
                    looked = time.monotonic()
        finally:
            for _, process in running.values():  # after Ctrl-C, or what was raised above
                process.end()
            for server in reversed(servers.values()):
                server.close()

    def _start(self, job: Job, news: News, servers: Servers) -> JobProcess:
        forks = bool(job.imports) and can_fork() and not self.alone
        command, own = [job.module, *job.arguments], {**job.environment, VARIABLE: str(job.needs.threads)}
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with run_folder.log_file(job.log) as log:
            server = None
            if forks:
                with suppress(OSError):  # one above it was killed
                    server = _find_server(job.imports, job.environment, servers, log.fileno())
            return JobProcess(
                command, own, log, job.stdin, lambda said: news.put((job.name, said)), alone=self.alone, server=server
            )


def _find_server(imports: tuple[str, ...], environment: Mapping[str, str], servers: Servers, log: int) -> ForkServer:
    """The server that has made these imports, which is begun where there is none: forked by that of the first one."""
    alike = imports, tuple(sorted(environment.items()))
    if alike not in servers:
        above = _find_server(imports[:1], environment, servers, log) if len(imports) > 1 else None
        servers[alike] = ForkServer(imports, environment, log, above)
    return servers[alike]


def read_log(log: Path) -> list[str]:
    """The lines of a job's log."""
    return log.read_text(encoding="utf-8", errors="replace").splitlines()
