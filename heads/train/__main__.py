"""`python -m heads.train JOB.json`: one head in a process of its own, which ends with its parent."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from extract.runtime import errors, process, run_folder
from extract.runtime.errors import InputError
from heads.base.head import OnProgress
from heads.train.job import Job, main

SECONDS_BETWEEN_REPORTS = 0.2


def _report_progress() -> OnProgress:
    """Keep stdout for progress: whatever libraries print goes to stderr. Returns how to report progress."""
    tell, said = process.reserve_stdout(), -SECONDS_BETWEEN_REPORTS

    def report(done: float, note: str) -> None:
        nonlocal said
        if (now := time.monotonic()) - said >= SECONDS_BETWEEN_REPORTS:
            said = now
            tell({"done": round(done, 4), "note": note})

    return report


if __name__ == "__main__":
    with errors.exits():
        if len(sys.argv) != 2:
            raise InputError("usage: python -m heads.train JOB.json (heads.run writes and runs such jobs)")
        process.end_with_parent()
        job = Job.read(Path(sys.argv[1]))
        job.import_libraries()
        with run_folder.hold_folder(job.folder):  # a cluster's worker that was cut off may still be at it
            main(job, _report_progress())
