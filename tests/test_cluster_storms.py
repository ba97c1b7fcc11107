"""Workers and schedulers that are killed, cut off or do not belong: nothing is lost, nothing wrong is taken in."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from extract import cluster
from extract.config import ClusterSettings
from extract.errors import InputError

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("AFFECT_HEADS_KILLS", "3"))
"""Workers killed; the full trial is 10."""
CUT = float(os.environ.get("AFFECT_HEADS_CUT", "5"))
"""Seconds without a network; the full trial is 60."""
SETTINGS = ClusterSettings()
VIDEOS = 8


@pytest.fixture(scope="module")
def many(few_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos of 1,200 frames (pictures shown again and again), each a job of its own."""
    folder = tmp_path_factory.mktemp("many")
    for number, video in enumerate(sorted((few_videos.parent / "frames").iterdir()) * 2):
        if number == VIDEOS:
            break
        pictures = sorted(video.iterdir())
        (folder / "frames" / f"v{number}").mkdir(parents=True)
        for k in range(1200):
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


def processes_of(name: str) -> list[int]:
    """The worker's own process, that the nanny `name` restarts: its child that runs Python and is not a tracker."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
            if parent == int(name) and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_killed_workers_cost_a_job_each_and_change_nothing(many, calm, machines, tmp_path):
    chance, work = random.Random(KILLS), tmp_path / "work"
    with machines(tmp_path, "one", "two", "three") as some:
        process = start(many, work, some.where)
        killed = 0
        while killed < KILLS and process.poll() is None:
            time.sleep(chance.uniform(0.5, 2.0) if (work / "features").exists() else 0.1)
            left = processes_of(str(some.processes[chance.choice(["one", "two", "three"])].pid))
            if (work / "features").exists() and left and process.poll() is None:
                os.kill(left[0], signal.SIGKILL)
                killed += 1
        ended_well(process)
    assert killed == KILLS and store(work) == calm
    record = json.loads((work / "cluster" / "extract.json").read_text())
    assert not record["given_up"] and sum(len(job["starts"]) for job in record["jobs"]) >= VIDEOS
    assert not list(work.rglob("*.part"))


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
        [worker] = processes_of(str(some.processes["one"].pid))
        while jobs := [path for path in Path("/proc").glob("[0-9]*") if is_job(path, worker)]:
            assert time.monotonic() < until, jobs
            time.sleep(0.2)
    assert len(store(work)) < VIDEOS


def is_job(folder: Path, worker: int) -> bool:
    try:
        parent = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
        return parent == worker and b"extract.chunks" in (folder / "cmdline").read_bytes()
    except (OSError, ValueError):
        return False


def refused(where: str, work: Path, said: str) -> None:
    with pytest.raises(InputError, match=said), cluster.at(where, SETTINGS, work):
        pytest.fail("it was let in")


def old_version(folder: Path) -> Path:
    """The project, but for a comment."""
    for package in ("extract", "heads", "blend", "configs"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "heads" / "tasks.py", "a") as changed:
        changed.write("# as it was\n")
    return folder


def test_a_worker_with_another_version_is_refused_by_name(machines, tmp_path):
    old = old_version(tmp_path / "old")
    with machines(tmp_path) as some:
        some.worker("stale", root=old)
        refused(some.where, tmp_path, r"worker stale .*another version of the project, code \w{12} in .*old; ")
        some.end("stale")
        (tmp_path / "none").mkdir()  # another thing of that name stands before the project, which may be installed
        (tmp_path / "none" / "extract.py").write_text("")
        some.worker("none", root=tmp_path / "none")
        refused(some.where, tmp_path, r"worker none .*cannot import the project")


def test_a_worker_that_does_not_see_the_work_folder_is_refused_by_name(machines, tmp_path):
    (tmp_path / "work").mkdir()
    hidden = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {tmp_path / "work"} && exec "$@"', "sh")
    try:
        subprocess.run([*hidden, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mount namespace may be made here")
    with machines(tmp_path) as some:
        some.worker("far", before=hidden)
        refused(some.where, tmp_path / "work", r"worker far .*does not see the work folder .*work \(No such file")


def test_a_worker_that_comes_later_and_does_not_belong_is_left_out(many, calm, machines, tmp_path):
    old = old_version(tmp_path / "old")
    work = tmp_path / "work"
    with machines(tmp_path, "good") as some:
        process = start(many, work, some.where)
        while not store(work):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        some.worker("stale", root=old)
        _, error = process.communicate(timeout=300)
    assert process.returncode == 0 and store(work) == calm, error
    assert "Traceback" not in error


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


def test_a_worker_that_is_cut_off_loses_nothing_and_the_run_ends(many, calm, machines, apart, tmp_path):
    name, link = apart
    work = tmp_path / "work"
    with machines(tmp_path, host="10.213.77.1") as some:
        some.worker("near")
        some.worker("far", before=("ip", "netns", "exec", name))
        process = start(many, work, some.where)
        while not store(work):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        subprocess.run(["ip", "link", "set", link, "down"], check=True)
        before, until = times(work), time.monotonic() + CUT
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.2)
        subprocess.run(["ip", "link", "set", link, "up"], check=True)
        ended_well(process)
    assert store(work) == calm
    assert {one: when for one, when in times(work).items() if one in before} == before
