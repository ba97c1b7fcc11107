"""Extraction in jobs, run one after the other in this process: what they are told is all that they know."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from fractions import Fraction
from pathlib import Path

import pytest
from support.sounds import tone, write_sound

from extract import cluster_job, run
from extract.audio import step as audio_step
from extract.config import Config
from extract.features import pipeline, store
from extract.features import step as feature_step
from extract.jobs import session
from extract.media import synthetic
from extract.runtime.errors import WorkError


def test_videos_are_divided_into_jobs_whole_and_in_order():
    chance = random.Random(0)
    for _ in range(50):
        sizes = [chance.randint(0, 9000) for _ in range(chance.randint(0, 60))]
        slots = chance.randint(1, 40)
        found = cluster_job.divide_videos(sizes, slots)
        assert [i for chunk in found for i in chunk] == list(range(len(sizes))) and all(found)
        most = min(
            cluster_job.MAX_FRAMES, max(cluster_job.MIN_FRAMES, sum(sizes) // (cluster_job.JOBS_PER_SLOT * slots))
        )
        assert all(len(chunk) == 1 or sum(sizes[i] for i in chunk) <= most for chunk in found)


@pytest.mark.parametrize(
    ("sizes", "slots", "expected"),
    [
        ([], 4, []),
        ([0, 0, 0], 4, [[0, 1, 2]]),
        ([400, 400, 400], 1, [[0, 1], [2]]),  # 1,000 frames at least
        ([50_000], 8, [[0]]),  # a video is never divided
        ([1000] * 8, 1, [[0, 1], [2, 3], [4, 5], [6, 7]]),  # four jobs for each that can run
        ([1000] * 8, 2, [[i] for i in range(8)]),
    ],
)
def test_divided_by_hand(sizes, slots, expected):
    assert cluster_job.divide_videos(sizes, slots) == expected


class OneByOne:
    """A cluster as far as `chunks.run` knows it."""

    def __init__(self, work: Path) -> None:
        self.work, self.names, self.told, self.news = work, [], [], []

    def slots(self) -> int:
        return 2

    def log(self, name: str) -> Path:
        return self.work / f"{name}.txt"

    def run(self, what, jobs, heard, ended):
        assert what == "extract"
        for job in jobs:
            assert job.module == "extract.cluster_job" and job.needs.gpu is False
            self.names.append(job.name)
            self.told.append(json.loads(job.stdin))
            cluster_job.main(self.told[-1], lambda news: (self.news.append(news), heard(job, news)))  # noqa: B023
            ended(job, {})


@pytest.fixture
def relative(tmp_path, crops, network_file, monkeypatch) -> Config:
    """A config whose paths are relative to the current folder, as --set gives them."""
    network_file(tmp_path / "net.onnx", size=32)
    monkeypatch.chdir(tmp_path)
    about = {"path": "net.onnx", "size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "embedding": "embedding"}
    return Config.model_validate(
        {
            "corpus": {"name": "c", "frames": str(crops.relative_to(tmp_path))},
            "features": {"networks": ["net"], "engine": "openvino"},
            "networks": {"net": about},
        }
    )


def files(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (work / "features" / "net").glob("*.safetensors")}


def parts(config: Config, work: Path) -> list[feature_step.NetworkStep]:
    from extract.media import frames
    from extract.networks import registry

    videos = frames.list_videos(config.corpus.frames)
    jobs = [pipeline.Job(video, folder, frames.list_frames(folder)) for video, folder in videos.items()]
    return [feature_step.NetworkStep(registry.find("net", config), jobs, work, config.features, "", redo=False)]


def test_jobs_make_what_a_run_makes_from_wherever_they_run(relative, tmp_path, monkeypatch):
    run.main(relative, Path("local"))
    elsewhere, work = tmp_path / "elsewhere", Path("work")
    elsewhere.mkdir()
    cluster = OneByOne(work)
    beside = cluster.run

    def run_elsewhere(*told):
        with monkeypatch.context() as moved:
            moved.chdir(elsewhere)
            moved.setattr(cluster_job, "wait_until", lambda seen, what: None)  # it looks where the command was given
            beside(*told)

    monkeypatch.setattr(cluster, "run", run_elsewhere)
    cluster_job.run(cluster, relative, parts(relative, work))
    assert cluster.names == ["extract-net-1"] and files(work) == files(Path("local")) and len(files(work)) == 3


def test_jobs_hear_the_sound_file_at_the_times_of_the_video(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    synthetic.write_video(Path("videos/v.mp4"), [Fraction(k, 10) for k in range(20)], None)
    write_sound(Path("videos/v.wav"), tone(440, 2))
    config = Config.model_validate({"corpus": {"name": "c", "videos": "videos"}, "features": {"networks": ["audio"]}})
    work = Path("work")
    jobs = audio_step.jobs(config.corpus, audio_step.count_frames(config))
    heard = audio_step.AudioStep("audio", audio_step.LogMel(), jobs, config.corpus, work, "", redo=False)
    cluster_job.run(OneByOne(work), config, [heard])
    assert not heard.todo() and len(store.read(store.path(work, "audio", "v")).frame) == 20


def test_only_what_is_missing_is_given_to_jobs(relative, monkeypatch):
    work = Path("work")
    run.main(relative, work)
    whole = files(work)
    cluster = OneByOne(work)
    cluster_job.run(cluster, relative, parts(relative, work))
    assert not cluster.names, "nothing is missing"
    (work / "features" / "net" / "a.safetensors").unlink()
    cluster_job.run(cluster, relative, parts(relative, work))
    assert [video for video, *_ in cluster.told[0]["seen"]] == ["a"] and files(work) == whole
    shutil.rmtree(work / "features")
    monkeypatch.setattr(cluster_job, "MIN_FRAMES", 7)
    again = OneByOne(work)
    cluster_job.run(again, relative, parts(relative, work))
    assert again.names == ["extract-net-1", "extract-net-2"] and files(work) == whole
    assert [[video for video, *_ in told["seen"]] for told in again.told] == [["a"], ["b_left", "empty"]]


def test_a_job_that_is_done_again_does_nothing_again(relative):
    work = Path("work")
    cluster = OneByOne(work)
    cluster_job.run(cluster, relative, parts(relative, work))
    before = {path.name: path.stat().st_mtime_ns for path in (work / "features" / "net").glob("*.safetensors")}
    cluster_job.main(cluster.told[0], lambda news: None)
    assert {p.name: p.stat().st_mtime_ns for p in (work / "features" / "net").glob("*.safetensors")} == before


def test_a_picture_that_cannot_be_read_this_time_ends_no_run(relative, monkeypatch):
    """Its video is made and told of; the next run tries the picture again, and waits until that is seen."""
    work, read, refused = Path("work"), Path.read_bytes, [True]

    def reading(path: Path) -> bytes:
        if refused[0] and path.parent.name == "a" and path.name == "00002.jpg":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", reading)
    monkeypatch.setattr(session, "SECONDS_UNTIL_VISIBLE", 0.0)
    made = OneByOne(work)
    cluster_job.run(made, relative, some := parts(relative, work))
    some[0].finish()
    assert made.names == ["extract-net-1"] and len(files(work)) == 3
    [failure] = json.loads((work / "features" / "net" / "failures.json").read_text())
    assert failure["picture"].endswith("a/00002.jpg") and "Permission denied" in failure["reason"]
    before, refused[0] = files(work), False
    again = OneByOne(work)
    cluster_job.run(again, relative, some := parts(relative, work))
    some[0].finish()
    assert [video for video, *_ in again.told[0]["seen"]] == ["a"]
    assert [name for name, found in files(work).items() if found != before[name]] == ["a.safetensors"]
    assert not (work / "features" / "net" / "failures.json").exists()


def test_a_job_whose_videos_are_not_seen_here_is_no_end(relative, monkeypatch):
    monkeypatch.setattr(cluster_job, "main", lambda told, say: None)
    monkeypatch.setattr(session, "SECONDS_UNTIL_VISIBLE", 0.0)
    with pytest.raises(WorkError, match=r"a\.safetensors: a worker has finished it, but it is not seen here"):
        cluster_job.run(OneByOne(Path("work")), relative, parts(relative, Path("work")))
