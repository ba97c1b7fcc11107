"""Workers and schedulers that are killed or cut off: nothing is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from extract.config import ClusterSettings
from extract.jobs import cluster, session
from extract.jobs.job import Job

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("AFFECT_HEADS_KILLS", "3"))
"""Workers killed; the full trial is 10."""
CUT = float(os.environ.get("AFFECT_HEADS_CUT", "5"))
"""Seconds without a network; the full trial is 60, with FRAMES of 25000 on two quiet cores."""
SETTINGS = ClusterSettings()
FRAMES = int(os.environ.get("AFFECT_HEADS_FRAMES", "1200"))
"""Of each video."""
VIDEOS = 8


@pytest.fixture(scope="module")
def many(few_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos of FRAMES (pictures shown again and again), each a job of its own."""
    folder = tmp_path_factory.mktemp("many")
    for number, video in enumerate(sorted((few_videos.parent / "frames").iterdir()) * 2):
        if number == VIDEOS:
            break
        pictures = sorted(video.iterdir())
        (folder / "frames" / f"v{number}").mkdir(parents=True)
        for k in range(FRAMES):
            (folder / "frames" / f"v{number}" / f"{k + 1:05d}.jpg").symlink_to(pictures[(k + number) % len(pictures)])
    text = '[corpus]\nname = "many"\nframes = "frames"\n[features]\nnetworks = ["demo_enet"]\nengine = "openvino"\n'
    (folder / "many.toml").write_text(text)
    return folder / "many.toml"


def start(many: Path, work: Path, where: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "extract.run", "--config", str(many), "--work", str(work), "--cluster", where]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def store(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (work / "features").glob("*/*.safetensors")}


def times(work: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (work / "features").glob("*/*.safetensors")}


@pytest.fixture(scope="module")
def calm(many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a run on this machine alone."""
    work = tmp_path_factory.mktemp("calm")
    with start(many, work, cluster.LOCAL) as process:
        assert process.wait() == 0, process.stderr.read()
    return store(work)


def ended_well(process: subprocess.Popen[str]) -> None:
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_killed_workers_cost_a_job_each_and_change_nothing(many, calm, machines, tmp_path):
    chance, work = random.Random(KILLS), tmp_path / "work"
    with machines(tmp_path, "one", "two", "three") as some:
        process = start(many, work, some.where)
        killed = 0
        while killed < KILLS and process.poll() is None:
            # at its start, or when some video is finished; the others go on meanwhile
            if (held := some.hold("extract.cluster_job", lambda: set(times(work)), chance.randint(0, 1))) is None:
                time.sleep(0.02)
                continue
            time.sleep(chance.uniform(0.0, 0.5))
            assert some.kill(held[0]) == ["extract.cluster_job"]
            killed += 1
        ended_well(process)
    assert killed == KILLS and store(work) == calm
    record = json.loads((work / "cluster" / "extract.json").read_text())
    starts = sum(len(job["starts"]) for job in record["jobs"])
    assert not record["given_up"] and VIDEOS <= starts <= VIDEOS + KILLS, "a killed worker costs a job at most"
    assert not list(work.rglob("*.part"))


@pytest.mark.slow
def test_a_lost_scheduler_is_one_line_and_the_same_command_goes_on(many, calm, machines, tmp_path):
    work = tmp_path / "work"
    with machines(tmp_path, "one", "two") as some:
        process = start(many, work, some.where)
        while len(store(work)) < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        for name in ("scheduler", "one", "two"):
            some.end(name)
        _, error = process.communicate(timeout=120)
        assert process.returncode == 1 and "Traceback" not in error
        assert error.splitlines()[-1].startswith(f"failed: the scheduler {some.where} is gone")
        before = times(work)
        some.scheduler()
        some.worker("three")
        some.there(1)
        ended_well(start(many, work, some.where))
    assert {name: when for name, when in times(work).items() if name in before} == before
    assert 2 <= len(before) < VIDEOS and store(work) == calm


def test_ctrl_c_ends_the_jobs_on_the_workers(many, machines, tmp_path):
    work = tmp_path / "work"
    with machines(tmp_path, "one") as some:
        process = start(many, work, some.where)
        while not store(work):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 130 and error.splitlines()[-1].startswith("interrupted: "), error
        until = time.monotonic() + 30
        while jobs := some.jobs("one", "extract.cluster_job"):
            assert time.monotonic() < until, jobs
            time.sleep(0.2)
    assert len(store(work)) < VIDEOS


def waiting(work: Path, name: str) -> Job:
    """A job that ends when the file `go` is there."""
    statement = f"import os, time\nwhile not os.path.exists({str(work / 'go')!r}): time.sleep(0.05)"
    return Job(name, "timeit", ("-n", "1", "-r", "1", statement), work / "cluster" / "logs" / f"{name}.txt")


def record_of(work: Path) -> dict[str, dict]:
    return {job["job"]: job for job in json.loads((work / "cluster" / "some.json").read_text())["jobs"]}


def test_a_result_that_was_told_counts_though_its_worker_is_lost_then(machines, tmp_path):
    """The worker is killed once the job has ended, while its command is busy elsewhere."""
    with machines(tmp_path, "one", "two") as some, session.use_cluster(some.where, SETTINGS, tmp_path):
        ours, ended = session.current_cluster(), []

        def look() -> None:
            (tmp_path / "go").touch()
            until = time.monotonic() + 60
            while not any(kind == "news" and "result" in said for kind, said in [*ours.news.queue]):
                assert time.monotonic() < until
                time.sleep(0.02)
            for name in ("one", "two"):
                some.kill(name)

        run = ours.run
        run("some", [waiting(tmp_path, "job")], lambda job, news: None, lambda job, result: ended.append(result), look)
    [job] = record_of(tmp_path).values()
    assert len(job["starts"]) == 1 and [result["worker"] for result in ended] == job["starts"]


@pytest.mark.slow
def test_jobs_say_what_they_wait_for(machines, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(cluster, "SECONDS_UNTIL_NOTICE", 0.5)
    with machines(tmp_path, "one") as some, session.use_cluster(some.where, SETTINGS, tmp_path):
        ours = session.current_cluster()

        def look() -> None:
            if "one" in some.processes:
                some.end("one")
            elif "has no workers left; waiting for some" in capfd.readouterr().err:
                (tmp_path / "go").touch()
                some.worker("two")

        ours.run("some", [waiting(tmp_path, "job")], lambda job, news: None, lambda job, result: None, look)
    assert record_of(tmp_path)["job"]["worker"] == "two"


@pytest.fixture
def apart() -> tuple[str, str]:
    """A network namespace and the address of this side: the link between them can be cut."""
    name = f"heads{os.getpid()}"
    here, there = f"vh{os.getpid()}"[:15], f"vt{os.getpid()}"[:15]
    commands = [
        f"ip netns add {name}",
        f"ip link add {here} type veth peer name {there}",
        f"ip link set {there} netns {name}",
        f"ip addr add 10.213.77.1/24 dev {here}",
        f"ip link set {here} up",
        f"ip -n {name} addr add 10.213.77.2/24 dev {there}",
        f"ip -n {name} link set {there} up",
        f"ip -n {name} link set lo up",
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        yield name, here
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace may be made here ({error})")
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", here], capture_output=True)


@pytest.mark.slow
def test_a_worker_that_is_cut_off_loses_nothing_and_the_run_ends(many, calm, machines, apart, tmp_path):
    name, link = apart
    work = tmp_path / "work"
    with machines(tmp_path, host="10.213.77.1") as some:
        some.worker("near")
        some.worker("far", before=("ip", "netns", "exec", name))
        some.there(2)
        process = start(many, work, some.where)
        while not store(work):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        subprocess.run(["ip", "link", "set", link, "down"], check=True)
        before, until = times(work), time.monotonic() + CUT
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.2)
        if "AFFECT_HEADS_CUT" in os.environ:
            assert process.poll() is None, f"it ended before the cut of {CUT:g} s did: raise AFFECT_HEADS_FRAMES"
        subprocess.run(["ip", "link", "set", link, "up"], check=True)
        ended_well(process)
    assert store(work) == calm
    assert {one: when for one, when in times(work).items() if one in before} == before
