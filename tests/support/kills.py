"""A process that learns, killed at random moments while it does."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from extract.learning.checkpoint import KEY

PATIENCE = 300.0
"""Seconds that a process may take to some steps, and to its end."""


def count_seen_pictures(checkpoint: Path) -> int | None:
    """How many pictures a run had learnt from when it wrote its checkpoint; None without one."""
    try:
        data = checkpoint.read_bytes()  # once: safetensors would open it twice, and find another one meanwhile
    except FileNotFoundError:
        return None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return int(json.loads(header["__metadata__"][KEY])["seen"])


def kill_while_it_learns(
    start: Callable[[], subprocess.Popen[bytes]], folder: Path, results: Sequence[str], pictures: int, kills: int = 20
) -> list[int | None]:
    """Let a process that learns from so many pictures, all epochs together, end once; then kill it, start it again, and
    so on, each time at a random moment after it has gone on by some steps itself. Every one that comes to its end must
    leave the same bytes of `results` as the first. Returns how far each kill had let it come.
    """
    checkpoint, chance, left = folder / "checkpoint.safetensors", random.Random(0), []
    with start() as process:
        expected = _finish(process, folder, results)
    while len(left) < kills:
        goal = (count_seen_pictures(checkpoint) or 0) + chance.uniform(1, pictures / 4)
        with start() as process:
            if _wait(process, lambda goal=goal: (count_seen_pictures(checkpoint) or 0) >= goal):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(chance.uniform(0, 0.3))
            if process.poll() is None and (count_seen_pictures(checkpoint) or 0) >= goal:
                process.kill()
                process.wait()
                left.append(count_seen_pictures(checkpoint))
                continue
            assert _finish(process, folder, results) == expected
    with start() as process:
        assert _finish(process, folder, results) == expected
    return left


def _wait(process: subprocess.Popen[bytes], happened: Callable[[], bool]) -> bool:
    """Wait for something; False: the process has ended before."""
    until = time.monotonic() + PATIENCE
    while not happened():
        if process.poll() is not None:
            return False
        assert time.monotonic() < until
        time.sleep(0.005)
    return True


def _finish(process: subprocess.Popen[bytes], folder: Path, results: Sequence[str]) -> dict[str, bytes]:
    """The results, when the process has come to a good end; the next one makes them again."""
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, said.decode()
    (folder / "DONE").unlink()
    return {name: (folder / name).read_bytes() for name in results}
