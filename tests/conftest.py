"""A PostgreSQL server for the tests of searches that several processes share."""

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
