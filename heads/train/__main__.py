"""`python -m heads.train JOB.json`: one head in a process of its own, which ends with its parent."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
import time
from pathlib import Path

from extract.runtime import errors, run_folder
from extract.runtime.errors import InputError
from heads.base.head import OnProgress
from heads.train.job import Job, main

SECONDS_BETWEEN_REPORTS = 0.2


def _die_with_parent() -> None:
    """End this process when the parent is gone: its end of the pipe on stdin closes however it died."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return  # started by hand

    def watch() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock a daemon thread would hold at exit
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _own_stdout() -> OnProgress:
    """Keep stdout for progress: whatever libraries print goes to stderr. Returns how to report progress."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    said = -SECONDS_BETWEEN_REPORTS

    def report(done: float, note: str) -> None:
        nonlocal said
        if (now := time.monotonic()) - said >= SECONDS_BETWEEN_REPORTS:
            said = now
            print(json.dumps({"done": round(done, 4), "note": note}), file=stream, flush=True)

    return report


if __name__ == "__main__":
    with errors.exits():
        if len(sys.argv) != 2:
            raise InputError("usage: python -m heads.train JOB.json (heads.run writes and runs such jobs)")
        _die_with_parent()
        job = Job.read(Path(sys.argv[1]))
        with run_folder.hold_folder(job.folder):  # a cluster's worker that was cut off may still be at it
            main(job, _own_stdout())
