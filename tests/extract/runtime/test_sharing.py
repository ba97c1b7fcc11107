import subprocess
import sys

import numpy as np

from extract.features.pipeline import Job
from extract.media import frames
from extract.runtime import locks


def jobs(tmp_path, *names):
    empty = frames.Frames(np.zeros(0, np.int32), (), ())
    return [Job(name, tmp_path / name, empty) for name in names]


def test_alone_every_job_is_ours_once(tmp_path):
    claims = locks.Claims(tmp_path / "locks")
    given = list(locks.take_turns(jobs(tmp_path, "a", "b"), claims, lambda job: False, lambda job: None))
    assert [job.video for job in given] == ["a", "b"]


def test_what_another_process_did_meanwhile_is_passed_over(tmp_path):
    claims, passed = locks.Claims(tmp_path / "locks"), []
    given = list(locks.take_turns(jobs(tmp_path, "a", "b"), claims, lambda job: job.video == "a", passed.append))
    assert [job.video for job in given] == ["b"] and [job.video for job in passed] == ["a"]


HOLD = """
import sys, time
from pathlib import Path
from extract.runtime.locks import Claims
claims = Claims(Path(sys.argv[1]))
assert claims.take("a")
print("held", flush=True)
time.sleep(20)
"""


def test_a_killed_process_frees_its_videos_at_once(tmp_path):
    claims = locks.Claims(tmp_path / "locks")
    command = [sys.executable, "-c", HOLD, str(tmp_path / "locks")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        given = locks.take_turns(jobs(tmp_path, "a", "b"), claims, lambda job: False, lambda job: None)
        assert next(given).video == "b"
        assert next(given) is None, "the rest is with the other process"
        other.kill()
    assert next(given).video == "a"
    assert next(given, "end") == "end"


WORK = """
import sys, time
from pathlib import Path
import numpy as np
from extract.media import frames
from extract.runtime import locks
from extract.features.pipeline import Job
folder = Path(sys.argv[1])
claims = locks.Claims(folder / "locks")
jobs = [Job(str(n), folder, frames.Frames(np.zeros(0, np.int32), (), ())) for n in range(30)]
for job in locks.take_turns(jobs, claims, lambda job: (folder / job.video).exists(), lambda job: None):
    if job is not None:
        with open(folder / "log", "a") as log:
            log.write(job.video + "\\n")
        time.sleep(0.002)
        (folder / job.video).touch()
        claims.release(job.video)
"""


def test_processes_started_together_do_each_video_once(tmp_path):
    workers = [subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path)]) for _ in range(3)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0]
    assert sorted((tmp_path / "log").read_text().split(), key=int) == [str(number) for number in range(30)]
