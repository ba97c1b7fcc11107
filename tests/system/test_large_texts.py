"""The largest texts that are taken, of each kind, are read in less than a gigabyte; larger ones are refused before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from extract.runtime import limits
from heads.abaw.tasks import AU, MTL_EXAMPLE, MTL_HEADER, TASKS

CHILD = """
import sys
from pathlib import Path
from blend.pool import external
from blend.submission import check
from extract.runtime.errors import InputError
from heads.abaw import annotations, multitask, test_list
from heads.abaw.tasks import TASKS
path, said = Path(sys.argv[1]), ""
try:
    {call}
except InputError as error:
    said = str(error)
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
print(int(peak.split()[1]) >> 10, said[:500])
"""
MEGABYTES = 1000
LINES = 5000
"""Of a video."""


def pictures(header: str, tail: str) -> tuple[str, str]:
    """Header and a line, of which {video} and {frame} are yet to come."""
    return header, f"video-{{video:05d}}_left/{{frame:05d}}.jpg{tail}"


ROWS = {
    "annotation of units": (TASKS["au"].header, "0,1,0,0,1,1,0,0,0,1,0,1"),
    "annotation of expressions": (TASKS["expr"].header, "7"),
    "annotation of valence and arousal": (TASKS["va"].header, "-0.251,0.912"),
    "multi-task annotation": pictures(MTL_HEADER, MTL_EXAMPLE.partition(".jpg")[2]),
    "test list": pictures("image_location," + ",".join(AU), ","),
    "submission": pictures("image_location,valence,arousal", ",0.123456,-0.24567"),
    "predictions": ("video,frame," + ",".join(AU), "video-{video:05d}_left,{frame}" + ",0.12345678" * 12),
    "predictions as a submission": pictures("image_location,valence,arousal", ",0.123456,-0.24567"),
}
CALLS = {
    "annotation of units": "annotations.read(path, TASKS['au'])",
    "annotation of expressions": "annotations.read(path, TASKS['expr'])",
    "annotation of valence and arousal": "annotations.read(path, TASKS['va'])",
    "multi-task annotation": "multitask.read(path, TASKS['au'])",
    "test list": "test_list.read(path, TASKS['au'])",
    "submission": "print(check.list_problems(path, check.read_template(path)))",
    "predictions": "external.read_external(path, TASKS['au'])",
    "predictions as a submission": "external.read_external(path, TASKS['va'])",
}


def largest(kind: str) -> int:
    """Bytes that such a file may have."""
    return limits.PREDICTION_BYTES if kind.startswith("predictions") else limits.TEXT_BYTES


def write(path: Path, kind: str, size: int) -> None:
    """A whole file of nearly so many bytes."""
    header, row = ROWS[kind]
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{header}\n")
        for video in range(1 << 30):
            if "{" in row:
                lines = "".join(f"{row.format(video=video, frame=frame)}\n" for frame in range(1, LINES + 1))
            else:
                lines = f"{row}\n" * LINES
            if file.tell() + len(lines) > size:
                return
            file.write(lines)


def read(path: Path, kind: str) -> tuple[int, str]:
    """The peak of a process that reads it, in megabytes, and what it says."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(call=CALLS[kind]), path], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    peak, _, said = done.stdout.splitlines()[-1].partition(" ")
    return int(peak), said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROWS)
def test_the_largest_that_is_taken_stays_under_a_gigabyte(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "one.txt", kind, largest(kind))
    assert (tmp_path / "one.txt").stat().st_size > 0.99 * largest(kind)
    peak, said = read(tmp_path / "one.txt", kind)
    print(f"{kind}: {largest(kind) >> 20} MB on disk, {peak} MB at its peak")
    assert peak < MEGABYTES and said == ""


@pytest.mark.parametrize("kind", ["annotation of units", "test list", "submission", "predictions"])
def test_a_larger_one_is_refused_before_it_is_read(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "one.txt", kind, 2_000_000)
    with open(tmp_path / "one.txt", "r+b") as file:
        file.truncate(5 * 10**9)  # takes no room on the disk
    peak, said = read(tmp_path / "one.txt", kind)
    assert f"has 5,000,000,000 bytes, expected at most {largest(kind):,}" in said
    assert peak < MEGABYTES / 3
