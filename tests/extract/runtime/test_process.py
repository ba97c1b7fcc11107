"""A process that does nothing but our work: its imports are frozen, and it may be forked."""

import subprocess
import sys

import pytest

SCRIPT = """
import threading
from extract.runtime import process
{before}
print(process.is_ours(), process.may_fork())
"""
WAITING = "threading.Thread(target=threading.Event().wait, daemon=True).start()"


@pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux")
@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("import gc; gc.freeze()", "False False"),
        ("process.freeze_imports()", "True True"),
        (f"process.freeze_imports(); {WAITING}", "True False"),
        ("process.freeze_imports(); import numba", "True True"),
        ("process.freeze_imports(); import numba; numba.get_num_threads()", "True False"),
    ],
    ids=["a user's", "ours", "ours with a thread", "with numba", "with numba's threads"],
)
def test_only_a_process_of_ours_with_one_thread_may_be_forked(before, said):
    run = [sys.executable, "-c", SCRIPT.format(before=before)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == said
