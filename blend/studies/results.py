"""Results of a study as lines of JSON in a file: each job's are appended when it ends, so that a killed study goes on.

A line is {"job": what it was of, "code": a fingerprint of the code that made it, "results": ...}. Lines of other code
stay in the file and are not counted: a table is of one method. Its processes call a function and give back what it
returns, which the standard library's pool does; a job of extract.jobs is a program with paths.
"""

from __future__ import annotations

import ast
import json
import math
import multiprocessing
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from extract.runtime import process, run_folder
from extract.runtime.errors import InputError
from extract.runtime.process import ROOT

Job = dict[str, Any]
PACKAGES = ("extract", "heads", "blend")


def read(path: Path, code: str | None = None) -> list[dict[str, Any]]:
    """The lines of a results file, in its order; none where there is no file. `code`: only those that it made; None:
    those of the same code as the last line. A last line that was cut short by a kill is removed from the file.

    Raises InputError for a line that is no result.
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        run_folder.write_text(path, whole)
    results = [_line(path, number, line) for number, line in enumerate(whole.splitlines(), 1)]
    wanted = code if code is not None else results[-1]["code"] if results else None
    kept = [line for line in results if line["code"] == wanted]
    if len(kept) < len(results):
        others = f"{len(results) - len(kept)} of {len(results)} results"
        print(f"{path}: {others} are of other code: not counted", file=sys.stderr)
    return kept


def _line(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        result = json.loads(text)
    except ValueError:
        result = None
    if not isinstance(result, dict) or not {"job", "code", "results"} <= result.keys():
        raise InputError(
            f"{path}: line {number} is {text[:60]!r}, expected a result as this command writes them; remove the line "
            f"or name another file"
        )
    return result


def append(path: Path, job: Job, code: str, results: Any) -> None:
    """Add a line; numbers that JSON does not have become null."""
    line = json.dumps({"job": job, "code": code, "results": as_json_value(results)}, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another --out") from error


def complete(
    path: Path, jobs: Sequence[Job], work: Callable[[Job], Any], code: str, workers: int
) -> Iterator[tuple[Job, Any]]:
    """(job, results) of all jobs: those in the file first, then the others as they are made and appended, by `workers`
    processes. `work` is a function of a module's top level; its results do not depend on the number of processes.
    """

    def keep(job: Job, result: Any) -> tuple[Job, Any]:
        results = as_json_value(result)
        append(path, job, code, results)
        return job, results

    done = {json.dumps(line["job"], sort_keys=True): line["results"] for line in read(path, code)}
    todo = []
    for job in jobs:
        if (key := json.dumps(job, sort_keys=True)) in done:
            yield job, done[key]
        else:
            todo.append(job)
    if workers == 1 or len(todo) < 2:
        yield from (keep(job, work(job)) for job in todo)
        return
    processes = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin)
    try:
        running = {processes.submit(work, job): job for job in todo}
        yield from (keep(running[item], item.result()) for item in as_completed(running))
    finally:
        processes.shutdown(cancel_futures=True)


def _begin() -> None:
    """A process of its own, on one thread: the processes share the machine. It ends with the one that started it."""
    import numba

    numba.set_num_threads(1)
    process.end_with_parent()


def select(option: str, value: str, known: Collection[str]) -> list[str]:
    """One of the known values of a command's option, or all. Raises InputError for another."""
    if value not in (*known, "all"):
        raise InputError(f"--{option} {value}: no such {option}; there are {', '.join(known)} and all")
    return list(known) if value == "all" else [value]


def code_of(module: str) -> str:
    """Fingerprint of a module of blend, of those of blend that it imports, directly or not, and of what of the other
    packages these import directly.
    """
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
        if name in seen or not path.is_file():
            continue
        seen[name] = run_folder.file_hash(path)
        if not name.startswith("blend."):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names if alias.name.startswith(PACKAGES)]
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGES):
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return run_folder.fingerprint(seen)


def as_json_value(value: Any) -> Any:
    """JSON has no NaN: what is not defined is null."""
    if isinstance(value, dict):
        return {key: as_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json_value(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
