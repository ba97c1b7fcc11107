"""SIGKILL at random moments loses nothing that was finished and leaves nothing half-written that counts."""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from support.sweeps import sweep

KILLS = int(os.environ.get("AFFECT_HEADS_KILLS", "6"))
"""The full trial is AFFECT_HEADS_KILLS=200 (some minutes)."""
CONFIG = """
[corpus]
name = "kills"
frames = "crops"
[features]
networks = ["net"]
engine = "openvino"
[networks.net]
path = "net.onnx"
size = 224
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
embedding = "embedding"
logits = "output"
"""


def start(folder, work):
    command = [sys.executable, "-m", "extract.run", "--config", str(folder / "kills.toml"), "--work", str(work)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def store(work):
    return {path.name: path.read_bytes() for path in (work / "features" / "net").glob("*.safetensors")}


def make_corpus(folder, network_file):
    rng = np.random.default_rng(0)
    for video in range(12):
        crops = folder / "crops" / f"video{video}"
        crops.mkdir(parents=True)
        for number in range(1, 26):
            Image.fromarray(rng.integers(0, 256, (60, 60, 3), np.uint8)).save(crops / f"{number:05d}.jpg")
    network_file(folder / "net.onnx", size=224, width=64)
    (folder / "kills.toml").write_text(CONFIG)


@pytest.mark.parametrize("kills", sweep([1, KILLS], [1]))
def test_after_kills_the_store_is_that_of_an_undisturbed_run(tmp_path, network_file, kills):
    make_corpus(tmp_path, network_file)
    with start(tmp_path, tmp_path / "calm") as calm:
        assert calm.wait() == 0, calm.stderr.read()
    chance, hits = random.Random(KILLS), 0
    for _ in range(5 * kills):
        hits += killed_at_work(tmp_path, chance)
        if hits == kills:
            break
    assert hits == kills, f"only {hits} processes were killed while they worked"
    with start(tmp_path, tmp_path / "stormy") as last:
        assert last.wait() == 0, last.stderr.read()
    assert store(tmp_path / "stormy") == store(tmp_path / "calm")
    assert len(store(tmp_path / "calm")) == 12
    assert not list((tmp_path / "stormy").rglob("*.part"))


def killed_at_work(folder, chance):
    """Lose some finished videos, start, kill after some more are there: was it killed before it was through?"""
    work = folder / "stormy"
    there = sorted((work / "features" / "net").glob("*.safetensors"))
    for path in chance.sample(there, len(there) if chance.random() < 0.3 else len(there) // 2):
        path.unlink()
    left = len(store(work))
    enough = chance.randint(left, 11)
    with start(folder, work) as process:
        while process.poll() is None and len(list((work / "features" / "net").glob("*.safetensors"))) < enough:
            time.sleep(0.001)
        if enough == left:
            time.sleep(chance.uniform(0, 3))  # while it starts, or before its first video
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.wait()
        return process.returncode == -9 and len(store(work)) < 12


def test_two_processes_started_together_give_the_same_store(tmp_path, network_file):
    make_corpus(tmp_path, network_file)
    with start(tmp_path, tmp_path / "alone") as alone:
        assert alone.wait() == 0, alone.stderr.read()
    with start(tmp_path, tmp_path / "both") as one, start(tmp_path, tmp_path / "both") as two:
        assert (one.wait(), two.wait()) == (0, 0), one.stderr.read() + two.stderr.read()
    assert store(tmp_path / "both") == store(tmp_path / "alone")
