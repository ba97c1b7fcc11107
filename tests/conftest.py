"""A PostgreSQL server and a Dask scheduler for the tests of what several processes share; a corpus of few videos."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support.ports import free_ports
from support.shared_folder import shared_folder

DEMO_USERS = ("test_end_to_end.py", "test_paper_demo.py", "test_unlabelled_demo.py", "test_readme.py")
"""Files whose tests work in the demo's folder."""
TOGETHER = ("tests/blend/predict/", "tests/system/test_cluster", "tests/heads/families/")
"""Beginnings of paths whose files share what takes long: a fixture, a scheduler, TensorFlow and LightAutoML loaded."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What works in the demo's folder takes longest, and begins at once; what stays together and whole runs of the
    program come next, so that at the end only small files are left.
    """
    long = (*TOGETHER, "tests/system/")
    items.sort(key=lambda item: 0 if item.path.name in DEMO_USERS else 1 if item.nodeid.startswith(long) else 2)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes run the tests (`-n 3`), a file stays on one of them, for its fixtures, and so do the
    users of the demo, and files that share what takes long.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            if file.rpartition("/")[2] in DEMO_USERS:
                return "demo"
            return next((start for start in TOGETHER if file.startswith(start)), file)

    return ByFile(config, log)


# a machine may stand still for a while in any example
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# OpenCV reads this once, at the process's first video; media.video sets it before its own, a test may come earlier
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


# processes that tests start keep their compiled modules, as a user's do: without, each compiles all of them again
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# what a shell starts in the background ignores Ctrl-C, and would pass that on to every process that is sent one here
signal.signal(signal.SIGINT, signal.default_int_handler)


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


MADE = Path(__file__).parents[1] / "runs" / "demo"
"""What the README's first command leaves."""


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder of the demo, filled by the tests that run its tasks; its corpus and features are shared. It begins
    with a copy of what the main job left, if it did: the runs look through that as they do through any finished folder.
    """
    folder = tmp_path_factory.mktemp("demo")
    if (MADE / "corpus" / "DONE").exists():
        shutil.copytree(MADE, folder, symlinks=True, dirs_exist_ok=True)
    return folder


def make_few_videos(folder: Path) -> None:
    """Pictures, annotations, test lists and few.toml."""
    import itertools

    import cv2

    from extract.demo import corpus, plan

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
        bags = "bags = 2\n" if task == "va" else ""
        heads.append(
            f'[heads.{task}]\nuse = ["lightgbm"]\n[heads.{task}.lightgbm]\ntrees = 20\n{bags}'
            f"[blend.{task}]\ntrials = 12\nfolds = 2\nselect_folds = 2\ndraws = 100"
        )
    (folder / "few.toml").write_text(FEW.format(tasks="\n".join(tasks), heads="\n".join(heads)))


@pytest.fixture(scope="session")
def few_videos(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The config of a corpus of seven drawn videos of 60 frames, with one quick head (that of va has bags) and a short
    search per task. To read only.
    """
    for folder in shared_folder(request, "few", make_few_videos):
        yield folder / "few.toml"


@pytest.fixture(scope="session")
def few_blends(few_videos: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A work folder with a finished blend of every task of the few videos. To read only: whoever changes it, copies."""
    from markupsafe import Markup

    from blend import run
    from blend.config import Config
    from extract import config
    from heads.abaw.tasks import TASKS

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("blend.report.html.charts._draw", lambda name, *_: Markup("<svg></svg>"))  # takes seconds
            for task in TASKS:
                run.main(config.load(Config, few_videos), task, folder)

    yield from shared_folder(request, "few_blends", make)


HERE = Path(__file__).parents[1]


SECONDS_FOR_ORPHANS, SECONDS_TO_START = 60.0, 120.0


def children(pid: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):  # each knows those that it has started
        with contextlib.suppress(OSError):
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    return [one for child in children(pid) for one in (child, *descendants(child))]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def began(pid: int) -> str | None:
    """When a process was started, so that another of its number is not taken for it; None: it is gone."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]


def stand_still(pid: int) -> bool:
    """Stop a process until it is sent SIGCONT. False: it has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    while began(pid) is not None:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "tT":
                return True
        time.sleep(0.001)
    return False


class Machines:
    """A scheduler and its workers, all of them processes of this test."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.folder, self.host, self.port = folder, host, free_ports(1)[0]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.chance = random.Random(0)
        self.scheduler()

    @property
    def where(self) -> str:
        return f"dask://{self.host}:{self.port}"

    def _start(self, name: str, module: str, *arguments: str, root: Path = HERE, before: tuple[str, ...] = ()) -> None:
        environment = os.environ | {"PYTHONPATH": str(root), "PYTHONWARNINGS": "ignore"}
        command = [*before, sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *arguments]
        with open(self.folder / f"{name}.txt", "ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def scheduler(self) -> None:
        self._start("scheduler", "dask_scheduler", "--host", self.host, "--port", str(self.port))
        until = time.monotonic() + SECONDS_TO_START
        while True:  # a busy machine may take longer than a command would wait
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
                return
            assert time.monotonic() < until, (self.folder / "scheduler.txt").read_text()
            time.sleep(0.05)

    def worker(self, name: str, *more: str, root: Path = HERE, before: tuple[str, ...] = ()) -> None:
        """A worker that is restarted by its nanny when it is killed."""
        place = ("--local-directory", str(self.folder / "dask"), "--nthreads", "1", "--name", name)
        self._start(name, "dask_worker", f"tcp://{self.host}:{self.port}", *place, *more, root=root, before=before)

    def python(self, name: str) -> int | None:
        """The worker itself, which its nanny starts again when it is killed; None while it does."""
        own = [pid for pid in children(self.processes[name].pid) if "spawn_main" in command_line(pid)]
        return own[0] if own else None

    def there(self, count: int) -> None:
        """Wait until so many workers have come: a command would not wait as long on a busy machine."""
        from distributed import Client

        with Client(f"tcp://{self.host}:{self.port}", set_as_default=False) as client:
            client.wait_for_workers(count, timeout=SECONDS_TO_START)

    def jobs(self, name: str, module: str = "") -> dict[int, str]:
        """The processes of jobs on a worker, with their command lines."""
        own = self.python(name)
        lines = {pid: command_line(pid) for pid in (children(own) if own else [])}
        return {pid: line for pid, line in lines.items() if f" -m {module}" in line}

    def hold(
        self, module: str, made: Callable[[], set[Any]] = set, more: int = 0, moment: float = 0.01
    ) -> tuple[str, int] | None:
        """Let a job of a module stand still once there is so much more of what is `made`: its worker and its process.

        Till then it goes on for moments (seconds), and what is made is looked at in between: so it does not end unseen,
        however quick the machine is. None: no such job runs.
        """
        before = made()
        names = [name for name in self.processes if name != "scheduler"]
        for name in self.chance.sample(names, len(names)):
            for pid in self.jobs(name, module):
                while stand_still(pid):
                    if len(made() - before) >= more:
                        return name, pid
                    os.kill(pid, signal.SIGCONT)
                    time.sleep(moment)
                more = 0  # it has ended: the next one is stopped at once
        return None

    def kill(self, name: str) -> list[str]:
        """SIGKILL a worker; returns what it ran. Its jobs must end by themselves, with all that they have started, and
        go on before where they stood still.
        """
        if (own := self.python(name)) is None:
            return []
        jobs = self.jobs(name)
        ran = [line.partition(" -m ")[2].split()[0] for line in jobs.values()]
        left = {pid: began(pid) for job in jobs for pid in (job, *descendants(job))}
        with contextlib.suppress(ProcessLookupError):
            os.kill(own, signal.SIGKILL)
        for job in jobs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(job, signal.SIGCONT)
        until = time.monotonic() + SECONDS_FOR_ORPHANS
        while left := {pid: when for pid, when in left.items() if when is not None and began(pid) == when}:
            assert time.monotonic() < until, f"left of a killed worker: {[command_line(pid) for pid in left]}"
            time.sleep(0.05)
        return ran

    def end(self, name: str, how: int = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        process.wait()

    def close(self) -> None:
        for name in [*self.processes]:
            self.end(name)


@contextlib.contextmanager
def _machines(folder: Path, *names: str, host: str = "127.0.0.1") -> Iterator[Machines]:
    some = Machines(folder, host)
    try:
        for name in names:
            some.worker(name)
        if names:
            some.there(len(names))
        yield some
    finally:
        some.close()


@pytest.fixture(scope="session")
def machines() -> Callable[..., AbstractContextManager[Machines]]:
    """`with machines(folder, "one", "two") as some:` is a scheduler with two workers."""
    pytest.importorskip("distributed")
    return _machines


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, machines: Any) -> Iterator[Machines]:
    """A scheduler with three workers, all of them there."""
    with machines(tmp_path_factory.mktemp("three"), "one", "two", "three") as some:
        yield some
