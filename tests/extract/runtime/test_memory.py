from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from extract.runtime import memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc")
MEGABYTES = 200
CHILD = f"import sys; x = bytearray({MEGABYTES} * 10**6); print('there', flush=True); sys.stdin.read()"


def test_memory_of_children_counts_and_the_peak_stays() -> None:
    before = memory.tree(os.getpid())
    with memory.Peak() as peak:
        own = np.ones(MEGABYTES * 10**6, np.uint8)
        with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stdout.readline() == b"there\n"
            deadline = time.monotonic() + 60
            while peak.most < before + 1.9e6 * MEGABYTES and time.monotonic() < deadline:
                time.sleep(memory.SECONDS)
            assert child.stdin is not None
            child.stdin.close()
        assert own[0] == 1
        del own
    assert before + 1.9e6 * MEGABYTES <= peak.most <= before + 3e6 * MEGABYTES
    assert peak.gigabytes == peak.most / 1e9


def test_a_process_that_is_not_there_takes_nothing() -> None:
    assert memory.tree(2**22 + 1) == 0
    assert np.isnan(memory.Peak().gigabytes)
