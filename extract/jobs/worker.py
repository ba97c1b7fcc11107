"""What a cluster's worker does of ours: show that it belongs to the run, and let a job's process run.

A job is a process of its own on the worker, as it would be on one machine: libraries keep their threads to themselves,
its memory goes with it, a crash is its own, and it has its own log.
"""

from __future__ import annotations

import json
import os
import platform
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from extract.jobs.local import TAIL, JobProcess, read_log
from extract.runtime import run_folder
from extract.runtime.process import ROOT, VARIABLE

PACKAGES = ("extract", "extract/demo", "heads", "blend")
LIBRARIES = (
    "numpy", "pillow", "opencv-python-headless", "av", "openvino", "scikit-learn", "pandas", "tensorflow", "keras",
    "torch", "lightgbm", "lightautoml", "optuna", "numba",
)  # fmt: skip
"""What features and heads are computed with: other versions may compute something else."""
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_NEWS = 1.0
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
News = queue.Queue[dict[str, Any] | None]


def facts() -> dict[str, str]:
    """What must be the same on every machine of a run."""
    results = {"affect-heads": run_folder.fingerprint([run_folder.code_hash(package) for package in PACKAGES])[:12]}
    results["python"] = ".".join(platform.python_version_tuple()[:2])
    for name in LIBRARIES:
        try:
            results[name] = version(name)
        except PackageNotFoundError:
            results[name] = "none"
    return results


def find_difference(expected: dict[str, Any]) -> str:
    """What is other here than where the run was started; empty: nothing.

    `expected` has `facts`, and `token` with its `secret`: a file of the work folder and what stands in it.
    """
    mine = facts()
    for name, there in expected["facts"].items():
        if mine.get(name) != there:
            what = "another version of the project, code" if name == "affect-heads" else f"another {name},"
            return f"it has {what} {mine.get(name)} in {ROOT}; the run has {there}"
    token = Path(expected["token"])
    try:
        result = token.read_text(encoding="utf-8")
    except OSError as error:
        return f"it does not see the work folder {token.parent} ({error.strerror}); share it under the same path"
    if result != expected["secret"]:
        return f"its {token.parent} is another folder than the run's; share one under the same path"
    return ""


def run(job: dict[str, Any], expected: dict[str, Any], topic: str) -> dict[str, Any]:
    """Run a job's process to its end; what it says on stdout, one JSON object a line, goes to the topic.

    `job` is `extract.jobs.job.Job.as_message`. Returns `worker`, `address`, `host`, and either `seconds`, `code`, the
    `tail` of the log and the `last` news, told to the topic, too, or `refused` with the reason. Where the client has
    given the job up, or this worker closes, the process is ended: then there is `unwanted`, and no word to the topic.
    """
    from distributed import get_worker

    worker = get_worker()
    here = {"worker": str(worker.name), "address": worker.address, "host": platform.node()}
    if reason := find_difference(expected):
        return here | {"refused": reason}
    key, began = worker.get_current_task(), time.monotonic()

    def tell(what: dict[str, Any]) -> None:
        worker.log_event(topic, {"job": job["name"], "by": here["worker"], "key": key, **what})

    with _device(job, int(worker.state.total_resources.get("GPU", 0))) as device:
        heard: News = queue.Queue()
        process = _start(job, here, device, heard)
        tell({"news": {"started": process.pid}})
        try:
            last = _follow(heard, lambda news: tell({"news": news}), lambda: _wanted(worker, key))
        finally:
            if wanted := _wanted(worker, key):
                process.wait()
            code = process.end()
    tail = read_log(Path(job["log"]))[-TAIL:]
    result = here | {"code": code, "tail": tail, "last": last, "seconds": round(time.monotonic() - began, 2)}
    if code != 0 and not wanted:
        return result | {"unwanted": True}
    tell({"result": json.dumps(result)})  # as text: the topic would make lists tuples
    return result


_in_use: Counter[str] = Counter()
_choosing = threading.Lock()


@contextmanager
def _device(job: dict[str, Any], gpus: int) -> Iterator[str | None]:
    """CUDA_VISIBLE_DEVICES of a job: "-1" if it uses no GPU, else the worker's least used one; None: what it sees."""
    if not job["gpu"] or not gpus:
        yield None if job["gpu"] else "-1"
        return
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    with _choosing:
        device = min(seen or map(str, range(gpus)), key=lambda name: _in_use[name])
        _in_use[device] += 1
    try:
        yield device
    finally:
        with _choosing:
            _in_use[device] -= 1


def _start(job: dict[str, Any], here: dict[str, str], device: str | None, heard: News) -> JobProcess:
    """Start the process, with a line in its log that says where."""
    threads = str(job["threads"])
    environment = dict.fromkeys(LIMITS, threads) | job["environment"] | {VARIABLE: threads}
    environment["PYTHONUNBUFFERED"] = "1"
    if device is not None:
        environment["CUDA_VISIBLE_DEVICES"] = device
    log, folder = Path(job["log"]), job["cwd"] if os.path.isdir(job["cwd"]) else None
    log.parent.mkdir(parents=True, exist_ok=True)
    with run_folder.log_file(log, keep=True) as stderr:
        stderr.write(f"--- {job['name']} on worker {here['worker']} ({here['host']})\n".encode())
        stderr.flush()
        return JobProcess([job["module"], *job["arguments"]], environment, stderr, job["stdin"], heard.put, folder)


def _follow(heard: News, tell: Callable[[dict[str, Any]], None], wanted: Callable[[], bool]) -> dict[str, Any] | None:
    """Pass the process's news on until it ends or is not wanted any more, and return the last; progress at times."""
    said, last = 0.0, None
    while True:
        try:
            news = heard.get(timeout=SECONDS_BETWEEN_LOOKS)
        except queue.Empty:
            if not wanted():
                return last
            continue
        if news is None:
            return last
        last, now = news, time.monotonic()
        if "done" not in news or now - said >= SECONDS_BETWEEN_NEWS:
            said = now
            tell(news)
            if not wanted():
                return last


def _wanted(worker: Any, key: Any) -> bool:
    """Whether the job is still to be done here: its client may be gone, or this worker about to close."""
    task = worker.state.tasks.get(key)
    at_work = worker.status.name in ("running", "paused", "closing_gracefully")
    return at_work and task is not None and task.state in ("executing", "long-running")
