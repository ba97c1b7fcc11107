"""A PostgreSQL server for the tests of searches that several processes share, and a corpus of few drawn videos."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# OpenCV reads this once, at the process's first video; extract.video sets it before its own, a test may come earlier
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def programs() -> Path | None:
    """The folder of PostgreSQL's programs: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server of our own: a socket in a temporary folder, no port."""
    if (bin_folder := programs()) is None:
        pytest.skip("PostgreSQL is not installed")
    psycopg = pytest.importorskip("psycopg")
    user: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: a socket's path has at most 107 characters
    if os.geteuid() == 0:  # the server refuses to run as root
        import pwd

        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("root cannot run PostgreSQL, and there is no user postgres")
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        os.chown(folder, account.pw_uid, account.pw_gid)
    make = [bin_folder / "initdb", "-D", folder / "data", "-U", "tune", "-A", "trust", "--no-sync", "--no-locale"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
    options = ["fsync=off", "full_page_writes=off", "listen_addresses=", f"unix_socket_directories={folder}"]
    serve = [bin_folder / "postgres", "-D", folder / "data", *(part for o in options for part in ("-c", o))]
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(serve, cwd=folder, stdout=log, stderr=log, **user)
    try:
        for _ in range(600):
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(host=str(folder), user="tune", dbname="postgres"),
            ):
                break
            assert process.poll() is None, (folder / "log.txt").read_text()
            time.sleep(0.1)
        yield f"postgresql://tune@/postgres?host={folder}"
    finally:
        process.send_signal(signal.SIGINT)  # asks for a fast shutdown
        process.wait(timeout=60)
        shutil.rmtree(folder)


FEW = """
[corpus]
name = "few"
frames = "frames"
{tasks}
[features]
networks = ["demo_mt_enet"]
{heads}
"""
PARTS = {"train": ("demo-01", "demo-04", "demo-06"), "val": ("demo-15", "demo-17", "demo-20"), "test": ("demo-24",)}
FEW_FRAMES = 60


@pytest.fixture(scope="session")
def few_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a corpus of seven drawn videos of 60 frames, with one quick head and a short search per task."""
    import itertools

    import cv2

    from extract.demo import corpus, plan

    folder = tmp_path_factory.mktemp("few")
    tasks, heads = [], []
    for name in itertools.chain(*PARTS.values()):
        (folder / "frames" / name).mkdir(parents=True)
        for number, picture in itertools.islice(corpus.pictures(plan.SEED, name), FEW_FRAMES):
            if number <= FEW_FRAMES:
                cv2.imwrite(str(folder / "frames" / name / f"{number:05d}.jpg"), picture)
    for task in plan.TASKS:
        listed = [f"image_location,{corpus.HEADERS[task]}"]
        for part, names in PARTS.items():
            (folder / task / part).mkdir(parents=True)
            for name in names:
                rows = corpus._rows(plan.annotation(plan.SEED, name, task)[:FEW_FRAMES], task)
                (folder / task / part / f"{name}.txt").write_text("\n".join([corpus.HEADERS[task], *rows]) + "\n")
                if part == "test":
                    listed += [f"{name}/{number:05d}.jpg," for number in range(1, FEW_FRAMES + 1)]
        (folder / task / "test.txt").write_text("\n".join(listed) + "\n")
        tasks.append(f'[corpus.{task}]\ntrain = "{task}/train"\nval = "{task}/val"\ntest = "{task}/test.txt"')
        heads.append(
            f'[heads.{task}]\nuse = ["lightgbm"]\n[heads.{task}.lightgbm]\ntrees = 20\n'
            f"[blend.{task}]\ntrials = 12\nfolds = 2\nselect_folds = 2\ndraws = 100"
        )
    (folder / "few.toml").write_text(FEW.format(tasks="\n".join(tasks), heads="\n".join(heads)))
    return folder / "few.toml"
