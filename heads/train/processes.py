"""Runs training jobs side by side, each in a process of its own, behind one progress bar."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from typing import IO

from extract.features import pipeline
from extract.jobs import session
from extract.runtime import run_folder
from extract.runtime.errors import Failed, InputError
from extract.runtime.process import python_path
from extract.runtime.progress import Progress, progress
from heads.base import threads
from heads.base.head import FAMILIES, family
from heads.base.threads import VARIABLE
from heads.train import cluster_job
from heads.train.job import Job

CORES = pipeline.cores()
AT_ONCE = min(2, CORES)
"""Jobs side by side; they share the cores (heads.base.threads). No head's result depends on how many it gets."""
TAIL = 30


def run_all(jobs: list[Job], what: str) -> None:
    """Run all jobs. After a failure none is started any more, those that run are let finish, and then it is raised.
    On a cluster (extract.jobs.cluster) they run there, and after a failure the others go on.

    Raises InputError where a job found bad input, RuntimeError with the end of its log where one failed otherwise.
    """
    if not jobs:
        return
    if (machines := session.current_cluster()) is not None:
        with progress(what, total=100 * len(jobs), unit="heads", parts=100) as bar:
            cluster_job.run(machines, jobs, what, bar)
        return
    waiting, running, failures = list(jobs), {}, []  # type: ignore[var-annotated]
    each = CORES // min(AT_ONCE, len(jobs))
    lines: queue.Queue[tuple[str, str | None]] = queue.Queue()
    try:
        with progress(what, total=100 * len(jobs), unit="heads", parts=100) as bar:
            while (waiting and not failures) or running:
                while waiting and not failures and len(running) < AT_ONCE:
                    job = waiting.pop(0)
                    running[job.name] = (job, _start(job, lines, each), [0])
                name, line = lines.get()
                job, process, done = running[name]
                if line is not None:
                    _advance(bar, name, line, done)
                else:
                    del running[name]
                    if (error := _ended(job, process)) is not None:
                        failures.append(error)
                    else:
                        bar.advance(100 - done[0], f"{name}: done")
    finally:
        for _, process, _ in running.values():  # after Ctrl-C or a bug here
            process.kill()
            process.wait()
    if failures:
        raise next((error for error in failures if isinstance(error, InputError)), failures[0])


def _start(job: Job, lines: queue.Queue[tuple[str, str | None]], cores: int) -> subprocess.Popen[str]:
    """Start a job's process, with a thread that passes its progress on. Its stdin stays open for as long as we live."""
    run_folder.begin(job.folder)
    job.write(job.folder / "job.json")
    environment = threads.environment(_gpu(job)) | {VARIABLE: str(cores)} | python_path()
    with run_folder.log_file(job.folder / "log.txt") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "heads.train", str(job.folder / "job.json")],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )

    def read(stream: IO[str]) -> None:
        for line in stream:
            lines.put((job.name, line))
        lines.put((job.name, None))

    assert process.stdout is not None
    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    return process


def _gpu(job: Job) -> bool:
    """Whether a job's family learns on a GPU where there is one."""
    name = job.settings.get("family")
    return name in FAMILIES and family(str(name)).gpu


def _advance(bar: Progress, name: str, line: str, done: list[int]) -> None:
    """Move the bar by what a line of progress says beyond the last one."""
    try:
        message = json.loads(line)
        now = min(int(100 * message["done"]), 99)
    except (ValueError, KeyError, TypeError):
        return
    bar.advance(max(0, now - done[0]), f"{name}: {message.get('note', '')}")
    done[0] = max(done[0], now)


def _ended(job: Job, process: subprocess.Popen[str]) -> Exception | None:
    """What to raise for a process that ended, None if it ended well."""
    code = process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    if code == 0 and run_folder.is_done(job.folder, job.mark):
        return None
    log = job.folder / "log.txt"
    text = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if code == 2 and (said := [line for line in text if line.startswith("error: ")]):
        return InputError(f"head {job.name}: {said[-1].removeprefix('error: ')}")
    run_folder.refuse_if_full(job.folder)
    end = "\n".join(text[-TAIL:])
    why = (
        f"was ended by signal {-code} (9 is mostly too little memory: raise its stride)"
        if code < 0
        else f"ended with exit code {code}"
    )
    kind = Failed if code < 0 else RuntimeError
    return kind(f"head {job.name} {why}; the end of its log {log}:\n{end}")
