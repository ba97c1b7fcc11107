from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

from extract.runtime import memory

MEGABYTES = 200
CHILD = f"import sys; x = bytearray({MEGABYTES} * 10**6); print('there', flush=True); sys.stdin.read()"


def test_memory_of_children_counts_and_the_peak_stays() -> None:
    before = memory.tree(os.getpid())
    with memory.Peak() as peak:
        own = np.ones(MEGABYTES * 10**6, np.uint8)
        with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stdout.readline() == b"there\n"
            deadline = time.monotonic() + 60
            while peak.bytes < before + 1.9e6 * MEGABYTES and time.monotonic() < deadline:
                time.sleep(memory.SECONDS)
            assert child.stdin is not None
            child.stdin.close()
        assert own[0] == 1
        del own
    assert before + 1.9e6 * MEGABYTES <= peak.bytes <= before + 3e6 * MEGABYTES
    assert peak.gigabytes == peak.bytes / 1e9


def test_children_of_children_count() -> None:
    code = CHILD.replace("there", "ready")
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    with subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"ready\n"
        assert MEGABYTES * 1e6 < memory.tree(parent.pid) < MEGABYTES * 1e6 + 220e6
        parent.communicate(b"\n")
    assert memory.tree(parent.pid) == 0


def test_the_most_so_far_is_this_programs_own_and_stays() -> None:
    code = "from extract.runtime.memory import measure_peak; before = measure_peak()\n"
    code += "x = bytearray(b'x') * 100_000_000; del x; print(before, measure_peak())"
    held = np.ones(MEGABYTES * 10**6, np.uint8)  # what starts a program does not count for it
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = map(int, said.split())
    assert before < 100e6 and 95e6 < after - before < 115e6 and held[0] == 1


def test_a_process_that_is_not_there_takes_nothing() -> None:
    assert memory.tree(2**22 + 1) == 0
    assert np.isnan(memory.Peak().gigabytes)
