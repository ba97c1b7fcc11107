"""`--videos` in processes of its own: killed at random moments, and several started together."""

import os
import random
import subprocess
import sys
import time

import av
import numpy as np
import pytest
from support.sweeps import sweep

KILLS = int(os.environ.get("AFFECT_HEADS_KILLS", "30")) // 10
"""Cropping takes its time, so a tenth of the kills of the features' trial."""
RUN = """
import sys
from pathlib import Path
import numpy as np
from extract.faces import crop_videos, crops

def bright_square(pixels):
    rows, columns = np.nonzero((pixels > 150).all(2))
    if not len(rows):
        return np.empty((0, 5))
    x, y = columns.min(), rows.min()
    return np.array([[x, y, columns.max() - x + 1, rows.max() - y + 1, 0.95]], float)

def noted(file, *rest):
    with open(sys.argv[3], "a") as log:
        log.write(file.stem + "\\n")
    return crop_video(file, *rest)

crop_videos.yunet = lambda path: bright_square
crop_video, crops.crop_video = crops.crop_video, noted
sys.exit(crop_videos.command(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def make_videos(folder):
    """Six videos of a moving square; the last one breaks off, another is no video."""
    folder.mkdir()
    for video in range(6):
        with av.open(str(folder / f"v{video}.mkv"), "w") as container:
            stream = container.add_stream("mpeg4", rate=24)
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 96, "yuv420p", 2_000_000
            for k in range(60):
                pixels = np.random.default_rng(k).integers(0, 90, (96, 160, 3), np.uint8)
                pixels[20:60, 10 + k : 50 + k] = 220 + video
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
            container.mux(stream.encode())
    cut = folder / "v5.mkv"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    (folder / "text.mp4").write_text("no video")
    return folder


def start(videos, out, log):
    command = [sys.executable, "-c", RUN, str(videos), str(out), str(log)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in err, err  # 1: two of the videos are broken
    return out


def tree(out):
    return {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.suffix in (".jpg", ".json")
    }


@pytest.mark.slow
@pytest.mark.parametrize("kills", sweep([1, KILLS], [1]))
def test_after_kills_the_crops_are_those_of_an_undisturbed_run(tmp_path, kills):
    videos, log = make_videos(tmp_path / "videos"), tmp_path / "log"
    began = time.monotonic()
    with start(videos, tmp_path / "calm", log) as calm:
        ended(calm)
    seconds = time.monotonic() - began
    chance = random.Random(0)
    for _ in range(kills):
        with start(videos, tmp_path / "stormy", log) as process:
            time.sleep(chance.uniform(0.4, 1.0) * seconds)
            process.kill()
    with start(videos, tmp_path / "stormy", log) as last:
        ended(last)
    made = tree(tmp_path / "stormy")
    assert made == tree(tmp_path / "calm")
    assert len([name for name in made if name.startswith("v0/")]) == 60
    assert not [*(tmp_path / "stormy" / ".crops").glob("*.part"), *(tmp_path / "stormy" / ".crops").glob("*.old")]


def test_processes_started_together_crop_each_video_once(tmp_path):
    videos, out = make_videos(tmp_path / "videos"), tmp_path / "out"
    logs = [tmp_path / "one", tmp_path / "two"]
    with start(videos, out, logs[0]) as one, start(videos, out, logs[1]) as two:
        said = {ended(one), ended(two)}
    assert len(said) == 1, "both know what became of all videos"
    done = sorted(name for log in logs if log.exists() for name in log.read_text().split())
    assert [name for name in done if name != "text"] == [f"v{k}" for k in range(6)]
    with start(videos, tmp_path / "alone", tmp_path / "log") as alone:
        ended(alone)
    assert tree(out) == tree(tmp_path / "alone")
